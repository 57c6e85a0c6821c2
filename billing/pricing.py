"""Hot path. What an answer costs: tokens times dated prices, exactly, rounded up once."""

from decimal import ROUND_CEILING, Context, Decimal, localcontext
from typing import Any

from providers.prices import SORTS, Rates
from providers.usage import Usage
from smartrouter.lib.money import nusd_of

_FEMTO_PER_NANO = 10**6
_MILLION = 1_000_000
# Wider than any product of a price, a count and an exchange rate that the database can hold, so that nothing is rounded
# before the end; if a price is wider still, it is rounded up and not given away.
_EXACT = Context(prec=200, rounding=ROUND_CEILING)


def cost_of(usage: Usage, rates: Rates | None, usd_per_unit: Decimal | None, at_ms: int) -> int | None:
    """The nano-USD that this usage costs at these rates; None where the price or the exchange rate is not known.

    usd_per_unit is what one unit of the rates' currency is worth (ignored for USD). Tiers and windows are resolved
    here, by the prompt's size and at_ms. Sorts of tokens are carved out of their parent; a count larger than what is
    left of its parent is cut to it, so that an upstream that misreports cannot make a line negative.
    """
    if rates is None:
        return None
    if rates.tiers or rates.windows:
        rates = rates.resolved(usage.prompt_tokens, at_ms)
    prices = rates.femto
    if prices is None:
        return exact_cost_of(usage, rates, usd_per_unit)
    total = prices[-1]
    for count, price in zip(split(usage), prices, strict=False):  # the last price, per_request, has no count
        if count:
            total += count * price
    if rates.currency == "USD":
        return -(-total // _FEMTO_PER_NANO)
    if usd_per_unit is None or usd_per_unit <= 0:
        return None
    numerator, denominator = usd_per_unit.as_integer_ratio()
    return -(-total * numerator // (denominator * _FEMTO_PER_NANO))


def exact_cost_of(usage: Usage, rates: Rates, usd_per_unit: Decimal | None) -> int | None:
    """The same as cost_of for flat rates, in Decimal: for prices finer than cost_of's whole femto-units."""
    prices = rates.filled()
    if prices is None:
        return None
    if rates.currency == "USD":
        usd_per_unit = Decimal(1)
    elif usd_per_unit is None or usd_per_unit <= 0:
        return None
    with localcontext(_EXACT):
        tokens = sum((count * price for count, price in zip(split(usage), prices, strict=False)), Decimal(0))
        return nusd_of((tokens / _MILLION + prices[-1]) * usd_per_unit)


def split(usage: Usage) -> tuple[int, ...]:
    """The counts in the order of SORTS (without per_request): no token in two of them, none negative."""
    prompt, completion = max(usage.prompt_tokens, 0), max(usage.completion_tokens, 0)
    if usage.is_plain:
        return prompt, completion, 0, 0, 0, 0, 0, 0, 0
    cached = max(min(usage.cached_tokens, prompt), 0)
    prompt -= cached
    written = max(min(usage.cache_write_tokens, prompt), 0)
    prompt -= written
    written_1h = max(min(usage.cache_write_1h_tokens, written), 0)
    audio_input = max(min(usage.audio_input_tokens, prompt), 0)
    prompt -= audio_input
    image = max(min(usage.image_tokens, prompt), 0)
    reasoning = max(min(usage.reasoning_tokens, completion), 0)
    completion -= reasoning
    audio_output = max(min(usage.audio_output_tokens, completion), 0)
    return (
        prompt - image,
        completion - audio_output,
        cached,
        written - written_1h,
        written_1h,
        reasoning,
        audio_input,
        audio_output,
        image,
    )


def price_snapshot(rates: Rates, usd_per_unit: Decimal | None) -> dict[str, Any]:
    """The JSON that a usage record keeps of the price: the rates and, for other currencies, the exchange rate.

    Give it the rates that were used, Rates.resolved(prompt_tokens, at_ms): of tiers and windows nothing is kept.
    """
    found = rates.as_json()
    if rates.currency != "USD" and usd_per_unit is not None:
        found["usd_per_unit"] = format(usd_per_unit, "f")
    return found


# split() and Rates.femto meet by position.
assert SORTS[-1] == "per_request" and len(SORTS) == len(split(Usage())) + 1
