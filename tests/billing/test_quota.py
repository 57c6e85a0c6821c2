"""How many attempts a channel has sent today: by its own clock, after a restart, in several processes, after a lost Redis."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis as redis_client

from billing import quota_history
from billing.models import UsageRecord
from billing.quota import Limited, QuotaCounts, counter_of
from billing.quota_history import QuotaRows
from channels.records import Candidate
from smartrouter.lib.clock import mint_hex7
from smartrouter.lib.counters import CounterStore, StoreUnavailable, open_store
from smartrouter.lib.counters.memory import MemoryStore
from tests.billing.quota_rows import C1, HOUR_MS, NOW, NOW_MS, SHANGHAI, add_row, add_row_in_thread
from tests.lib.counter_rows import QUICK
from tests.routing import tables as t
from tests.stores import Redis

pytestmark = pytest.mark.django_db(transaction=True)
_numbers = itertools.count()


class Clock:
    """The wall clock in milliseconds, which moves when it is told to."""

    def __init__(self) -> None:
        self.ms = float(NOW_MS)

    def __call__(self) -> float:
        return self.ms


def candidate(ref: int = 1, limit: int | None = 1000, *, zone: ZoneInfo = SHANGHAI) -> Candidate:
    """The offering of m1 on channel c1, whatever its ref, with a daily limit."""
    rows: list[tuple[str, Any]] = [
        ("providers.provider", t.provider(1)),
        ("providers.providermodel", t.model(1, 1)),
        ("channels.channel", t.channel(1, 1, zone=zone)),
        ("channels.offering", t.offering(ref, 1, 1)),
    ]
    return replace(t.table_of(rows).candidates[ref], daily_limit=limit)


@pytest.fixture(autouse=True)
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that reads the records believes that it is NOW."""
    monkeypatch.setattr(quota_history, "now", lambda: NOW)


@asynccontextmanager
async def counting(
    folder: Path, store: CounterStore | None = None, clock: Clock | None = None, limit: int | None = 1000
) -> AsyncIterator[QuotaCounts]:
    """A process that counts, with one member that is limited, and has read the records."""
    ours = store if store is not None else MemoryStore()

    def open_rows(limited: Callable[[], Collection[Limited]]) -> QuotaRows:
        return QuotaRows(limited, folder)

    counts = QuotaCounts(ours, open_rows, timing=QUICK, clock_ms=clock or Clock())
    counts.watch([candidate(limit=limit)] if limit is not None else [])
    await counts.load()
    yield counts
    await counts.close()
    await ours.close()


async def until_used(expected: int, *processes: QuotaCounts) -> None:
    """Return when each has come to this number; never more."""
    end = time.monotonic() + 30
    while any(counts.used_today(1) != expected for counts in processes):
        assert all(counts.used_today(1) <= expected for counts in processes)
        assert time.monotonic() < end, [counts.used_today(1) for counts in processes]
        for counts in processes:
            try:
                await counts.refresh()
            except StoreUnavailable:
                pass  # it is on its way back
        await asyncio.sleep(0.05)


def send(counts: QuotaCounts, times: int = 1, at_ms: float = NOW_MS, ref: int = 1) -> None:
    for _attempt in range(times):
        counts.count(candidate(ref), mint_hex7(round(at_ms)))


