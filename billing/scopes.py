"""Hot path. Who pays, and when: the scopes of a request, and the local days, weeks and months that budgets are for."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

WINDOWS = ("day", "week", "month", "total")
UNITS = ("usd", "requests", "tokens")
# The end users of a tenant, each for himself.
EACH = "*"
# The first day of what has no beginning.
EVER = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Limit:
    """One budget: at most `limit` nano-USD, requests or tokens in a window; at soft_limit there is a warning.

    counted_ms: since when every process counts it.
    """

    unit: str
    window: str
    limit: int | None
    soft_limit: int | None
    counted_ms: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Somebody for whom usage is counted, and his budgets. key: "tenant:1", "router_key:5", "user:7", "group:3", "channel:9",
    "end_user:1:alice". kind and name: what the caller is told; name empty where he is told none.
    """

    key: str
    kind: str
    name: str
    zone: ZoneInfo
    limits: tuple[Limit, ...] = ()
    shows_amounts: bool = False

    @property
    def limits_money(self) -> bool:
        """Whether nothing without a known price may be used for it."""
        return self._limits("usd")

    @property
    def limits_tokens(self) -> bool:
        """Whether its tokens are limited."""
        return self._limits("tokens")

    def _limits(self, unit: str) -> bool:
        return any(limit.unit == unit and limit.limit is not None for limit in self.limits)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a request may come to at most, or has come to."""

    money_nusd: int = 0
    tokens: int = 0
    requests: int = 1


def scope_key(kind: str, ref: int, end_user: str = "") -> str:
    """The name under which usage is counted."""
    return f"{kind}:{ref}:{end_user}" if end_user else f"{kind}:{ref}"


def first_day(window: str, day: date) -> date:
    """The first local day of the window that a local day belongs to; weeks begin on Monday."""
    match window:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
    return EVER


def day_after(window: str, first: date) -> date | None:
    """The first local day after the window; None for one that never ends."""
    match window:
        case "day":
            return first + timedelta(days=1)
        case "week":
            return first + timedelta(days=7)
        case "month":
            return (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return None


def starts_ms(day: date, zone: ZoneInfo) -> int:
    """When a local day begins, in milliseconds since the epoch."""
    return int(datetime.combine(day, time.min, zone).timestamp() * 1000)


def local_day(zone: tzinfo, at_ms: float) -> date:
    """The local date of a moment."""
    return datetime.fromtimestamp(at_ms / 1000, zone).date()
