"""Seeding a family from records that are too large, too many, silent, or not all there yet."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace

import pytest

from smartrouter.lib.counters import LARGEST, Entry, SeedCounter
from tests.lib.counter_rows import DAY, QUICK, Rows, first_told, keeping, stored, until, until_stored
from tests.stores import Redis

pytestmark = pytest.mark.asyncio


class Silent(Rows):
    """A database that takes the question and never answers."""

    async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        await asyncio.Event().wait()
        yield []


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


@pytest.mark.parametrize("server", ["", "redis"])
async def test_a_seed_that_is_too_large_is_left_out_alone_and_read_once(
    redis: Redis, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    class TooLarge(Rows):
        async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
            self.seeds_read += 1
            yield [SeedCounter("f:large", LARGEST + 1, DAY), SeedCounter("f:a", 5, DAY)]

    rows = TooLarge()
    async with keeping(redis.url() if server else "", rows) as keeper:
        while await stored(keeper.store) != 5:
            await asyncio.sleep(0.05)

        assert await keeper.store.total("f:large", deadline_s=5) is None
        assert rows.seeds_read == 1
    assert "counter_too_large" in caplog.text


async def test_a_leader_whose_records_give_no_answer_lets_another_lead(redis: Redis) -> None:
    rows, timing = Rows(), replace(QUICK, piece_s=0.5)
    async with keeping(redis.url(), Silent(), timing) as silent:
        await until(lambda: silent._marker is not None)  # it leads
        async with keeping(redis.url(), rows) as other:
            assert await first_told(other, rows) == (1, 1)


async def test_in_process_the_records_of_the_process_before_are_waited_for() -> None:
    rows = Rows()
    rows.behind = True
    async with keeping("", rows) as keeper:
        assert await keeper.total_of(keeper.note(rows.add("asking", 1)), deadline_s=5) is None
        await asyncio.sleep(0.5)
        assert rows.seeds_read == 0
        rows.add("late", 100)
        rows.behind = False

        assert await first_told(keeper, rows) == (101, 101)


async def test_in_process_late_records_are_waited_for_no_longer_than_that_and_read_when_they_come() -> None:
    rows = Rows()
    rows.behind = True
    async with keeping("", rows, replace(QUICK, settle_s=0.5, late_after_s=())) as keeper:
        assert await first_told(keeper, rows) == (1, 1)
        rows.add("late", 100)
        await until_stored(keeper.store, rows)
        rows.behind = False
        count = len(rows.reads_late)
        await until(lambda: len(rows.reads_late) > count + 1)

        assert rows.reads_late[-1] is False


async def test_others_have_their_turn_while_many_entries_are_brought() -> None:
    turns, count = 0, 20_000

    class Many(Rows):
        async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
            yield [SeedCounter(f"f:{number}", 0, DAY, {"one": 1}) for number in range(count)]

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    async with keeping("", Many(), replace(QUICK, grace_s=0)) as keeper:
        while await stored(keeper.store) is None:
            await asyncio.sleep(0.01)
        assert turns >= count / 200

        turns = 0
        for number in range(count):
            keeper.note(Entry("f:a", str(number), 1, DAY))
        await keeper._flush()
        assert turns >= count / 200
    other.cancel()