def test_the_next_local_day_begins_at_0(folder: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with counting(folder, clock=clock) as counts:
            send(counts, 3)
            assert counts.used_today(1) == 3

            clock.ms += 4 * HOUR_MS - 1
            assert counts.used_today(1) == 3
            clock.ms += 1
            assert counts.used_today(1) == 0
            await counts.refresh()
            assert counts.used_today(1) == 0
            send(counts, 2, clock.ms)
            await until_used(2, counts)

    asyncio.run(run())


def test_whatever_the_name_attempts_of_one_channel_and_model_count_together(folder: Path) -> None:
    async def run() -> None:
        async with counting(folder) as counts:
            send(counts, 2, ref=1)
            send(counts, 3, ref=7)

            assert counts.used_today(1) == counts.used_today(7) == 5
            assert counts.used_today(8) == 0
            assert (counts.limit_of(1), counts.limit_of(7)) == (1000, None)

    asyncio.run(run())


def test_without_a_limit_counting_needs_no_store_and_no_thread(folder: Path) -> None:
    async def run() -> None:
        async with counting(folder, limit=None) as counts:
            send(counts, 4)
            await counts.refresh()

            assert counts.used_today(1) == 4
            assert counts._keeper is None
            assert not [thread for thread in threading.enumerate() if thread.name == "quota-rows"]
            counts.watch([candidate()])
            assert [thread for thread in threading.enumerate() if thread.name == "quota-rows"]

    asyncio.run(run())


def test_a_process_that_begins_knows_what_was_sent_today(folder: Path) -> None:
    for hours_ago in (0.1, 1, 5, 19):
        add_row(hours_ago)
    add_row(21)

    async def run() -> None:
        async with counting(folder) as counts:
            assert counts.used_today(1) == 4  # before anything was asked of the store
            send(counts, 2)
            assert counts.used_today(1) == 6
            await until_used(6, counts)
            for _again in range(20):
                await counts.refresh()
                await asyncio.sleep(0.05)
            assert counts.used_today(1) == 6

    asyncio.run(run())


def test_a_process_without_a_database_counts_its_own_and_reads_the_rest_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_row(1)

    async def run() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(UsageRecord._meta, "db_table", "billing_nothing")
            async with counting(folder) as counts:
                send(counts, 2)
                assert counts.used_today(1) == 2
                await asyncio.sleep(0.1)
                patch.undo()
                await until_used(3, counts)

    asyncio.run(run())


@pytest.mark.server
def test_processes_share_a_quota_which_survives_the_loss_of_redis(folder: Path, redis: Redis) -> None:
    url = redis.url(next(_numbers))
    for hours_ago in (0.1, 5):
        add_row(hours_ago)

    async def run() -> None:
        async with counting(folder, open_store(url)) as one, counting(folder, open_store(url)) as two:
            send(one, 3)
            send(two, 4)
            await until_used(9, one, two)

            with redis_client.Redis.from_url(url) as client:
                client.flushdb()
            send(one, 1)
            send(two, 1)
            await until_used(11, one, two)
        # One of another installation's life: both have ended, and their rows are there by now.
        for _attempt in range(9):
            await asyncio.to_thread(add_row_in_thread, 0.01)
        async with counting(folder, open_store(url)) as three:
            assert three.used_today(1) == 11

    asyncio.run(run())


@pytest.mark.server
def test_each_process_goes_on_counting_while_redis_is_away(folder: Path, redis: Redis) -> None:
    own = Redis(appendonly=True)

    async def run() -> None:
        async with counting(folder, open_store(own.url())) as one, counting(folder, open_store(own.url())) as two:
            send(one, 1)
            await until_used(1, one, two)
            own.kill()
            send(one, 2)
            send(two, 3)
            assert (one.used_today(1), two.used_today(1)) == (3, 4)
            own.start()
            await until_used(6, one, two)

    asyncio.run(run())
    own.close()


def test_a_limit_that_is_new_today_counts_what_was_sent_before(folder: Path) -> None:
    """The store was seeded when nothing was limited, so that it has to be counted anew."""

    async def run() -> None:
        store = MemoryStore()
        assert await store.lead("quota", "t", 30)
        assert await store.finish_seed("quota", "t", 10_000)
        async with counting(folder, store, limit=None) as counts:
            for _attempt in range(5):
                await asyncio.to_thread(add_row_in_thread, 3)
            counts.watch([candidate()])
            send(counts, 1)
            await until_used(6, counts)
            assert (await store.standing("quota")).epoch != "t"
            end = time.monotonic() + 30
            while await store.total(counter_of(C1, date(2026, 11, 21))) != 6:
                assert time.monotonic() < end
                await asyncio.sleep(0.05)

    asyncio.run(run())
