"""Nano-USD: exact where they can be, rounded up once where they cannot, shown without an exponent."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrouter.lib.money import nusd_of, show_usd, usd_of

AMOUNTS = st.decimals(0, 10**9, allow_nan=False, places=15)


@given(AMOUNTS)
def test_rounding_goes_up_and_by_less_than_one(amount: Decimal) -> None:
    gap = Fraction(nusd_of(amount)) - Fraction(amount) * 10**9

    assert 0 <= gap < 1


@given(st.integers(-(10**18), 10**18))
def test_whole_nano_usd_survive_the_way_there_and_back(nusd: int) -> None:
    assert nusd_of(usd_of(nusd)) == nusd


@pytest.mark.parametrize(
    ("amount", "nusd"),
    [("0", 0), ("0.0000000001", 1), ("0.000000001", 1), ("0.0000000010000001", 2), ("1", 10**9), ("-0.0000000015", -1)],
)
def test_a_fraction_of_a_nano_usd_is_never_given_away(amount: str, nusd: int) -> None:
    assert nusd_of(Decimal(amount)) == nusd


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (13_500, "$0.0000135"),
        (500_000_000, "$0.50"),
        (1_000_000_000, "$1.00"),
        (1_234_567_000_000_000, "$1,234,567.00"),
        (-1_500_000_000, "-$1.50"),
        (None, "-"),
    ],
)
def test_people_read_dollars(nusd: int | None, text: str) -> None:
    assert show_usd(nusd) == text
