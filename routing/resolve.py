"""Hot path. From the name that a client sends to the candidates that may serve it."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from channels.records import Candidate
from routing.joining import OWN_NAME
from routing.rows import RouterKeyRow, TenantRow
from routing.table import RoutingTable
from smartrouter.lib.errors import RouterError


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: the key and its tenant with all ancestors, from the tenant upwards."""

    key: RouterKeyRow
    chain: tuple[TenantRow, ...]
    is_authenticated = True

    @property
    def tenant(self) -> TenantRow:
        return self.chain[0]

    def may_use(self, candidate: Candidate) -> bool:
        """Whether the candidate's channel is the platform's or belongs to the tenant or one above it."""
        owner = candidate.channel.owner
        return owner is None or any(tenant.ref == owner for tenant in self.chain)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The candidates of a requested name; group is the group's name, empty for a plain model."""

    name: str
    group: str
    candidates: tuple[Candidate, ...]


def resolve(table: RoutingTable, name: str, caller: Caller) -> Resolution:
    """The usable candidates of a name.

    Raises RouterError: 404 for a name that means nothing to this tenant, 403 for one that the key may not ask for, 503 for
    one without a usable channel.
    """
    group, candidates = find(table, name, caller)
    if not caller.key.may_ask_for(name):
        message = _("This key may not use the model “%s”.") % name
        raise RouterError(403, "model_not_allowed", message, param="model", kind="permission_error")
    usable = tuple(c for c in candidates if c.is_usable)
    if not usable:
        message = _("No channel can serve the model “%s” now.") % name
        raise RouterError(503, "no_available_channel", message, kind="server_error")
    return Resolution(name, group, usable)


def find(table: RoutingTable, name: str, caller: Caller) -> tuple[str, list[Candidate]]:
    """The group's name (or nothing) and the candidates that a name means, usable or not: an exact group, an offered name or
    alias, a provider prefix. Raises RouterError 404."""
    if OWN_NAME in name:  # the table's own mark for a provider's names; nobody may ask for it
        raise _unknown(name.replace(OWN_NAME, ""))
    group = table.groups_by_name.get(name)
    if group is not None and group.is_active:
        return group.name, [c for c in table.members_of(group) if caller.may_use(c)]
    offered = table.names.get(name)
    found = [c for c in offered.values() if caller.may_use(c)] if offered else []
    if not found and "/" in name:
        provider, _slash, model = name.partition("/")
        found = [c for c in table.of_provider(provider, model) if caller.may_use(c)]
    if not found:
        raise _unknown(name)
    return "", found


def _unknown(name: str) -> RouterError:
    message = _("The model “%s” does not exist or is not offered to you.") % name
    return RouterError(404, "model_not_found", message, param="model")
