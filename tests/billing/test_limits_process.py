"""What a process does with its limits beside admitting: changes, cancellations, crowds, forgetting, closing."""

import asyncio
from collections.abc import Sequence

from smartrouter.lib.counters.base import DEADLINE_S
from smartrouter.lib.counters.claims import Ask, Given
from smartrouter.lib.counters.claims_memory import MemoryClaims
from tests.billing.limiters import Asked, ask, close_all, is_admitted, limiters_of, new_store, run_quickly, subject


def test_a_limit_that_is_changed_holds_for_the_next_request() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        for _request in range(3):
            await ask(limiters[0], (subject(rpm=100),))

        assert await is_admitted(limiters[0], (subject(rpm=3),)) is None
        assert await is_admitted(limiters[1], (subject(rpm=4),)) is not None
        assert await is_admitted(limiters[0], (subject(),)) is not None
        await close_all(limiters)

    run_quickly(main())


def test_who_gives_up_waiting_has_taken_nothing() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        limit = (subject(rpm=1, parallel=1),)
        asking = asyncio.create_task(limiters[0].admit(limit, 0))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(1.2)

        assert asking.cancelled()
        assert await is_admitted(limiters[1], limit) is not None
        await close_all(limiters)

    run_quickly(main())


def test_who_gives_up_just_when_it_was_admitted_gives_it_back() -> None:
    async def main() -> None:
        limiters = limiters_of(new_store(), 2)
        limit = (subject(rpm=1),)
        asking = asyncio.create_task(limiters[0].admit(limit, 0))
        while not limiters[0]._waiters:
            await asyncio.sleep(0)
        while limiters[0]._waiters:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        await asyncio.sleep(1.2)

        assert await is_admitted(limiters[1], limit) is not None
        await close_all(limiters)

    run_quickly(main())


def test_a_process_that_was_stopped_uses_nothing_of_what_it_took_before() -> None:
    async def main() -> None:
        one, other = limiters_of(new_store(), 2)
        limit = (subject(rpm=40),)
        await ask(one, limit)
        assert one._exchange.windows["router_key:1|rpm"].has
        for task in one._tasks:
            task.cancel()
        await asyncio.sleep(5)
        while await is_admitted(other, limit):
            pass

        assert one.try_admit(limit, 0) is None
        await other.close()

    run_quickly(main())


class Slow(MemoryClaims):
    """Takes its time to answer; in_flight: now."""

    in_flight = False

    async def claim(
        self, process: str, asks: Sequence[Ask], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Given]:
        given = await super().claim(process, asks, processes, deadline_s=deadline_s)
        self.in_flight = True
        await asyncio.sleep(0.1)
        self.in_flight = False
        return given


def test_a_place_that_is_being_given_back_is_not_used() -> None:
    async def main() -> None:
        store = Slow(asyncio.get_running_loop().time)
        await store.begin("e")
        await store.open("e")
        limiter = limiters_of(store, 1)[0]
        limit = (subject(parallel=100),)
        (await ask(limiter, limit)).end()
        while not store.in_flight:
            await asyncio.sleep(0.01)

        assert not store._funds["router_key:1|parallel"].claimed_by
        assert limiter.try_admit(limit, 0) is None
        assert await is_admitted(limiter, limit) is not None
        assert store._funds["router_key:1|parallel"].claimed_by
        await limiter.close()

    run_quickly(main())


def test_subjects_that_nobody_asks_for_are_forgotten() -> None:
    async def main() -> None:
        limiter = limiters_of(new_store(), 1)[0]
        for number in range(300):
            (await ask(limiter, (subject(f"end_user:1:{number}", rpm=10),))).end()
        long = await ask(limiter, (subject("tenant:1", parallel=1),))
        await asyncio.sleep(130)

        assert len(limiter._meters) == 1
        assert await is_admitted(limiter, (subject("tenant:1", parallel=1),)) is None
        long.end()
        assert await is_admitted(limiter, (subject("tenant:1", parallel=1),)) is not None
        await limiter.close()

    run_quickly(main())


def test_a_process_that_closes_gives_everything_back() -> None:
    async def main() -> None:
        one, other = limiters_of(new_store(), 2)
        limit = subject(rpm=40, parallel=4)
        (await ask(one, (limit,))).end()
        await one.close()
        admitted = 0
        while admission := other.try_admit((limit,), 0) or await is_admitted(other, (limit,)):
            admission.end()
            admitted += 1

        assert admitted == 39
        await other.close()

    run_quickly(main())


def test_it_is_told_again_what_a_store_has_forgotten() -> None:
    async def main() -> None:
        store = new_store()
        limiters = limiters_of(store, 2)
        limit = (subject(rpm=40),)
        for _request in range(30):
            await ask(limiters[0], limit)
        store._windows.clear()
        await asyncio.sleep(3)
        admitted = 0
        while await is_admitted(limiters[0], limit):
            admitted += 1

        assert admitted == 10
        assert await is_admitted(limiters[1], limit) is None
        await close_all(limiters)

    run_quickly(main())


def test_a_crowd_is_answered_with_few_calls_and_gets_what_there_is() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = Asked(loop.time)
        limiters = limiters_of(store, 2)
        limit = (subject(rpm=50, tpm=4000),)
        began = loop.time()
        sizes = [100, 30, 60] * 100
        found = await asyncio.gather(*(is_admitted(limiters[n % 2], limit, size) for n, size in enumerate(sizes)))

        used = sum(size for size, admission in zip(sizes, found, strict=True) if admission)
        assert 3970 < used <= 4000 or len([each for each in found if each]) == 50
        assert loop.time() - began < 1.0
        assert store.asked < 150
        await close_all(limiters)

    run_quickly(main())
