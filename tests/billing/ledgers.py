"""Ledgers as several web processes have them, on one store, and records that a test writes by hand."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from billing.funds import Roster, Spending, fund_name
from billing.ledger import BudgetRefused, CurrentBudgets, Refusal
from billing.ledger_process import BudgetLedger
from billing.ledger_timing import LedgerTiming
from billing.scopes import Amounts, Limit, Scope, first_day, local_day
from smartrouter.lib.clock import now_ms
from smartrouter.lib.counters import CounterStore, SourceUnavailable, open_store
from smartrouter.lib.counters.claims import Ask, Fund, Given

UTC = ZoneInfo("UTC")
# A machine that is busy takes its time; nothing here is about how fast it is.
PATIENT_S = 30.0
PATIENT = LedgerTiming(tick_s=0.1, idle_s=5.0, sweep_s=0.3, deadline_s=PATIENT_S, tell_s=PATIENT_S, close_s=PATIENT_S)
HASTY = replace(PATIENT, idle_s=0.3)
STRANGER = "f" * 32


class HandWritten:
    """Records: sums by fund and process, and a register."""

    def __init__(self, *live: str) -> None:
        self.live = set(live)
        self.ended: set[str] = set()
        self.spent: dict[str, dict[str, int]] = {}
        self.is_away = False
        self.seeds_read = 0

    async def read_spent(self, asked: Sequence[Spending]) -> list[dict[str, int]]:
        if self.is_away or self.ended:
            raise SourceUnavailable("as the test wants it")
        self.seeds_read += len(asked)
        windows = [window_of(spending) for spending in asked]
        return [
            self.spent.get(fund_name(spending.scope, window, spending.first, spending.unit), {})
            for spending, window in zip(asked, windows, strict=True)
        ]

    async def read_roster(self) -> Roster:
        if self.is_away:
            raise SourceUnavailable("as the test wants it")
        return Roster(frozenset(self.live), frozenset(self.ended))

    async def close(self) -> None: ...


def window_of(spending: Spending) -> str:
    """The window that is read."""
    if spending.end is None:
        return "total"
    days = (spending.end - spending.first).days
    return {1: "day", 7: "week"}.get(days, "month")


def budget(limit: int | None, *, unit: str = "usd", window: str = "day", soft: int | None = None) -> Limit:
    return Limit(unit, window, limit, soft, 0)


def scope(*limits: Limit, key: str = "tenant:1", zone: ZoneInfo = UTC) -> Scope:
    return Scope(key, key.partition(":")[0], "acme", zone, limits, True)


@asynccontextmanager
async def opened(
    url: str, *, processes: int = 1, timing: LedgerTiming = PATIENT, clock: Callable[[], int] = now_ms,
    records: HandWritten | None = None, budgets: CurrentBudgets | None = None,
) -> AsyncIterator[tuple[list[BudgetLedger], HandWritten, list[CounterStore]]]:  # fmt: skip
    """So many processes, each with a store of its own where that is shared."""
    names = [uuid.uuid4().hex for _number in range(processes)]
    records = records or HandWritten()
    records.live |= set(names)
    stores = [open_store(url) for _name in names]
    ledgers = [
        BudgetLedger(store.claims, records, name, clock=clock, timing=timing, budgets=budgets)
        for store, name in zip(stores, names, strict=True)
    ]
    for ledger in ledgers:
        ledger.start()
    try:
        await until_open(stores[0])
        yield ledgers, records, stores
    finally:
        for ledger, store in zip(ledgers, stores, strict=True):
            await ledger.close()
            await store.close()


async def until_open(store: CounterStore) -> None:
    """Return when the store's epoch is open."""
    until = time.monotonic() + PATIENT_S
    while (epoch := await store.claims.epoch(deadline_s=PATIENT_S)) is None or not epoch.is_open:
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


async def until(what: Callable[[], object]) -> None:
    """Return when it is so."""
    end = time.monotonic() + PATIENT_S
    while not what():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def as_the_store_has_it(store: CounterStore, of: Scope, at_ms: int | None = None) -> Given:
    """The first budget of a scope, asked by a stranger who has nothing."""
    limit = of.limits[0]
    first = first_day(limit.window, local_day(of.zone, now_ms() if at_ms is None else at_ms))
    fund = Fund(fund_name(of.key, limit.window, first, limit.unit), limit.limit, 0, 3600.0)
    return (await store.claims.claim(STRANGER, [Ask(fund, 0, 0)], 1, deadline_s=PATIENT_S))[0]


def usd(amount: int) -> Amounts:
    return Amounts(amount)


async def refusal_of(
    ledger: BudgetLedger, scopes: Sequence[Scope], worst: Amounts, least: Amounts | None = None
) -> Refusal:
    with pytest.raises(BudgetRefused) as caught:
        await ledger.hold(scopes, worst, now_ms(), least=least)
    return caught.value.refusal


def is_told(ledger: BudgetLedger) -> bool:
    """Whether the store has heard of everything."""
    return all((a.spent, a.held) == (a.told, a.kept) for a in ledger._allotments.values())
