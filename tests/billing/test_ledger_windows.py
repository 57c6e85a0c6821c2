"""Days, weeks and months of a scope's own zone: when they begin anew, and to which one a request belongs."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from billing.funds import spent_by_fund
from billing.ledger import BudgetRefused, Refusal
from billing.ledger_process import BudgetLedger
from billing.scopes import Amounts, Scope
from billing.tallies import UNTOUCHED_MS, UNUSED_MS
from tests.billing.ledgers import HASTY, PATIENT, HandWritten, as_the_store_has_it, budget, opened, scope, until, usd

pytestmark = pytest.mark.asyncio

BERLIN, SAO_PAULO, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo"), ZoneInfo("America/Havana")
SHANGHAI = ZoneInfo("Asia/Shanghai")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


async def refused_at(ledger: BudgetLedger, of: Scope, at_ms: int) -> Refusal:
    with pytest.raises(BudgetRefused) as caught:
        await ledger.hold([of], usd(1), at_ms)
    return caught.value.refusal


@pytest.mark.parametrize(
    ("zone", "window", "begins", "ends"),
    [
        (BERLIN, "day", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        (BERLIN, "day", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
        (SAO_PAULO, "day", "2018-11-04T03:00", "2018-11-05T02:00"),  # begins at 1 o'clock
        (SAO_PAULO, "day", "2019-02-16T02:00", "2019-02-17T03:00"),  # its last hour comes twice
        (HAVANA, "day", "2026-11-01T04:00", "2026-11-02T05:00"),  # its first hour comes twice
        (SHANGHAI, "week", "2026-03-01T16:00", "2026-03-08T16:00"),  # Monday, local time
        (BERLIN, "week", "2026-03-22T23:00", "2026-03-29T22:00"),
        (SHANGHAI, "month", "2026-01-31T16:00", "2026-02-28T16:00"),
        (BERLIN, "month", "2026-09-30T22:00", "2026-10-31T23:00"),
        (BERLIN, "month", "2025-11-30T23:00", "2025-12-31T23:00"),
    ],
)
async def test_a_window_begins_anew_on_its_zones_clock(zone: ZoneInfo, window: str, begins: str, ends: str) -> None:
    of, first, end = scope(budget(10, window=window), zone=zone), ms(begins), ms(ends)
    moment = [first - 1]
    async with opened("", clock=lambda: moment[0]) as ((ledger,), _records, _stores):
        (await ledger.hold([of], usd(10), first - 1)).settle(usd(10))
        assert (await refused_at(ledger, of, first - 1)).resets_ms == first
        moment[0] = first
        (await ledger.hold([of], usd(10), first)).settle(usd(10))
        assert (await refused_at(ledger, of, first)).resets_ms == end
        moment[0] = end - 1
        assert (await refused_at(ledger, of, end - 1)).left == 0
        moment[0] = end
        hold = await ledger.hold([of], usd(10), end)

        assert hold.days == (("tenant:1", datetime.fromtimestamp(end / 1000, zone).toordinal()),)


async def test_what_has_no_window_never_begins_anew() -> None:
    of = scope(budget(10, window="total"), zone=BERLIN)
    async with opened("") as ((ledger,), _records, _stores):
        (await ledger.hold([of], usd(10), ms("2026-01-01T12:00"))).settle(usd(10))

        assert (await refused_at(ledger, of, ms("2031-01-01T12:00"))).resets_ms is None


async def test_a_late_settlement_belongs_to_the_window_of_its_admission() -> None:
    of = scope(budget(100), budget(1000, window="month"), zone=BERLIN)
    before, after = ms("2026-03-29T21:59"), ms("2026-03-29T22:01")
    async with opened("", clock=lambda: before) as ((ledger,), _records, (store,)):
        late = await ledger.hold([of], usd(60), before)
        (await ledger.hold([of], usd(100), after)).settle(usd(100))
        later = await ledger.hold([of], usd(40), before)  # admitted before midnight, held after it
        late.settle(usd(55))
        later.settle(usd(40))
        refusal = await refused_at(ledger, of, after)

        assert (await refused_of_five_at(ledger, of, before)).left == 5
        assert refusal.limit.window == "day"
        assert (await as_the_store_has_it(store, of, after)).spent == 100
        [_day, month] = await ledger.standings([of], after)
        assert (month.spent, month.held, month.resets_ms) == (195, 0, ms("2026-03-31T22:00"))


async def refused_of_five_at(ledger: BudgetLedger, of: Scope, at_ms: int) -> Refusal:
    with pytest.raises(BudgetRefused) as caught:
        await ledger.hold([of], usd(6), at_ms)
    return caught.value.refusal


async def test_what_was_used_before_there_was_a_budget_counts_in_each_window() -> None:
    bare, moments = scope(zone=BERLIN), ["2026-02-27T12:00", "2026-03-02T12:00", "2026-03-04T12:00", "2026-03-05T12:00"]
    async with opened("") as ((ledger,), _records, _stores):
        for number, text in enumerate(moments):
            hold = ledger.try_hold([bare], usd(0), ms(text))
            assert hold is not None
            hold.settle(usd(10**number))
        windows = [budget(10_000, window=window) for window in ("day", "week", "month", "total")]
        standings = await ledger.standings([scope(*windows, zone=BERLIN)], ms(moments[-1]))

        assert [standing.spent for standing in standings] == [1000, 1110, 1110, 1111]


async def test_scopes_in_other_zones_have_days_of_their_own() -> None:
    east, west = scope(budget(10), key="tenant:1", zone=SHANGHAI), scope(budget(10), key="tenant:2", zone=SAO_PAULO)
    at = ms("2026-03-01T16:30")
    async with opened("") as ((ledger,), _records, _stores):
        hold = await ledger.hold([east, west], usd(10), at)

        assert hold.days == (
            ("tenant:1", date(2026, 3, 2).toordinal()),
            ("tenant:2", date(2026, 3, 1).toordinal()),
        )


async def test_what_is_long_over_is_dropped_and_what_was_spent_is_not() -> None:
    spent, unused = scope(budget(100), budget(100, window="total")), scope(key="end_user:1:x")
    moment = [ms("2026-03-01T12:00")]
    async with opened("", clock=lambda: moment[0], records=HandWritten()) as ((ledger,), _records, _stores):
        (await ledger.hold([spent, unused], usd(10), moment[0])).release()
        (await ledger.hold([spent], usd(10), moment[0])).settle(usd(10))
        moment[0] += UNTOUCHED_MS + 2 * 86_400_000
        await until(lambda: len(ledger._allotments) == 1 and "end_user:1:x" not in ledger._pages)

        (await ledger.hold([spent], usd(90), moment[0])).release()
        with pytest.raises(BudgetRefused) as caught:
            await ledger.hold([spent], usd(91), moment[0])
        assert caught.value.refusal.limit.window == "total"
    assert PATIENT.sweep_s < 1


async def test_an_unused_page_is_dropped_soon_and_its_budget_is_kept_all_the_same() -> None:
    of, moment = scope(budget(100, window="month"), key="end_user:1:x"), [ms("2026-03-03T12:00")]
    async with opened("", clock=lambda: moment[0], timing=HASTY) as ((ledger,), _records, _stores):
        (await ledger.hold([of], usd(10), moment[0])).release()
        moment[0] += UNUSED_MS + 1
        await until(lambda: not ledger._pages and not ledger._allotments)

        (await ledger.hold([of], usd(60), moment[0])).settle(usd(60))
        refusal = await refused_of(ledger, of, usd(41), moment[0])

        assert refusal.left == 40


async def test_a_budget_counts_what_is_used_after_its_unused_page_was_dropped() -> None:
    """What this process has of it may outlive the page."""
    of, moment = scope(budget(100, window="month")), [ms("2026-03-03T12:00")]
    async with opened("", clock=lambda: moment[0]) as ((ledger,), _records, _stores):
        (await ledger.hold([of], usd(10), moment[0])).release()
        moment[0] += UNTOUCHED_MS + 2 * 86_400_000
        await until(lambda: not ledger._pages)
        assert ledger._allotments  # its claim is given back after some seconds only

        (await ledger.hold([of], usd(60), moment[0])).settle(usd(60))
        refusal = await refused_of(ledger, of, usd(41), moment[0])

        assert refusal.left == 40
        assert [a.spent for a in ledger._allotments.values()] == [60]


async def test_a_page_is_kept_while_something_is_held_however_little() -> None:
    of, moment = scope(key="end_user:1:x"), [ms("2026-03-03T12:00")]
    with_budget = scope(budget(100), key="end_user:1:x")
    async with opened("", clock=lambda: moment[0], timing=HASTY) as ((ledger,), _records, _stores):
        running = ledger.try_hold([of], usd(0), moment[0])
        assert running is not None
        other = ledger.try_hold([scope(key="end_user:1:y")], usd(0), moment[0])
        assert other is not None
        other.release()
        moment[0] += UNUSED_MS + 1
        await until(lambda: len(ledger._pages) == 1)
        running.settle(usd(30))

        assert (await refused_of(ledger, with_budget, usd(71), moment[0])).left == 70


async def refused_of(ledger: BudgetLedger, of: Scope, worst: Amounts, at_ms: int) -> Refusal:
    with pytest.raises(BudgetRefused) as caught:
        await ledger.hold([of], worst, at_ms)
    return caught.value.refusal


async def test_the_days_of_a_process_that_has_ended_are_put_together_by_the_funds_of_its_budgets() -> None:
    rows = [
        ("tenant:1", date(2025, 3, 1), 5, 50, 500),
        ("tenant:1", date(2026, 3, 1), 1, 10, 100),
        ("tenant:1", date(2026, 3, 2), 2, 20, 200),
        ("tenant:2", date(2026, 3, 2), 3, 30, 300),
    ]
    windows = [("usd", "day"), ("tokens", "week"), ("requests", "month"), ("usd", "total")]
    limits = {"tenant:1": tuple(budget(1, unit=unit, window=window) for unit, window in windows)}

    found = spent_by_fund(rows, lambda key: limits.get(key, ()), date(2026, 3, 6))

    assert found == {
        "tenant:1|day|2026-03-02|usd": 2,
        "tenant:1|week|2026-03-02|tokens": 20,
        "tenant:1|month|2026-03-01|requests": 300,
        "tenant:1|total|1970-01-01|usd": 8,
    }  # a day that ended a while ago, and who has no budget, is nobody's question any more
