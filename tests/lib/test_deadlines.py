"""Deadlines: they end what takes too long, and not what had no chance to go on."""

import asyncio
import socket
import time

import pytest

from smartrouter.lib.deadlines import Deadline

pytestmark = pytest.mark.asyncio


def in_s(seconds: float) -> float:
    """So many seconds from now, on the loop's clock."""
    return asyncio.get_running_loop().time() + seconds


async def test_what_takes_too_long_ends_with_timeout_error() -> None:
    with pytest.raises(TimeoutError), Deadline(in_s(0.02)):
        await asyncio.sleep(60)


async def test_what_is_done_in_time_goes_on_undisturbed() -> None:
    with Deadline(in_s(0.05)):
        await asyncio.sleep(0)

    await asyncio.sleep(0.3)


async def test_one_that_has_passed_already_ends_at_once() -> None:
    began = time.monotonic()

    with pytest.raises(TimeoutError), Deadline(in_s(-1000)):
        await asyncio.sleep(60)

    assert time.monotonic() - began < 30


async def test_moved_on_it_ends_later_and_moved_back_earlier() -> None:
    with Deadline(in_s(0.02)) as deadline:
        for _ in range(10):
            deadline.move(in_s(60))
            await asyncio.sleep(0.03)
    with pytest.raises(TimeoutError), Deadline(in_s(600)) as deadline:
        deadline.move(in_s(0.02))
        await asyncio.sleep(60)


async def test_who_is_cancelled_by_others_hears_of_that() -> None:
    async def wait() -> None:
        with Deadline(in_s(60)):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_process_that_stood_still_reads_first_what_came_meanwhile() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs, Deadline(in_s(0.3)):
        waiting = asyncio.create_task(asyncio.get_running_loop().sock_recv(ours, 10))
        await asyncio.sleep(0)
        theirs.send(b"in time")
        time.sleep(0.8)  # nothing runs, as while the process is stopped

        assert await waiting == b"in time"


async def test_one_that_stands_still_twice_reads_first_each_time() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs, Deadline(in_s(0.1)):
        waiting = asyncio.create_task(asyncio.get_running_loop().sock_recv(ours, 10))
        await asyncio.sleep(0)
        time.sleep(0.3)
        await asyncio.sleep(0)
        theirs.send(b"in time")
        time.sleep(0.8)

        assert await waiting == b"in time"


async def test_time_that_was_lost_is_given_back() -> None:
    """What comes in several steps after the process went on is not cut off between them."""
    with Deadline(in_s(0.1)):
        await asyncio.sleep(0)
        time.sleep(1.5)
        for _ in range(4):
            await asyncio.sleep(0.1)

    with pytest.raises(TimeoutError), Deadline(in_s(0.1)):
        time.sleep(0.5)
        await asyncio.sleep(60)
