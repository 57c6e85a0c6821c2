"""Hot path. The RoutingTable: the whole configuration in memory, changed row by row, only on the event loop.

Rows live in one dict a model. What requests ask for is derived from them: candidates by name, router keys by digest, the
members of groups. A changed row rebuilds the candidates that it touches and no others; groups are resolved anew when they
are next asked for. Reading needs no lock: everything happens on one thread.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from channels.records import Candidate, ChannelRecord
from routing import rows as r
from routing.joining import OWN_NAME, join_candidate, join_channel

KEYS, OFFERINGS, OWN_PRICES, LIST_PRICES = "keys", "offerings", "own prices", "list prices"
CHANNELS_OF_PROVIDER, OFFERINGS_OF_MODEL, MEMBERS = "channels of provider", "offerings of model", "members"
# For each model: under which parents its rows are found.
_PARENTS: dict[str, Callable[[Any], tuple[tuple[str, int], ...]]] = {
    "channels.channel": lambda row: ((CHANNELS_OF_PROVIDER, row.provider),),
    "channels.channelkey": lambda row: ((KEYS, row.channel),),
    "channels.offering": lambda row: ((OFFERINGS, row.channel), (OFFERINGS_OF_MODEL, row.model)),
    "channels.offeringprice": lambda row: ((OWN_PRICES, row.parent),),
    "providers.modelprice": lambda row: ((LIST_PRICES, row.parent),),
    "routing.groupmember": lambda row: ((MEMBERS, row.group),),
}
# Changes of these rows are no news to a resolved group.
_APART = frozenset(("accounts.routerkey", "accounts.tenant", "providers.exchangerate"))


class RoutingTable:
    """The configuration as requests read it. version counts the applied changes that requests can notice."""

    def __init__(self) -> None:
        self.version = 0
        self.rows: dict[str, dict[int, Any]] = defaultdict(dict)
        self.keys_by_digest: dict[str, r.RouterKeyRow] = {}
        self.groups_by_name: dict[str, r.GroupRow] = {}
        self.candidates: dict[int, Candidate] = {}
        self.names: dict[str, dict[int, Candidate]] = defaultdict(dict)
        self.provider_names: dict[str, int] = {}
        self.channel_names: dict[str, int] = {}
        # (which children, parent's ref) -> their refs
        self._children: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._channels: dict[int, ChannelRecord] = {}
        self._groups: dict[int, tuple[int, tuple[Candidate, ...]]] = {}
        self._exchange: dict[str, tuple[r.ExchangeRateRow, ...]] = {}

    # --- reading

    def chain_of(self, tenant: int) -> tuple[r.TenantRow, ...]:
        """The tenant and its ancestors, from itself upwards."""
        chain: list[r.TenantRow] = []
        ref: int | None = tenant
        tenants = self.rows["accounts.tenant"]
        while ref is not None and ref in tenants and len(chain) < 64:
            chain.append(tenants[ref])
            ref = chain[-1].parent
        return tuple(chain)

    def usd_per_unit(self, currency: str, at_ms: int) -> Decimal | None:
        """What one unit of a currency is worth at a moment; None where no rate has begun."""
        begun = [row for row in self._exchange.get(currency, ()) if row.effective_from_ms <= at_ms]
        return max(begun, key=lambda row: row.effective_from_ms).usd if begun else None

    def members_of(self, group: r.GroupRow) -> tuple[Candidate, ...]:
        """The group's candidates in its order, each with the member's priority and weight."""
        known = self._groups.get(group.ref)
        if known is None or known[0] != self.version:
            known = (self.version, tuple(self._resolve_members(group)))
            self._groups[group.ref] = known
        return known[1]

    def of_provider(self, provider: str, model: str) -> list[Candidate]:
        """What the provider's channels offer under a name, an alias or the provider's own model name."""
        ref = self.provider_names.get(provider)
        if ref is None:
            return []
        channels = self.rows["channels.channel"]
        return [c for c in self._named(model) if channels[c.channel.ref].provider == ref]

    def _named(self, model: str) -> list[Candidate]:
        """What is offered under a name or alias; on a channel that has no such name, under the provider's own name."""
        found = list(self.names.get(model, {}).values())
        named = {candidate.channel.ref for candidate in found}
        own = self.names.get(OWN_NAME + model, {}).values()
        return found + [candidate for candidate in own if candidate.channel.ref not in named]

    def _resolve_members(self, group: r.GroupRow) -> Iterable[Candidate]:
        members = [self.rows["routing.groupmember"][ref] for ref in self._children[MEMBERS, group.ref]]
        channels, seen = self.rows["channels.channel"], set()
        for member in sorted(members, key=lambda m: (m.position, m.ref)):
            channel, provider = member.channel, member.provider
            if member.waiting_for:
                provider = self.provider_names.get(member.waiting_for)
                channel = None if provider is not None else self.channel_names.get(member.waiting_for)
            if not member.is_active or (channel is None and provider is None):
                continue
            for candidate in self._named(member.model):
                at = candidate.channel.ref
                fits = at == channel if channel is not None else channels[at].provider == provider
                if fits and candidate.ref not in seen:
                    seen.add(candidate.ref)
                    yield replace(candidate, priority=member.priority, weight=member.weight)

    # --- changing

    def put(self, label: str, ref: int, row: Any) -> None:
        """Add, change or (None) delete one row and rebuild what depends on it."""
        old = self.rows[label].pop(ref, None)
        touched = self._offerings_of(label, old) | self._offerings_of(label, row)
        if old is not None:
            self._unlink(label, old)
        if row is not None:
            self.rows[label][ref] = row
            self._link(label, row)
        for offering in touched | self._offerings_of(label, row):
            self._rebuild(offering)
        if label not in _APART:
            self.version += 1

    def put_many(self, items: Sequence[tuple[str, int, Any]]) -> None:
        """put() for each, in order."""
        for label, ref, row in items:
            self.put(label, ref, row)

    def _link(self, label: str, row: Any) -> None:
        for parent in _PARENTS.get(label, lambda row: ())(row):
            self._children[parent].add(row.ref)
        match label:
            case "accounts.routerkey":
                self.keys_by_digest[row.digest] = row
            case "routing.modelgroup":
                self.groups_by_name[row.name] = row
            case "providers.provider":
                self.provider_names[row.name] = row.ref
            case "channels.channel":
                self.channel_names[row.name] = row.ref
            case "providers.exchangerate":
                self._exchange[row.currency] = (*self._exchange.get(row.currency, ()), row)

    def _unlink(self, label: str, row: Any) -> None:
        for parent in _PARENTS.get(label, lambda row: ())(row):
            self._children[parent].discard(row.ref)
        match label:
            case "accounts.routerkey":
                _forget(self.keys_by_digest, row.digest, row)
            case "routing.modelgroup":
                _forget(self.groups_by_name, row.name, row)
            case "providers.provider":
                _forget(self.provider_names, row.name, row.ref)
            case "channels.channel":
                _forget(self.channel_names, row.name, row.ref)
            case "providers.exchangerate":
                self._exchange[row.currency] = tuple(x for x in self._exchange[row.currency] if x is not row)

    def _offerings_of(self, label: str, row: Any) -> set[int]:
        """The offerings whose candidate is made from this row; channels to be joined anew are forgotten."""
        if row is None:
            return set()
        channels: set[int] = set()
        match label:
            case "channels.offering":
                return {row.ref}
            case "channels.offeringprice":
                return {row.parent}
            case "providers.providermodel":
                return set(self._children[OFFERINGS_OF_MODEL, row.ref])
            case "providers.modelprice":
                return set(self._children[OFFERINGS_OF_MODEL, row.parent])
            case "channels.channel":
                channels = {row.ref}
            case "channels.channelkey":
                channels = {row.channel}
            case "providers.provider":
                channels = set(self._children[CHANNELS_OF_PROVIDER, row.ref])
        for channel in channels:
            self._channels.pop(channel, None)
        return {offering for channel in channels for offering in self._children[OFFERINGS, channel]}

    def _rebuild(self, ref: int) -> None:
        old = self.candidates.pop(ref, None)
        for name in old.names if old else ():
            named = self.names[name]
            named.pop(ref, None)
            if not named:
                del self.names[name]
        offering = self.rows["channels.offering"].get(ref)
        if offering is None:
            return
        channel = self._channel(offering.channel)
        model = self.rows["providers.providermodel"].get(offering.model)
        if channel is None or model is None:
            return  # a row of a transaction whose other rows are still to come
        own = self._family("channels.offeringprice", OWN_PRICES, ref)
        listed = self._family("providers.modelprice", LIST_PRICES, model.ref)
        candidate = join_candidate(offering, channel, model, own, listed)
        self.candidates[ref] = candidate
        for name in candidate.names:
            self.names[name][ref] = candidate

    def _channel(self, ref: int) -> ChannelRecord | None:
        known = self._channels.get(ref)
        if known is None:
            channel = self.rows["channels.channel"].get(ref)
            provider = self.rows["providers.provider"].get(channel.provider) if channel else None
            if channel is None or provider is None:
                return None
            known = join_channel(channel, provider, self._family("channels.channelkey", KEYS, ref))
            self._channels[ref] = known
        return known

    def _family(self, label: str, which: str, parent: int) -> list[Any]:
        rows = self.rows[label]
        return [rows[ref] for ref in sorted(self._children[which, parent])]


def _forget(index: dict[str, Any], name: str, entry: Any) -> None:
    """Take an entry out; one that another row has put under the same name meanwhile (two rows swapped names) stays."""
    if index.get(name) == entry:
        del index[name]
