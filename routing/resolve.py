"""Hot path. From the names that a client sends to the stages of its request: pools of candidates, one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from channels.records import Candidate
from providers.naming import SEPARATORS, TAG_PREFIX, canonical_name
from routing.joining import OWN_NAME
from routing.pools import Pool
from routing.rows import GroupRow, RouterKeyRow, TenantRow, fits
from routing.strategies import AUTO, PRESETS, Strategy
from routing.table import RoutingTable
from smartrouter.lib.errors import RouterError

TAGS_AT_MOST = 10
NAMES_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: the key and its tenant with all ancestors, from the tenant upwards."""

    key: RouterKeyRow
    chain: tuple[TenantRow, ...]
    is_authenticated = True

    @property
    def tenant(self) -> TenantRow:
        return self.chain[0]

    @property
    def owners(self) -> frozenset[int]:
        """The tenants whose channels may serve it, by ref."""
        return frozenset([tenant.ref for tenant in self.chain])

    def may_use(self, candidate: Candidate) -> bool:
        """Whether the candidate's channel is the platform's or belongs to the tenant or one above it."""
        owner = candidate.channel.owner
        return owner is None or any(tenant.ref == owner for tenant in self.chain)

    def is_denied(self, name: str) -> bool:
        """Whether the key's deny list has this name."""
        return any(fits(pattern, name) for pattern in self.key.denied)


@dataclass(frozen=True, slots=True)
class Stage:
    """One pool and how it is ranked. name: what was asked for; group: the one that leads here, None for a plain name.

    filters: the group whose members these are (another one at set hours). provider: the only one that was asked for.
    needs_price: whether the group has a budget or a highest cost.
    """

    name: str
    group: GroupRow | None
    pool: Pool
    strategy: Strategy
    filters: GroupRow | None = None
    provider: str = ""
    is_fallback: bool = False
    needs_price: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a plain name has led to, for whom. Their rows change without the table's version."""

    stage: Stage
    key: RouterKeyRow
    chain: tuple[TenantRow, ...]


def resolve(
    table: RoutingTable, names: Sequence[str], caller: Caller, *, at_ms: int, override: Strategy | None = None
) -> list[Stage]:
    """The stages of a request, in order: each name, and after a group its fallback groups.

    Raises RouterError: 404 for a name that means nothing to this tenant, 403 for one that the key may not ask for, 400 for a
    malformed tag query.
    """
    stages: list[Stage] = []
    table.refresh_prices(at_ms)
    table.forget_outdated()
    for name in names:
        resolved = table.resolved.get((name, caller.key.ref, override))
        if resolved is not None and resolved.key is caller.key and resolved.chain == caller.chain:
            stages.append(resolved.stage)
            continue
        found = find(table, name, caller, at_ms)
        known = name if isinstance(found, GroupRow) else canonical_name(name)
        if not caller.key.may_ask_for(known) or caller.is_denied(known):
            message = _("This key may not use the model “%s”.") % name
            raise RouterError(403, "model_not_allowed", message, param="model", kind="permission_error")
        if isinstance(found, GroupRow):
            stages += _stages_of_group(table, name, found, caller, at_ms, override)
        else:
            strategy = override or table.rule_for(name) or default_strategy()
            provider = name.partition("/")[0] if found.provider else ""
            stage = Stage(name, None, found.pool, strategy, provider=provider)
            stages.append(stage)
            if not name.startswith(TAG_PREFIX):  # what has the tags changes without a change of rows
                table.resolved[name, caller.key.ref, override] = Resolved(stage, caller.key, caller.chain)
    return stages


def default_strategy() -> Strategy:
    """The strategy where nothing else says one."""
    return PRESETS.get(settings.LOAD_BALANCING_STRATEGY, AUTO)


@dataclass(frozen=True, slots=True)
class Named:
    """What a plain name stands for; provider: whether it began with a provider's name."""

    pool: Pool
    provider: bool = False


