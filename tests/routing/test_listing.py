"""How lists of models are made and kept: in slices, one at a time, and none waits without need."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest

from channels.records import Candidate
from routing.endpoints.listing import CHUNK, Listings, Pace, Seen, summary_of
from routing.endpoints.models import look_up
from routing.orders import NothingKnown
from routing.pools import Pool
from routing.resolve import Stage
from routing.strategies import AUTO
from routing.table import RoutingTable
from routing.tracks import PASSED_OVER, STALE_S
from tests.routing import tables as t
from tests.routing.signal_bench import Bench
from tests.routing.test_models import many, seen_by
from tests.routing.weighing import ASK


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may let others run does so each time."""
    monkeypatch.setattr("routing.endpoints.listing.SLICE_S", -1.0)


class CountedPool(Pool):
    """Tells how many candidates were taken from it."""

    taken = 0

    def __iter__(self) -> Iterator[Candidate]:
        for candidate in super().__iter__():
            self.taken += 1
            yield candidate


def of_one_name(channels: int) -> RoutingTable:
    items: list[tuple[str, Any]] = [
        ("accounts.tenant", t.tenant(1)), ("accounts.routerkey", t.router_key(1, 1)), ("providers.provider", t.provider(1)),
        ("providers.providermodel", t.model(1, 1)),
    ]  # fmt: skip
    for ref in range(1, channels + 1):
        items += [("channels.channel", t.channel(ref, 1)), ("channels.offering", t.offering(ref, ref, 1, name="o"))]
    return t.table_of(items)


@pytest.mark.usefixtures("no_time")
def test_a_large_pool_is_looked_at_in_slices() -> None:
    table, steps = of_one_name(10 * CHUNK), [0]
    pool = CountedPool({}, table.tagged(frozenset({"m1"}))._selection, table._all)

    async def run() -> int:
        async def watch() -> None:
            while True:
                steps.append(pool.taken)
                await asyncio.sleep(0)

        other = asyncio.create_task(watch())
        summary = await summary_of(seen_by(table, 1), [Stage("auto:x", None, pool, AUTO)], Pace())
        other.cancel()
        return summary.count

    assert asyncio.run(run()) == 10 * CHUNK
    assert max(b - a for a, b in pairwise(steps)) <= CHUNK + 1


@pytest.mark.usefixtures("no_time")
def test_a_name_that_many_offer_is_looked_at_in_slices() -> None:
    async def run() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count())
        assert b'"o"' in await Listings().body(seen_by(of_one_name(10 * CHUNK), 1), has_tags=False)
        other.cancel()
        return turns

    assert asyncio.run(run()) > 10


@pytest.mark.usefixtures("no_time")
def test_a_list_that_is_kept_does_not_wait_for_one_that_is_being_made() -> None:
    async def run() -> None:
        listings, table = Listings(), many(200)
        kept = await listings.body(seen_by(table, 3), has_tags=False)
        making = asyncio.create_task(listings.body(seen_by(table, 1), has_tags=False))
        again = asyncio.create_task(listings.body(seen_by(table, 2), has_tags=False))
        await asyncio.sleep(0)

        assert await listings.body(seen_by(table, 3), has_tags=False) is kept
        assert not making.done()
        assert await making is await again

    asyncio.run(run())


def test_tiny_lists_of_keys_with_long_rules_are_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.endpoints.listing.KEPT_BYTES", 200_000)

    async def run() -> None:
        listings, table = Listings(), many(3)
        for key in range(10, 60):
            denied = ("*", *(f"key-{key}-{place:0100d}" for place in range(100)))
            table.put("accounts.routerkey", key, t.router_key(key, 1, denied=denied))
            assert len(await listings.body(seen_by(table, key), has_tags=False)) < 100
            assert listings._bytes <= 200_000

        assert 1 < len(listings._kept) < 20
        for rules in tuple(listings._kept):
            listings._drop(rules)
        assert listings._bytes == 0

    asyncio.run(run())


def test_who_looks_a_model_up_does_not_hasten_the_next_try_of_an_old_figure() -> None:
    bench, table = Bench(), of_one_name(2)
    table.put("routing.strategyrule", 1, t.rule(1, "*", "response_time"))
    for ref, first_ms in ((1, 80.0), (2, 900.0)):
        bench.answer(ref, first_ms, tokens=100, is_streamed=False)
    bench.clock.now += STALE_S + 1
    seen = Seen(table, t.caller_of(table), bench.signals, ASK.at_ms)

    for _look in range(2 * PASSED_OVER):
        asyncio.run(look_up(seen, "o", Random(1)))

    assert [bench.signals.tracks[ref].plain.watch.passed for ref in (1, 2)] == [0, 0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("qwen3-8b", "llama-70b"), 70_000_000_000), (("qwen3-8b", "gpt-9"), 8_000_000_000), (("gpt-9", "o7"), None)],
)
def test_an_entry_tells_how_many_parameters_the_names_behind_it_claim(
    names: tuple[str, ...], expected: int | None
) -> None:
    items: list[tuple[str, Any]] = [
        ("accounts.tenant", t.tenant(1)), ("accounts.routerkey", t.router_key(1, 1)), ("providers.provider", t.provider(1)),
        ("channels.channel", t.channel(1, 1)),
    ]  # fmt: skip
    for ref, name in enumerate(names, start=1):
        items.append(("providers.providermodel", t.model(ref, 1, name=name)))
        items.append(("channels.offering", t.offering(ref, 1, ref, name="o")))
    table = t.table_of(items)

    [entry] = orjson.loads(asyncio.run(Listings().body(seen_by(table, 1), has_tags=False)))["data"]

    assert (entry["id"], entry.get("parameters")) == ("o", expected)
    assert ("parameters" in entry) is (expected is not None)
    assert asyncio.run(look_up(Seen(table, t.caller_of(table), NothingKnown(), ASK.at_ms), "o", Random(1))) == entry
