"""Hot path. What each scope has used in this process, by the windows of its own local days.

A page is what requests of one scope and one local day are added to: the sums of its day, week, month and of all time. When
a day is over the scope gets another page; what goes on has the same sums, what is over keeps its own, so that a request that
was admitted before midnight is added to what it was admitted in, however late it ends.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from billing.funds import Allotment, Sums
from billing.scopes import WINDOWS, Limit, Scope, day_after, first_day, local_day, starts_ms

# No request lasts so long (REQUEST_TIMEOUT_SECONDS is an hour at most): nothing is added to a page any more.
UNTOUCHED_MS = 2 * 24 * 3600 * 1000
# So long after its last use a page that nothing was ever added to is dropped: end users are whatever clients send.
UNUSED_MS = 5 * 60 * 1000
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """A local day of a zone. firsts: the first days of its windows, in the order of WINDOWS."""

    zone: ZoneInfo
    ordinal: int
    begins_ms: int
    ends_ms: int
    firsts: tuple[date, ...]


class Days:
    """The local days of zones; the latest one of each is kept ready."""

    def __init__(self) -> None:
        self._latest: dict[ZoneInfo, Day] = {}

    def at(self, zone: ZoneInfo, at_ms: int) -> Day:
        """The day that a moment belongs to."""
        known = self._latest.get(zone)
        if known is not None and known.begins_ms <= at_ms < known.ends_ms:
            return known
        day = local_day(zone, at_ms)
        firsts = tuple([first_day(window, day) for window in WINDOWS])
        found = Day(zone, day.toordinal(), starts_ms(day, zone), starts_ms(day + _DAY, zone), firsts)
        if known is None or known.begins_ms < found.begins_ms:
            self._latest[zone] = found
        return found


class Page:
    """What the requests of one scope and one local day are added to; limits and allotments: its budgets then.

    holds: how many holds of the scope are open, one number for all of its pages. used_ms: of the last admission.
    """

    __slots__ = (
        "allotments",
        "begins_ms",
        "day",
        "ends_ms",
        "holds",
        "key",
        "limits",
        "scope",
        "sums",
        "used_ms",
        "zone",
    )

    def __init__(self, scope: Scope, day: Day, sums: tuple[Sums, ...], before: "Page | None", at_ms: int) -> None:
        self.scope = scope
        self.key = scope.key
        self.zone = scope.zone
        self.day = day
        self.begins_ms = day.begins_ms
        self.ends_ms = day.ends_ms
        self.sums = sums
        self.holds: list[int] = [0] if before is None else before.holds
        self.used_ms: int = at_ms if before is None else max(at_ms, before.used_ms)
        self.limits: tuple[Limit, ...] = ()
        self.allotments: tuple[Allotment, ...] = ()


class Tallies:
    """The pages of all scopes. What has been spent is never forgotten while the process lives: it is told as one number.

    allot: the allotments of a page whose scope has budgets.
    """

    def __init__(self, allot: Callable[[Scope, Page], tuple[Allotment, ...]]) -> None:
        self.pages: dict[str, Page] = {}
        self._allot = allot
        self._days = Days()
        self._past: dict[str, dict[tuple[int, date], Sums]] = {}

    def turn(self, scope: Scope, at_ms: int) -> Page:
        """The page of a scope for a request that was admitted at a moment, with the budgets that the scope has now."""
        before = self.pages.get(scope.key)
        if before is None or before.zone is not scope.zone or not before.begins_ms <= at_ms < before.ends_ms:
            day = self._days.at(scope.zone, at_ms)
            sums = tuple([[0, 0, 0] for _window in WINDOWS]) if before is None else self._sums_of(before, day)
            page = Page(scope, day, sums, before, at_ms)
        else:
            # Another one, for holds keep the page and with it the budgets that they were made with.
            page = Page(scope, before.day, before.sums, before, at_ms)
        page.limits = scope.limits
        if scope.limits:
            page.allotments = self._allot(scope, page)
        self.pages[scope.key] = page
        return page

    def renew(self, keys: Iterable[str], limits_of: Callable[[str], tuple[Limit, ...]]) -> None:
        """Let these scopes have the budgets that they have now: one that is new counts what was used before it came."""
        for key in keys:
            page, limits = self.pages.get(key), limits_of(key)
            if page is not None and page.limits is not limits and page.limits != limits:
                self.turn(replace(page.scope, limits=limits), page.begins_ms)

    def forget(self, keys: Iterable[str], now_ms: int) -> None:
        """Drop what is over of these scopes: the sums of past windows, and the pages of those that have used nothing."""
        for key in keys:
            page = self.pages[key]
            is_unused = not page.holds[0] and page.used_ms + UNUSED_MS < now_ms and not any(page.sums[-1])
            if is_unused or page.ends_ms + UNTOUCHED_MS < now_ms:
                self._past.pop(key, None)
            if is_unused:
                del self.pages[key]

    def _sums_of(self, page: Page, day: Day) -> tuple[Sums, ...]:
        """The sums of a day's windows, after those of another day."""
        past = self._past.setdefault(page.key, {})
        past.update({(i, first): page.sums[i] for i, first in enumerate(page.day.firsts) if first != day.firsts[i]})
        found = []
        for i, first in enumerate(day.firsts):
            if first == page.day.firsts[i]:
                found.append(page.sums[i])
            else:
                found.append(past.pop((i, first)) if (i, first) in past else [0, 0, 0])
        for i, first in list(past):
            if _is_over(WINDOWS[i], first, day.firsts[i]):
                del past[i, first]
        return tuple(found)


def _is_over(window: str, first: date, present: date) -> bool:
    """Whether a window lies two before the present one, or earlier."""
    after = day_after(window, first)
    then = None if after is None else day_after(window, after)
    return then is not None and then < present
