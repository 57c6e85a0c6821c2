"""Requests at a time, over several processes, and what processes do by themselves while their store is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from billing.limits import RateRefused
from billing.limits_process import RateLimiter
from smartrouter.lib.counters import open_store
from smartrouter.lib.counters.claims import ClaimStore
from smartrouter.lib.counters.claims_memory import MemoryClaims
from tests.billing.limiters import (
    Demand,
    ask,
    close_all,
    is_admitted,
    limiters_of,
    most_in_a_minute,
    run_quickly,
    subject,
    until,
)
from tests.stores import Redis

# A machine that is busy takes its time; nothing here is about how fast it is.
PATIENT_S = 20.0


async def opened_store() -> MemoryClaims:
    store = MemoryClaims(asyncio.get_running_loop().time)
    await open_epoch(store)
    return store


async def open_epoch(store: ClaimStore) -> None:
    await store.begin("e")
    await store.open("e")


def test_no_more_than_the_limit_are_under_way_anywhere() -> None:
    async def main() -> None:
        limiters = limiters_of(await opened_store(), 4)
        limit = (subject(parallel=6),)
        under_way = [found for n in range(12) if (found := await is_admitted(limiters[n % 4], limit))]
        assert len(under_way) == 6
        with pytest.raises(RateRefused) as refused:
            await ask(limiters[3], limit)
        assert (refused.value.which, refused.value.limit, refused.value.wait_s) == ("parallel", 6, 1.0)

        for admission in under_way[:3]:
            admission.end()
            admission.end()
        await asyncio.sleep(0.1)  # others are in want of them
        again = [found for _n in range(8) if (found := await is_admitted(limiters[3], limit))]

        assert len(again) == 3
        await close_all(limiters)

    run_quickly(main())


def test_a_place_is_used_again_and_again_without_asking() -> None:
    async def main() -> None:
        limiters = limiters_of(await opened_store(), 4)
        limit = (subject(parallel=100),)
        (await ask(limiters[0], limit)).end()

        for _request in range(50):
            admission = limiters[0].try_admit(limit, 0)
            assert admission is not None
            admission.end()
        await close_all(limiters)

    run_quickly(main())


def test_long_requests_keep_their_places_and_idle_ones_are_given_back() -> None:
    async def main() -> None:
        store = await opened_store()
        limiters = limiters_of(store, 2)
        limit = (subject(parallel=10),)
        under_way = [await ask(limiters[0], limit) for _request in range(4)]
        under_way.pop().end()
        await asyncio.sleep(2.1)

        fund = store._funds["router_key:1|parallel"]
        assert fund.claimed_by == {f"{0:032x}": 3}
        await asyncio.sleep(900)
        assert store._funds["router_key:1|parallel"].claimed_by == {f"{0:032x}": 3}
        for admission in under_way:
            admission.end()
        await asyncio.sleep(2.1)
        assert not store._funds["router_key:1|parallel"].claimed_by
        await close_all(limiters)

    run_quickly(main())


def test_a_process_that_has_died_frees_its_places_when_it_is_settled() -> None:
    async def main() -> None:
        store = await opened_store()
        one, other = limiters_of(store, 2)
        limit = (subject(parallel=2),)
        await ask(one, limit)
        await ask(one, limit)
        for task in one._tasks:
            task.cancel()
        assert await is_admitted(other, limit) is None

        await store.settle(f"{0:032x}", {})

        assert await is_admitted(other, limit) is not None
        await other.close()

    run_quickly(main())


def test_before_the_epoch_is_open_each_process_allows_its_share_of_places() -> None:
    async def main() -> None:
        store = MemoryClaims(asyncio.get_running_loop().time)
        limiters = limiters_of(store, 4)
        limit = (subject(rpm=1000, parallel=8),)
        under_way = [found for n in range(24) if (found := await is_admitted(limiters[n % 4], limit))]
        assert len(under_way) == 8

        await open_epoch(store)
        await asyncio.sleep(2)
        assert await is_admitted(limiters[0], limit) is None
        for admission in under_way[4:]:
            admission.end()
        await asyncio.sleep(2)
        assert len([n for n in range(8) if await is_admitted(limiters[0], limit)]) == 4
        await close_all(limiters)

    run_quickly(main())


@pytest_asyncio.fixture
async def shared(redis: Redis) -> AsyncIterator[list[RateLimiter]]:
    """Four limiters, each with its own connections to one Redis."""
    stores = [open_store(redis.url(7)) for _process in range(4)]
    await stores[0].claims.begin("e", deadline_s=PATIENT_S)
    await stores[0].claims.open("e", deadline_s=PATIENT_S)
    found = [
        RateLimiter(store.claims, f"{number:032x}", lambda: 4, deadline_s=PATIENT_S)
        for number, store in enumerate(stores)
    ]
    for limiter in found:
        limiter.start()
    yield found
    await close_all(found)
    for store in stores:
        await store.close()


@pytest.mark.asyncio
async def test_four_processes_on_a_redis_admit_the_limit(shared: list[RateLimiter]) -> None:
    keys = [subject("router_key:1", rpm=30), subject("router_key:2", tpm=3000)]
    demand = Demand(shared, pause_s=0.05, tokens=100)
    await demand.run(keys, 3.0, at_each=2)
    while min(map(len, demand.admitted.values())) < 29:
        await demand.run(keys, 1.0)

    assert all(29 <= most_in_a_minute(moments) <= 31 for moments in demand.admitted.values())
    assert demand.refusals["requests"] and demand.refusals["tokens"]


@pytest.mark.asyncio
async def test_on_a_redis_that_went_away_each_allows_its_share_and_then_goes_on(
    shared: list[RateLimiter], redis: Redis
) -> None:
    limit = (subject("router_key:3", rpm=400, parallel=8),)
    for limiter in shared:
        (await ask(limiter, limit)).end()
    redis.kill()

    admitted = 0
    for limiter in shared:
        under_way = [found for _n in range(4) if (found := await is_admitted(limiter, limit))]
        assert len(under_way) == 2
        for admission in under_way:
            admission.end()
        while admission := await is_admitted(limiter, limit):
            admission.end()
            admitted += 1
    assert admitted == 400 - 4 - 8
    with pytest.raises(RateRefused) as refused:
        await ask(shared[0], limit)
    assert 0 < refused.value.wait_s <= 60

    redis.start()

    async def is_back() -> bool:
        # What was admitted meanwhile was told: nothing is left for anybody.
        return shared[0]._exchange.alone() is None and not any(
            window.owes for limiter in shared for window in limiter._exchange.windows.values()
        )

    await until(is_back)
    assert [await is_admitted(limiter, limit) for limiter in shared] == [None] * 4
    assert await is_admitted(shared[1], (subject("router_key:4", rpm=1),)) is not None


class Away(MemoryClaims):
    """As a Redis that is away for a time: nobody asks it."""

    is_up: bool = True  # type: ignore[misc]  # the tests switch it


def test_while_the_store_is_away_each_allows_its_share_in_any_minute() -> None:
    async def main() -> None:
        store = Away(asyncio.get_running_loop().time)
        limiters = limiters_of(store, 4)
        store.is_up = False
        demand = Demand(limiters, pause_s=0.5)
        await demand.run([subject(rpm=60), subject("router_key:2", rpm=3)], 130)

        assert most_in_a_minute(demand.admitted["router_key:1"]) == 60
        assert most_in_a_minute(demand.admitted["router_key:2"]) == 4  # at least one at each
        assert len(demand.admitted["router_key:1"]) == 180
        assert all(0 < wait_s <= 60 for wait_s in demand.waits_s)

        store.is_up = True
        more = Demand(limiters, pause_s=0.5)
        await more.run([subject(rpm=60)], 60)
        both = [*demand.admitted["router_key:1"], *more.admitted["router_key:1"]]
        assert most_in_a_minute(both) <= 61
        await close_all(limiters)

    run_quickly(main())
