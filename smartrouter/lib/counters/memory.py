"""Hot path. The counters of one process, on its event loop; nothing here waits.

It is what a Redis is that was emptied when the process began, so that it is seeded in the same way.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from smartrouter.lib.counters.base import (
    DEADLINE_S,
    REMEMBERED_S,
    Entry,
    SeedCounter,
    Standing,
    TotalTooLarge,
    check_amount,
    family_of,
)


@dataclass(slots=True)
class _Counter:
    total: int
    until: float
    is_seeded: bool = False


class MemoryStore:
    """Counters and facts in memory; clock: seconds that only ever grow."""

    is_shared = False
    is_up = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters: dict[str, _Counter] = {}
        self._ends: list[tuple[float, str]] = []  # when to look at which counter; one place for each
        self._entries: dict[tuple[str, str], tuple[int, float]] = {}  # in the order in which they are forgotten
        self._facts: dict[str, dict[str, tuple[bytes, float]]] = {}
        self._epochs: dict[str, str] = {}
        self._leaders: dict[str, tuple[str, float]] = {}

    async def add(
        self, name: str, entry: str, amount: int, ttl_s: float, *, deadline_s: float = DEADLINE_S
    ) -> int | None:
        self._forget()
        total = self._add(Entry(name, entry, amount, ttl_s))
        return total if family_of(name) in self._epochs else None

    async def add_many(self, entries: Sequence[Entry], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        refused: TotalTooLarge | None = None
        totals: list[int | None] = []
        for entry in entries:
            try:
                totals.append(await self.add(entry.name, entry.id, entry.amount, entry.ttl_s))
            except TotalTooLarge as e:
                refused = e
        if refused is not None:
            raise refused
        return totals

    async def total(self, name: str, *, deadline_s: float = DEADLINE_S) -> int | None:
        self._forget()
        if family_of(name) not in self._epochs:
            return None
        counter = self._counters.get(name)
        return counter.total if counter else 0

    async def totals(self, names: Sequence[str], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        return [await self.total(name) for name in names]

    async def put(self, topic: str, name: str, value: bytes, ttl_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        self._facts.setdefault(topic, {})[name] = value, self._clock() + ttl_s

    async def all(self, topic: str, *, deadline_s: float = DEADLINE_S) -> dict[str, bytes]:
        now, facts = self._clock(), self._facts.get(topic, {})
        for name in [name for name, (_value, until) in facts.items() if until <= now]:
            del facts[name]
        return {name: value for name, (value, _until) in facts.items()}

    async def standing(self, family: str, *, deadline_s: float = DEADLINE_S) -> Standing:
        return Standing(self._epochs.get(family), self._leader(family))

    async def lead(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        if family in self._epochs or self._leader(family) is not None:
            return False
        self._leaders[family] = token, self._clock() + lock_s
        return True

    async def renew(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        if self._leader(family) != token:
            return False
        self._leaders[family] = token, self._clock() + lock_s
        return True

    async def seed(
        self, family: str, token: str, counters: Sequence[SeedCounter], *, deadline_s: float = DEADLINE_S
    ) -> bool:
        if self._leader(family) != token:
            return False
        self._forget()
        for counter in counters:
            self._seed(counter)
        return True

    async def finish_seed(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> bool:
        if self._leader(family) != token:
            return False
        self._epochs[family] = token
        del self._leaders[family]
        return True

    async def resign(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> None:
        if self._leader(family) == token:
            del self._leaders[family]

    async def close(self) -> None:
        """Nothing to give up."""

    def _add(self, entry: Entry) -> int:
        check_amount(entry.amount)
        key = (entry.name, entry.id)
        counter = self._counters.get(entry.name)
        old = self._entries.get(key)
        if counter is None and old is not None:
            # The counter was forgotten with this entry in it: a difference does not bring it back.
            self._remember(key, entry.amount)
            return 0
        others = (counter.total if counter else 0) - (old[0] if old else 0)
        total = others + entry.amount
        check_amount(others)
        check_amount(total)
        self._remember(key, entry.amount)
        until = self._clock() + entry.ttl_s
        if counter is None:
            self._counters[entry.name] = _Counter(total, until)
            heappush(self._ends, (until, entry.name))
        elif old is None or old[0] != entry.amount:
            counter.total, counter.until = total, max(counter.until, until)
        return total

    def _seed(self, seed: SeedCounter) -> None:
        counter = self._counters.get(seed.name)
        if counter is not None and counter.is_seeded:
            return
        new = {id: amount for id, amount in seed.entries.items() if (seed.name, id) not in self._entries}
        total = (counter.total if counter else 0) + seed.base
        check_amount(total)
        for amount in new.values():
            total += amount
            check_amount(total)
        for id, amount in new.items():
            self._remember((seed.name, id), amount)
        until = self._clock() + seed.ttl_s
        if counter is None:
            counter = self._counters[seed.name] = _Counter(total, until)
            heappush(self._ends, (until, seed.name))
        counter.total, counter.until, counter.is_seeded = total, max(until, counter.until), True

    def _leader(self, family: str) -> str | None:
        token, until = self._leaders.get(family, (None, 0.0))
        return token if until > self._clock() else None

    def _remember(self, key: tuple[str, str], amount: int) -> None:
        self._entries.pop(key, None)
        self._entries[key] = amount, self._clock() + REMEMBERED_S

    def _forget(self) -> None:
        """Drop what is over; each entry and each counter is looked at about once in its life."""
        now = self._clock()
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key][1] > now:
                break
            del self._entries[key]
        while self._ends and self._ends[0][0] <= now:
            _at, name = heappop(self._ends)
            if self._counters[name].until > now:
                heappush(self._ends, (self._counters[name].until, name))
            else:
                del self._counters[name]
