"""Hot path. Dated rates: what a million tokens of each sort cost, by prompt size and by time of day."""

import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from smartrouter.lib.money import plain_number

# The sorts of tokens that can have a price of their own, and the flat price of a request.
SORTS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "per_request",
)
# What a sort without a price of its own costs as.
PARENTS: Mapping[str, str] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
    "audio_input": "input",
    "audio_output": "output",
    "image_input": "input",
}
# As the database's columns: what is wider would not survive being saved.
DECIMALS_AT_MOST = 9
PRICE_BELOW = Decimal(10) ** 11
_FINEST = Decimal(1).scaleb(-DECIMALS_AT_MOST)
_WIDE = Context(prec=60)
_FEMTO_PER_MTOK_UNIT = 10**9  # a price of 1 per million tokens is 10^9 femto-units (10^-15) a token
_FEMTO_PER_UNIT = 10**15


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices that replace the plain ones when the prompt has more than min_prompt_tokens."""

    min_prompt_tokens: int
    prices: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Window:
    """Prices that replace the plain ones on some weekdays (Monday is 0) from start to end in a zone; end is exclusive.

    A window whose end is not after its start runs over midnight and belongs to the day on which it starts.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: zoneinfo.ZoneInfo
    prices: Mapping[str, Decimal]

    def holds_at(self, moment: datetime) -> bool:
        """Whether the aware moment falls into this window."""
        local = moment.astimezone(self.zone)
        clock = local.time()
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= clock < self.end
        if clock >= self.start:
            return local.weekday() in self.days
        return clock < self.end and (local.weekday() - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in one currency, per million tokens (per_request: for each request), from effective_from_ms on.

    None: no price of its own. Without input or output the price counts as unknown.
    """

    currency: str = "USD"
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    per_request: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    windows: tuple[Window, ...] = ()
    effective_from_ms: int = 0
    source: str = ""
    # Computed once, because every request is priced: the prices in the order of SORTS as whole femto-units (10^-15 of
    # the currency) a token, per_request as femto-units a request, parents filled in. None: unknown, or finer than that.
    femto: tuple[int, ...] | None = field(init=False, repr=False, compare=False, default=None)
    _json: dict[str, str] | None = field(init=False, repr=False, compare=False, default=None)
    _variants: dict[tuple[tuple[int, ...], int | None], "Rates"] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "femto", _femto_of(self.filled()))

    def filled(self) -> tuple[Decimal, ...] | None:
        """The prices in the order of SORTS, each missing one as its parent's; None while input or output is unknown."""
        if self.input is None or self.output is None:
            return None
        prices: dict[str, Decimal] = {}
        for sort in SORTS:  # a parent stands before its children
            price = getattr(self, sort)
            prices[sort] = price if price is not None else prices.get(PARENTS.get(sort, ""), Decimal(0))
        return tuple(prices.values())

    def resolved(self, prompt_tokens: int, at_ms: int) -> "Rates":
        """The flat rates for a prompt of that size at that moment: windows first, then the largest tier that fits."""
        if not self.tiers and not self.windows:
            return self
        held: tuple[int, ...] = ()
        if self.windows:
            moment = datetime.fromtimestamp(at_ms / 1000, UTC)
            held = tuple(i for i, window in enumerate(self.windows) if window.holds_at(moment))
        fitting = max((t.min_prompt_tokens for t in self.tiers if prompt_tokens > t.min_prompt_tokens), default=None)
        found = self._variants.get((held, fitting))
        if found is None:  # few combinations exist, and building one costs as much as pricing ten requests
            found = self._variants[held, fitting] = self._variant(held, fitting)
        return found

    def _variant(self, held: tuple[int, ...], fitting: int | None) -> "Rates":
        changed: dict[str, Any] = {}
        for i in held:
            changed.update(self.windows[i].prices)
        for tier in self.tiers:
            if tier.min_prompt_tokens == fitting:
                changed.update(tier.prices)
        return replace(self, tiers=(), windows=(), **changed)

    def as_json(self) -> dict[str, str]:
        """The rates as a usage record keeps them: decimals as plain text, what is empty left out."""
        if self._json is None:
            prices = {sort: getattr(self, sort) for sort in SORTS}
            found = {
                "currency": self.currency,
                **{sort: plain_number(p) for sort, p in prices.items() if p is not None},
            }
            object.__setattr__(self, "_json", {**found, "source": self.source} if self.source else found)
        return dict(self._json or {})


def _femto_of(prices: tuple[Decimal, ...] | None) -> tuple[int, ...] | None:
    if prices is None:
        return None
    whole = []
    for sort, price in zip(SORTS, prices, strict=True):
        numerator, denominator = price.as_integer_ratio()
        scale = _FEMTO_PER_UNIT if sort == "per_request" else _FEMTO_PER_MTOK_UNIT
        amount, rest = divmod(numerator * scale, denominator)
        if rest:
            return None
        whole.append(amount)
    return tuple(whole)


FREE = Rates(input=Decimal(0), output=Decimal(0), source="free")


def rates_at(history: Sequence[Rates], at_ms: int) -> Rates | None:
    """The rates in force at a moment: the latest that has begun; None where none has."""
    found = None
    for rates in history:
        if rates.effective_from_ms <= at_ms and (found is None or rates.effective_from_ms > found.effective_from_ms):
            found = rates
    return found


def check_tiers(value: Any) -> tuple[Tier, ...]:
    """The tiers of a JSON list. Raises ValueError with a sentence for people."""
    if not isinstance(value, list):
        raise ValueError(_("Tiers are a list of objects."))
    tiers = []
    for entry in value:
        least = entry.get("min_prompt_tokens") if isinstance(entry, dict) else None
        if not isinstance(least, int) or isinstance(least, bool) or least < 0:
            raise ValueError(_("Each tier needs min_prompt_tokens, a whole number."))
        tiers.append(Tier(least, _prices(entry, {"min_prompt_tokens"})))
    return tuple(tiers)


def check_windows(value: Any) -> tuple[Window, ...]:
    """The windows of a JSON list. Raises ValueError with a sentence for people."""
    if not isinstance(value, list):
        raise ValueError(_("Windows are a list of objects."))
    windows = []
    for entry in value:
        if not isinstance(entry, dict):
            raise ValueError(_("Each window is an object with start and end."))
        days = entry.get("days", [0, 1, 2, 3, 4, 5, 6])
        if not isinstance(days, list) or not days or not all(isinstance(d, int) and 0 <= d <= 6 for d in days):
            raise ValueError(_("A window's days are numbers from 0 (Monday) to 6 (Sunday)."))
        try:
            start, end = time.fromisoformat(str(entry["start"])), time.fromisoformat(str(entry["end"]))
        except (KeyError, ValueError) as e:
            raise ValueError(_("Each window needs start and end as HH:MM.")) from e
        try:
            zone = zoneinfo.ZoneInfo(str(entry.get("tz", "UTC")))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as e:
            raise ValueError(_("“%s” is not a time zone.") % entry.get("tz")) from e
        windows.append(Window(frozenset(days), start, end, zone, _prices(entry, {"days", "start", "end", "tz"})))
    return tuple(windows)


def _prices(entry: Mapping[str, Any], others: set[str]) -> dict[str, Decimal]:
    prices = {}
    for name, value in entry.items():
        if name in others:
            continue
        if name not in SORTS:
            raise ValueError(
                _("“%(name)s” is not a price; there are: %(known)s.") % {"name": name, "known": ", ".join(SORTS)}
            )
        try:
            price = Decimal(str(value))
        except InvalidOperation as e:
            raise ValueError(_("The price of “%s” is not a number.") % name) from e
        if not price.is_finite() or price < 0:
            raise ValueError(_("The price of “%s” is negative or not a number.") % name)
        if price >= PRICE_BELOW or price != price.quantize(_FINEST, context=_WIDE):
            raise ValueError(_("The price of “%s” has too many digits; nine decimals are the most.") % name)
        prices[name] = price
    if not prices:
        raise ValueError(_("A tier or window without any price changes nothing."))
    return prices
