"""Worker side. What the records say of budgets, read in a thread of its own: who has spent what, and which processes live."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar

from django.db.models import F, Sum

from billing.funds import Roster, Spending
from billing.models import ScopeUsage
from billing.reading import ReadingThread
from smartrouter.lib.counters import SourceUnavailable

T = TypeVar("T")

_COLUMNS = {"usd": "money_nusd", "tokens": "tokens", "requests": "requests"}


class Registered(Protocol):
    """A web process of the register, as far as it matters here; uid: 32 hex digits."""

    @property
    def uid(self) -> str: ...

    @property
    def is_live(self) -> bool: ...

    @property
    def is_lost(self) -> bool: ...


class RecordsBehind(SourceUnavailable):
    """A process has ended, and not all that it spent is in the records yet."""


class FundRecords(ReadingThread):
    """Fulfils the protocol Records. processes: the register's rows; called in the thread, each time anew."""

    def __init__(self, processes: Callable[[], Sequence[Registered]]) -> None:
        self._processes = processes
        super().__init__("fund-records")

    async def read_spent(self, asked: Sequence[Spending]) -> list[dict[str, int]]:
        return await self._read(lambda: self._spent(asked))

    async def read_roster(self) -> Roster:
        return await self._read(self._roster)

    async def _read(self, read: Callable[[], T]) -> T:
        def once() -> Iterator[T]:
            yield read()

        async with aclosing(self._pieces(once)) as pieces:
            async for piece in pieces:
                return piece
        raise SourceUnavailable("nothing was read")

    def _roster(self) -> Roster:
        rows = self._processes()
        live = frozenset(row.uid for row in rows if row.is_live)
        ended = frozenset(row.uid for row in rows if not row.is_live and not row.is_lost)
        return Roster(live, ended)

    def _spent(self, asked: Sequence[Spending]) -> list[dict[str, int]]:
        """Read, if nothing is missing: also afterwards, for a process may have ended meanwhile."""
        self._check_all_are_there()
        found = [read_spent(spending) for spending in asked]
        self._check_all_are_there()
        return found

    def _check_all_are_there(self) -> None:
        ended = self._roster().ended
        if ended:
            raise RecordsBehind(f"{len(ended)} web processes have ended and are not drained")


def read_spent(spending: Spending) -> dict[str, int]:
    """What the records have of one fund, by process."""
    rows = ScopeUsage.objects.filter(scope=spending.scope, day__gte=spending.first)
    if spending.end is not None:
        rows = rows.filter(day__lt=spending.end)
    sums = rows.order_by().values("process").annotate(spent=Sum(F(_COLUMNS[spending.unit])))
    return {row["process"].hex: row["spent"] for row in sums}
