"""Hot path. Telling the store what this process has spent and holds, and giving back what it does not need."""

import asyncio
from collections.abc import Callable, Iterable

from billing.funds import Allotment, Order
from billing.ledger import CurrentBudgets
from billing.ledger_courier import Courier
from billing.ledger_timing import LedgerTiming
from billing.tallies import UNTOUCHED_MS, Tallies
from smartrouter.lib.counters import StoreUnavailable

# So many allotments or pages are looked at in one go, which takes less than 0.2 ms.
SLICE = 500


class Telling:
    """All allotments of this process, by the name of their fund; active: those that may have to be told of."""

    def __init__(
        self,
        courier: Courier,
        tallies: Tallies,
        timing: LedgerTiming,
        clock: Callable[[], int],
        budgets: CurrentBudgets | None,
    ) -> None:
        self.allotments: dict[str, Allotment] = {}
        self.active: set[Allotment] = set()
        self._courier = courier
        self._tallies = tallies
        self._timing = timing
        self._clock = clock
        self._budgets = budgets
        self._version = -1

    def last_orders(self) -> list[Order]:
        """What there is to tell and to give back when the process ends."""
        return [Order(a) for a in self.allotments.values() if has_to_tell(a)]

    async def keep_telling(self, look: Callable[[], None]) -> None:
        """Tell what has changed, and give back what nobody has used for a while. look: called each time before."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + self._timing.sweep_s
        while True:
            await asyncio.sleep(self._timing.tick_s)
            look()
            await self._renew()
            try:
                await self._courier.bring(self._news(loop.time()), self._timing.tell_s)
            except StoreUnavailable:
                continue  # what is told are sums: nothing is lost
            if loop.time() >= sweep_at:
                await self._sweep()
                sweep_at = loop.time() + self._timing.sweep_s

    async def _renew(self) -> None:
        """See to it that a budget that came, or was changed, counts what its scope has used here, asked for or not."""
        if self._budgets is None or self._budgets.version == self._version:
            return
        self._version = self._budgets.version
        keys = list(self._tallies.pages)
        for start in range(0, len(keys), SLICE):
            self._tallies.renew(keys[start : start + SLICE], self._budgets.limits_of)
            await asyncio.sleep(0)
        self.active.update(a for a in self.allotments.values() if a.spent != a.told)

    def _news(self, now_s: float) -> list[Order]:
        orders = []
        for a in tuple(self.active):
            if (a.spent, a.held) != (a.told, a.kept):
                a.moved_at = now_s
                orders.append(Order(a, like=max(a.free, a.wish())))
            elif (a.free > 0 and now_s - a.moved_at >= self._timing.idle_s) or not (a.is_agreed or a.waiting):
                orders.append(Order(a))
            elif not a.held and a.free <= 0:
                self.active.discard(a)
        return orders

    async def _sweep(self) -> None:
        """Find what has changed without a hold (a budget that came after its requests had begun), and drop what is over."""
        now = self._clock()
        for number, (name, a) in enumerate(list(self.allotments.items())):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            if a.spent != a.told:
                self.active.add(a)
            elif self._is_over(a, now):
                del self.allotments[name]
        keys = list(self._tallies.pages)
        for start in range(0, len(keys), SLICE):
            await asyncio.sleep(0)
            self._tallies.forget(keys[start : start + SLICE], now)

    def _is_over(self, a: Allotment, now_ms: int) -> bool:
        """Whether nobody will spend of it any more, or nobody ever has and its scope's page is gone."""
        if a.held or a.waiting or a in self.active:
            return False
        if a.ends_ms is not None and a.ends_ms + UNTOUCHED_MS < now_ms:
            return True
        return not a.spent and a.free <= 0 and a.key not in self._tallies.pages

    async def answer_recalls(self, spare: Callable[[Iterable[Allotment]], list[Order]]) -> None:
        """Give back what is called back and neither held nor about to be, as long as there is anything to give."""
        while True:
            await asyncio.sleep(self._timing.recall_s)
            claims = {a.fund.name: a for a in self.active if a.is_hard and a.free > 0}
            if not claims:
                continue
            try:
                names = await self._courier.store.recalled(deadline_s=self._timing.tell_s)
                await self._courier.bring(spare([claims[name] for name in names & claims.keys()]), self._timing.tell_s)
            except StoreUnavailable:
                continue  # whoever called has no answer either


def has_to_tell(a: Allotment) -> bool:
    """Whether the store does not know how it stands, or something would be left claimed."""
    return (a.spent, a.held) != (a.told, a.kept) or a.held > 0 or a.free > 0 or not a.is_agreed
