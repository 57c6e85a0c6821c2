"""Limiters as so many processes on one store, and an event loop whose time passes as soon as everybody sleeps."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from billing.limits import Admission, RateRefused, Subject
from billing.limits_process import RateLimiter
from smartrouter.lib.counters.base import DEADLINE_S
from smartrouter.lib.counters.claims import ClaimStore, Take, Taken
from smartrouter.lib.counters.claims_memory import MemoryClaims


class _Jump(selectors.DefaultSelector):
    """Waits for nothing but what is there already: instead, the time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nobody will ever wake up"
        found = super().select(0)
        if not found:
            self.now += max(0.0, timeout)
        return found


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which stands still while anything runs."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run_quickly(main: Coroutine[Any, Any, None]) -> None:
    """Minutes in no time; asyncio's time is the only one."""
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        runner.run(main)


def new_store() -> MemoryClaims:
    """On the loop's clock."""
    return MemoryClaims(asyncio.get_running_loop().time)


class Asked(MemoryClaims):
    """Counts the calls in which something was needed."""

    asked = 0

    async def take(
        self, process: str, takes: Sequence[Take], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Taken]:
        self.asked += any(take.need for take in takes)
        return await super().take(process, takes, processes, deadline_s=deadline_s)


def subject(key: str = "router_key:1", *, rpm: int = 0, tpm: int = 0, parallel: int = 0) -> Subject:
    return Subject(key, key.partition(":")[0], rpm or None, tpm or None, parallel or None)


def limiters_of(store: ClaimStore, count: int) -> list[RateLimiter]:
    """Started, each under its own name."""
    now = asyncio.get_running_loop().time
    found = [RateLimiter(store, f"{number:032x}", lambda: count, clock=now) for number in range(count)]
    for limiter in found:
        limiter.start()
    return found


async def close_all(limiters: Sequence[RateLimiter]) -> None:
    for limiter in limiters:
        await limiter.close()


async def ask(limiter: RateLimiter, subjects: Sequence[Subject], tokens: int = 0) -> Admission:
    """As the router does it: without waiting where that is possible."""
    return limiter.try_admit(subjects, tokens) or await limiter.admit(subjects, tokens)


async def is_admitted(limiter: RateLimiter, subjects: Sequence[Subject], tokens: int = 0) -> Admission | None:
    try:
        return await ask(limiter, subjects, tokens)
    except RateRefused:
        return None


class Demand:
    """Clients that ask again and again, at every limiter; admitted: when, of each subject's key."""

    def __init__(self, limiters: Sequence[RateLimiter], pause_s: float, tokens: int = 0) -> None:
        self.admitted: dict[str, list[float]] = {}
        self.refusals: Counter[str] = Counter()
        self.waits_s: list[float] = []
        self._limiters = limiters
        self._pause_s = pause_s
        self._tokens = tokens

    async def run(self, subjects: Sequence[Subject], for_s: float, at_each: int = 1) -> None:
        """Return when the time is over."""
        clients = [
            self._ask_on(limiter, subject, for_s)
            for limiter in self._limiters
            for subject in subjects
            for _client in range(at_each)
        ]
        await asyncio.gather(*clients)

    async def _ask_on(self, limiter: RateLimiter, subject: Subject, for_s: float) -> None:
        now = asyncio.get_running_loop().time
        until, moments = now() + for_s, self.admitted.setdefault(subject.key, [])
        while now() < until:
            try:
                admission = await ask(limiter, (subject,), self._tokens)
            except RateRefused as e:
                self.refusals[e.which] += 1
                self.waits_s.append(e.wait_s)
            else:
                moments.append(now())
                admission.end()
            await asyncio.sleep(self._pause_s)


def most_in_a_minute(moments: Sequence[float], period_s: float = 60.0) -> int:
    """The largest number in any such time."""
    ordered = sorted(moments)
    return max((sum(1 for m in ordered[i:] if m < at + period_s) for i, at in enumerate(ordered)), default=0)


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
    """Return when it holds."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)
