"""What was settled while the store was away, by processes that live, ended or were cut off, counts once, and no total is
told that lacks it."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import redis as redis_client

from smartrouter.lib.counters import Entry, SourceUnavailable
from smartrouter.lib.counters import keeper as keeper_module
from tests.lib.counter_rows import HOUR, QUICK, Rows, first_told, keeping, stored, until, until_stored
from tests.stores import Redis

pytestmark = pytest.mark.asyncio


@pytest.fixture
def redis() -> Iterator[Redis]:
    """One that keeps what it had when it was killed."""
    server = Redis(appendonly=True)
    yield server
    server.close()


async def test_what_a_process_could_not_bring_before_it_ended_is_counted_before_a_total_is_told(redis: Redis) -> None:
    rows, timing = Rows(), replace(QUICK, grace_s=0.2, late_after_s=(2,))
    async with keeping(redis.url(), rows, timing) as other:
        async with keeping(redis.url(), rows, timing) as one:
            assert await first_told(one, rows) == (1, 1)
            redis.kill()
            one.note(rows.add("owed", 100))
            other.note(rows.add("brought", 20))
            await until(lambda: not one.store.is_up and not other.store.is_up)
        redis.start()

        assert await first_told(other, rows) == (121, 121)


async def test_what_no_process_noticed_to_be_missing_is_found_by_the_next_one(redis: Redis) -> None:
    """A process alone was cut off, and ended."""
    rows = Rows()
    async with keeping(redis.url(), rows) as other:
        assert await first_told(other, rows) == (1, 1)
        await until(lambda: not other._seeder._late_at)
        rows.add("owed", 100)

        async with keeping(redis.url(), rows) as successor:
            assert await first_told(successor, rows) == (101, 101)
        assert await first_told(other, rows) == (101, 101)


async def test_a_process_that_began_without_the_store_adds_nothing_that_is_in_a_sum_by_then() -> None:
    redis, rows = Redis(), Rows()
    redis.kill()
    async with keeping(redis.url(), rows) as keeper:
        for number in range(5):
            keeper.note(rows.add(f"old-{number}", 100))
        await until(lambda: not keeper.store.is_up and len(keeper._due) == 5)
        rows.clock.skipped = 3 * HOUR
        keeper.note(rows.add("new", 7))
        redis.start()

        await until_stored(keeper.store, rows)
        assert await first_told(keeper, rows) == (508, 508)
    redis.close()


@pytest.mark.parametrize("at_most", [10, 1000])
async def test_after_a_long_time_without_the_store_the_family_is_counted_anew(
    redis: Redis, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not the process remembers all that it could not bring: what was read as one sum must not come twice."""
    monkeypatch.setattr(keeper_module, "REMEMBERED_AT_MOST", at_most)
    rows = Rows()
    async with keeping(redis.url(), rows) as keeper:
        assert await first_told(keeper, rows) == (1, 1)
        redis.kill()
        for hour in range(4):
            for number in range(10):
                keeper.note(rows.add(f"{hour}-{number}", 1))
            await until(lambda: not keeper.store.is_up and not keeper._fresh)
            rows.clock.skipped += HOUR
        redis.start()

        assert await first_told(keeper, rows) == (41, 41)
        assert rows.seeds_read == 2


async def test_a_family_that_no_process_was_near_for_long_is_counted_anew(redis: Redis) -> None:
    rows, timing = Rows(), replace(QUICK, stands_s=1.0)
    async with keeping(redis.url(), rows, timing) as keeper:
        assert await first_told(keeper, rows) == (1, 1)
        await asyncio.sleep(1.5)
        assert await stored(keeper.store) == 1  # as long as a process is there
    rows.charges["old"] = 100, rows.clock() - 5 * HOUR  # too old for being read again
    await asyncio.sleep(1.5)

    async with keeping(redis.url(), rows, timing) as keeper:
        assert await first_told(keeper, rows) == (101, 101)


