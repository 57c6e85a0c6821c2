"""Hot path. Seeding one family of counters: by one process at a time, from what the records say.

What a seed has not seen comes in two other ways, and counts once, for each entry has an id: every live process adds its
latest entries again when a seeding begins (CounterKeeper), and the records that came late, such as those of processes that
died, are read again afterwards. Of several processes that want to read them at about the same time, one does.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from smartrouter.lib.counters.base import CounterStore, SeedCounter, Standing, StoreUnavailable, TotalTooLarge
from smartrouter.lib.counters.source import Source, SourceSilent, SourceUnavailable, Timing

logger = logging.getLogger(__name__)

T = TypeVar("T")

# So many entries at once: a batch takes the event loop one or two milliseconds.
BATCH = 100
BATCH_DEADLINE_S = 2.0


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
        self.has_caught_up = True
        self._clock = clock
        self._token = uuid4().hex
        self._task: asyncio.Task[None] | None = None
        self._late_at: deque[float] = deque()
        self._regular_at = clock() + timing.late_every_s
        self._settled_by = clock() + timing.settle_s
        self._retry_at = 0.0
        self._is_failing = False

    def tend(self, standing: Standing) -> None:
        """Begin what is due."""
        now = self._clock()
        if (self._task is not None and not self._task.done()) or now < self._retry_at:
            return
        if standing.epoch is None:
            # The records of the process before this one are waited for, but not for ever.
            is_settled = self.store.is_shared or now >= self._settled_by or not self.source.is_behind()
            if standing.leader is None and is_settled:
                self._begin(self._seed, "counter-seeding")
        elif self._late_at and now >= self._late_at[0]:
            self._begin(partial(self._catch_up, standing.epoch), "counter-late-records")
        elif now >= self._regular_at:
            self._begin(partial(self._look_for_late, standing.epoch), "counter-late-records")

    def catch_up(self, *, is_behind: bool) -> None:
        """Read all recent records again, a few times from now on: some of their entries were perhaps not added.

        has_caught_up says whether that was done once since a call with is_behind.
        """
        self._late_at = deque(self._clock() + after_s for after_s in self.timing.late_after_s)
        if is_behind:
            self.has_caught_up = not self._late_at

    async def close(self) -> None:
        """End what is under way; another process takes over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()

    def _begin(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(self._guarded(work), name=name)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (StoreUnavailable, SourceUnavailable, SeedingLost) as e:
            self._note_failure(e)
        except Exception as e:  # a seed that cannot be applied leaves the totals unknown, and someone must look
            logger.exception("counters_not_seeded", extra={"family": self.family})
            self._note_failure(e)
        else:
            self._is_failing = False

    def _note_failure(self, error: Exception) -> None:
        # Who gets nothing from the records lets others try before.
        wait_s = self.timing.lock_s if isinstance(error, SourceSilent) else self.timing.retry_s
        self._retry_at = self._clock() + wait_s
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
            await asyncio.sleep(max(0.0, began + self.timing.grace_s - time.monotonic()))
            if not await self.store.finish_seed(self.family, token, self.timing.stands_s):
                raise SeedingLost
        except BaseException:
            await self._resign(token)
            raise
        finally:
            renewing.cancel()
        seconds = round(time.monotonic() - began, 3)
        logger.info("counters_seeded", extra={"family": self.family, "count": count, "seconds": seconds})
        self.catch_up(is_behind=False)

    async def _seed_as(self, token: str) -> int:
        count = 0
        async for seeds in self._in_time(self.source.read_seeds()):
            left = iter(seeds)
            while batch := _next_batch(left):
                try:
                    is_leading = await self.store.seed(self.family, token, batch, deadline_s=BATCH_DEADLINE_S)
                except TotalTooLarge as e:  # the others of the batch are seeded
                    logger.error("counter_too_large", extra={"family": self.family, "reason": str(e)})
                else:
                    if not is_leading:
                        raise SeedingLost
                count += len(batch)
                await asyncio.sleep(0)
        return count

    async def _in_time(self, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The pieces as they come. Raises SourceSilent where the next one does not come within piece_s."""
        async with aclosing(pieces):
            while True:
                try:
                    async with asyncio.timeout(self.timing.piece_s):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise SourceSilent from None
                yield piece

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

    async def _catch_up(self, epoch: str) -> None:
        late_at = self._late_at
        await self.store.prolong(self.family, self.timing.stands_s)
        if await self.store.take_turn(f"{self.family}:recent:{epoch}", self._token, self.timing.turn_s):
            try:
                await self._bring_late(all_recent=True)
            except SourceUnavailable:
                self.catch_up(is_behind=False)  # whoever writes the records has to wait for the database as well
                raise
        if self._late_at is late_at:  # else there is a new reason by now
            late_at.popleft()
            self.has_caught_up = True
        self._regular_at = self._clock() + self.timing.late_every_s

    async def _look_for_late(self, epoch: str) -> None:
        await self.store.prolong(self.family, self.timing.stands_s)
        # A little less than the time in which everyone looks, so that one of them does.
        for_s = self.timing.late_every_s * 0.9
        if await self.store.take_turn(f"{self.family}:late:{epoch}", self._token, for_s):
            await self._bring_late(all_recent=not self.store.is_shared and self.source.is_behind())
        self._regular_at = self._clock() + self.timing.late_every_s

    async def _bring_late(self, *, all_recent: bool) -> None:
        async for found in self._in_time(self.source.read_late(all_recent=all_recent)):
            entries = iter(found)
            while batch := list(islice(entries, BATCH)):
                try:
                    await self.store.add_many(batch, deadline_s=BATCH_DEADLINE_S)
                except TotalTooLarge as e:
                    logger.error("counter_too_large", extra={"family": self.family, "reason": str(e)})
                await asyncio.sleep(0)


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
