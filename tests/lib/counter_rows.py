"""Records behind counters, a time that can be skipped, and waiting, for the tests of what happens around a store."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from smartrouter.lib.counters import (
    CounterKeeper,
    CounterStore,
    Entry,
    SeedCounter,
    StoreUnavailable,
    Timing,
    open_store,
)

DAY = 24 * 3600.0
HOUR = 3600.0
PATIENT_S = 30.0
QUICK = Timing(tick_s=0.1, grace_s=0.5, retry_s=0.2, lock_s=5, late_after_s=(0.5, 1, 2), late_every_s=0.5, turn_s=0.2)


class Time:
    """Seconds that can be skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped


class Rows:
    """Records as a database has them: the older ones are given as a sum, only recent ones are read again."""

    def __init__(self) -> None:
        self.clock = Time()
        self.charges: dict[str, tuple[int, float]] = {}
        self.seeds_read = 0
        self.reads_late: list[bool] = []
        self.behind = False
        self.before: Callable[[], None] = lambda: None

    def add(self, id: str, charge: int) -> Entry:
        self.charges[id] = charge, self.clock()
        return Entry("f:a", id, charge, DAY, 2 * HOUR)

    @property
    def truth(self) -> int:
        return sum(charge for charge, _at in self.charges.values())

    def since(self, seconds: float) -> dict[str, int]:
        return {id: charge for id, (charge, at) in self.charges.items() if at > self.clock() - seconds}

    async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        self.before()
        self.seeds_read += 1
        entries = self.since(2 * HOUR)
        yield [SeedCounter("f:a", self.truth - sum(entries.values()), DAY, entries, 2 * HOUR)]

    async def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        self.before()
        self.reads_late.append(all_recent)
        if all_recent:
            yield [Entry("f:a", id, charge, DAY, 2 * HOUR) for id, charge in self.since(1.5 * HOUR).items()]

    def is_behind(self) -> bool:
        return self.behind

    async def close(self) -> None: ...


@asynccontextmanager
async def keeping(url: str, rows: Rows, timing: Timing = QUICK) -> AsyncIterator[CounterKeeper]:
    keeper = CounterKeeper(open_store(url), "f", rows, timing=timing, clock=rows.clock)
    keeper.start()
    yield keeper
    await keeper.close()
    await keeper.store.close()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENT_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def first_told(keeper: CounterKeeper, rows: Rows) -> tuple[int, int]:
    """The first total that the process tells, and what it should be."""
    end = time.monotonic() + PATIENT_S
    while time.monotonic() < end:
        total = await keeper.total_of(keeper.note(rows.add("asking", 1)), deadline_s=5)
        if total is not None:
            return total, rows.truth
        await asyncio.sleep(0.02)
    raise AssertionError("no total was told")


async def stored(store: CounterStore) -> int | None:
    try:
        return await store.total("f:a", deadline_s=5)
    except StoreUnavailable:
        return None


async def until_stored(store: CounterStore, rows: Rows) -> None:
    """Return when the store's total is the truth."""
    end = time.monotonic() + PATIENT_S
    while (total := await stored(store)) != rows.truth:
        assert time.monotonic() < end, f"{total}, not {rows.truth}"
        await asyncio.sleep(0.05)