async def test_while_one_process_owes_entries_no_other_tells_a_total(redis: Redis) -> None:
    """One is so slow in bringing them that it takes several times as long as totals are held back at once."""
    rows = Rows()
    async with keeping(redis.url(), rows) as one, keeping(redis.url(), rows) as other:
        assert await first_told(other, rows) == (1, 1)
        await until(lambda: not one._was_away and one._is_known())
        rows.before = _fail  # else the records would bring them
        real = one.store.add_many

        async def slow(entries: Sequence[Entry]) -> list[int | None]:
            await asyncio.sleep(0.4)
            return await real(entries)

        one.store.add_many = slow  # type: ignore[assignment, method-assign]
        for number in range(500):
            one._due["f:a", f"owed-{number}"] = one.note(rows.add(f"owed-{number}", 1))
        one._fresh.clear()
        one._was_away, held_at = True, one._hold_at
        await until(lambda: one._hold_at > held_at)

        assert await first_told(other, rows) == (501, 501)


def _fail() -> None:
    raise SourceUnavailable


async def test_what_the_store_never_got_comes_before_what_it_may_have_lost(redis: Redis) -> None:
    rows = Rows()
    async with keeping(redis.url(), rows) as keeper:
        assert await first_told(keeper, rows) == (1, 1)
        for number in range(300):
            keeper.note(rows.add(str(number), 1))
        await until(lambda: not keeper._fresh and not keeper._due)
        redis.kill()
        keeper.note(rows.add("owed", 1))
        await until(lambda: not keeper.store.is_up and not keeper._fresh)
        redis.start()
        added: list[str] = []
        real = keeper.store.add_many

        async def listening(entries: Sequence[Entry]) -> list[int | None]:
            added.extend(entry.id for entry in entries)
            return await real(entries)

        keeper.store.add_many = listening  # type: ignore[assignment, method-assign]
        await until(lambda: len(added) > 301)

        assert added[0] == "owed"
        assert {str(number) for number in range(300)} < set(added)


async def test_several_processes_read_late_records_one_at_a_time(redis: Redis) -> None:
    rows, timing = Rows(), replace(QUICK, late_after_s=(0.5,), late_every_s=3600, turn_s=60)
    async with keeping(redis.url(), rows, timing) as one, keeping(redis.url(), rows, timing) as two:
        for keeper in (one, two):
            await until(lambda: keeper._marker is not None and not keeper._seeder._late_at)  # noqa: B023

        assert rows.reads_late == [True]


async def test_a_database_that_was_away_as_well_has_its_records_read_when_it_is_back(redis: Redis) -> None:
    rows = Rows()
    async with keeping(redis.url(), rows, replace(QUICK, late_after_s=(0.5, 60))) as keeper:
        assert await first_told(keeper, rows) == (1, 1)
        rows.add("owed", 100)
        rows.before = _fail
        redis.kill()
        await until(lambda: not keeper.store.is_up)
        redis.start()
        await until(lambda: keeper._seeder._is_failing)
        assert await keeper.total_of(keeper.note(rows.add("asking", 1)), deadline_s=5) is None
        rows.clock.skipped = 100
        await asyncio.sleep(1)
        rows.before = lambda: None

        assert await first_told(keeper, rows) == (101, 101)
        await asyncio.sleep(0.5)
        assert keeper._seeder._late_at  # and once more: the ingester has waited as well


async def test_a_store_that_forbids_scripts_is_away_until_it_allows_them(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = Rows()
    with redis_client.Redis.from_url(redis.url()) as client:
        client.execute_command("ACL", "SETUSER", "router", "on", ">pw", "~*", "+@all", "-@scripting")
        async with keeping(redis.url().replace("redis://", "redis://router:pw@"), rows) as keeper:
            await until(lambda: not keeper.store.is_up)
            await asyncio.sleep(2)  # several probes
            assert caplog.text.count("store_back") == 0

            client.execute_command("ACL", "SETUSER", "router", "+@all")
            assert await first_told(keeper, rows) == (1, 1)
