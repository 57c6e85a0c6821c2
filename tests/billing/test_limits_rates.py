"""Requests and tokens a minute, over four processes on a store in memory, with a clock that the tests move."""

import asyncio

import pytest

from billing.limits import RateRefused
from tests.billing.limiters import (
    Asked,
    Demand,
    ask,
    close_all,
    is_admitted,
    limiters_of,
    most_in_a_minute,
    new_store,
    run_quickly,
    subject,
)


def test_four_processes_admit_the_limit_in_any_minute_and_no_more() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 4)
        demand = Demand(limiters, pause_s=0.25)
        began = asyncio.get_running_loop().time()
        await demand.run([subject(rpm=60)], 185, at_each=2)

        moments = demand.admitted["router_key:1"]
        assert most_in_a_minute(moments) <= 61
        assert 59 <= sum(1 for at in moments if at < began + 60) <= 61
        assert len(moments) >= 59 * 3
        assert demand.refusals["requests"] > 0
        assert all(0 < wait_s <= 61 for wait_s in demand.waits_s)
        await close_all(limiters)

    run_quickly(main())


def test_a_slow_demand_below_the_limit_is_never_refused() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 4)
        demand = Demand(limiters, pause_s=4.5)  # 53 a minute
        await demand.run([subject(rpm=60)], 200)

        assert not demand.refusals
        await close_all(limiters)

    run_quickly(main())


def test_far_from_the_limit_hardly_anybody_asks_the_store() -> None:
    async def main() -> None:
        store = Asked(asyncio.get_running_loop().time)
        limiters = limiters_of(store, 4)
        demand = Demand(limiters, pause_s=0.01)
        await demand.run([subject(rpm=1_000_000, tpm=1_000_000_000)], 20)

        assert not demand.refusals
        admitted = len(demand.admitted["router_key:1"])
        assert admitted > 7000
        assert store.asked < admitted / 50
        await close_all(limiters)

    run_quickly(main())


def test_many_subjects_at_once_have_each_their_own_limit() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 4)
        subjects = [subject(f"router_key:{number}", rpm=10) for number in range(30)]
        demand = Demand(limiters, pause_s=2.0)
        await demand.run(subjects, 70)

        assert len(demand.admitted) == 30
        for moments in demand.admitted.values():
            assert most_in_a_minute(moments) <= 11
            assert len(moments) >= 10
        await close_all(limiters)

    run_quickly(main())


def test_the_tenants_limit_holds_over_all_of_its_keys() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 4)
        tenant = subject("tenant:1", rpm=20)
        refused, admitted = set(), 0
        for number in range(40):
            key = subject(f"router_key:{number % 5}", rpm=1000)
            try:
                await ask(limiters[number % 4], (key, tenant))
                admitted += 1
            except RateRefused as e:
                refused.add((e.subject.key, e.which, e.limit))

        assert admitted == 20
        assert refused == {("tenant:1", "requests", 20)}
        await close_all(limiters)

    run_quickly(main())


def test_what_another_process_took_ahead_comes_back_for_who_needs_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = limiters_of(new_store(), 2)
        limit = subject(rpm=40)
        await ask(one, (limit,))  # and takes some ahead
        began = loop.time()
        admitted = 0
        while await is_admitted(other, (limit,)):
            admitted += 1

        assert admitted == 39
        assert loop.time() - began < 1.0  # long before it would have come back by itself
        await close_all([one, other])

    run_quickly(main())


def test_what_is_idle_is_given_back_within_two_seconds() -> None:
    async def main() -> None:
        store = new_store()
        limiters = limiters_of(store, 2)
        await ask(limiters[0], (subject(rpm=1000, tpm=100_000),), 10)
        assert limiters[0].try_admit((subject(rpm=1000, tpm=100_000),), 10) is not None
        await asyncio.sleep(2.1)

        assert limiters[0].try_admit((subject(rpm=1000, tpm=100_000),), 10) is None
        assert not limiters[0]._exchange.windows
        await close_all(limiters)

    run_quickly(main())


def test_tokens_are_reserved_and_then_what_was_used_counts() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 4)
        limit = (subject(tpm=1000),)
        first = await ask(limiters[0], limit, 900)
        with pytest.raises(RateRefused) as refused:
            await ask(limiters[1], limit, 200)
        assert (refused.value.which, refused.value.limit) == ("tokens", 1000)
        assert 55 < refused.value.wait_s <= 61

        first.settle(100)
        first.end()
        await asyncio.sleep(1.2)  # as long as it takes to be told

        assert await is_admitted(limiters[1], limit, 700) is not None
        assert await is_admitted(limiters[2], limit, 300) is None
        assert await is_admitted(limiters[2], limit, 150) is not None
        await close_all(limiters)

    run_quickly(main())


def test_more_tokens_than_were_reserved_count_as_well() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        limit = (subject(tpm=1000),)
        first = await ask(limiters[0], limit, 100)
        first.settle(950)
        await asyncio.sleep(1.2)

        assert await is_admitted(limiters[1], limit, 100) is None
        first.settle(50)  # absolute: the last one counts
        await asyncio.sleep(1.2)
        assert await is_admitted(limiters[1], limit, 900) is not None
        await close_all(limiters)

    run_quickly(main())


def test_what_is_settled_leaves_with_its_admission_and_later_no_more_counts() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        limit = (subject(tpm=1000),)
        first = await ask(limiters[0], limit, 500)
        await asyncio.sleep(50)
        first.settle(1000)
        await asyncio.sleep(2)
        assert await is_admitted(limiters[1], limit, 10) is None

        await asyncio.sleep(9)
        first.settle(0)  # its minute is over: nothing is taken back from the next one
        second = await ask(limiters[1], limit, 1000)
        await asyncio.sleep(2)
        assert await is_admitted(limiters[0], limit, 10) is None
        second.end()
        await close_all(limiters)

    run_quickly(main())


def test_a_request_larger_than_the_limit_is_refused_and_holds_up_nobody() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        limit = (subject(tpm=1000),)
        asking = asyncio.create_task(is_admitted(limiters[0], limit, 10**18))
        await asyncio.sleep(0)

        assert await is_admitted(limiters[0], limit, 100) is not None
        assert await asking is None
        await close_all(limiters)

    run_quickly(main())


def test_what_was_withdrawn_does_not_count() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        limit = (subject(rpm=2, tpm=1000, parallel=1),)
        for _time in range(5):
            admission = await ask(limiters[0], limit, 1000)
            admission.withdraw()
            admission.withdraw()
            admission.end()
            await asyncio.sleep(1.2)

        assert await is_admitted(limiters[1], limit, 1000) is not None
        await close_all(limiters)

    run_quickly(main())
