"""What must not hold up requests: at once without an event loop, in turn on one."""

import asyncio
from collections.abc import Callable

import pytest

from routing.backlog import Backlog


def job(name: str, steps: int, done: list[str]) -> Callable[[], bool]:
    left = steps

    def step() -> bool:
        nonlocal left
        left -= 1
        done.append(name)
        return left > 0

    return step


def failing() -> bool:
    raise ValueError("broken")


def test_without_an_event_loop_everything_is_done_at_once() -> None:
    done: list[str] = []
    backlog = Backlog()

    backlog.add(job("a", 3, done))

    assert done == ["a", "a", "a"] and backlog.is_empty


def test_a_job_may_add_another() -> None:
    done: list[str] = []
    backlog = Backlog()

    backlog.add(lambda: bool(backlog.add(job("b", 2, done))))

    assert done == ["b", "b"] and backlog.is_empty


@pytest.mark.asyncio
async def test_on_an_event_loop_others_have_their_turn_between_the_slices() -> None:
    done: list[str] = []
    backlog = Backlog()

    backlog.add(job("a", 200_000, done))
    assert not done
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    early = len(done)
    async with asyncio.timeout(60):
        while not backlog.is_empty:
            await asyncio.sleep(0.001)

    assert 0 < early < len(done) == 200_000


@pytest.mark.asyncio
async def test_an_urgent_job_goes_first_and_none_waits_twice() -> None:
    done: list[str] = []
    backlog = Backlog()
    slow, urgent = job("slow", 2, done), job("urgent", 2, done)

    for each in (slow, slow):
        backlog.add(each)
    backlog.add(urgent, is_urgent=True)
    async with asyncio.timeout(60):
        while not backlog.is_empty:
            await asyncio.sleep(0.001)

    assert done == ["urgent", "urgent", "slow", "slow"]


def test_a_job_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    backlog = Backlog()

    backlog.add(failing)
    backlog.add(job("a", 1, done))

    assert done == ["a"] and [record.message for record in caplog.records] == ["backlog_job_failed"]


def test_a_new_event_loop_goes_on_with_what_an_old_one_left() -> None:
    done: list[str] = []
    backlog = Backlog()

    async def add(name: str) -> None:
        backlog.add(job(name, 1, done))

    async def add_and_wait(name: str) -> None:
        await add(name)
        async with asyncio.timeout(60):
            while not backlog.is_empty:
                await asyncio.sleep(0.001)

    asyncio.run(add("left"))  # the loop ends before its next turn
    asyncio.run(add_and_wait("new"))

    assert sorted(done) == ["left", "new"]
