"""Hot path. The RoutingTable: the whole configuration in memory, changed row by row, only on the event loop.

Rows live in one dict a model. What requests ask for is derived from them: candidates by name and by tag, router keys by
digest, the pools of groups. A changed row rebuilds the candidates that it touches and no others, many of them in the
background; but a channel that is switched off or given away is so for all at once. Groups are resolved anew when they are
next asked for. Reading needs no lock: everything happens on one thread.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from channels.records import Candidate, ChannelRecord
from providers.price_facts import FOREVER_MS, price_facts
from routing import rows as r
from routing.backlog import Backlog
from routing.candidates import Candidates
from routing.grouping import Grouping
from routing.indexes import Policies, PriceEnds, exchange_at
from routing.joining import join_candidate, join_channel, may_serve_on
from routing.lookups import Lookups
from routing.pools import Pool
from routing.relations import KEYS, LIST_PRICES, OWN_PRICES, POLICIES, Relations
from routing.strategies import Strategy
from smartrouter.lib.clock import now_ms

# Changes of these rows are no news to a resolved group.
_APART = frozenset(
    ("accounts.routerkey", "accounts.tenant", "providers.exchangerate", "billing.budgetscope", "billing.budget")
)
# A row that touches more candidates than a channel usually has does so in the background.
AT_ONCE, STEP = 32, 4
# Rows from which a candidate has its channel and nothing else.
_OF_CHANNEL = frozenset(("providers.provider", "channels.channel", "channels.channelkey"))
NO_POLICIES = Policies(())

# Names of router keys whose meaning is remembered.
RESOLVED_AT_MOST = 10_000


class RoutingTable:
    """The configuration as requests read it. version counts the applied changes that requests can notice."""

    def __init__(self, clock_ms: Callable[[], int] = now_ms) -> None:
        self.version = 0
        self._clock_ms = clock_ms
        self.rows: dict[str, dict[int, Any]] = defaultdict(dict)
        self._backlog = Backlog()
        self._all = Candidates(self._backlog)
        self.candidates, self.names = self._all.by_ref, self._all.by_name
        self._relations = Relations()
        self._lookups = Lookups(lambda group: self._family("routing.timepolicy", POLICIES, group))
        self.keys_by_digest, self.groups_by_name = self._lookups.keys_by_digest, self._lookups.groups_by_name
        self.provider_names, self.channel_names = self._lookups.provider_names, self._lookups.channel_names
        self.budgets = self._lookups.budgets
        # routing.resolve's: what plain names have led to since the version below.
        self.resolved: dict[Any, Any] = {}
        self._resolved_version = 0
        self._channels: dict[int, ChannelRecord] = {}
        self._price_ends = PriceEnds()
        self._refreshing_ms = 0  # for this moment prices are brought up to date in the background; 0: they are not
        self._stale: dict[int, bool] = {}  # candidates to be rebuilt in the background; True: from all of their rows
        self._outdated: dict[int, list[ChannelRecord]] = defaultdict(list)  # what they may still hold of a channel
        self._turned: set[int] = set()  # the channels that the row concerns which is being put
        self._grouping = Grouping(self.rows, self._relations, self._all, self.provider_names, self.channel_names)

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
        return exchange_at(self._lookups.exchange.get(currency, ()), at_ms)[0]

    def group(self, ref: int | None) -> r.GroupRow | None:
        """The group of a ref."""
        return None if ref is None else self.rows["routing.modelgroup"].get(ref)

    def pool_of(self, group: r.GroupRow) -> Pool:
        """The group's explicit members, with priority, weight, position and daily limit of the member; and what it selects.

        An explicit member is in the pool whether the group's filters let it in or not.
        """
        return self._grouping.pool_of(group, self.version + self._all.selections.turnovers)

    def pool(self, candidates: Iterable[Candidate]) -> Pool:
        """A pool of candidates of this table, without any group."""
        return Pool.of(candidates, self._all)

    def tagged(self, tags: frozenset[str]) -> Pool:
        """Every offering that has all of the tags; `free`: it costs nothing now."""
        return Pool({}, self._all.selections.of_tags(tags), self._all)

    def forget_outdated(self) -> None:
        """Empty `resolved` if the table has changed since it was filled, or if it has grown large."""
        if self._resolved_version != self.version or len(self.resolved) > RESOLVED_AT_MOST:
            self.resolved.clear()
            self._resolved_version = self.version

    def rule_for(self, name: str) -> Strategy | None:
        """The strategy of the rule that fits a requested name best: the name itself, else the longest beginning."""
        return self._lookups.rules.strategy_for(name)

    def strategy_of_group(self, group: r.GroupRow) -> Strategy | None:
        """The group's own layers or preset; None where it has neither."""
        return self._lookups.group_strategies.get(group.ref)

    def policy_of(self, group: r.GroupRow, at_ms: int) -> tuple[Strategy | None, r.GroupRow | None]:
        """What the group's time policy of that moment says: another strategy, another group whose members stand in."""
        strategy, members_of = self._lookups.policies.get(group.ref, NO_POLICIES).at(at_ms)
        return strategy, self.group(members_of)

    def of_provider(self, provider: str, model: str) -> list[Candidate]:
        """What the provider's channels offer under a name, an alias or the provider's own model name."""
        return self._all.of_provider(provider, model)

    # --- changing

    def put(self, label: str, ref: int, row: Any) -> None:
        """Add, change or (None) delete one row and rebuild what depends on it."""
        old = self.rows[label].pop(ref, None)
        touched = self._touched_by(label, old)
        if old is not None:
            self._relations.unlink(label, old)
            self._lookups.unlink(label, old)
        if row is not None:
            self.rows[label][ref] = row
            self._relations.link(label, row)
            self._lookups.link(label, row)
        touched |= self._touched_by(label, row)
        self._withdraw()
        self._touch(touched, self._clock_ms(), is_whole=label not in _OF_CHANNEL)
        if label not in _APART or touched:
            self.version += 1
        self._grouping.note(label, ref, old, row)
        if label == "routing.modelgroup":
            self._all.selections.put_group(ref, row)

    def put_many(self, items: Sequence[tuple[str, int, Any]]) -> None:
        """put() for each, in order."""
        for label, ref, row in items:
            self.put(label, ref, row)

    def prepare(self, default: Strategy) -> None:
        """Work out the orders that requests will ask for; before an event loop runs at once, else in the background."""
        wanted = [default, self.rule_for("")]
        for group in self.rows["routing.modelgroup"].values():
            pool = self.pool_of(group)
            if pool.is_large:
                pool.prepare(self.strategy_of_group(group) or self.rule_for(group.name) or default)
        for strategy in wanted:
            if strategy is not None:
                self._all.orders.of(strategy)

    def refresh_prices(self, at_ms: int) -> None:
        """Bring those prices up to date that have ended by now: a window, a dated price, an exchange rate."""
        if at_ms >= self._price_ends.next_ms and not self._refreshing_ms:
            self._refresh_some(at_ms, AT_ONCE)
            if at_ms >= self._price_ends.next_ms:
                self._refreshing_ms = at_ms
                self._backlog.add(self._refresh_more, is_urgent=True)

    def _refresh_some(self, at_ms: int, at_most: int) -> None:
        for ref in self._price_ends.pop_due(at_ms, at_most):
            self._rebuild(ref, at_ms)
        self.version += 1

    def _refresh_more(self) -> bool:
        self._refresh_some(self._refreshing_ms, STEP)
        if self._refreshing_ms < self._price_ends.next_ms:
            self._refreshing_ms = 0
        return self._refreshing_ms != 0

    def _touch(self, refs: set[int], at_ms: int, *, is_whole: bool) -> None:
        if len(refs) <= AT_ONCE:
            for ref in refs:
                self._rebuild(ref, at_ms)
            if not self._stale:
                self._outdated.clear()
            return
        self._stale = self._stale | dict.fromkeys(refs, True) if is_whole else dict.fromkeys(refs, False) | self._stale
        self._backlog.add(self._rebuild_some, is_urgent=True)

    def _rebuild_some(self) -> bool:
        for _ in range(min(STEP, len(self._stale))):
            ref, is_whole = self._stale.popitem()
            known = self.candidates.get(ref)
            channel = self._channel(known.channel.ref) if known is not None and not is_whole else None
            if known is None or channel is None:
                self._rebuild(ref, self._clock_ms())
            else:
                self._all.put(ref, replace(known, channel=channel, priority=channel.priority, weight=channel.weight))
        self.version += 1
        if not self._stale:
            self._outdated.clear()
        return bool(self._stale)

    def _withdraw(self) -> None:
        """Switch off what is held of channels that may serve no longer, or no longer the same tenants."""
        for ref in self._turned:
            channel = self.rows["channels.channel"].get(ref)
            provider = self.rows["providers.provider"].get(channel.provider) if channel else None
            keys = self._family("channels.channelkey", KEYS, ref)
            for record in self._outdated.get(ref, ()):
                if not may_serve_on(record, channel, provider, keys):
                    record.withdraw()
        self._turned.clear()

    def _touched_by(self, label: str, row: Any) -> set[int]:
        """The offerings whose candidate is made from this row; channels are to be joined anew."""
        if row is None:
            return set()
        for channel in self._relations.channels_of(label, row):
            self._turned.add(channel)
            if channel in self._channels:
                self._outdated[channel].append(self._channels.pop(channel))
        if label == "providers.exchangerate":
            return set(self._all.priced_in(row.currency))
        return set(self._relations.offerings_of(label, row))

    def _rebuild(self, ref: int, at_ms: int) -> None:
        candidate, until_ms = self._join(ref, at_ms)
        self._price_ends.put(ref, until_ms)
        self._all.put(ref, candidate)

    def _join(self, ref: int, at_ms: int) -> tuple[Candidate | None, int]:
        """The candidate as its rows say, and until when its price is what it is now; None while one of them is missing."""
        offering = self.rows["channels.offering"].get(ref)
        if offering is None:
            return None, FOREVER_MS
        channel = self._channel(offering.channel)
        model = self.rows["providers.providermodel"].get(offering.model)
        if channel is None or model is None:
            return None, FOREVER_MS  # rows of a transaction whose others are still to come
        own = self._family("channels.offeringprice", OWN_PRICES, ref)
        listed = self._family("providers.modelprice", LIST_PRICES, model.ref)
        price, until_ms = price_facts(
            [row.rates for row in own],
            [row.rates for row in listed],
            is_free=model.is_free,
            at_ms=at_ms,
            exchange=lambda currency, at: exchange_at(self._lookups.exchange.get(currency, ()), at),
        )
        return join_candidate(offering, channel, model, own, listed, price), until_ms

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
        return [rows[ref] for ref in sorted(self._relations.of(which, parent))]
