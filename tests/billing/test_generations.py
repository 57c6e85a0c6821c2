"""Who waits for a record that is on its way, how often it is looked for, and how many one key may have looked for."""

import asyncio
from uuid import UUID

import pytest

from billing.generations import AT_ONCE_AT_MOST, WAITING_AT_MOST, Generation, PatientLookups, TooManyReadings
from smartrouter.lib.clock import mint_uuid7, now_ms

pytestmark = pytest.mark.asyncio


class Nothing:
    """Records in which nothing is ever found; it answers when it may."""

    def __init__(self) -> None:
        self.looks = 0
        self.may_answer = asyncio.Event()

    async def find(self, request_id: UUID, router_key_ref: int) -> Generation | None:
        self.looks += 1
        await self.may_answer.wait()
        return None

    async def close(self) -> None: ...


async def begun(*tasks: "asyncio.Task[Generation | None]") -> None:
    """Return when each has done what it can."""
    for _turn in range(5 * len(tasks)):
        await asyncio.sleep(0)


def young() -> UUID:
    return mint_uuid7(now_ms())


async def test_a_young_one_is_looked_for_a_few_times_and_an_old_one_once() -> None:
    records = Nothing()
    records.may_answer.set()
    lookups = PatientLookups(records, again_after_s=[0.0] * 4)

    assert await lookups.find(young(), 1) is None
    assert records.looks == 5
    assert await lookups.find(mint_uuid7(now_ms() - 60_000), 1) is None
    assert records.looks == 6


async def test_one_key_waits_for_a_few_only_and_keeps_nobody_else_out() -> None:
    records = Nothing()
    lookups = PatientLookups(records)
    tasks = [asyncio.create_task(lookups.find(young(), 1)) for _number in range(AT_ONCE_AT_MOST)]
    await begun(*tasks)

    with pytest.raises(TooManyReadings):
        await lookups.find(young(), 1)
    other = asyncio.create_task(lookups.find(young(), 2))
    await begun(other)
    assert records.looks == AT_ONCE_AT_MOST + 1

    records.may_answer.set()
    at_once = await asyncio.gather(*tasks[WAITING_AT_MOST:])
    assert at_once == [None] * (AT_ONCE_AT_MOST - WAITING_AT_MOST)
    assert not any(
        task.done() for task in [*tasks[:WAITING_AT_MOST], other]
    )  # they look again, a quarter of a second later

    for task in [*tasks, other]:
        task.cancel()
    await asyncio.gather(*tasks, other, return_exceptions=True)
    assert not lookups._open
