"""Pools: who is in them after any change, and in which order the large ones are walked."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.records import Candidate
from routing import rows as r
from routing.eligible import reason_of_filters
from routing.orders import HEAD, key_of
from routing.pools import LARGE, Pool
from routing.strategies import PRESETS, Strategy
from routing.table import RoutingTable
from routing.tags import AT_FIRST
from tests.routing import tables as t
from tests.routing.test_table import TAG_QUERIES, change_some

MEMBER_FIELDS = ("priority", "weight", "position", "daily_limit")
WANTED = [
    PRESETS[name] for name in ("auto", "fallback", "weighted_round_robin", "cost_first", "response_time", "balanced")
]


def refs_of(pool: Pool) -> list[int]:
    return sorted(candidate.ref for candidate in pool)


def tags_of(candidate: Candidate) -> frozenset[str]:
    is_free = candidate.price is not None and candidate.price.is_free
    return candidate.tags | ({"free"} if is_free else set())


def selected_by(table: RoutingTable, group: r.GroupRow) -> dict[int, Candidate]:
    """The same, the long way: each candidate is looked at."""
    members = sorted(table.rows["routing.groupmember"].values(), key=lambda m: (m.position, m.ref))
    found: dict[int, Candidate] = {}
    for member in members:
        if member.group == group.ref and member.is_active:
            for candidate in named_by(table, member):
                found.setdefault(candidate.ref, candidate)
    if group.selects:
        for candidate in table.candidates.values():
            if set(group.tags) <= tags_of(candidate) and reason_of_filters(candidate, group) is None:
                found.setdefault(candidate.ref, candidate)
    return found


def named_by(table: RoutingTable, member: r.MemberRow) -> Iterator[Candidate]:
    providers = {row.name: row.ref for row in table.rows["providers.provider"].values()}
    channels = table.rows["channels.channel"]
    channel, provider = member.channel, member.provider
    if member.waiting_for:
        provider = providers.get(member.waiting_for)
        named = [row.ref for row in channels.values() if row.name == member.waiting_for]
        channel = named[0] if provider is None and named else None
    for ref in sorted(channels):
        if ref == channel or (channel is None and provider is not None and channels[ref].provider == provider):
            here = [c for c in table.candidates.values() if c.channel.ref == ref]
            for c in [c for c in here if member.model in c.names] or [
                c for c in here if "\0" + member.model in c.names
            ]:
                yield replace(
                    c,
                    priority=member.priority,
                    weight=member.weight,
                    position=member.position,
                    daily_limit=member.daily_limit,
                )


def is_in_order(found: list[Candidate], strategy: Strategy) -> bool:
    keys = [key_of(candidate, strategy) for candidate in found]
    return keys == sorted(keys)


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_pools_hold_whom_a_look_at_everybody_finds_whatever_happened(seed: int, turns: int) -> None:
    random, rows, table = Random(seed), dict[tuple[str, int], Any](), RoutingTable()
    for _turn in range(turns):
        changes = change_some(rows, random)
        for (label, ref), row in changes.items():
            table.put(label, ref, row)
            for group in random.sample(list(table.groups_by_name.values()), len(table.groups_by_name) // 2):
                table.pool_of(group)  # some are asked for now and then, others never
        rows = {place: row for place, row in (rows | changes).items() if row is not None}

        for group in table.groups_by_name.values():
            pool, expected = table.pool_of(group), selected_by(table, group)
            assert {candidate.ref: candidate for candidate in pool} == expected
            assert pool.size == len(expected)
            assert all(pool.find(ref) == expected.get(ref) for ref in range(1, 5))
            assert is_in_order(list(pool.best_first(PRESETS["cost_first"])), PRESETS["cost_first"])
        for tags in TAG_QUERIES:
            found = [c.ref for c in table.candidates.values() if set(tags) <= tags_of(c)]
            assert refs_of(table.tagged(frozenset(tags))) == sorted(found)


@pytest.mark.parametrize("strategy", WANTED, ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("tags", [(), ("wide",), ("rare",)], ids=["all", "half", "few"])
def test_a_pool_is_walked_in_the_order_of_the_strategy_each_candidate_once(
    strategy: Strategy, tags: tuple[str, ...]
) -> None:
    table = t.large_table()
    pool = table.tagged(frozenset(tags))

    first, again = list(pool.best_first(strategy)), list(pool.best_first(strategy))

    assert first == again and is_in_order(first, strategy)
    assert sorted(c.ref for c in first) == refs_of(pool)
    assert len(first) == pool.size == {(): 800, ("wide",): 400, ("rare",): 20}[tags]
    assert pool.is_large is (pool.size > LARGE)


def change_one(table: RoutingTable, random: Random) -> None:
    ref, model = random.randint(1, t.CHANNELS), random.randint(1, t.MODELS)
    rows: dict[tuple[str, int], Any] = {
        ("channels.channel", ref): t.channel(ref, 1 + ref % 2, priority=3, weight=random.random()),
        ("providers.modelprice", model): t.price(model, model, random.randrange(9)),
        ("providers.providermodel", model): t.model(model, 1 + model % 2, tags=("wide",)),
        ("channels.offering", ref * 100 + model): None,
        ("channels.offering", 5000 + ref): t.offering(5000 + ref, ref, model),
    }
    (label, row_ref), row = random.choice(list(rows.items()))
    table.put(label, row_ref, row)


@given(st.integers(0, 2**32), st.integers(1, 15))
@settings(max_examples=15, deadline=None)
def test_an_order_stays_true_to_changes(seed: int, turns: int) -> None:
    random, table = Random(seed), t.large_table()
    for strategy in WANTED:
        list(table.tagged(frozenset({"wide"})).best_first(strategy))

    for _turn in range(turns):
        change_one(table, random)

    for strategy in WANTED:
        pool = table.tagged(frozenset({"wide"}))
        found = list(pool.best_first(strategy))
        assert is_in_order(found, strategy)
        assert found == [table.candidates[candidate.ref] for candidate in found]
        assert sorted(candidate.ref for candidate in found) == refs_of(pool)


def test_explicit_members_stand_where_their_own_weight_and_priority_put_them() -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True, tags=("wide",)))
    table.put("routing.groupmember", 1, t.member(1, 1, channel=1, model="o2", priority=9, daily_limit=5))
    table.put("routing.groupmember", 2, t.member(2, 1, channel=2, model="o1", priority=0, weight=3.0))
    pool = table.pool_of(table.groups_by_name["auto:g1"])
    for strategy in WANTED:
        found = list(pool.best_first(strategy))

        assert is_in_order(found, strategy)
        assert sorted(candidate.ref for candidate in found) == refs_of(pool) and len(found) == 401
    outsider, insider = pool.find(102), pool.find(201)
    assert outsider is not None and (outsider.priority, outsider.daily_limit) == (9, 5)
    assert insider is not None and (insider.priority, insider.weight) == (0, 3.0)
    assert next(pool.best_first(PRESETS["auto"])).ref == 201


def test_many_candidates_of_one_name_are_in_order_too() -> None:
    table = t.large_table()
    candidates = [c for c in table.candidates.values() if c.channel.ref <= 10]
    pool = table.pool(candidates)
    for strategy in WANTED:
        found = list(pool.best_first(strategy))

        assert pool.is_large and is_in_order(found, strategy)
        assert sorted(c.ref for c in found) == sorted(c.ref for c in candidates)


def test_a_walk_goes_on_when_rows_change_on_the_way() -> None:
    table = t.large_table()
    strategy = PRESETS["cost_first"]
    pool = table.tagged(frozenset())
    walk = pool.best_first(strategy)
    seen = [candidate.ref for candidate in islice(walk, HEAD + 30)]
    rest = sorted(set(table.candidates) - set(seen))
    gone, dearer = rest[:20], seen[:20]
    for ref in gone:
        table.put("channels.offering", ref, None)
    for ref in dearer:
        table.put("channels.offeringprice", ref, t.price(ref, ref, 100))

    seen += [candidate.ref for candidate in walk]

    assert len(seen) == len(set(seen)) and set(seen) == set(table.candidates)


# --- on an event loop: what is much is done between requests


async def settle(table: RoutingTable) -> None:
    async with asyncio.timeout(30):
        while not table._backlog.is_empty:
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_an_order_that_is_not_ready_yields_each_candidate_once_and_is_right_in_the_end() -> None:
    table = t.large_table()
    strategy, pool = PRESETS["balanced"], table.tagged(frozenset({"wide"}))

    early = list(pool.best_first(strategy))
    await settle(table)
    late = list(pool.best_first(strategy))

    assert sorted(c.ref for c in early) == sorted(c.ref for c in late) == refs_of(pool)
    assert is_in_order(late, strategy) and not is_in_order(early, strategy)


@pytest.mark.asyncio
async def test_a_row_that_touches_many_is_applied_in_the_background() -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True, kinds=("reseller",)))
    table.put("routing.groupmember", 1, t.member(1, 1, provider=2, model="o1"))
    await settle(table)
    group = table.groups_by_name["auto:g1"]
    assert table.pool_of(group).size == 10

    table.put("providers.provider", 2, t.provider(2, kind="reseller", is_active=False))
    await settle(table)

    pool = table.pool_of(group)
    assert pool.size == 400 and not any(candidate.is_usable for candidate in pool)


@pytest.mark.asyncio
async def test_many_prices_that_end_at_once_are_brought_up_to_date_in_the_background() -> None:
    table = t.large_table()
    for ref in range(1, t.MODELS + 1):
        table.put("providers.modelprice", 100 + ref, t.price(100 + ref, ref, 0, begins_ms=2**50))
    assert table.tagged(frozenset({"free"})).size < 800

    table.refresh_prices(2**50 - 1)
    early = table.tagged(frozenset({"free"})).size
    table.refresh_prices(2**50)
    await settle(table)

    assert early < table.tagged(frozenset({"free"})).size == 800


@pytest.mark.asyncio
@pytest.mark.parametrize("has_member", [False, True])
async def test_a_new_group_serves_with_the_first_that_are_found(has_member: bool) -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True))
    if has_member:
        table.put("routing.groupmember", 1, t.member(1, 1, channel=1, model="o1", priority=9))
    group = table.groups_by_name["auto:g1"]

    sizes = [table.pool_of(group).size, table.pool_of(group).size]
    async with asyncio.timeout(30):
        while not table._backlog.is_empty:
            pool = table.pool_of(group)
            assert len(list(pool)) == pool.size == len(list(pool.best_first(PRESETS["auto"], Random(1))))
            sizes.append(pool.size)
            await asyncio.sleep(0)

    assert AT_FIRST <= sizes[0] == sizes[1] <= AT_FIRST + 1 and sizes == sorted(sizes)
    assert refs_of(table.pool_of(group)) == sorted(table.candidates) and len(table.candidates) == 800


@pytest.mark.asyncio
async def test_a_group_whose_filter_changes_has_its_old_members_until_the_new_ones_are_known() -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True, tags=("rare",)))
    assert table.pool_of(table.groups_by_name["auto:g1"]).size == 20

    table.put("routing.modelgroup", 1, t.group(1, selects=True, tags=("wide",)))
    meanwhile = table.pool_of(table.groups_by_name["auto:g1"]).size
    await settle(table)

    assert meanwhile == 20
    assert table.pool_of(table.groups_by_name["auto:g1"]).size == 400
