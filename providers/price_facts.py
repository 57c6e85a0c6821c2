"""Hot path. What a candidate costs now, as numbers that are quick to compare: for choosing, never for billing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from providers.prices import FREE, Rates, Window, rates_at

FOREVER_MS = 2**62
_EPOCH, _MS = datetime.fromtimestamp(0, UTC), timedelta(milliseconds=1)
# The prompt by whose price a group's filter judges.
FILTER_TOKENS = 1000
# USD for one input token, one output token, one request
Vector = tuple[float, float, float]
# (currency, moment) -> what one unit of it is worth in USD then, None where that is not known; and until when
Exchange = Callable[[str, int], tuple[Decimal | None, int]]


@dataclass(frozen=True, slots=True)
class PriceFacts:
    """The price from a moment until until_ms, in USD. tiers: above so many prompt tokens another vector, largest first.

    per_1k: the dearer of 1,000 input and 1,000 output tokens. is_free: nothing costs anything, in no tier either.
    """

    flat: Vector
    per_1k: float
    is_free: bool
    until_ms: int = FOREVER_MS
    tiers: tuple[tuple[int, Vector], ...] = ()

    def usd(self, prompt_tokens: int, output_tokens: int) -> float:
        """What a request of that size costs."""
        vector = self.flat
        for above, prices in self.tiers:
            if prompt_tokens > above:
                vector = prices
                break
        return vector[0] * prompt_tokens + vector[1] * output_tokens + vector[2]


def price_facts(
    own: Sequence[Rates], listed: Sequence[Rates], *, is_free: bool, at_ms: int, exchange: Exchange
) -> tuple[PriceFacts | None, int]:
    """The facts at a moment, None where the price or its exchange rate is not known; and until when this is so.

    The same rule as Candidate.rates_at: the offering's own price goes before the list price.
    """
    until_ms = min((x.effective_from_ms for x in (*own, *listed) if x.effective_from_ms > at_ms), default=FOREVER_MS)
    rates = rates_at(own, at_ms) or rates_at(listed, at_ms) or (FREE if is_free else None)
    if rates is None:
        return None, until_ms
    for window in rates.windows:
        until_ms = min(until_ms, next_edge_ms(window, at_ms))
    usd_per_unit: Decimal | None = Decimal(1)
    if rates.currency != "USD":
        usd_per_unit, rate_until_ms = exchange(rates.currency, at_ms)
        until_ms = min(until_ms, rate_until_ms)
    if usd_per_unit is None or usd_per_unit <= 0:
        return None, until_ms
    return _facts(rates, usd_per_unit, at_ms, until_ms), until_ms


def _facts(rates: Rates, usd_per_unit: Decimal, at_ms: int, until_ms: int) -> PriceFacts | None:
    flat = rates.resolved(0, at_ms).filled()
    if flat is None:
        return None
    is_free = not any(flat)
    judged, tiers = flat, []
    for above in sorted({tier.min_prompt_tokens for tier in rates.tiers}, reverse=True):
        prices = rates.resolved(above + 1, at_ms).filled()
        if prices is None:  # a tier only replaces prices, so this cannot be where the plain ones are known
            return None
        is_free = is_free and not any(prices)
        tiers.append((above, _vector(prices, usd_per_unit)))
        if judged is flat and above < FILTER_TOKENS:
            judged = prices
    # In Decimal, so that a price that equals a filter's limit is not kept out by the last bit.
    per_1k = float(max(judged[:2]) * usd_per_unit * FILTER_TOKENS / 10**6)
    return PriceFacts(_vector(flat, usd_per_unit), per_1k, is_free, until_ms, tuple(tiers))


def _vector(prices: Sequence[Decimal], usd_per_unit: Decimal) -> Vector:
    per_token, per_request = usd_per_unit / 10**6, prices[-1] * usd_per_unit
    return float(prices[0] * per_token), float(prices[1] * per_token), float(per_request)


def next_edge_ms(window: Window, at_ms: int) -> int:
    """When next the window may begin or end: at its hours, at midnight of its zone, or when the zone's clocks are put."""
    edge_ms = min(x for x in _wall_times_ms(window.zone, at_ms, (window.start, window.end, time())) if x > at_ms)
    offset = _offset_at(window.zone, at_ms)
    if _offset_at(window.zone, edge_ms) == offset:
        return edge_ms
    before_ms = at_ms
    while edge_ms - before_ms > 1:
        middle_ms = (before_ms + edge_ms) // 2
        if _offset_at(window.zone, middle_ms) == offset:
            before_ms = middle_ms
        else:
            edge_ms = middle_ms
    return edge_ms


def _wall_times_ms(zone: ZoneInfo, at_ms: int, clocks: Iterable[time]) -> Iterable[int]:
    """These wall clock times of the day of a moment and of the next two; what the clock shows twice, twice."""
    today = datetime.fromtimestamp(at_ms / 1000, zone).date()
    for clock in clocks:
        for days in range(3):
            wall = datetime.combine(today + timedelta(days=days), clock, tzinfo=zone)
            for fold in (0, 1):
                yield -((_EPOCH - wall.replace(fold=fold)) // _MS)  # rounded up: at that moment the clock shows it


def _offset_at(zone: ZoneInfo, at_ms: int) -> timedelta | None:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).utcoffset()
