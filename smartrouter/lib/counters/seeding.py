"""Hot path. Seeding one family of counters: by one process at a time, from what the records say.

What a seed has not seen comes in two other ways, and counts once, for each entry has an id: every live process adds its
latest entries again when a seeding begins (CounterKeeper), and the records that came late, such as those of processes that
died, are read again afterwards.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol
from uuid import uuid4

from smartrouter.lib.counters.base import (
    CounterStore,
    Entry,
    SeedCounter,
    Standing,
    StoreUnavailable,
    TotalTooLarge,
)

logger = logging.getLogger(__name__)

# So many entries at once: a batch takes the event loop one or two milliseconds.
BATCH = 100
BATCH_DEADLINE_S = 2.0


class SourceUnavailable(Exception):
    """The records cannot be read now."""


class Source(Protocol):
    """The records behind a family. Reading them raises SourceUnavailable."""

    async def read_seeds(self) -> Sequence[SeedCounter]:
        """Every counter that has not been forgotten, as the records have it now."""
        ...

    async def read_late(self, *, all_recent: bool) -> Sequence[Entry]:
        """Entries that no live process may have added; with all_recent, all entries of late.

        Only such as read_seeds() names as entries, or would name if it was called now.
        """
        ...

    async def close(self) -> None:
        """Give up what reading needs."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """When things are done, in seconds.

    tick_s: how often a process looks at the store. grace_s: how long a seeding takes at least, so that every live process
    has seen it and added its entries again; and for how long totals are not known after the store was away. remember_s:
    how long a process remembers its own entries; records have to arrive within that time. late_after_s: when records are
    read again after a seeding, all recent ones. late_every_s: how often those are read that came without a live process.
    """

    tick_s: float = 1.0
    grace_s: float = 3.0
    lock_s: float = 30.0
    retry_s: float = 2.0
    remember_s: float = 600.0
    late_after_s: tuple[float, ...] = (5.0, 30.0, 120.0)
    late_every_s: float = 30.0


class SeedingLost(Exception):
    """The lock is gone, and with it, it has to be feared, what was seeded."""


class Seeder:
    """Seeds a family where nobody has, and brings in late records; one task at a time."""

    def __init__(
        self, store: CounterStore, family: str, source: Source, *, timing: Timing, clock: Callable[[], float]
    ) -> None:
        self.store = store
        self.family = family
        self.source = source
        self.timing = timing
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._late_at: deque[float] = deque()
        self._regular_at = clock() + timing.late_every_s
        self._retry_at = 0.0
        self._is_failing = False

    def tend(self, standing: Standing) -> None:
        """Begin what is due."""
        now = self._clock()
        if (self._task is not None and not self._task.done()) or now < self._retry_at:
            return
        if standing.epoch is None:
            if standing.leader is None:
                self._begin(self._seed(), "counter-seeding")
        elif self._late_at and now >= self._late_at[0]:
            self._begin(self._bring_late(all_recent=True), "counter-late-records")
        elif self.store.is_shared and now >= self._regular_at:
            self._begin(self._bring_late(all_recent=False), "counter-late-records")

    def catch_up(self) -> None:
        """Read all recent records again, a few times from now on: some of their entries were not added."""
        self._late_at = deque(self._clock() + after_s for after_s in self.timing.late_after_s)

    async def close(self) -> None:
        """End what is under way; another process takes over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(self._guarded(work), name=name)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (StoreUnavailable, SourceUnavailable, SeedingLost) as e:
            self._note_failure(e)
        except Exception as e:  # a seed that cannot be applied leaves the totals unknown, and someone must look
            logger.exception("counters_not_seeded", extra={"family": self.family})
            self._note_failure(e)
        else:
            self._is_failing = False

    def _note_failure(self, error: Exception) -> None:
        self._retry_at = self._clock() + self.timing.retry_s
        if not self._is_failing:
            logger.warning("counters_waiting", extra={"family": self.family, "reason": type(error).__name__})
        self._is_failing = True

    async def _seed(self) -> None:
        token, began = uuid4().hex, time.monotonic()
        if not await self.store.lead(self.family, token, self.timing.lock_s):
            return
        renewing = asyncio.get_running_loop().create_task(self._renew(token), name="counter-seeding-lock")
        try:
            count = await self._seed_as(token)
            if self.store.is_shared:
                await asyncio.sleep(max(0.0, began + self.timing.grace_s - time.monotonic()))
            if not await self.store.finish_seed(self.family, token):
                raise SeedingLost
        except BaseException:
            await self._resign(token)
            raise
        finally:
            renewing.cancel()
        seconds = round(time.monotonic() - began, 3)
        logger.info("counters_seeded", extra={"family": self.family, "count": count, "seconds": seconds})
        self.catch_up()

    async def _seed_as(self, token: str) -> int:
        seeds = iter(await self.source.read_seeds())
        count = 0
        while batch := _next_batch(seeds):
            if not await self.store.seed(self.family, token, batch, deadline_s=BATCH_DEADLINE_S):
                raise SeedingLost
            count += len(batch)
        return count

    async def _renew(self, token: str) -> None:
        while True:
            await asyncio.sleep(self.timing.lock_s / 3)
            try:
                if not await self.store.renew(self.family, token, self.timing.lock_s):
                    return  # the next write of the seeding finds out
            except StoreUnavailable:
                continue

    async def _resign(self, token: str) -> None:
        try:
            await self.store.resign(self.family, token)
        except StoreUnavailable:
            logger.info("seeding_left_to_its_lock", extra={"family": self.family})

    async def _bring_late(self, *, all_recent: bool) -> None:
        entries = iter(await self.source.read_late(all_recent=all_recent))
        while batch := list(islice(entries, BATCH)):
            try:
                await self.store.add_many(batch, deadline_s=BATCH_DEADLINE_S)
            except TotalTooLarge as e:
                logger.error("counter_too_large", extra={"family": self.family, "reason": str(e)})
        now = self._clock()
        if all_recent:
            self._late_at.popleft()
        self._regular_at = now + self.timing.late_every_s


def _next_batch(seeds: Iterator[SeedCounter]) -> list[SeedCounter]:
    """Counters with about BATCH entries together; at least one counter, which is applied whole."""
    batch: list[SeedCounter] = []
    size = 0
    for seed in seeds:
        batch.append(seed)
        size += 1 + len(seed.entries)
        if size >= BATCH:
            break
    return batch
