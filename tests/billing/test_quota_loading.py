"""Reading from the records what was sent today: little by little, with pauses, and again where a limit was away."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from billing import quota
from billing.quota import BACK_OFF, Limited, QuotaCounts, Used, day_of
from billing.quota_history import QuotaRows
from billing.spool import Spool
from channels.records import Candidate
from smartrouter.lib.clock import mint_hex7
from smartrouter.lib.counters.memory import MemoryStore
from tests.billing.lines import open_line
from tests.billing.quota_rows import NOW_MS
from tests.lib.counter_rows import QUICK
from tests.routing import tables as t
from tests.routing.signal_bench import NoRows

CHANNELS = 5


class SomeRows(NoRows):
    """Records in which each has been used `used` times, and which give no answer after `at_most` of them."""

    def __init__(self, limited: Callable[[], Collection[Limited]]) -> None:
        super().__init__(limited)
        self.used = 7
        self.at_most = CHANNELS
        self.asked: list[list[str]] = []

    async def read_used(self, limited: Collection[Limited]) -> AsyncGenerator[Sequence[Used], None]:
        self.asked.append([one.channel for one in limited])
        for number, one in enumerate(limited):
            if number == self.at_most:
                await asyncio.Event().wait()
            yield [(one, _day_of(one), self.used)]


def _day_of(one: Limited) -> date:
    return day_of(one.zone, NOW_MS)[0]


def members() -> list[Candidate]:
    """One of each of a few channels, with a daily limit."""
    rows: list[tuple[str, Any]] = [("providers.provider", t.provider(1)), ("providers.providermodel", t.model(1, 1))]
    for ref in range(1, CHANNELS + 1):
        rows.append(("channels.channel", t.channel(ref, 1)))
        rows.append(("channels.offering", t.offering(ref, ref, 1)))
    return [replace(candidate, daily_limit=100) for candidate in t.table_of(rows).candidates.values()]


def count(watched: Collection[Candidate]) -> tuple[QuotaCounts, SomeRows]:
    opened: list[SomeRows] = []

    def open_rows(limited: Callable[[], Collection[Limited]]) -> SomeRows:
        opened.append(SomeRows(limited))
        return opened[-1]

    counts = QuotaCounts(MemoryStore(), open_rows, timing=QUICK, clock_ms=lambda: NOW_MS)
    counts.watch(watched)
    return counts, opened[0]


async def refresh(counts: QuotaCounts) -> None:
    """As every second; what that begins to read is waited for."""
    await counts.refresh()
    await asyncio.gather(*[task for task in asyncio.all_tasks() if task.get_name() == "quota-load"])


def test_records_that_take_too_long_are_read_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "LOAD_S", 0.01)

    async def run() -> None:
        counts, rows = count(members())
        rows.at_most = 2
        for _second in range(3):
            await counts.load()

        assert [len(asked) for asked in rows.asked] == [5, 3, 1]
        assert [counts.used_today(ref) for ref in range(1, CHANNELS + 1)] == [7] * CHANNELS
        await counts.load()
        assert len(rows.asked) == 3
        await counts.close()

    asyncio.run(run())


def test_records_that_gave_no_answer_are_left_alone_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "LOAD_LATER_S", 0.01)

    async def run() -> None:
        counts, rows = count(members())
        rows.at_most = 0
        asked = []
        for _second in range(3 + BACK_OFF + 2 * BACK_OFF):
            await refresh(counts)
            asked.append(len(rows.asked))
        expected = [1] * (BACK_OFF + 1) + [2] * (2 * BACK_OFF + 1) + [3]
        assert asked == expected

        rows.at_most = CHANNELS
        for _second in range(4 * BACK_OFF + 1):
            await refresh(counts)
        assert counts.used_today(CHANNELS) == 7
        await counts.close()

    asyncio.run(run())


def test_a_limit_that_is_taken_away_and_given_back_counts_what_others_sent_meanwhile() -> None:
    async def run() -> None:
        [member, *_others] = members()
        counts, rows = count([member])
        await refresh(counts)
        assert counts.used_today(member.ref) == 7

        counts.watch([])
        for _attempt in range(3):
            counts.count(member, mint_hex7(NOW_MS))
        rows.used = 40
        await refresh(counts)
        assert counts.used_today(member.ref) == 10
        counts.watch([member])
        await refresh(counts)
        assert counts.used_today(member.ref) == 40

        counts.watch([member])  # as after any other change of the table
        await refresh(counts)
        assert len(rows.asked) == 2
        await counts.close()

    asyncio.run(run())


def test_with_a_first_limit_after_hours_a_process_does_not_wait_for_its_own_spool(folder: Path) -> None:
    async def run() -> None:
        opened: list[QuotaRows] = []

        def open_rows(limited: Callable[[], Collection[Limited]]) -> QuotaRows:
            opened.append(QuotaRows(limited, folder))
            return opened[-1]

        own = Spool(folder, "own")
        counts = QuotaCounts(MemoryStore(), open_rows, timing=QUICK, clock_ms=lambda: NOW_MS)
        own.append(open_line())
        assert own.path.stat().st_size
        counts.watch(members())

        assert not opened[0].is_behind()
        await counts.close()
        own.close()

    asyncio.run(run())


def test_what_an_earlier_process_left_is_waited_for_by_quotas_too(folder: Path) -> None:
    async def run() -> None:
        before = Spool(folder, "before")
        before.append(open_line())
        rows = QuotaRows(list, folder)

        assert rows.is_behind()
        await rows.close()  # never started
        before.close()

    asyncio.run(run())
