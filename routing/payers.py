"""Hot path. Who pays for a request: its key, the key's owner, its tenant and those above it, its end user; and its limits."""

from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings

from billing.limits import Subject
from billing.scopes import EACH, Limit, Scope, scope_key
from channels.records import ChannelRecord
from routing.budget_index import OF_GROUP
from routing.resolve import Caller
from routing.rows import GroupRow
from routing.table import RoutingTable

# Keys whose payers are kept ready; each takes about a kilobyte.
KEPT_AT_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Payers:
    """Who pays: the scopes that a request is held in, and what of it they limit. subjects: whose minute is limited."""

    scopes: tuple[Scope, ...]
    subjects: tuple[Subject, ...] = ()
    limits_money: bool = False
    limits_tokens: bool = False

    @classmethod
    def of(cls, scopes: tuple[Scope, ...], subjects: tuple[Subject, ...] = ()) -> "Payers":
        """With what the scopes limit."""
        money = any(scope.limits_money for scope in scopes)
        return cls(scopes, subjects, money, any(scope.limits_tokens for scope in scopes))


class Cashier:
    """Who pays for what, kept ready for as long as the rows behind it stay the same."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._version = -1
        self._callers: dict[int, tuple[Caller, Payers]] = {}
        self._groups: dict[int, tuple[GroupRow, Payers]] = {}
        self._channels: dict[int, tuple[ChannelRecord, Payers]] = {}

    @property
    def version(self) -> int:
        """Of all budgets together."""
        return self._table.budgets.version

    def limits_of(self, key: str) -> tuple[Limit, ...]:
        """The budgets that a scope has now, by its key."""
        budgets = self._table.budgets
        kind, _colon, rest = key.partition(":")
        if kind == "group":
            group = self._table.group(int(rest))
            return (
                ()
                if group is None or group.budget_scope is None
                else budgets.of(scope_key(OF_GROUP, group.budget_scope))
            )
        if kind == "end_user":
            return budgets.of(key) or budgets.of(scope_key(kind, int(rest.partition(":")[0]), EACH))
        return budgets.of(key)

    def caller(self, caller: Caller, end_user: str) -> Payers:
        """The payers of a caller's request, without those of its group and channel."""
        self._renew()
        tenant = caller.tenant
        if end_user and (tenant.end_user_rpm or tenant.end_user_tpm or self._table.budgets.has_end_users(tenant.ref)):
            return Payers.of(payers_of(self._table, caller, end_user), subjects_of(caller, end_user))
        known = self._callers.get(caller.key.ref)
        if known is None or known[0].key is not caller.key or known[0].chain != caller.chain:
            if len(self._callers) >= KEPT_AT_MOST:
                self._callers.clear()
            known = caller, Payers.of(payers_of(self._table, caller, ""), subjects_of(caller, ""))
            self._callers[caller.key.ref] = known
        return known[1]

    def group(self, group: GroupRow) -> Payers:
        """The payer of what a group serves."""
        self._renew()
        known = self._groups.get(group.ref)
        if known is None or known[0] is not group:
            known = self._groups[group.ref] = group, Payers.of((payer_of_group(self._table, group),))
        return known[1]

    def channel(self, channel: ChannelRecord) -> Payers:
        """The payer of a channel's attempts, in Cost."""
        self._renew()
        known = self._channels.get(channel.ref)
        if known is None or known[0] is not channel:
            known = self._channels[channel.ref] = channel, Payers.of((payer_of_channel(self._table, channel),))
        return known[1]

    def _renew(self) -> None:
        """Begin anew where a budget has changed."""
        if self._version != self._table.budgets.version:
            self._version = self._table.budgets.version
            self._callers.clear()
            self._groups.clear()
            self._channels.clear()


def payers_of(table: RoutingTable, caller: Caller, end_user: str) -> tuple[Scope, ...]:
    """The scopes that a request is held in before its first attempt, without its group. An end user is one only where his
    tenant has budgets for end users: the names are whatever clients send."""
    budgets, key, tenant = table.budgets, caller.key, caller.tenant
    own = scope_key("router_key", key.ref)
    found = [Scope(own, "router_key", key.name, tenant.zone, budgets.of(own), True)]
    if key.owner is not None:
        name = scope_key("user", key.owner)
        found.append(Scope(name, "user", "", platform_zone(), budgets.of(name)))
    for above in caller.chain:
        name = scope_key("tenant", above.ref)
        is_own = above is tenant
        shows = is_own and tenant.can_see_budgets
        found.append(Scope(name, "tenant", above.name if is_own else "", above.zone, budgets.of(name), shows))
    if end_user:
        name = scope_key("end_user", tenant.ref, end_user)
        limits = budgets.of(name) or budgets.of(scope_key("end_user", tenant.ref, EACH))
        if limits:
            found.append(Scope(name, "end_user", end_user, tenant.zone, limits, tenant.can_see_budgets))
    return tuple(found)


def payer_of_group(table: RoutingTable, group: GroupRow) -> Scope:
    """The scope of a group, whose days are the platform's."""
    limits = table.budgets.of(scope_key(OF_GROUP, group.budget_scope)) if group.budget_scope is not None else ()
    return Scope(scope_key("group", group.ref), "group", group.name, platform_zone(), limits)


def payer_of_channel(table: RoutingTable, channel: ChannelRecord) -> Scope:
    """The scope of a channel, in Cost."""
    name = scope_key("channel", channel.ref)
    return Scope(name, "channel", channel.name, channel.zone, table.budgets.of(name))


def subjects_of(caller: Caller, end_user: str) -> tuple[Subject, ...]:
    """Whose requests and tokens a minute are limited: only those that have a limit."""
    key, tenant, found = caller.key, caller.tenant, []
    if key.rpm or key.tpm or key.max_parallel:
        found.append(Subject(scope_key("router_key", key.ref), "router_key", key.rpm, key.tpm, key.max_parallel))
    for above in caller.chain:
        if above.rpm or above.tpm or above.max_parallel:
            name = scope_key("tenant", above.ref)
            found.append(Subject(name, "tenant", above.rpm, above.tpm, above.max_parallel))
    if end_user and (tenant.end_user_rpm or tenant.end_user_tpm):
        name = scope_key("end_user", tenant.ref, end_user)
        found.append(Subject(name, "end_user", tenant.end_user_rpm, tenant.end_user_tpm, None))
    return tuple(found)


@lru_cache(maxsize=1)
def platform_zone() -> ZoneInfo:
    """The zone of whoever has none of his own: groups, and owners of keys."""
    return ZoneInfo(settings.TIME_ZONE)
