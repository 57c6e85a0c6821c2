"""Hot path. One process's side of a family of counters: what it has added lately, and the task that brings it to the store.

Nothing that was noted is lost while the process lives: what the store did not take is offered again, and all that the
process remembers is added again when the store was away or has begun to be seeded anew. Entries have ids, so that
repeating them changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from smartrouter.lib.counters.base import DEADLINE_S, CounterStore, Entry, StoreUnavailable, TotalTooLarge
from smartrouter.lib.counters.seeding import BATCH, Seeder, Source, Timing

logger = logging.getLogger(__name__)

# About 300 bytes each. Past that the oldest go first, and their records are read instead when the store is back.
REMEMBERED_AT_MOST = 100_000
CLOSE_S = 1.0

Key = tuple[str, str]


@dataclass(slots=True, eq=False)
class Noted:
    """An entry on its way; total: what the counter comes to with it, None where that is not known."""

    entry: Entry
    at: float
    total: "asyncio.Future[int | None]"

    @property
    def key(self) -> Key:
        return self.entry.name, self.entry.id


class CounterKeeper:
    """The counters of one family in this process. start() on the event loop, close() with the process.

    _fresh are the entries that someone may be waiting for, _due those that are offered again; _latest is what the process
    remembers, oldest first. Each entry that is not in the store yet is in one of the first two, or in the batch at hand.
    """

    def __init__(
        self,
        store: CounterStore,
        family: str,
        source: Source,
        *,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.family = family
        self.timing = timing or Timing()
        self._clock = clock
        self._seeder = Seeder(store, family, source, timing=self.timing, clock=clock)
        self._latest: dict[Key, Noted] = {}
        self._fresh: dict[Key, Noted] = {}
        self._due: dict[Key, Noted] = {}
        self._marker: str | None = None
        self._was_away = False
        self._has_dropped = False
        self._is_closing = False
        self._check_at = self._known_from = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on, bring what is noted to the store, and see to it that the family is seeded."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"counters-{self.family}")

    def note(self, entry: Entry) -> Noted:
        """The entry, on its way to the store. Never waits and never fails."""
        noted = Noted(entry, self._clock(), asyncio.get_running_loop().create_future())
        key = noted.key
        self._due.pop(key, None)
        replaced = self._fresh.pop(key, None)
        if replaced is not None:
            _tell(replaced, None)
        self._latest.pop(key, None)
        self._latest[key] = self._fresh[key] = noted
        self._wake.set()
        return noted

    async def total_of(self, noted: Noted, *, deadline_s: float = DEADLINE_S) -> int | None:
        """The counter's total with a noted entry; None where it is not known within the deadline."""
        if not self.store.is_up and not noted.total.done():
            return None
        try:
            async with asyncio.timeout(deadline_s):
                return await noted.total
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Bring what is left to the store, if it takes it at once."""
        self._is_closing = True
        await self._seeder.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._flush()
        except (StoreUnavailable, TimeoutError):
            left = len(self._fresh) + len(self._due)
            logger.warning("entries_not_added", extra={"family": self.family, "count": left})
        self._tell_nobody_knows()

    async def _run(self) -> None:
        while not self._is_closing:
            await self._wait()
            try:
                # First of all after it was away: what is to be added again depends on what it has lost.
                if self._was_away or self._clock() >= self._check_at:
                    await self._check()
                await self._flush()
            except StoreUnavailable:
                self._was_away = True
                self._tell_nobody_knows()
            except Exception:
                # Without this task nothing would be counted any more, and nobody would know.
                logger.exception("counters_failed", extra={"family": self.family})
                self._tell_nobody_knows()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._check_at - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _check(self) -> None:
        """Look where the family stands; add everything again where that changed or the store was away."""
        self._check_at = self._clock() + self.timing.tick_s
        self._forget()
        standing = await self.store.standing(self.family)
        # A seeding's token becomes the epoch: what was added while it went on need not be added again when it is done.
        marker = standing.epoch or standing.leader
        if marker != self._marker:
            # A seed takes older ones from the records, as a sum: they must not come again.
            self._forget(even_waiting=True)
        if marker != self._marker or self._was_away:
            self._due = {key: noted for key, noted in self._latest.items() if key not in self._fresh}
            if self._has_dropped:
                self._seeder.catch_up()
            if self._was_away and self.store.is_shared:
                # It was away for the others as well, and what they have still to add is missing from the totals.
                self._known_from = self._clock() + self.timing.grace_s
            self._marker, self._was_away, self._has_dropped = marker, False, False
        self._seeder.tend(standing)

    async def _flush(self) -> None:
        """Bring all that waits to the store, batch by batch."""
        while self._fresh or self._due:
            if not self.store.is_up:
                raise StoreUnavailable("the store was not reached a moment ago")
            batch = _take(self._due, BATCH // 2) + _take(self._fresh, BATCH // 2)
            try:
                totals = await self._add(batch)
            except BaseException:
                for noted in batch:
                    if noted.key not in self._fresh:  # else it has a newer amount by now
                        self._due[noted.key] = noted
                raise
            for noted, total in zip(batch, totals, strict=True):
                # While older entries wait, their counters are behind.
                is_known = not self._due and self._clock() >= self._known_from
                _tell(noted, total if is_known else None)

    async def _add(self, batch: list[Noted]) -> list[int | None]:
        try:
            return await self.store.add_many([noted.entry for noted in batch])
        except TotalTooLarge:
            return [await self._add_one(noted) for noted in batch]

    async def _add_one(self, noted: Noted) -> int | None:
        try:
            return await self.store.add(noted.entry.name, noted.entry.id, noted.entry.amount, noted.entry.ttl_s)
        except TotalTooLarge as e:
            logger.error("counter_too_large", extra={"family": self.family, "reason": str(e)})
            self._latest.pop(noted.key, None)
            return None

    def _tell_nobody_knows(self) -> None:
        """Let nobody wait for a store that is away; the entries are offered again later."""
        for noted in self._fresh.values():
            _tell(noted, None)
        self._due |= self._fresh
        self._fresh = {}

    def _forget(self, *, even_waiting: bool = False) -> None:
        """Forget what is old and in the store, or not even that, and whatever is too much."""
        horizon = self._clock() - self.timing.remember_s
        while self._latest:
            key, noted = next(iter(self._latest.items()))
            is_waiting = (key in self._due or key in self._fresh) and not even_waiting
            is_too_much = len(self._latest) > REMEMBERED_AT_MOST
            if not is_too_much and (is_waiting or noted.at > horizon):
                break
            if is_waiting and not self._has_dropped:
                self._has_dropped = True
                logger.warning("entries_left_to_records", extra={"family": self.family})
            del self._latest[key]
            self._due.pop(key, None)
            self._fresh.pop(key, None)


def _take(waiting: dict[Key, Noted], at_most: int) -> list[Noted]:
    return [waiting.pop(key) for key in list(islice(waiting, at_most))]


def _tell(noted: Noted, total: int | None) -> None:
    if not noted.total.done():
        noted.total.set_result(total)
