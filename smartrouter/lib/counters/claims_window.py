"""Hot path. One rate in memory: how much was used in the last minute, and what each process has taken and not used.

Uses are added up in slots of RATE_SLOT_S; a slot leaves as a whole, RATE_PERIOD_S after its end, so that no use leaves early.
"""

from dataclasses import dataclass

from smartrouter.lib.counters.base import LARGEST, TotalTooLarge
from smartrouter.lib.counters.claims import RATE_PERIOD_S, RATE_SLOT_S, TAKEN_S, Take

SLOT_MS = int(RATE_SLOT_S * 1000)
PERIOD_MS = int(RATE_PERIOD_S * 1000)
TAKEN_MS = int(TAKEN_S * 1000)
# How long a rate is remembered after it was last told of, and the number of a process.
KEPT_MS = PERIOD_MS + 10_000


@dataclass(slots=True)
class _Taker:
    number: int
    has: int
    until_ms: int


class Window:
    """One rate. All times in ms on one clock that only ever grows; what a rate is limited to is its caller's business."""

    def __init__(self) -> None:
        self.until_ms = 0
        self._sum = 0
        self._oldest = 0  # no slot before this one is left
        self._slots: dict[int, int] = {}
        self._takers: dict[str, _Taker] = {}

    @property
    def used(self) -> int:
        """In the last period. Never below 0, though what is taken back may come before what it is taken from."""
        return max(self._sum, 0)

    def tell(self, process: str, take: Take, now_ms: int) -> bool:
        """Whether the number is not a late one; the uses of a new one are added.

        Raises TotalTooLarge, and has changed nothing then.
        """
        self._forget(now_ms)
        taker = self._takers.get(process)
        if taker is not None and take.number <= taker.number:
            return take.number == taker.number
        new = [(self._slot(age_ms, amount, now_ms), amount) for age_ms, amount in take.uses]
        new = [(slot, amount) for slot, amount in new if slot >= self._oldest]
        total = self._sum + sum(amount for _slot, amount in new)
        if abs(total) > LARGEST:
            raise TotalTooLarge("a sum beyond 2^53 - 1")
        self._sum = total
        for slot, amount in new:
            self._slots[slot] = self._slots.get(slot, 0) + amount
        return True

    def known(self, process: str, now_ms: int) -> int:
        """What a process has of what it took before."""
        taker = self._takers.get(process)
        return taker.has if taker is not None and taker.until_ms > now_ms else 0

    def others(self, process: str, now_ms: int) -> int:
        """What the others have."""
        return sum(t.has for name, t in self._takers.items() if name != process and t.until_ms > now_ms)

    def keep(self, process: str, number: int, has: int, now_ms: int) -> None:
        """Let the process have so much from now on."""
        self._takers[process] = _Taker(number, has, now_ms + TAKEN_MS)
        self.until_ms = now_ms + KEPT_MS

    def wait_ms(self, process: str, missing: int, now_ms: int) -> int:
        """Until so much is free: uses leave, or, if that is sooner, what the others have has ended and uses leave."""
        others = [t for name, t in self._takers.items() if name != process and t.until_ms > now_ms and t.has]
        until_ms = max((t.until_ms for t in others), default=now_ms)
        without_others = max(until_ms - now_ms, self._leave_ms(missing - sum(t.has for t in others), now_ms))
        return min(self._leave_ms(missing, now_ms), without_others)

    def _leave_ms(self, missing: int, now_ms: int) -> int:
        if missing <= 0:
            return 0
        for slot in sorted(self._slots):
            missing -= self._slots[slot]
            if missing <= 0:
                return (slot + 1) * SLOT_MS + PERIOD_MS - now_ms
        return PERIOD_MS

    def _slot(self, age_ms: int, amount: int, now_ms: int) -> int:
        """The slot of a use. What takes back leaves a slot earlier than what it is taken from, whatever the calls' delays."""
        return (now_ms - max(age_ms, 0)) // SLOT_MS - (amount < 0)

    def _forget(self, now_ms: int) -> None:
        oldest = (now_ms - PERIOD_MS) // SLOT_MS
        gone = self._slots if oldest - self._oldest > len(self._slots) else range(self._oldest, oldest)
        for slot in [slot for slot in gone if slot < oldest]:
            self._sum -= self._slots.pop(slot, 0)
        self._oldest = oldest
        self._takers = {name: t for name, t in self._takers.items() if t.until_ms + KEPT_MS > now_ms + TAKEN_MS}


def share_of(left: int, like: int, processes: int) -> int:
    """What one process is given on top of its need."""
    return max(min(like, left // (4 * processes)), 0)
