"""Hot path. How the budgets of end users stand who have used nothing here: their names are whatever clients send.

Nothing is made for them, neither here nor in the store: the store is only looked at, and where it knows nothing, the records.
"""

import asyncio
from collections.abc import Sequence

from billing.funds import Records, Spending, fund_of
from billing.ledger import Standing
from billing.scopes import WINDOWS, Limit, Scope, day_after, starts_ms
from billing.tallies import Days
from smartrouter.lib.counters import SourceUnavailable, StoreUnavailable
from smartrouter.lib.counters.claims import ClaimStore, Fund, Seen, State

# So many may read records at once; what others would have to read is not known.
READERS_AT_MOST = 4


class Strangers:
    """Looks at the budgets of end users of whom this process has no page. within_s: for the store, and for the records."""

    def __init__(self, store: ClaimStore, records: Records, within_s: float) -> None:
        self._store = store
        self._records = records
        self._within_s = within_s
        self._days = Days()
        self._readers = 0

    async def standings(self, scopes: Sequence[Scope], at_ms: int) -> list[Standing]:
        """How every budget of these scopes stands; what cannot be found out in time is not known."""
        asked = [(scope, limit, *self._fund(scope, limit, at_ms)) for scope in scopes for limit in scope.limits]
        try:
            seen = await self._store.look([fund for *_of, fund, _spending in asked], deadline_s=self._within_s)
        except StoreUnavailable:
            seen = [Seen(State.CLOSED, 0, 0)] * len(asked)
        unseeded = [i for i, one in enumerate(seen) if one.state is State.UNSEEDED]
        recorded = await self._read([asked[i][3] for i in unseeded])
        spent: list[int | None] = [one.spent if one.state is State.OPEN else None for one in seen]
        for i, amount in zip(unseeded, recorded, strict=True):
            spent[i] = None if amount is None else max(amount, seen[i].spent)
        return [
            Standing(scope, limit, amount, one.claimed, _ends_ms(scope, spending))
            for (scope, limit, _fund, spending), one, amount in zip(asked, seen, spent, strict=True)
        ]

    def _fund(self, scope: Scope, limit: Limit, at_ms: int) -> tuple[Fund, Spending]:
        first = self._days.at(scope.zone, at_ms).firsts[WINDOWS.index(limit.window)]
        spending = Spending(scope.key, first, day_after(limit.window, first), limit.unit)
        return fund_of(scope, limit, first), spending

    async def _read(self, asked: Sequence[Spending]) -> Sequence[int | None]:
        """What the records have of each; None where they cannot be read now."""
        if not asked or self._readers >= READERS_AT_MOST:
            return [None] * len(asked)
        self._readers += 1
        try:
            async with asyncio.timeout(self._within_s):
                found = await self._records.read_spent(asked)
        except (SourceUnavailable, TimeoutError):
            return [None] * len(asked)
        finally:
            self._readers -= 1
        return [sum(spent.values()) for spent in found]


def _ends_ms(scope: Scope, spending: Spending) -> int | None:
    return None if spending.end is None else starts_ms(spending.end, scope.zone)
