"""What a request can cost at most is never less than what it comes to."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pricing import cost_of
from billing.worst_case import Bound, output_for, worst_cost
from providers.prices import Rates, Tier, check_windows
from providers.usage import Usage

NOON_MS = 1_795_262_400_000
PRICES = st.decimals(min_value=0, max_value=1000, places=9)
OPTIONAL = st.none() | PRICES


@st.composite
def rates(draw: Any) -> Rates:
    """Rates with everything that can make a request dearer: sorts, tiers that go up or down, windows, currencies."""
    sorts = {
        name: draw(OPTIONAL)
        for name in (
            "cache_read",
            "cache_write",
            "cache_write_1h",
            "reasoning",
            "audio_input",
            "audio_output",
            "image_input",
        )
    }
    tiers = tuple(
        Tier(least, {"input": draw(PRICES), "output": draw(PRICES)})
        for least in draw(st.lists(st.integers(0, 5000), max_size=3, unique=True))
    )
    windows = check_windows([{"start": "00:00", "end": "23:59", "input": "7"}]) if draw(st.booleans()) else ()
    return Rates(
        currency=draw(st.sampled_from(["USD", "CNY"])),
        input=draw(PRICES),
        output=draw(PRICES),
        per_request=draw(OPTIONAL),
        tiers=tiers,
        windows=windows,
        **sorts,
    )


@settings(max_examples=400, deadline=None)
@given(rates(), st.integers(1, 6000), st.integers(1, 3000), st.booleans(), st.data())
def test_no_usage_within_the_bound_costs_more(
    price: Rates, prompt: int, output: int, has_media: bool, data: st.DataObject
) -> None:
    usd = Decimal("0.1389")
    worst = worst_cost(Bound(prompt, output, has_media), price, usd, NOON_MS)
    used = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, output))
    usage = Usage(
        used,
        written,
        cached_tokens=data.draw(st.integers(0, used)),
        cache_write_tokens=data.draw(st.integers(0, used)),
        cache_write_1h_tokens=data.draw(st.integers(0, used)),
        reasoning_tokens=data.draw(st.integers(0, written)),
        image_tokens=data.draw(st.integers(0, used)) if has_media else 0,
        audio_input_tokens=data.draw(st.integers(0, used)) if has_media else 0,
        audio_output_tokens=data.draw(st.integers(0, written)) if has_media else 0,
    )

    cost = cost_of(usage, price, usd, NOON_MS)

    assert worst is not None
    assert cost is not None
    assert cost <= worst


@settings(max_examples=300, deadline=None)
@given(rates(), st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 10**10))
def test_what_money_buys_costs_no_more_than_it(price: Rates, prompt: int, output: int, money: int) -> None:
    usd = Decimal("0.1389")

    bought = output_for(money, Bound(prompt, output), price, usd, NOON_MS)

    if bought >= 0:
        worst = worst_cost(Bound(prompt, bought), price, usd, NOON_MS)
        assert worst is not None
        assert worst <= money
        assert bought <= output
        if bought < output:
            one_more = worst_cost(Bound(prompt, bought + 1), price, usd, NOON_MS)
            assert one_more is not None
            assert one_more > money - 1


def test_an_unknown_price_has_no_worst_case() -> None:
    assert worst_cost(Bound(1, 1), None, None, NOON_MS) is None
    assert worst_cost(Bound(1, 1), Rates(input=Decimal(1)), None, NOON_MS) is None
    assert worst_cost(Bound(1, 1), Rates(currency="EUR", input=Decimal(1), output=Decimal(1)), None, NOON_MS) is None


def test_a_smaller_prompt_may_be_the_dearer_one() -> None:
    falling = Rates(
        input=Decimal(10), output=Decimal(10), tiers=(Tier(1000, {"input": Decimal(1), "output": Decimal(1)}),)
    )

    assert worst_cost(Bound(2000, 0), falling, None, NOON_MS) == 2000 * 10_000
