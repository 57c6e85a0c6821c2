"""Hot path. One process's side of a family of counters: what it has added lately, and the task that brings it to the store.

Nothing that was noted is lost while the process lives: what the store did not take is offered again, and all that the
process remembers is added again when the store was away or has begun to be seeded anew. Entries have ids, so that
repeating them changes nothing. What a process could not bring before it ended is in the records, and they are read again
by whoever finds the store back or begins. While anything is owed, totals are not known, rather than wrong.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from smartrouter.lib.counters.base import (
    DEADLINE_S,
    CounterStore,
    Entry,
    Standing,
    StoreUnavailable,
    TotalTooLarge,
)
from smartrouter.lib.counters.seeding import BATCH, Seeder
from smartrouter.lib.counters.source import Source, Timing

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

    _fresh are the entries that someone may be waiting for, _due those that the store has not taken; _latest is what the
    process remembers, oldest first. Each entry that is not in the store yet is in one of the first two, or in the batch at
    hand. _again are the keys of those that the store has taken and may have lost: they come last.
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
        self._again: deque[Key] = deque()
        self._marker: str | None = None
        # As far as a process that begins can know: what the one before it could not bring is in the records only.
        self._was_away = store.is_shared
        self._owes_since: float | None = None
        self._has_dropped = False
        self._is_closing = False
        self._check_at = self._known_from = self._hold_at = 0.0
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
                if self._due and self._owes_since is None:
                    self._owes_since = self._clock()
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
        now = self._clock()
        self._check_at = now + self.timing.tick_s
        self._forget()
        standing = await self.store.standing(self.family)
        owes_s = 0.0 if self._owes_since is None else now - self._owes_since
        if owes_s > self.timing.stands_s and standing.epoch is not None:
            # What was owed for so long is neither in the latest records nor sure to be in nobody's sum.
            logger.warning("counted_anew", extra={"family": self.family})
            await self.store.start_over(self.family, standing.epoch)
            standing = Standing(None, None)
        # A seeding's token becomes the epoch: what was added while it went on need not be added again when it is done.
        marker = standing.epoch or standing.leader
        if standing.epoch is None or marker != self._marker:
            # A seed takes older ones from the records, as a sum: they must not come again.
            self._forget(waiting_s=self.timing.stands_s)
        if marker != self._marker or self._was_away:
            self._again = deque(self._latest)
        if self._was_away or self._has_dropped:
            # It was away for the others as well, and what they have still to add is missing from the totals.
            self._known_from = now + self.timing.grace_s
            self._seeder.catch_up(is_behind=True)
        self._marker, self._was_away, self._has_dropped = marker, False, False
        self._seeder.tend(standing)

    async def _flush(self) -> None:
        """Bring all that waits to the store, batch by batch."""
        while self._fresh or self._due or self._again:
            if not self.store.is_up:
                raise StoreUnavailable("the store was not reached a moment ago")
            await self._hold_back()
            batch = self._next_batch()
            try:
                totals = await self._add(batch)
            except BaseException:
                for noted in batch:
                    if noted.key not in self._fresh:  # else it has a newer amount by now
                        self._due[noted.key] = noted
                raise
            is_known = self._is_known()
            for noted, total in zip(batch, totals, strict=True):
                _tell(noted, total if is_known else None)
            await asyncio.sleep(0)
        self._owes_since = None

    async def _hold_back(self) -> None:
        """While this process owes entries, let no other tell totals that lack them. At its end, that is a matter of ms."""
        now = self._clock()
        is_owing = bool(self._due or self._again) and not self._is_closing
        if self.store.is_shared and is_owing and now >= self._hold_at:
            await self.store.hold_back(self.family, self.timing.grace_s)
            self._hold_at = now + self.timing.grace_s / 3

    def _next_batch(self) -> list[Noted]:
        batch = _take(self._due, BATCH // 2) + _take(self._fresh, BATCH // 2)
        while self._again and len(batch) < BATCH:
            noted = self._latest.get(self._again.popleft())
            if noted is not None and noted.key not in self._fresh and noted.key not in self._due:
                batch.append(noted)
        return batch

    def _is_known(self) -> bool:
        """Whether the store's totals may be told: nothing is owed that should be in them."""
        is_level = not self._due and not self._again and self._seeder.has_caught_up
        return is_level and self._clock() >= self._known_from

    async def _add(self, batch: list[Noted]) -> list[int | None]:
        try:
            return await self.store.add_many([noted.entry for noted in batch])
        except TotalTooLarge:
            return [await self._add_one(noted) for noted in batch]

    async def _add_one(self, noted: Noted) -> int | None:
        try:
            return await self.store.add(noted.entry)
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

    def _forget(self, *, waiting_s: float = math.inf) -> None:
        """Forget what is old and in the store, or has been waiting for so long, and whatever is too much."""
        now = self._clock()
        while self._latest:
            key, noted = next(iter(self._latest.items()))
            is_waiting = key in self._due or key in self._fresh
            is_too_much = len(self._latest) > REMEMBERED_AT_MOST
            if not is_too_much and noted.at > now - (waiting_s if is_waiting else self.timing.remember_s):
                break
            if is_waiting and not self._has_dropped:
                self._has_dropped = True
                logger.warning("entries_left_to_records", extra={"family": self.family})
            del self._latest[key]
            self._due.pop(key, None)
            dropped = self._fresh.pop(key, None)
            if dropped is not None:
                _tell(dropped, None)


def _take(waiting: dict[Key, Noted], at_most: int) -> list[Noted]:
    return [waiting.pop(key) for key in list(islice(waiting, at_most))]


def _tell(noted: Noted, total: int | None) -> None:
    if not noted.total.done():
        noted.total.set_result(total)
