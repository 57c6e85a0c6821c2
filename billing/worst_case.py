"""Hot path. What a request can cost at most, before anybody has answered it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.scopes import Amounts
from providers.prices import SORTS, Rates

_FEMTO_PER_NANO = 10**6
# Nobody wants an answer that is shorter.
LEAST_OUTPUT_TOKENS = 16
_PROMPT = tuple(SORTS.index(sort) for sort in ("input", "cache_read", "cache_write", "cache_write_1h"))
_MEDIA = tuple(SORTS.index(sort) for sort in ("audio_input", "image_input"))
_OUTPUT = tuple(SORTS.index(sort) for sort in ("output", "reasoning"))
_SPOKEN = (*_OUTPUT, SORTS.index("audio_output"))


@dataclass(frozen=True, slots=True)
class Bound:
    """The most tokens of a request: its prompt's, and of all its answers together. has_media: images or sound, either way."""

    prompt_tokens: int
    output_tokens: int
    has_media: bool = False

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(slots=True)
class Weighed:
    """One candidate's attempt while it is weighed: what it may come to, and what of its output can be paid for.

    number: how many answers share the output.
    """

    bound: Bound
    rates: Rates | None
    usd_per_unit: Decimal | None
    at_ms: int
    number: int
    worst: Amounts
    is_priced: bool
    output: int

    @classmethod
    def of(cls, bound: Bound, rates: Rates | None, usd: Decimal | None, at_ms: int, number: int) -> "Weighed":
        money = worst_cost(bound, rates, usd, at_ms)
        worst = Amounts(money or 0, bound.tokens)
        return cls(bound, rates, usd, at_ms, number, worst, money is not None, bound.output_tokens)

    def with_output(self, tokens: int) -> "Weighed":
        """The same with so much of an answer at most."""
        bound = Bound(self.bound.prompt_tokens, tokens, self.bound.has_media)
        return Weighed.of(bound, self.rates, self.usd_per_unit, self.at_ms, self.number)

    def shortened(self) -> "Weighed":
        """The same with the answer that can be paid for."""
        return self.with_output(self.output)

    def least(self) -> Amounts:
        """What it comes to at most with the shortest answer that is worth it."""
        return self.with_output(min(self.output, LEAST_OUTPUT_TOKENS * self.number)).worst

    def fit(self, money_nusd: int) -> None:
        """Keep the answer so short that it costs no more than this."""
        if self.worst.money_nusd > money_nusd and self.rates is not None:
            bought = output_for(money_nusd, self.bound, self.rates, self.usd_per_unit, self.at_ms)
            self.output = min(self.output, bought)

    def fit_tokens(self, tokens: int) -> None:
        """Keep the answer so short that the request has no more tokens than this."""
        self.output = min(self.output, tokens - self.bound.prompt_tokens)

    @property
    def is_worth_it(self) -> bool:
        """Whether enough of each answer is left."""
        return self.output >= min(LEAST_OUTPUT_TOKENS * self.number, self.bound.output_tokens)


def worst_cost(bound: Bound, rates: Rates | None, usd_per_unit: Decimal | None, at_ms: int) -> int | None:
    """The most nano-USD that it can come to, whatever its prompt turns out to be; None where the price is not known."""
    dearest = _dearest(bound, rates, at_ms)
    if dearest is None or rates is None:
        return None
    prompt, output, request = dearest
    femto = prompt * bound.prompt_tokens + output * bound.output_tokens + request
    if rates.currency == "USD":
        return -(-femto // _FEMTO_PER_NANO)
    if usd_per_unit is None or usd_per_unit <= 0:
        return None
    numerator, denominator = usd_per_unit.as_integer_ratio()
    return -(-femto * numerator // (denominator * _FEMTO_PER_NANO))


def output_for(money_nusd: int, bound: Bound, rates: Rates, usd_per_unit: Decimal | None, at_ms: int) -> int:
    """How many tokens of output this money buys beside the prompt; the bound's own where it buys more. Negative: not one."""
    dearest = _dearest(bound, rates, at_ms)
    if dearest is None:
        return -1
    prompt, output, request = dearest
    femto = money_nusd * _FEMTO_PER_NANO
    if rates.currency != "USD":
        if usd_per_unit is None or usd_per_unit <= 0:
            return -1
        numerator, denominator = usd_per_unit.as_integer_ratio()
        femto = femto * denominator // numerator
    left = femto - prompt * bound.prompt_tokens - request
    if left < 0 or not output:
        return -1 if left < 0 else bound.output_tokens
    return min(left // output, bound.output_tokens)


def _dearest(bound: Bound, rates: Rates | None, at_ms: int) -> tuple[int, int, int] | None:
    """The dearest femto-units a token of prompt and of output, and for the request; None where a price is not known.

    A prompt may turn out smaller than its bound and fall into another tier, so each that it may fall into counts.
    """
    if rates is None:
        return None
    if not rates.tiers and not rates.windows:
        return _of(rates.femto, bound.has_media)
    sizes = [0, *(tier.min_prompt_tokens + 1 for tier in rates.tiers if tier.min_prompt_tokens < bound.prompt_tokens)]
    found = [_of(rates.resolved(size, at_ms).femto, bound.has_media) for size in sizes]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return max(e[0] for e in known), max(e[1] for e in known), max(e[2] for e in known)


def _of(femto: Sequence[int] | None, has_media: bool) -> tuple[int, int, int] | None:
    if femto is None:
        return None
    prompt = max([femto[i] for i in _PROMPT])
    if has_media:
        prompt = max(prompt, *[femto[i] for i in _MEDIA])
    return prompt, max([femto[i] for i in (_SPOKEN if has_media else _OUTPUT)]), femto[-1]
