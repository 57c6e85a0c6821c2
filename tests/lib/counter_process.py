"""A process that counts in a shared store, for test_counters_seeding.py: `URL FOLDER NAME COUNT`.

What it counts it first writes down in FOLDER/NAME, one JSON line an entry, as the usage spool does. The lines of all
processes are the records that the store is seeded from, each some time after it was written. history.json is what was
before: one sum a counter. It prints what it is asked for on standard input: `done`, whether all of its entries are noted.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from smartrouter.lib.counters import CounterKeeper, Entry, SeedCounter, Timing, open_store

DAY = 24 * 3600.0
NAMES = ["f:one", "f:two", "f:three"]
# Records are seen so long after they were written.
LAG_S = 0.5
TIMING = Timing(tick_s=0.2, grace_s=1.0, lock_s=5.0, retry_s=0.3, late_after_s=(1.0, 3.0), late_every_s=1.0,
                turn_s=0.3)  # fmt: skip


def read_ledger(folder: Path, *, until: float) -> dict[str, dict[str, int]]:
    """The latest amount of each entry of each counter that was written before a moment."""
    found: dict[str, dict[str, int]] = {name: {} for name in NAMES}
    for path in folder.glob("*.ledger"):
        for line in path.read_text().splitlines():
            at, name, id, amount = json.loads(line)
            if at <= until:
                found[name][id] = amount
    return found


def read_history(folder: Path) -> dict[str, int]:
    """What each counter came to before."""
    return dict(json.loads((folder / "history.json").read_text()))


class Ledger:
    """The records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        entries, history = read_ledger(self.folder, until=time.time() - LAG_S), read_history(self.folder)
        await asyncio.sleep(0.2)  # time for others to do the same, and to add more
        for name in {*entries, *history}:
            yield [SeedCounter(name, history.get(name, 0), DAY, entries.get(name, {}))]

    async def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        found = read_ledger(self.folder, until=time.time() - LAG_S)
        yield [Entry(name, id, amount, DAY) for name in NAMES for id, amount in found[name].items()]

    def is_behind(self) -> bool:
        return False

    async def close(self) -> None: ...


async def main(url: str, folder: Path, process: str, count: int) -> None:
    store, chance = open_store(url), random.Random(process)
    keeper = CounterKeeper(store, "f", Ledger(folder), timing=TIMING)
    keeper.start()
    with (folder / f"{process}.ledger").open("a", buffering=1) as ledger:
        for number in range(count):
            again = number and chance.random() < 0.2
            id = f"{process}-{chance.randrange(number) if again else number}"
            name = NAMES[int(id.rpartition("-")[2]) % len(NAMES)]
            amount = chance.randrange(1, 10**9)
            ledger.write(json.dumps([time.time(), name, id, amount]) + "\n")
            noted = keeper.note(Entry(name, id, amount, DAY))
            if number % 10 == 0:
                await keeper.total_of(noted)
            await asyncio.sleep(chance.random() * 0.02)
    print("done", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await keeper.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
