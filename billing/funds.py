"""Hot path. What this process has of a fund: one budget of one scope, in one of its windows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple, Protocol

from billing.scopes import UNITS, Amounts, Limit, Scope, day_after, first_day, starts_ms
from smartrouter.lib.counters import LARGEST
from smartrouter.lib.counters.claims import RECALLED_S, Ask, Fund, Given

# In the order of UNITS: used so far, and wanted.
Sums = list[int]
Needs = tuple[int, int, int]
Answers = Mapping["Allotment", Given]
# Scope, local day, nano-USD, tokens, requests.
UsedRow = tuple[str, date, int, int, int]

# How long a store keeps a fund that nobody tells of: longer than its window. One that is forgotten is seeded again.
_KEPT_DAYS = {"day": 4, "week": 10, "month": 35, "total": 90}
# So long after the end of a window, in whatever zone, no request is left that was admitted in it.
_PAST = timedelta(days=3)
# How many requests like the last one a process may make before it has to ask again.
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Spending:
    """What is to be read of the records: the sum of one unit of a scope, from its first local day to the one before end."""

    scope: str
    first: date
    end: date | None
    unit: str


@dataclass(frozen=True, slots=True)
class Roster:
    """The register of web processes. ended: those of which something may still be on its way into the records."""

    live: frozenset[str]
    ended: frozenset[str]


class Records(Protocol):
    """What the database knows. Reading raises SourceUnavailable."""

    async def read_spent(self, asked: Sequence[Spending]) -> list[dict[str, int]]:
        """What each process has spent, 32 hex digits each, one answer for each that is asked.

        Raises SourceUnavailable as well while a process has ended whose records are still on their way.
        """
        ...

    async def read_roster(self) -> Roster:
        """The processes that live and those that have ended."""
        ...

    async def close(self) -> None:
        """Give up what reading needs."""
        ...


class Order(NamedTuple):
    """What a process wants of a fund, as of an Ask."""

    allotment: "Allotment"
    need: int = 0
    least: int = 0
    like: int = 0


class Allotment:
    """What this process has taken of a fund, has spent of it, and holds.

    line: how far spent and held may go together without asking. told, kept: what the store last heard of spent and held.
    waiting: how many requests wait for more. heard: what the store answered last. is_agreed: whether the store claims for
    this process what it goes by; not so while an answer is awaited or was lost, nor where what was claimed has been dropped.
    refused_at: when the store last had less than was needed, on the loop's clock.
    """

    __slots__ = (
        "ends_ms",
        "fund",
        "heard",
        "held",
        "is_agreed",
        "is_hard",
        "is_warned",
        "kept",
        "key",
        "limit",
        "line",
        "moved_at",
        "need",
        "pace",
        "refused_at",
        "spending",
        "sums",
        "told",
        "unit",
        "waiting",
    )

    def __init__(self, scope: Scope, limit: Limit, first: date, sums: Sums) -> None:
        end = day_after(limit.window, first)
        self.key = scope.key
        self.unit = UNITS.index(limit.unit)
        self.sums = sums
        self.spending = Spending(scope.key, first, end, limit.unit)
        self.ends_ms = None if end is None else starts_ms(end, scope.zone)
        self.limit = limit
        self.fund = fund_of(scope, limit, first)
        self.is_hard = limit.limit is not None
        self.held = self.line = self.told = self.kept = 0
        self.waiting = self.need = self.pace = 0
        self.moved_at = 0.0
        self.refused_at = float("-inf")
        self.heard: Given | None = None
        self.is_warned = False
        self.is_agreed = True

    @property
    def spent(self) -> int:
        """What this process has spent of the fund in its life."""
        return self.sums[self.unit]

    @property
    def free(self) -> int:
        """What may be held without asking; below 0 where requests have come to more than was held for them."""
        return self.line - self.held - self.sums[self.unit]

    @property
    def left(self) -> int:
        """What was neither spent nor held by anybody when the store was last heard."""
        if self.heard is None:
            return 0
        return max(0, (self.limit.limit or 0) - self.heard.spent - self.heard.others - self.held)

    def renew(self, scope: Scope, limit: Limit, first: date) -> None:
        """Go on with a budget that was changed: what was taken under another limit has to be asked for again."""
        if limit.limit != self.limit.limit:
            self.drop_free()
        if limit.soft_limit != self.limit.soft_limit:
            self.is_warned = False
        self.limit = limit
        self.fund = fund_of(scope, limit, first)
        self.is_hard = limit.limit is not None

    def drop_free(self) -> None:
        """Have nothing that is not held."""
        if self.free > 0:
            self.line = self.held + self.spent
            self.is_agreed = False

    def is_tight(self, now_s: float) -> bool:
        """Whether others may be waiting for every bit of it: for as long as a refusal calls back what is idle."""
        return now_s - self.refused_at < RECALLED_S

    def wish(self, need: int = 0) -> int:
        """What the process would like to have on top: some requests of this size, or what it spends in a second or two."""
        self.need = need or self.need
        return min(LARGEST, max(_AHEAD * self.need, 2 * self.pace))

    def ask(self, order: Order) -> Ask:
        """What the store is told and asked now."""
        if not self.is_hard:
            return Ask(self.fund, self.spent, self.held)
        need, least = min(order.need, LARGEST), min(order.least, LARGEST)
        return Ask(self.fund, self.spent, self.held, need, least, order.like)

    def take_answer(self, ask: Ask, given: Given) -> None:
        """Go by what the store answered; since it was asked more may have been spent and held."""
        if (ask.spent, ask.keeps) != (self.told, self.kept):
            self.pace = max(ask.spent - self.told, self.pace // 2)
        self.told, self.kept = ask.spent, ask.keeps
        self.line = ask.spent + given.claim
        self.heard = given
        self.is_agreed = True


def fund_name(key: str, window: str, first: date, unit: str) -> str:
    """The name of the fund of a scope's budget."""
    return f"{key}|{window}|{first.isoformat()}|{unit}"


def spent_by_fund(
    rows: Iterable[UsedRow], limits_of: Callable[[str], tuple[Limit, ...]], today: date
) -> dict[str, int]:
    """What one process has spent, after its days, of each fund that there is a budget for and that somebody may ask for.

    A budget that comes later is seeded from the records.
    """
    found: dict[str, int] = {}
    for key, day, money, tokens, requests in rows:
        amounts = money, requests, tokens
        for limit in limits_of(key):
            first = first_day(limit.window, day)
            end = day_after(limit.window, first)
            if end is None or end + _PAST >= today:
                name = fund_name(key, limit.window, first, limit.unit)
                found[name] = found.get(name, 0) + amounts[UNITS.index(limit.unit)]
    return found


def fund_of(scope: Scope, limit: Limit, first: date) -> Fund:
    """The fund as the store has it. One that was spent from before there was a budget has to be seeded in any case."""
    begins_ms = starts_ms(first, scope.zone)
    since_ms = begins_ms if limit.counted_ms <= begins_ms and limit.window != "total" else 0
    most = None if limit.limit is None else min(limit.limit, LARGEST)
    name = fund_name(scope.key, limit.window, first, limit.unit)
    return Fund(name, most, since_ms, _KEPT_DAYS[limit.window] * 24 * 3600.0)


def needs_of(amounts: Amounts) -> Needs:
    """Amounts in the order of UNITS."""
    return amounts.money_nusd, amounts.requests, amounts.tokens


def amounts_of(needs: Needs) -> Amounts:
    """Needs as amounts."""
    return Amounts(needs[0], needs[2], needs[1])
