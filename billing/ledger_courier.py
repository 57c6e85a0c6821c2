"""Hot path. The one way from the ledger to the store of claims: one call after the other, so that no answers cross."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from billing.funds import Allotment, Order
from smartrouter.lib.counters import TotalTooLarge
from smartrouter.lib.counters.claims import ClaimStore, Given, State

logger = logging.getLogger(__name__)

# So many funds are told of in one go; a Redis takes about 20 us for each.
ASKS_AT_MOST = 200


class Courier:
    """Tells the store, and takes its answers to the allotments.

    process: the uid of this web process; processes: how many share the funds; unseeded: told of each allotment of which the
    store wants the records first.
    """

    def __init__(
        self, store: ClaimStore, process: str, processes: Callable[[], int], unseeded: Callable[[Allotment], None]
    ) -> None:
        self.store = store
        self._process = process
        self._processes = processes
        self._unseeded = unseeded
        self._turn = asyncio.Lock()

    async def bring(self, orders: Sequence[Order], deadline_s: float) -> dict[Allotment, Given]:
        """The answers; a fund whose sums no store can hold has none. Raises StoreUnavailable."""
        found: dict[Allotment, Given] = {}
        for start in range(0, len(orders), ASKS_AT_MOST):
            async with self._turn:
                await self._claim(orders[start : start + ASKS_AT_MOST], deadline_s, found)
        return found

    async def _claim(self, orders: Sequence[Order], deadline_s: float, found: dict[Allotment, Given]) -> None:
        asks = [order.allotment.ask(order) for order in orders]
        for order in orders:
            # The answer may leave less, and may be lost: until the next one nothing is held but what is held already.
            order.allotment.drop_free()
            order.allotment.is_agreed = False
        try:
            answers = await self.store.claim(self._process, asks, self._processes(), deadline_s=deadline_s)
        except TotalTooLarge:
            if len(orders) == 1:
                logger.error("budget_too_large", extra={"scope": orders[0].allotment.key})
                return
            for order in orders:
                await self._claim([order], deadline_s, found)
            return
        for order, ask, given in zip(orders, asks, answers, strict=True):
            allotment = order.allotment
            allotment.take_answer(ask, given)
            if order.need:
                allotment.moved_at = asyncio.get_running_loop().time()
                if given.got < ask.need:
                    allotment.refused_at = allotment.moved_at if given.state is State.OPEN else float("-inf")
            found[allotment] = given
            if given.state is State.UNSEEDED:
                self._unseeded(allotment)
            warn_when_soft_limit_is_reached(allotment, given.spent)


def warn_when_soft_limit_is_reached(allotment: Allotment, spent: int) -> None:
    """Once in a window: one line in the log."""
    soft = allotment.limit.soft_limit
    if soft is not None and spent >= soft and not allotment.is_warned:
        allotment.is_warned = True
        limit = allotment.limit
        logger.warning("budget_soft_limit", extra={"scope": allotment.key, "window": limit.window, "unit": limit.unit})
