"""A channel gets another name or another zone, an offering another model: what then counts for whose daily limit."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from billing.quota import Limited, QuotaCounts, counter_of
from channels.records import Candidate
from smartrouter.lib.clock import mint_hex7
from smartrouter.lib.counters.memory import MemoryStore
from tests.billing.quota_rows import HOUR_MS
from tests.lib.counter_rows import QUICK
from tests.routing import tables as t
from tests.routing.signal_bench import NoRows

LIMIT = 100
EVENING_MS = round(datetime(2026, 11, 20, 20, tzinfo=UTC).timestamp() * 1000)  # in Shanghai it is the 21st


def candidates(name: str = "c1", zone: str = "UTC", other_model: int = 1) -> dict[int, Candidate]:
    """Two offerings of one channel; the first has a daily limit."""
    rows: list[tuple[str, Any]] = [
        ("providers.provider", t.provider(1)),
        ("providers.providermodel", t.model(1, 1)),
        ("providers.providermodel", t.model(2, 1)),
        ("channels.channel", t.channel(1, 1, name=name, zone=ZoneInfo(zone))),
        ("channels.offering", t.offering(1, 1, 1)),
        ("channels.offering", t.offering(2, 1, other_model, name="other")),
    ]
    found = t.table_of(rows).candidates
    return {1: replace(found[1], daily_limit=LIMIT), 2: found[2]}


class Counting:
    """Counts at a moment that is moved by hand."""

    def __init__(self) -> None:
        self.now_ms = EVENING_MS
        self.store = MemoryStore()
        self.quota = QuotaCounts(self.store, NoRows, timing=QUICK, clock_ms=lambda: self.now_ms)

    def send(self, candidate: Candidate, times: int) -> None:
        for _attempt in range(times):
            self.quota.count(candidate, mint_hex7(self.now_ms))

    def used(self) -> list[int]:
        return [self.quota.used_today(ref) for ref in (1, 2)]


@asynccontextmanager
async def counting(watched: Iterable[Candidate]) -> AsyncIterator[Counting]:
    one = Counting()
    one.quota.watch(watched)
    yield one
    await one.quota.close()


def test_after_a_rename_attempts_by_any_name_of_the_model_count_on() -> None:
    async def run() -> None:
        before, after = candidates("old"), candidates("new")
        async with counting(before.values()) as one:
            one.send(before[1], 2)
            one.send(before[2], 1)
            assert one.used() == [3, 3]

            one.quota.watch(after.values())
            assert one.quota.used_today(1) == 3
            one.send(after[2], 5)
            assert one.used() == [8, 8]
            await one.quota.refresh()
            assert one.used() == [8, 8]

    asyncio.run(run())


def test_attempts_that_come_before_the_rename_is_noticed_or_after_with_the_old_name_count_once() -> None:
    async def run() -> None:
        before, after = candidates("old"), candidates("new")
        async with counting(before.values()) as one:
            one.send(before[1], 2)
            one.send(after[1], 1)
            one.quota.watch(after.values())
            one.send(before[1], 1)
            one.send(after[1], 1)
            one.send(before[2], 1)
            one.send(after[2], 1)
            assert one.used() == [7, 7]

            one.quota.watch(before.values())  # and back
            one.send(before[1], 1)
            await one.quota.refresh()
            assert one.quota.used_today(1) == 8

    asyncio.run(run())


def test_what_was_sent_under_another_name_ends_with_its_day() -> None:
    async def run() -> None:
        before, after = candidates("old"), candidates("new")
        async with counting(before.values()) as one:
            one.send(before[1], 2)
            one.quota.watch(after.values())
            one.now_ms += 4 * HOUR_MS

            assert one.quota.used_today(1) == 0
            one.send(after[1], 1)
            assert one.quota.used_today(1) == 1

    asyncio.run(run())


def test_an_offering_that_is_pointed_at_another_model_counts_for_that_one() -> None:
    async def run() -> None:
        before, after = candidates(), candidates(other_model=2)
        async with counting(before.values()) as one:
            one.send(before[2], 1)
            one.quota.watch(after.values())
            one.send(after[2], 9)

            assert one.used() == [1, 9]

    asyncio.run(run())


def test_a_name_that_another_channel_has_now_counts_for_that_one() -> None:
    async def run() -> None:
        before, after = candidates("old"), candidates("new")
        other = replace(before[2], ref=3, channel=replace(before[2].channel, ref=2))  # its name is free again
        async with counting(before.values()) as one:
            one.send(before[1], 2)
            one.quota.watch(after.values())
            one.send(other, 5)

            assert one.quota.used_today(1) == 2
            assert one.quota.used_today(3) == 5

    asyncio.run(run())


def test_the_day_of_another_zone_is_another_day_although_it_has_the_same_date() -> None:
    async def run() -> None:
        shanghai, utc = candidates(zone="Asia/Shanghai"), candidates(zone="UTC")
        async with counting(shanghai.values()) as one:
            one.send(shanghai[1], LIMIT)
            name = counter_of(Limited("c1", "m1", ZoneInfo("Asia/Shanghai")), date(2026, 11, 21))
            async with asyncio.timeout(30):
                while await one.store.total(name) != LIMIT:  # a task brings it there
                    await asyncio.sleep(0.01)

            one.now_ms += 16 * HOUR_MS  # noon of the 21st in UTC, still the 21st in Shanghai
            one.quota.watch(utc.values())
            await one.quota.refresh()
            assert one.quota.used_today(1) == 0
            one.send(utc[2], 5)
            assert one.used() == [5, 5]

    asyncio.run(run())
