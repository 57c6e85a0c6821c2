"""What an answer costs, against numbers worked out by hand, and the fast way against the exact one."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pricing import cost_of, exact_cost_of, price_snapshot, split
from providers.prices import FREE, SORTS, Rates, check_tiers, check_windows
from providers.usage import Usage
from smartrouter.lib.money import nusd_of


def usd(text: str) -> int:
    return nusd_of(Decimal(text))


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


GPT_4O = Rates(input=Decimal("2.50"), output=Decimal("10"), cache_read=Decimal("1.25"))
GEMINI_PRO = Rates(
    input=Decimal("1.25"),
    output=Decimal("10"),
    tiers=check_tiers([{"min_prompt_tokens": 200_000, "input": "2.50", "output": "15"}]),
)
CLAUDE = Rates(
    input=Decimal(3),
    output=Decimal(15),
    cache_read=Decimal("0.30"),
    cache_write=Decimal("3.75"),
    cache_write_1h=Decimal(6),
)
# Peak prices on weekdays, 01:00 to 04:00 UTC; night prices over midnight from Friday 22:00 and Saturday 22:00.
DEEPSEEK = Rates(
    input=Decimal("0.2"),
    output=Decimal("0.4"),
    windows=check_windows(
        [
            {"days": [0, 1, 2, 3, 4], "start": "01:00", "end": "04:00", "input": "0.4", "output": "0.8"},
            {"days": [4, 5], "start": "22:00", "end": "06:00", "input": "0.1", "output": "0.1"},
        ]
    ),
)
ODD = Rates(input=Decimal("0.07"), output=Decimal("0.07"), per_request=Decimal("0.005"))

CASES = {
    "cached tokens cost less": (Usage(100_000, 0, cached_tokens=90_000), GPT_4O, "0.1375"),
    "cached without a price costs as input": (Usage(100_000, 0, cached_tokens=90_000), GEMINI_PRO, "0.125"),
    "150k prompt stays in the first tier": (Usage(150_000, 0), GEMINI_PRO, "0.1875"),
    "250k prompt moves the whole request": (Usage(250_000, 1_000), GEMINI_PRO, "0.64"),
    "a tier begins above its number": (Usage(200_000, 0), GEMINI_PRO, "0.25"),
    "cache writes of two lifetimes": (
        Usage(10_000, 100, cached_tokens=1_000, cache_write_tokens=5_000, cache_write_1h_tokens=2_000),
        CLAUDE,
        "0.03705",  # 4000 x 3 + 1000 x .3 + 3000 x 3.75 + 2000 x 6 + 100 x 15
    ),
    "reasoning has its own price": (
        Usage(0, 1_000, reasoning_tokens=600),
        replace(GPT_4O, reasoning=Decimal(20)),
        "0.016",
    ),
    "reasoning without a price costs as output": (Usage(0, 1_000, reasoning_tokens=600), GPT_4O, "0.01"),
    "audio and images": (
        Usage(1_000, 500, audio_input_tokens=300, image_tokens=200, audio_output_tokens=100),
        replace(GPT_4O, audio_input=Decimal(40), audio_output=Decimal(80), image_input=Decimal(5)),
        "0.02625",  # 500 x 2.5 + 300 x 40 + 200 x 5 + 400 x 10 + 100 x 80
    ),
    "a flat price for each request": (Usage(0, 0), ODD, "0.005"),
    "nothing used costs nothing": (Usage(0, 0), GPT_4O, "0"),
    "free is zero": (Usage(10_000, 10_000), FREE, "0"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_usage_costs_what_the_price_list_says(name: str) -> None:
    usage, rates, expected = CASES[name]

    assert cost_of(usage, rates, None, 0) == usd(expected)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-18T01:00", "0.0048"),  # Wednesday, the first minute of the peak
        ("2026-11-18T03:59", "0.0048"),
        ("2026-11-18T04:00", "0.0024"),  # the end is exclusive
        ("2026-11-18T12:00", "0.0024"),
        ("2026-11-22T03:00", "0.0011"),  # Sunday: no peak, but Saturday's night still runs
        ("2026-11-20T23:00", "0.0011"),  # Friday night
        ("2026-11-21T05:59", "0.0011"),  # Saturday morning belongs to Friday's night
        ("2026-11-21T06:00", "0.0024"),
        ("2026-11-22T23:00", "0.0024"),  # Sunday night has no window
    ],
)
def test_prices_follow_the_hour_and_the_weekday(moment: str, expected: str) -> None:
    assert cost_of(Usage(10_000, 1_000), DEEPSEEK, None, ms(moment)) == usd(expected)


def test_a_window_is_read_in_its_own_zone() -> None:
    windows = check_windows([{"days": [0], "start": "09:00", "end": "10:00", "tz": "Asia/Shanghai", "input": "5"}])
    rates = Rates(input=Decimal(1), output=Decimal(1), windows=windows)

    assert cost_of(Usage(1_000_000), rates, None, ms("2026-11-23T01:30")) == usd("5")  # Monday 09:30 there
    assert cost_of(Usage(1_000_000), rates, None, ms("2026-11-23T09:30")) == usd("1")


def test_another_currency_needs_its_exchange_rate() -> None:
    rates = Rates(currency="CNY", input=Decimal(2), output=Decimal(8))
    usage = Usage(1_000, 500)

    assert cost_of(usage, rates, Decimal("0.1387"), 0) == usd("0.0008322")
    assert cost_of(usage, rates, None, 0) is None
    assert cost_of(usage, rates, Decimal(0), 0) is None
    assert exact_cost_of(usage, rates, None) is None


def test_an_unknown_price_is_never_zero() -> None:
    usage = Usage(1_000, 1_000)

    assert cost_of(usage, None, None, 0) is None
    assert cost_of(usage, Rates(), None, 0) is None
    assert cost_of(usage, Rates(input=Decimal(1)), None, 0) is None
    assert cost_of(usage, Rates(output=Decimal(1)), None, 0) is None
    assert cost_of(Usage(0, 0), Rates(per_request=Decimal(1)), None, 0) is None


def test_the_sum_is_rounded_up_once() -> None:
    rates = Rates(input=Decimal("0.0001"), output=Decimal("0.0001"), cache_read=Decimal("0.0001"))

    # A token of each costs 0.1 nano-USD; rounding each line would make 3 of them.
    assert cost_of(Usage(2, 1, cached_tokens=1), rates, None, 0) == 1
    assert cost_of(Usage(20, 1), rates, None, 0) == 3


def test_a_lying_upstream_makes_no_line_negative() -> None:
    lies = Usage(
        100,
        50,
        cached_tokens=80,
        cache_write_tokens=80,
        cache_write_1h_tokens=500,
        reasoning_tokens=70,
        audio_output_tokens=-5,
        image_tokens=90,
    )

    # 80 cached, the other 20 written for an hour; 50 reasoning.
    assert split(lies) == (0, 0, 80, 0, 20, 50, 0, 0, 0)
    assert cost_of(lies, CLAUDE, None, 0) == nusd_of(Decimal("0.000894"))
    assert cost_of(Usage(-100, -1, cached_tokens=-7), GPT_4O, None, 0) == 0


def test_the_snapshot_says_which_rates_were_used() -> None:
    resolved = GEMINI_PRO.resolved(250_000, 0)

    assert price_snapshot(resolved, None) == {"currency": "USD", "input": "2.5", "output": "15"}
    assert price_snapshot(
        Rates(currency="CNY", input=Decimal("0.150000000"), output=Decimal(0)), Decimal("0.1387")
    ) == {
        "currency": "CNY",
        "input": "0.15",
        "output": "0",
        "usd_per_unit": "0.1387",
    }


def test_a_changed_snapshot_changes_no_other() -> None:
    price_snapshot(GPT_4O, None)["input"] = "0"

    assert price_snapshot(GPT_4O, None)["input"] == "2.5"


@pytest.mark.parametrize("price", ["0.1234567891", "100000000000", "-1", "NaN", "1e400"])
def test_a_price_that_no_column_holds_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="price"):
        check_tiers([{"min_prompt_tokens": 1, "input": price}])


prices = st.decimals(min_value=0, max_value=Decimal(10) ** 6, places=9)
fine_prices = st.one_of(prices, st.decimals(min_value=0, max_value=1000, places=14))
counts = st.integers(min_value=-10, max_value=2**31)
usages = st.builds(Usage, *[counts] * 9)


def rates_of(price: st.SearchStrategy[Decimal]) -> st.SearchStrategy[Rates]:
    optional = {sort: st.none() | price for sort in SORTS[2:]}
    return st.builds(Rates, currency=st.sampled_from(["USD", "CNY"]), input=price, output=price, **optional)


@settings(max_examples=500, deadline=None)
@given(usage=usages, rates=rates_of(prices), rate=st.decimals(min_value=Decimal("1e-10"), max_value=1000, places=10))
def test_the_fast_way_and_the_exact_way_agree(usage: Usage, rates: Rates, rate: Decimal) -> None:
    assert rates.femto is not None

    assert cost_of(usage, rates, rate, 0) == exact_cost_of(usage, rates, rate)


@settings(max_examples=300, deadline=None)
@given(usage=usages, rates=rates_of(fine_prices), rate=st.decimals(min_value=Decimal("1e-10"), max_value=9, places=10))
def test_the_cost_is_the_true_sum_rounded_up(usage: Usage, rates: Rates, rate: Decimal) -> None:
    filled = rates.filled()
    assert filled is not None
    true_sum = sum((Fraction(price) * count for price, count in zip(filled, split(usage), strict=False)), Fraction(0))
    true_nusd = (
        (true_sum / 1_000_000 + Fraction(filled[-1])) * 10**9 * (1 if rates.currency == "USD" else Fraction(rate))
    )

    assert cost_of(usage, rates, rate, 0) == ceil(true_nusd)


@settings(max_examples=300, deadline=None)
@given(usage=usages)
def test_every_token_is_counted_in_one_sort(usage: Usage) -> None:
    plain_in, plain_out, cached, written, written_1h, reasoning, audio_in, audio_out, image = split(usage)

    assert min(split(usage)) >= 0
    assert plain_in + cached + written + written_1h + audio_in + image == max(usage.prompt_tokens, 0)
    assert plain_out + reasoning + audio_out == max(usage.completion_tokens, 0)
