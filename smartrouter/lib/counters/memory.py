"""Hot path. The counters of one process, on its event loop; nothing here waits.

It is what a Redis is that was emptied when the process began, so that it is seeded in the same way.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from smartrouter.lib.counters.base import (
    DEADLINE_S,
    LARGEST,
    Entry,
    SeedCounter,
    Standing,
    TotalTooLarge,
    check_amount,
    family_of,
)
from smartrouter.lib.counters.claims_memory import MemoryClaims

Key = tuple[str, str]


@dataclass(slots=True)
class _Counter:
    total: int
    until: float
    is_seeded: bool = False


class MemoryStore:
    """Counters in memory; clock: seconds that only ever grow."""

    is_shared = False
    is_up = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters: dict[str, _Counter] = {}
        self._ends: list[tuple[float, str]] = []  # when to look at which counter; one place for each
        # By how long they are remembered, then in the order in which they are forgotten.
        self._entries: dict[float, dict[Key, tuple[int, float]]] = {}
        self._epochs: dict[str, tuple[str, float]] = {}
        self._leaders: dict[str, tuple[str, float]] = {}
        self._held: dict[str, float] = {}
        self._boards: dict[str, dict[str, tuple[bytes, float]]] = {}
        self._claims = MemoryClaims(clock)

    @property
    def claims(self) -> MemoryClaims:
        return self._claims

    async def add(self, entry: Entry, *, deadline_s: float = DEADLINE_S) -> int | None:
        self._forget()
        total = self._add(entry)
        return total if self._is_known(entry.name) else None

    async def add_many(self, entries: Sequence[Entry], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        refused: TotalTooLarge | None = None
        totals: list[int | None] = []
        for entry in entries:
            try:
                totals.append(await self.add(entry))
            except TotalTooLarge as e:
                refused = e
        if refused is not None:
            raise refused
        return totals

    async def total(self, name: str, *, deadline_s: float = DEADLINE_S) -> int | None:
        self._forget()
        counter = self._counters.get(name)
        total = counter.total if counter else 0
        return total if self._is_known(name) and abs(total) <= LARGEST else None

    async def totals(self, names: Sequence[str], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        return [await self.total(name) for name in names]

    async def standing(self, family: str, *, deadline_s: float = DEADLINE_S) -> Standing:
        return Standing(self._holder(self._epochs, family), self._holder(self._leaders, family))

    async def lead(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        if self._holder(self._epochs, family) or self._holder(self._leaders, family):
            return False
        self._leaders[family] = token, self._clock() + lock_s
        self._counters = {name: found for name, found in self._counters.items() if family_of(name) != family}
        self._ends = [(until, name) for until, name in self._ends if family_of(name) != family]
        heapify(self._ends)
        for kept_s, entries in self._entries.items():
            self._entries[kept_s] = {key: entry for key, entry in entries.items() if family_of(key[0]) != family}
        return True

    async def renew(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        if self._holder(self._leaders, family) != token:
            return False
        self._leaders[family] = token, self._clock() + lock_s
        return True

    async def seed(
        self, family: str, token: str, counters: Sequence[SeedCounter], *, deadline_s: float = DEADLINE_S
    ) -> bool:
        if self._holder(self._leaders, family) != token:
            return False
        self._forget()
        refused = [counter.name for counter in counters if not self._seed(counter)]
        if refused:
            raise TotalTooLarge("a seed beyond 2^53 - 1")
        return True

    async def finish_seed(self, family: str, token: str, stands_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        if self._holder(self._leaders, family) != token:
            return False
        self._epochs[family] = token, self._clock() + stands_s
        del self._leaders[family]
        return True

    async def prolong(self, family: str, stands_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        epoch = self._holder(self._epochs, family)
        if epoch is not None:
            self._epochs[family] = epoch, self._clock() + stands_s

    async def resign(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> None:
        if self._holder(self._leaders, family) == token:
            del self._leaders[family]

    async def start_over(self, family: str, epoch: str, *, deadline_s: float = DEADLINE_S) -> None:
        if self._holder(self._epochs, family) == epoch:
            del self._epochs[family]

    async def hold_back(self, family: str, for_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        self._held[family] = max(self._held.get(family, 0.0), self._clock() + for_s)

    async def take_turn(self, name: str, token: str, for_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        return True  # there is nobody else

    async def publish(
        self, board: str, member: str, payload: bytes, ttl_s: float, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._boards.setdefault(board, {})[member] = payload, self._clock() + ttl_s

    async def read(self, board: str, *, deadline_s: float = DEADLINE_S) -> dict[str, bytes]:
        now = self._clock()
        notices = {member: notice for member, notice in self._boards.get(board, {}).items() if notice[1] > now}
        self._boards[board] = notices
        return {member: payload for member, (payload, _until) in notices.items()}

    async def close(self) -> None:
        """Nothing to give up."""

    def _add(self, entry: Entry) -> int:
        check_amount(entry.amount)
        counter = self._counters.get(entry.name)
        old = self._amount((entry.name, entry.id))
        if counter is None and old is not None:
            # The counter was forgotten with this entry in it: a difference does not bring it back.
            self._remember(entry.name, entry.id, entry.amount, entry.remembered_s)
            return 0
        before = counter.total if counter else 0
        others = before - (old or 0)
        total = others + entry.amount
        for number in (before, others, total):
            check_amount(number)
        self._remember(entry.name, entry.id, entry.amount, entry.remembered_s)
        until = self._clock() + entry.ttl_s
        if counter is None:
            self._counters[entry.name] = _Counter(total, until)
            heappush(self._ends, (until, entry.name))
        elif old != entry.amount:
            counter.total, counter.until = total, max(counter.until, until)
        return total

    def _seed(self, seed: SeedCounter) -> bool:
        """Whether the counter takes the seed, or has one; one that is refused keeps a total that takes no entry."""
        counter = self._counters.get(seed.name)
        if counter is not None and counter.is_seeded:
            return True
        new = {id: amount for id, amount in seed.entries.items() if self._amount((seed.name, id)) is None}
        total = (counter.total if counter else 0) + seed.base
        is_taken = abs(total) <= LARGEST
        for amount in new.values():
            total += amount
            is_taken = is_taken and abs(total) <= LARGEST
        if is_taken:
            for id, amount in new.items():
                self._remember(seed.name, id, amount, seed.remembered_s)
        else:
            total = LARGEST + 1
        until = self._clock() + seed.ttl_s
        if counter is None:
            counter = self._counters[seed.name] = _Counter(total, until)
            heappush(self._ends, (until, seed.name))
        counter.total, counter.until, counter.is_seeded = total, max(until, counter.until), True
        return is_taken

    def _is_known(self, name: str) -> bool:
        family = family_of(name)
        return self._holder(self._epochs, family) is not None and self._held.get(family, 0.0) <= self._clock()

    def _holder(self, held: dict[str, tuple[str, float]], family: str) -> str | None:
        token, until = held.get(family, (None, 0.0))
        return token if until > self._clock() else None

    def _amount(self, key: Key) -> int | None:
        for entries in self._entries.values():
            if key in entries:
                return entries[key][0]
        return None

    def _remember(self, name: str, id: str, amount: int, remembered_s: float) -> None:
        key = (name, id)
        for entries in self._entries.values():
            entries.pop(key, None)
        self._entries.setdefault(remembered_s, {})[key] = amount, self._clock() + remembered_s

    def _forget(self) -> None:
        """Drop what is over; each entry and each counter is looked at about once in its life."""
        now = self._clock()
        for entries in self._entries.values():
            while entries:
                key = next(iter(entries))
                if entries[key][1] > now:
                    break
                del entries[key]
        while self._ends and self._ends[0][0] <= now:
            _at, name = heappop(self._ends)
            if self._counters[name].until > now:
                heappush(self._ends, (self._counters[name].until, name))
            else:
                del self._counters[name]