def find(table: RoutingTable, name: str, caller: Caller, at_ms: int) -> GroupRow | Named:
    """What a name means: an exact group, a tag query, an offered name or alias, a provider prefix.

    Raises RouterError 404, and 400 for a malformed tag query.
    """
    if OWN_NAME in name:  # the table's own mark for a provider's names; nobody may ask for it
        raise unknown_model(name.replace(OWN_NAME, ""))
    table.refresh_prices(at_ms)
    group = table.groups_by_name.get(name)
    if group is not None and group.is_active:
        return group
    if name.startswith(TAG_PREFIX):
        return Named(_tagged(table, name, caller))
    offered = table.names.get(name)
    found = [c for c in offered.values() if caller.may_use(c)] if offered else []
    if found:
        return Named(table.pool(found))
    if "/" in name:
        provider, _slash, model = name.partition("/")
        found = [c for c in table.of_provider(provider, model) if caller.may_use(c)]
    if not found:
        raise unknown_model(name)
    return Named(table.pool(found), provider=True)


def _tagged(table: RoutingTable, name: str, caller: Caller) -> Pool:
    tags = [tag.strip().lower() for tag in name[len(TAG_PREFIX) :].split(",")]
    if not all(tags):
        message = _("“%s” has an empty tag; write tag:qwen or tag:qwen,free.") % name
        raise RouterError(400, "invalid_tag", message, param="model")
    if len(tags) > TAGS_AT_MOST:
        raise RouterError(400, "invalid_tag", _("At most %d tags can be asked for.") % TAGS_AT_MOST, param="model")
    for tag in tags:
        if SEPARATORS.search(tag):
            message = _("“%s” is not a tag: names are split at : / @ - _ and commas; ask for the parts.") % tag
            raise RouterError(400, "invalid_tag", message, param="model")
    pool = table.tagged(frozenset(tags))
    if not _has_any(pool, caller):
        unknown = [tag for tag in tags if not _has_any(table.tagged(frozenset((tag,))), caller)]
        if unknown:
            text = _("No model that is offered to you has the tag “%s”.") % unknown[0]
        else:
            text = _("No model that is offered to you has all of these tags: %s.") % ", ".join(tags)
        raise RouterError(404, "model_not_found", text, param="model")
    return pool


def _has_any(pool: Pool, caller: Caller) -> bool:
    """Whether anything in the pool is offered to the caller; what is not counts as not there."""
    return any(caller.may_use(candidate) for candidate in pool)


def _stages_of_group(
    table: RoutingTable, name: str, group: GroupRow, caller: Caller, at_ms: int, override: Strategy | None
) -> Iterator[Stage]:
    """The group's stage, and those of its fallback groups, each group once; denied and inactive ones are passed over."""
    seen: set[int] = set()
    following: GroupRow | None = group
    while following is not None and following.ref not in seen:
        seen.add(following.ref)
        if following.is_active and not (following is not group and caller.is_denied(following.name)):
            yield _stage_of(table, name, following, caller, at_ms, override, is_fallback=following is not group)
        following = table.group(following.fallback)


def _stage_of(
    table: RoutingTable,
    name: str,
    group: GroupRow,
    caller: Caller,
    at_ms: int,
    override: Strategy | None,
    *,
    is_fallback: bool,
) -> Stage:
    at_hours, stand_in = table.policy_of(group, at_ms)
    members = group
    if stand_in is not None and stand_in.is_active and not caller.is_denied(stand_in.name):
        members = stand_in
    strategy = (
        override or at_hours or table.strategy_of_group(group) or table.rule_for(group.name) or default_strategy()
    )
    if strategy is AUTO and group.layers:
        strategy = table.strategy_of_group(group) or AUTO
    return Stage(
        name,
        group,
        table.pool_of(members),
        strategy,
        members,
        is_fallback=is_fallback,
        needs_price=group.max_cost_nusd is not None or table.budgets.limit_money(group.budget_scope),
    )


def unknown_model(name: str) -> RouterError:
    """The 404 for a name that means nothing to the caller."""
    message = _("The model “%s” does not exist or is not offered to you.") % name
    return RouterError(404, "model_not_found", message, param="model")
