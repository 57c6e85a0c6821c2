"""Hot path. The limits of one process's requests: most are admitted from what it has taken ahead, the others ask the store.

What the store refuses is asked for again while what is idle in other processes comes back. While the store is away, each
process allows its share of every limit, by what was used here in the last minute.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from billing.limits import RateRefused, Subject
from billing.limits_admission import RateAdmission
from billing.limits_exchange import Exchange
from billing.limits_meters import Meters
from billing.limits_parallel import Places
from billing.rates import Window
from smartrouter.lib.counters import DEADLINE_S, StoreUnavailable
from smartrouter.lib.counters.claims import RECALL_S, ClaimStore

logger = logging.getLogger(__name__)

REPEAT_S = 0.02
WAIT_S = RECALL_S + 0.1
LOOK_S = 0.05
TELL_S = 1.0


class _Waiter:
    """A request that waits for the store's word, until `until`."""

    __slots__ = ("admission", "refusal", "until", "word")

    def __init__(self, admission: RateAdmission, until: float) -> None:
        self.admission = admission
        self.until = until
        self.refusal: RateRefused | None = None
        self.word: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class RateLimiter:
    """A Limiter over a store of claims. start() on the event loop, close() with the process.

    process: its uid, 32 hex digits. processes: how many web processes live. clock: seconds that only ever grow.
    deadline_s: of each call of the store.
    """

    def __init__(
        self,
        store: ClaimStore,
        process: str,
        processes: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._clock = clock
        self._exchange = Exchange(store, process, processes, clock=clock, deadline_s=deadline_s)
        self._meters = Meters()
        self._waiters: dict[_Waiter, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_running = False

    def start(self) -> None:
        """From now on, ask the store and tell it."""
        loop = asyncio.get_running_loop()
        self._is_running = True
        self._tasks = [
            loop.create_task(self._answer(), name="limits-answer"),
            loop.create_task(self._keep(), name="limits-keep"),
        ]

    async def close(self) -> None:
        """Give back everything that is not in use. Who still waits is decided on without the store."""
        self._is_running = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._decide_alone()
        try:
            await self._exchange.give_back_all()
        except StoreUnavailable:
            logger.info("limits_left_to_expire")

    def try_admit(self, subjects: Sequence[Subject], tokens: int) -> RateAdmission | None:
        """As of a Limiter."""
        now = self._clock()
        admission = self._meters.admission(self._exchange, subjects, tokens, now)
        return admission if self._enters(admission, now) else None

    async def admit(self, subjects: Sequence[Subject], tokens: int) -> RateAdmission:
        """As of a Limiter. It takes WAIT_S and the store's deadline at most."""
        now = self._clock()
        admission = self._meters.admission(self._exchange, subjects, tokens, now)
        if self._enters(admission, now):
            return admission
        alone = self._exchange.alone() if self._is_running else self._exchange.processes()
        if alone is not None:
            raise admission.refusal_alone(now, alone)
        waiter = _Waiter(admission, now + WAIT_S)
        self._waiters[waiter] = None
        admission.wait(1)
        self._wake.set()
        try:
            await waiter.word
        except asyncio.CancelledError:
            admission.withdraw()  # it may have been admitted just now
            raise
        finally:
            self._waiters.pop(waiter, None)
            admission.wait(-1)
        if waiter.refusal is not None:
            raise waiter.refusal
        return admission

    def _enters(self, admission: RateAdmission, now: float) -> bool:
        """Whether it was admitted without asking."""
        exchange = self._exchange
        alone = exchange.alone()
        if alone is not None:
            is_allowed = admission.can_enter_alone(now, alone)
        else:
            is_allowed = not admission.is_awaited() and admission.can_enter(now, exchange.processes())
        if is_allowed:
            admission.enter(now)
        return is_allowed

    async def _answer(self) -> None:
        """Answer those who wait, in rounds: one call for all of them."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiters:
                try:
                    has_served = await self._ask_for_waiters()
                except StoreUnavailable:
                    self._decide_alone()
                except Exception:
                    # Without this task nobody would be answered any more, and nobody would know.
                    logger.exception("limits_failed")
                    self._decide_alone()
                else:
                    if self._waiters and not has_served:
                        await self._pause()

    async def _pause(self) -> None:
        """Return after a while, or as soon as another one waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPEAT_S):
                await self._wake.wait()
        self._wake.clear()

    async def _keep(self) -> None:
        """Tell the store once a second, and look more often for what others want back."""
        exchange, tell_at = self._exchange, self._clock() + TELL_S
        while True:
            await asyncio.sleep(LOOK_S)
            exchange.alone()  # so that an outage is noticed without a request
            try:
                if self._clock() >= tell_at:
                    tell_at = self._clock() + TELL_S
                    self._meters.sweep(self._clock())
                    await exchange.tell()
                else:
                    await exchange.give_back_recalled()
            except StoreUnavailable:
                continue
            except Exception:
                logger.exception("limits_not_told")
                await asyncio.sleep(TELL_S)

    async def _ask_for_waiters(self) -> bool:
        """Whether somebody was admitted. Raises StoreUnavailable."""
        exchange = self._exchange
        if exchange.alone() is not None:
            raise StoreUnavailable("the store is away")
        async with exchange.lock:
            await exchange.ask(*self._wants())
        now, processes, has_served = self._clock(), exchange.processes(), False
        for waiter in tuple(self._waiters):
            if waiter.word.done():
                self._waiters.pop(waiter, None)
            elif waiter.admission.can_enter(now, processes):
                self._let_in(waiter, now)
                has_served = True
            else:
                refusal = waiter.admission.refusal(now, processes, is_late=now >= waiter.until)
                if refusal is not None:
                    self._refuse(waiter, refusal)
        return has_served

    def _wants(self) -> tuple[list[tuple[Window, int, int]], list[tuple[Places, int, int]]]:
        """What those who wait lack, in their order: the first of them needs it, the others would like it."""
        now = self._clock()
        rooms: dict[Window, int] = {}
        needs: dict[Window, list[int]] = {}
        begins: dict[Places, int] = {}
        for waiter in self._waiters:
            admission = waiter.admission
            for window, uses in zip(admission.windows, admission.uses, strict=True):
                if window in needs:
                    needs[window][1] += uses
                    continue
                room = rooms.setdefault(window, window.room(now)) - uses
                rooms[window] = room
                if room < 0:
                    needs[window] = [-room, window.ahead(uses, now)]
            for places in admission.places:
                begins[places] = begins.get(places, 0) + 1
        for window in rooms:
            window.refused = 0
        windows = [(window, need, min(like, window.limit)) for window, (need, like) in needs.items()]
        parallels = []
        for places, count in begins.items():
            places.refused = 0
            if count > places.idle and not places.is_closed:
                parallels.append((places, 1, places.ahead(count - 1, now)))
        return windows, parallels

    def _decide_alone(self) -> None:
        now, processes = self._clock(), self._exchange.processes()
        for waiter in tuple(self._waiters):
            if waiter.word.done():
                continue
            if waiter.admission.can_enter_alone(now, processes):
                self._let_in(waiter, now)
            else:
                self._refuse(waiter, waiter.admission.refusal_alone(now, processes))
        self._waiters.clear()

    def _let_in(self, waiter: _Waiter, now: float) -> None:
        waiter.admission.enter(now)
        waiter.word.set_result(None)
        self._waiters.pop(waiter, None)

    def _refuse(self, waiter: _Waiter, refusal: RateRefused) -> None:
        waiter.refusal = refusal
        waiter.word.set_result(None)
        self._waiters.pop(waiter, None)
