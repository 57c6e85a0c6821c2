"""Large pools share their load: by weight where the strategy goes by weight, else among those that are equal."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from routing.orders import key_of
from routing.pools import Pool
from routing.rank import rank
from routing.strategies import PRESETS, Kind
from routing.table import RoutingTable
from tests.routing import tables as t
from tests.routing.test_pools import is_in_order, refs_of, settle
from tests.routing.weighing import ASK, Numbers

# How candidates come into a pool: by a tag, by their name, selected by a group, selected beside members, all as members.
WAYS = ["tag", "name", "selected", "beside", "members"]
BY_WEIGHT = [PRESETS["auto"], PRESETS["weighted_round_robin"]]
BY_SCORE = [PRESETS["least_connections"], PRESETS["cost_first"], PRESETS["balanced"]]


def wide_table(
    channels: int = 400, models: int = 1, weights: Mapping[int, float] = MappingProxyType({})
) -> RoutingTable:
    """Channels of one name that cost the same; weights: of the channels by their refs, else 1."""
    items: list[tuple[str, Any]] = [("providers.provider", t.provider(1)), ("providers.provider", t.provider(2))]
    for ref in range(1, models + 1):
        items.append(("providers.providermodel", t.model(ref, 1, name=f"m{ref}", tags=("wide",) if ref == 1 else ())))
        items.append(("providers.modelprice", t.price(ref, ref)))
    for ref in range(1, channels + 1):
        items.append(("channels.channel", t.channel(ref, 1 + ref % 2, weight=weights.get(ref, 1.0))))
        for place in range(1, models + 1):
            items.append(("channels.offering", t.offering(ref * 100 + place, ref, place, name=f"o{place}")))
    items += [
        ("routing.modelgroup", t.group(1, selects=True, tags=("wide",))),
        ("routing.modelgroup", t.group(2, selects=True, tags=("wide",))),
        ("routing.modelgroup", t.group(3)),
    ]
    beside = [t.member(ref, 2, channel=ref, model="o1", weight=weights.get(ref, 1.0)) for ref in range(1, 31)]
    alone = [
        t.member(1000 + ref, 3, channel=ref, model="o1", weight=weights.get(ref, 1.0), position=0)
        for ref in range(1, channels + 1)
    ]
    return t.table_of(items + [("routing.groupmember", row) for row in (*beside, *alone)])


def pool_by(table: RoutingTable, way: str) -> Pool:
    match way:
        case "tag":
            return table.tagged(frozenset({"wide"}))
        case "name":
            return table.pool(table.names["o1"].values())
    name = {"selected": "auto:g1", "beside": "auto:g2", "members": "auto:g3"}[way]
    return table.pool_of(table.groups_by_name[name])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("strategy", [*BY_WEIGHT, *BY_SCORE], ids=lambda strategy: strategy.name)
def test_equals_share_the_first_places_of_a_large_pool(way: str, strategy: Any) -> None:
    table, random, firsts, shortlists = wide_table(), Random(5), Counter[int](), Counter[int]()
    for _request in range(1600):
        found = [c.ref for c in islice(pool_by(table, way).best_first(strategy, random), 64)]
        firsts[found[0]] += 1
        shortlists.update(found)

    assert len(shortlists) == 400 and max(shortlists.values()) < 2 * 64 * 4
    assert min(shortlists.values()) > 64 * 4 / 2
    assert len(firsts) > 100 and max(firsts.values()) < 50


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("strategy", BY_WEIGHT, ids=lambda strategy: strategy.name)
def test_a_few_heavy_ones_have_the_first_places_that_their_weight_says(way: str, strategy: Any) -> None:
    table = wide_table(1000, weights={11: 0.0} | dict.fromkeys(range(1, 11), 100.0))
    random, firsts = Random(5), Counter[int]()

    for _request in range(800):
        firsts[next(pool_by(table, way).best_first(strategy, random)).channel.ref] += 1

    assert 0.42 < sum(firsts[ref] for ref in range(1, 11)) / 800 < 0.59
    assert all(firsts[ref] > 10 for ref in range(1, 11)) and len(firsts) > 250
    last = list(pool_by(table, way).best_first(strategy, random))[-1]
    assert last.channel.ref == 11


@pytest.mark.parametrize("way", ["tag", "few", "name", "group"])
@pytest.mark.parametrize(
    "name", ["auto", "weighted_round_robin", "cost_first", "balanced", "fallback", "response_time"]
)
def test_with_chance_each_comes_once_and_the_better_stay_in_front(way: str, name: str) -> None:
    table, strategy = t.large_table(), PRESETS[name]
    table.put("routing.modelgroup", 1, t.group(1, selects=True, tags=("wide",)))
    table.put("routing.groupmember", 1, t.member(1, 1, provider=1, model="o2", priority=0, daily_limit=5))
    table.put("routing.groupmember", 2, t.member(2, 1, provider=2, model="o1", priority=2))
    pools = {
        "tag": table.tagged(frozenset({"wide"})),
        "few": table.tagged(frozenset({"rare"})),
        "name": table.pool(c for c in table.candidates.values() if c.channel.ref <= 10),
        "group": table.pool_of(table.groups_by_name["auto:g1"]),
    }
    pool, by_weight = pools[way], strategy.kind in (Kind.WEIGHTS, Kind.ROTATION)
    orders = set()
    for seed in range(5):
        found = list(pool.best_first(strategy, Random(seed)))

        assert sorted(c.ref for c in found) == refs_of(pool) and len(found) == pool.size
        # before the draw: priority and whether the weight is 0, or priority and score
        keys = [key_of(c, strategy)[: 2 if by_weight else 3] for c in found]
        assert keys == sorted(keys)
        orders.add(tuple(c.ref for c in found))
    assert (len(orders) > 1) is (strategy.kind is not Kind.LISTED)


def test_equals_are_begun_anywhere_also_behind_others_and_in_a_part_of_the_table() -> None:
    # 3 of 90 models are in the pool: less than a twentieth; ten channels come before the equal ones
    table = wide_table(300, 30, weights=dict.fromkeys(range(1, 11), 2.0))
    random, later = Random(5), Counter[int]()
    for _request in range(300):
        found = [c.channel.ref for c in islice(pool_by(table, "tag").best_first(PRESETS["cost_first"], random), 11)]
        assert sorted(found[:10]) == list(range(1, 11))
        later[found[10]] += 1

    assert len(later) > 100


def test_a_changed_weight_counts_in_the_next_draw() -> None:
    table, strategy = wide_table(), PRESETS["auto"]
    for way in WAYS[:3]:
        list(pool_by(table, way).best_first(strategy, Random(1)))

    table.put("channels.channel", 7, t.channel(7, 2, weight=1e9))
    for way in WAYS[:3]:
        assert next(pool_by(table, way).best_first(strategy, Random(1))).channel.ref == 7
    table.put("channels.channel", 7, t.channel(7, 2, weight=0.0))
    for way in WAYS[:3]:
        assert list(pool_by(table, way).best_first(strategy, Random(1)))[-1].channel.ref == 7


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["auto", "cost_first"])
def test_a_draw_goes_on_when_rows_change_on_the_way(way: str, name: str) -> None:
    table = wide_table()
    walk = pool_by(table, way).best_first(PRESETS[name], Random(1))
    seen = [candidate.ref for candidate in islice(walk, 200)]
    rest = sorted(set(table.candidates) - set(seen))
    for ref in rest[:20]:
        table.put("channels.offering", ref, None)
    for ref in seen[:20]:
        table.put("channels.channel", ref // 100, t.channel(ref // 100, 1, weight=5.0))

    seen += [candidate.ref for candidate in walk]

    assert len(seen) == len(set(seen)) and set(seen) >= set(table.candidates)


def test_the_order_of_a_list_is_that_of_ranking() -> None:
    table = t.large_table()
    for ref in range(1, t.CHANNELS + 1):
        table.put("channels.channel", ref, t.channel(ref, 1 + ref % 2, name=f"c{99 - ref}", priority=1 + ref % 3))
    strategy, pool = PRESETS["fallback"], table.tagged(frozenset())

    ranked = rank(tuple(pool), strategy, ASK, Numbers(), Random(1))

    assert [each.candidate.ref for each in ranked] == [c.ref for c in pool.best_first(strategy)]


@pytest.mark.asyncio
async def test_until_the_lots_are_made_the_fixed_order_serves() -> None:
    table, strategy = t.large_table(), PRESETS["auto"]
    await settle(table)

    pool = table.tagged(frozenset({"wide"}))
    early = [tuple(c.ref for c in pool.best_first(strategy, Random(seed))) for seed in range(3)]
    await settle(table)
    late = [tuple(c.ref for c in pool.best_first(strategy, Random(seed))) for seed in range(3)]

    assert (len(set(early)), len(set(late))) == (1, 3)
    assert all(sorted(found) == refs_of(pool) for found in (*early, *late))


@pytest.mark.asyncio
async def test_orders_and_lots_that_requests_will_ask_for_are_made_beforehand() -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True, tags=("wide",), strategy="weighted_round_robin"))
    await settle(table)

    table.prepare(PRESETS["auto"])
    await settle(table)
    [found, other] = [
        [c.ref for c in table.pool_of(table.groups_by_name["auto:g1"]).best_first(PRESETS["auto"], Random(seed))]
        for seed in (1, 2)
    ]

    assert found != other and not is_in_order([table.candidates[ref] for ref in found], PRESETS["auto"])


def test_an_event_loop_that_ends_leaves_lots_to_be_finished() -> None:
    table = t.large_table()
    pool = table.tagged(frozenset({"wide"}))

    async def ask() -> int:
        return len(list(pool.best_first(PRESETS["auto"], Random(1))))

    async def ask_and_wait() -> int:
        table.prepare(PRESETS["cost_first"])
        await settle(table)
        return await ask()

    assert asyncio.run(ask()) == asyncio.run(ask_and_wait()) == 400
