"""What the database says of budgets: sums by process, and nothing while records of an ended process are on their way."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import pytest
from django.db import connections

from billing.budgets import NO_PROCESS
from billing.fund_records import FundRecords, RecordsBehind, read_spent
from billing.funds import Roster, Spending
from billing.models import ScopeUsage
from smartrouter.lib.counters import SourceUnavailable

pytestmark = pytest.mark.django_db(transaction=True)
ONE, TWO = uuid.uuid4(), uuid.uuid4()


@dataclass
class Process:
    is_live: bool = True
    is_lost: bool = False
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)


@pytest.fixture(autouse=True)
def usage() -> Iterator[None]:
    for scope, day, process, money, tokens, requests in [
        ("tenant:1", date(2026, 3, 1), ONE, 1, 10, 100),
        ("tenant:1", date(2026, 3, 2), ONE, 2, 20, 200),
        ("tenant:1", date(2026, 3, 2), TWO, 4, 40, 400),
        ("tenant:1", date(2026, 3, 3), NO_PROCESS, 8, 80, 800),
        ("tenant:11", date(2026, 3, 2), ONE, 9999, 9999, 9999),
    ]:
        ScopeUsage.objects.create(
            scope=scope, day=day, process=process, money_nusd=money, tokens=tokens, requests=requests
        )
    yield
    connections.close_all()


def test_each_process_has_its_sum_of_the_days_of_a_window() -> None:
    day = Spending("tenant:1", date(2026, 3, 2), date(2026, 3, 3), "usd")
    week = Spending("tenant:1", date(2026, 2, 23), date(2026, 3, 2), "tokens")
    ever = Spending("tenant:1", date(1970, 1, 1), None, "requests")

    assert read_spent(day) == {ONE.hex: 2, TWO.hex: 4}
    assert read_spent(week) == {ONE.hex: 10}
    assert read_spent(ever) == {ONE.hex: 300, TWO.hex: 400, NO_PROCESS.hex: 800}
    assert read_spent(Spending("tenant:2", date(1970, 1, 1), None, "usd")) == {}


def test_reading_waits_for_processes_that_have_ended_unless_they_were_released() -> None:
    register = [Process(), Process(is_live=False, is_lost=True)]
    day = Spending("tenant:1", date(2026, 3, 2), date(2026, 3, 3), "usd")
    asked_in: set[str] = set()

    def processes() -> list[Process]:
        asked_in.add(threading.current_thread().name)
        return list(register)

    async def ask() -> None:
        records = FundRecords(processes)
        assert await records.read_spent([day, day]) == [{ONE.hex: 2, TWO.hex: 4}] * 2
        assert await records.read_roster() == Roster(frozenset({register[0].uid}), frozenset())
        register.append(Process(is_live=False))
        with pytest.raises(RecordsBehind):
            await records.read_spent([day])
        assert (await records.read_roster()).ended == {register[2].uid}
        register.pop()
        assert await records.read_spent([day]) == [{ONE.hex: 2, TWO.hex: 4}]
        await records.close()

    asyncio.run(ask())
    assert asked_in == {"fund-records"}
    assert issubclass(RecordsBehind, SourceUnavailable)
