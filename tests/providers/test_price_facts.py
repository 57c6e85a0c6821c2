"""The quick numbers agree with the bill, and hold exactly as long as they say."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pricing import cost_of
from providers.price_facts import FOREVER_MS, PriceFacts, next_edge_ms, price_facts
from providers.prices import FREE, Rates, Tier, Window, rates_at
from providers.usage import Usage

HOUR_MS = 3_600_000
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago")
# Around both changes of the clocks of most of these zones, and the end of a leap day.
DAYS = ("2024-02-29", "2024-03-09", "2024-03-30", "2024-04-06", "2024-09-07", "2024-10-26", "2024-11-02", "2024-12-31")


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


amounts = st.one_of(st.just(Decimal(0)), st.decimals(0, 200, places=4))
prices = st.dictionaries(st.sampled_from(["input", "output", "per_request"]), amounts, min_size=1)
moments = st.builds(lambda day, offset: ms(day) + offset, st.sampled_from(DAYS), st.integers(0, 72 * HOUR_MS))
clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 0, 30, 59]))
windows = st.builds(
    Window,
    st.frozensets(st.integers(0, 6), min_size=1),
    clocks,
    clocks,
    st.sampled_from(ZONES).map(ZoneInfo),
    prices,
)
tiers = st.builds(Tier, st.sampled_from([0, 1, 999, 1000, 128_000]), prices)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    return Rates(
        currency=draw(st.sampled_from(["USD", "CNY"])),
        input=draw(st.one_of(st.none(), amounts)),
        output=draw(amounts),
        cache_read=draw(st.one_of(st.none(), amounts)),
        per_request=draw(st.one_of(st.none(), amounts)),
        tiers=tuple(draw(st.lists(tiers, max_size=3))),
        windows=tuple(draw(st.lists(windows, max_size=2))),
        effective_from_ms=draw(st.one_of(st.just(0), moments)),
    )


exchanges = st.lists(st.tuples(moments, st.decimals(0, 9, places=4)), max_size=2)


def read_exchange(history: Sequence[tuple[int, Decimal]], at_ms: int) -> tuple[Decimal | None, int]:
    begun = [entry for entry in history if entry[0] <= at_ms]
    later = min((begins for begins, _usd in history if begins > at_ms), default=FOREVER_MS)
    return (max(begun, key=lambda entry: entry[0])[1] if begun else None), later


@given(
    st.lists(rates(), max_size=2),
    st.lists(rates(), max_size=2),
    st.booleans(),
    exchanges,
    moments,
    st.floats(0, 1),
    st.tuples(st.sampled_from([0, 1, 2, 1000, 1001, 128_000, 128_001, 500_000]), st.integers(0, 100_000)),
)
@settings(max_examples=400, deadline=None)
def test_facts_agree_with_the_bill_from_now_until_they_end(
    own: list[Rates],
    listed: list[Rates],
    is_free: bool,
    history: list[tuple[int, Decimal]],
    at_ms: int,
    part: float,
    size: tuple[int, int],
) -> None:
    def facts_at(moment: int) -> tuple[PriceFacts | None, int]:
        return price_facts(
            own, listed, is_free=is_free, at_ms=moment, exchange=lambda currency, at: read_exchange(history, at)
        )

    facts, until_ms = facts_at(at_ms)
    assert until_ms > at_ms and (facts is None or facts.until_ms == until_ms)
    last = min(until_ms, at_ms + 80 * HOUR_MS) - 1

    for moment in (at_ms, at_ms + int((last - at_ms) * part), last):
        assert facts_at(moment)[0] == facts
        in_force = rates_at(own, moment) or rates_at(listed, moment) or (FREE if is_free else None)
        usd = read_exchange(history, moment)[0]
        bill = cost_of(Usage(*size), in_force, usd, moment)
        if facts is not None:
            assert bill is not None
            assert facts.usd(*size) == pytest.approx(bill / 10**9, rel=1e-9, abs=1.1e-9)
            assert not facts.is_free or bill == 0
        elif bill is not None:
            # a price that only a tier knows is not known for every prompt
            assert in_force is not None and in_force.resolved(0, moment).filled() is None


def facts_of(one: Rates, at_ms: int = 0) -> PriceFacts:
    found, _until_ms = price_facts([one], [], is_free=False, at_ms=at_ms, exchange=lambda c, at: (None, FOREVER_MS))
    assert found is not None
    return found


def rated(given: int, taken: int, **more: object) -> Rates:
    return Rates(input=Decimal(given), output=Decimal(taken), **more)  # type: ignore[arg-type]  # a test's short way


def test_what_one_tier_one_sort_or_each_request_costs_is_not_free() -> None:
    cases = {
        "nothing": rated(0, 0),
        "a tier": rated(0, 0, tiers=(Tier(200_000, {"output": Decimal(1)}),)),
        "a sort": rated(0, 0, cache_write=Decimal(1)),
        "a request": rated(0, 0, per_request=Decimal(1)),
    }

    assert {name: facts_of(one).is_free for name, one in cases.items()} == {
        "nothing": True, "a tier": False, "a sort": False, "a request": False,
    }  # fmt: skip


def test_a_window_makes_a_model_free_for_its_hours() -> None:
    night = Window(
        frozenset(range(7)), time(22), time(6), ZoneInfo("Asia/Shanghai"), {"input": Decimal(0), "output": Decimal(0)}
    )
    one = rated(1, 2, windows=(night,))

    facts = [
        facts_of(one, ms(f"2024-05-06 {clock}", "Asia/Shanghai"))
        for clock in ("21:59", "22:00", "00:00", "05:59", "06:00")
    ]

    assert [found.is_free for found in facts] == [False, True, True, True, False]
    ends = [datetime.fromtimestamp(found.until_ms / 1000, night.zone).strftime("%H:%M") for found in facts]
    assert ends == ["22:00", "00:00", "06:00", "06:00", "22:00"]


def test_a_filter_judges_by_a_prompt_of_a_thousand_tokens_and_to_the_last_digit() -> None:
    small, dear = Tier(500, {"input": Decimal(3)}), Tier(1000, {"input": Decimal(9)})

    assert facts_of(rated(1, 2, tiers=(small, dear))).per_1k == 0.003
    for price in ("0.15", "0.07", "1.1", "0.29", "2.19"):
        assert facts_of(Rates(input=Decimal(price), output=Decimal(price))).per_1k == float(Decimal(price) / 1000)


@pytest.mark.parametrize(
    ("zone", "start", "end", "at", "edge"),
    [
        # the clocks go from 02:00 to 03:00: a window from 02:30 begins at 03:00, which is when 02:30 is past
        ("Europe/Berlin", "02:30", "04:00", "2024-03-31T00:30:00+00:00", "2024-03-31T01:00:00+00:00"),
        # they go back from 03:00 to 02:00: it ends then, and begins once more
        ("Europe/Berlin", "02:30", "04:00", "2024-10-27T00:30:00+00:00", "2024-10-27T01:00:00+00:00"),
        ("Europe/Berlin", "02:30", "04:00", "2024-10-27T01:00:00+00:00", "2024-10-27T01:30:00+00:00"),
        ("Europe/Berlin", "02:30", "04:00", "2024-10-27T01:30:00+00:00", "2024-10-27T03:00:00+00:00"),
        ("Asia/Shanghai", "09:00", "18:00", "2024-05-06T00:00:00+00:00", "2024-05-06T01:00:00+00:00"),
        ("Asia/Shanghai", "00:00", "00:00", "2024-05-06T00:00:00+00:00", "2024-05-06T16:00:00+00:00"),
    ],
)
def test_where_a_window_may_begin_or_end_next(zone: str, start: str, end: str, at: str, edge: str) -> None:
    window = Window(frozenset(range(7)), time.fromisoformat(start), time.fromisoformat(end), ZoneInfo(zone), {})

    found = next_edge_ms(window, int(datetime.fromisoformat(at).timestamp() * 1000))

    assert datetime.fromtimestamp(found / 1000, UTC).isoformat() == edge


@given(windows, moments)
@settings(max_examples=300, deadline=None)
def test_a_window_holds_or_does_not_until_its_next_edge(window: Window, at_ms: int) -> None:
    edge_ms = next_edge_ms(window, at_ms)
    holds = window.holds_at(datetime.fromtimestamp(at_ms / 1000, UTC))

    assert edge_ms > at_ms
    for step in range(50):
        moment = at_ms + (edge_ms - 1 - at_ms) * step // 49
        assert window.holds_at(datetime.fromtimestamp(moment / 1000, UTC)) is holds
