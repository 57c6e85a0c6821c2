"""Hot path. What every store of counters promises.

A counter is the sum of its entries. An entry is an id (a request's, say) whose latest amount counts: adding the same
entry again applies the difference, for remembered_s after it was last added. A counter is forgotten ttl_s after the last
add that changed it (the longest ttl_s counts), and is 0 then.

Counters come in families, named before the first colon of a counter's name ("session:8:abc"). A store that has lost a
family, or never had it, does not know its totals: they are None, which is not 0, until one process has seeded the family.
Seeding begins from nothing: with the lead, whatever the family had before is void. The leader computes the counters from
the records, and each counter takes one seed; what is added meanwhile counts, and every process adds its latest again.

Amounts, totals and what they are summed up from are whole numbers within LARGEST; others are refused. A counter whose
seed is refused has no total until the family is seeded anew.

A board holds a notice of each member: what a process tells the others of itself, gone when it is not told again in time. It
has nothing to do with counters, and is lost with the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from smartrouter.lib.counters.claims import ClaimStore

DEADLINE_S = 0.25
# One less than where Redis's Lua stops to tell whole numbers apart; 9 million USD in nano-USD.
LARGEST = 2**53 - 1
REMEMBERED_S = 24 * 3600.0


class StoreUnavailable(Exception):
    """The store did not answer in time, or is known not to: nobody waits for it then. The text holds no address."""


class TotalTooLarge(ValueError):
    """An amount or a total beyond LARGEST was refused; the entry and the counter are as they were before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of one counter, with the amount that it shall have.

    The longer it is remembered, the later it may be added again; each takes 200 bytes of a Redis, twice that in Python.
    """

    name: str
    id: str
    amount: int
    ttl_s: float
    remembered_s: float = REMEMBERED_S


@dataclass(frozen=True, slots=True)
class SeedCounter:
    """A counter as the records have it: a base, and the entries that are not in the base.

    Whatever may be added again by anyone (a process that repeats its latest entries, a record that comes late) has to be
    among the entries, or it would count twice.
    """

    name: str
    base: int
    ttl_s: float
    entries: Mapping[str, int] = field(default_factory=dict)
    remembered_s: float = REMEMBERED_S


class Standing(NamedTuple):
    """The name of the seeding that a family stands on, None where it is not seeded; and the token that seeds it now."""

    epoch: str | None
    leader: str | None


class CounterStore(Protocol):
    """Counters. Every call raises StoreUnavailable within its deadline; an in-process store never does.

    A call that was cancelled or has raised may have taken effect all the same: repeat it, every one may be repeated.
    """

    is_shared: bool

    @property
    def is_up(self) -> bool:
        """Whether the store answered last time."""
        ...

    @property
    def claims(self) -> "ClaimStore":
        """The funds and rates in the same store."""
        ...

    async def add(self, entry: Entry, *, deadline_s: float = DEADLINE_S) -> int | None:
        """The counter's total with the entry's amount; None where it is not known. Raises TotalTooLarge."""
        ...

    async def add_many(self, entries: Sequence[Entry], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        """add() of each, in order and in one go. Raises TotalTooLarge when all others are added."""
        ...

    async def total(self, name: str, *, deadline_s: float = DEADLINE_S) -> int | None:
        """The counter's total; None where it is not known."""
        ...

    async def totals(self, names: Sequence[str], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        """The total of each."""
        ...

    async def standing(self, family: str, *, deadline_s: float = DEADLINE_S) -> "Standing":
        """Where the family stands."""
        ...

    async def lead(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        """Whether the holder of this token leads the seeding for lock_s: not where someone does or the family is seeded.

        All that the family had is void from then on.
        """
        ...

    async def renew(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        """Whether the token still leads, for lock_s from now on. A lead that was lost does not come back."""
        ...

    async def seed(
        self, family: str, token: str, counters: Sequence[SeedCounter], *, deadline_s: float = DEADLINE_S
    ) -> bool:
        """Seed these counters unless they are; False where the token does not lead (any more).

        Raises TotalTooLarge when all others are seeded.
        """
        ...

    async def finish_seed(self, family: str, token: str, stands_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        """Make the totals known for stands_s: the token becomes the epoch. False where it does not lead (any more)."""
        ...

    async def prolong(self, family: str, stands_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        """Let the totals of a family that is seeded be known for stands_s from now on."""
        ...

    async def resign(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Let another one lead."""
        ...

    async def start_over(self, family: str, epoch: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Have the family seeded anew, if it still stands on this epoch: what it has is not to be trusted."""
        ...

    async def hold_back(self, family: str, for_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        """Let no total of the family be known for so long: someone has still to add what belongs to it."""
        ...

    async def take_turn(self, name: str, token: str, for_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        """Whether it is for the holder of this token to do what the name says; for so long, for nobody else."""
        ...

    async def publish(
        self, board: str, member: str, payload: bytes, ttl_s: float, *, deadline_s: float = DEADLINE_S
    ) -> None:
        """Put a member's notice on a board for ttl_s, in place of the one before."""
        ...

    async def read(self, board: str, *, deadline_s: float = DEADLINE_S) -> Mapping[str, bytes]:
        """The notices on a board, by member; none whose time is over."""
        ...

    async def close(self) -> None:
        """Give up tasks and connections."""
        ...


def family_of(name: str) -> str:
    """The family of a counter."""
    return name.partition(":")[0]


def check_amount(amount: int) -> None:
    """Raise TotalTooLarge for a number that a store cannot hold exactly."""
    if not -LARGEST <= amount <= LARGEST:
        raise TotalTooLarge("a number beyond 2^53 - 1")
