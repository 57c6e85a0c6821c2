"""Hot path. What several processes take from common limits: funds that are spent once, and rates over a sliding minute.

A fund has a limit and what each process has spent of it, as one absolute number a process: telling it again changes nothing.
A process claims a part of what is left, spends from its claim without asking, and gives back what it does not need. So
spent by all + claimed by all never passes the limit, but for what someone spends beyond its claim. A claim stays until its
process changes it or is settled; no time takes it away.

Funds stand on an epoch: the life of the store's memory. Where there is none (the store is new, or was lost) one process
begins one; every process joins it by telling what it has spent and holds of each of its funds; until the epoch is opened
nothing can be claimed. A fund that the epoch has not seen, and that began before it, is seeded from the records before it
can be claimed.

A rate is a number of uses in any 60 seconds. Its uses are told by their age, so that processes need no common clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from smartrouter.lib.counters.base import DEADLINE_S, LARGEST, TotalTooLarge

# A refusal is final so long after the others were told to give back what they do not need.
RECALL_S = 0.2
# So long after the last refusal a recall is over; while it is on, nobody is given more than it needs.
RECALLED_S = 1.0
RATE_PERIOD_S = 60.0
# The uses of such a time leave a rate together, RATE_PERIOD_S after its end.
RATE_SLOT_S = 0.1
# What a process took of a rate is void so long after the store last heard of it: it uses it up, or says so, before that.
TAKEN_S = 3.0
# A fund of which nothing is spent or claimed is kept no longer: somebody asked once, and nothing is lost with it.
UNUSED_S = 600.0
# How far the clocks of a store and a process may be apart: a fund that began so soon after the epoch is seeded, too.
SEED_MARGIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Fund:
    """limit: None: it is only counted. since_ms (since the epoch of Unix): before it, nothing was spent that counts; a fund
    younger than the store's epoch needs no seed. keep_s: how long it is kept after it was last told of, or UNUSED_S."""

    name: str
    limit: int | None
    since_ms: int
    keep_s: float
    needs_seed: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process tells and wants of a fund.

    None of the numbers is below 0. spent: all that it has spent of it in its life; less than it has told before is no news.
    keeps: what its open holds come to; it has that in any case. need: what it has to have beside that; 0: it only tells.
    least: with how much of that it would make do, where a request can be made smaller; 0: with all of its need only. like:
    what it would like to have on top, to spend without asking; 0: it gives back what it does not keep.

    From when it asks until it is answered a process begins no hold from what it has claimed and does not keep: the answer may
    leave it less. After a call that failed it has no more than its keeps until the next answer.
    """

    fund: Fund
    spent: int
    keeps: int
    need: int = 0
    least: int = 0
    like: int = 0


class State(Enum):
    """CLOSED: the epoch is not open yet. UNSEEDED: the records have to be read first."""

    OPEN = "open"
    CLOSED = "closed"
    UNSEEDED = "unseeded"


class Seen(NamedTuple):
    """How a fund stands, for one who claims nothing. spent, claimed: by all, as far as this epoch knows."""

    state: State
    spent: int
    claimed: int


class Given(NamedTuple):
    """What a fund gave. claim: what the process has now, holds included. got: of its need: all, a part not below least, or 0.

    Of a fund without limit it is all, in every state. spent, others: by all processes, and claimed by the others, as far as
    this epoch knows. is_final: whether a refusal stands: nothing that is idle elsewhere could help, or it was called back
    RECALL_S ago. Where the state is not OPEN nothing is refused for good.
    """

    state: State
    claim: int
    got: int
    spent: int
    others: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """At most limit in any RATE_PERIOD_S."""

    name: str
    limit: int


@dataclass(frozen=True, slots=True)
class Take:
    """uses: (how long ago in ms, how many; negative ones take back), told once, under a number that grows.

    A call that failed is repeated with its number and its uses, older now; what was used meanwhile has the next number. A
    lower number than the last one is a call that came too late: it changes nothing and gets nothing. need,
    like: as of an Ask. has: what is left of what it took before; what the store does not know of (any more) is void.
    """

    rate: Rate
    number: int
    uses: Sequence[tuple[int, int]]
    has: int
    need: int = 0
    like: int = 0


class Taken(NamedTuple):
    """has: what the process may use now, its need included. got: its need, or 0. used: in the last RATE_PERIOD_S, by all.
    others: taken by others and not used. wait_ms: until its need may fit, if nobody else comes; 0 where nothing was refused.
    is_final: as of Given."""

    has: int
    got: int
    used: int
    others: int
    wait_ms: int
    is_final: bool


class Epoch(NamedTuple):
    """began_ms: on the store's clock, since the epoch of Unix. joined: the processes that have joined it."""

    name: str
    began_ms: int
    is_open: bool
    joined: frozenset[str]


class ClaimStore(Protocol):
    """Funds and rates. Every call raises StoreUnavailable within its deadline, and may be repeated; take() may then count the
    same uses once only. process: the uid of a web process, 32 hex digits.
    """

    is_shared: bool

    @property
    def is_up(self) -> bool:
        """Whether the store answered last time."""
        ...

    async def epoch(self, *, deadline_s: float = DEADLINE_S) -> Epoch | None:
        """The epoch that is now; None where the store remembers none."""
        ...

    async def begin(self, name: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Begin an epoch of this name, closed, unless there is one."""
        ...

    async def join(self, epoch: str, process: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Enter the process as one that has told everything in this epoch; nothing where the epoch is another one."""
        ...

    async def open(self, epoch: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Let claims be made, if the epoch is still this one."""
        ...

    async def claim(
        self, process: str, asks: Sequence[Ask], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Given]:
        """Tell, and claim, each ask by itself, in one go. processes: how many share; nobody is given more on top of its need
        than (what is left) / (4 x processes). A refusal calls back what others do not need.

        Raises TotalTooLarge, when all others are done, where an ask has a number, or comes to one, that cannot be exact.
        """
        ...

    async def look(self, funds: Sequence[Fund], *, deadline_s: float = DEADLINE_S) -> list[Seen]:
        """How each fund stands; none is made or kept for longer by that."""
        ...

    async def seed(
        self, fund: Fund, spent: Mapping[str, int], *, epoch: str | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        """Tell what the records have, by process; a process that has told itself is not overruled, nor is an earlier seed.

        epoch: the one in which the records were read, so that they are complete; nothing where it is not that, or not open.
        Raises TotalTooLarge; the fund stays unseeded then.
        """
        ...

    async def settle(
        self, process: str, spent: Mapping[str, int], *, is_last: bool = True, deadline_s: float = DEADLINE_S
    ) -> None:
        """A process has ended: what the records have of it is final, by the fund's name; its claims end everywhere.

        Funds that the store does not have are left out. What are too many for one call come in pieces: until the last one the
        claims of these funds end only, and the process stays in the epoch. Raises TotalTooLarge, and has done nothing then.
        """
        ...

    async def recalled(self, *, deadline_s: float = DEADLINE_S) -> frozenset[str]:
        """The names of funds and rates of which idle claims are called back now; each for about a second."""
        ...

    async def take(
        self, process: str, takes: Sequence[Take], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Taken]:
        """Tell uses and take more, each by itself, in one go. What was taken and not used ends after TAKEN_S without a
        word of its process. Raises TotalTooLarge as claim() does.
        """
        ...


def check_numbers(*numbers: int) -> None:
    """Raise TotalTooLarge for a number that no store of claims takes."""
    if min(numbers) < 0 or max(numbers) > LARGEST:
        raise TotalTooLarge("a number below 0 or beyond 2^53 - 1")


def check_ask(ask: Ask) -> None:
    """Raise TotalTooLarge for an ask that no store of claims takes."""
    check_numbers(ask.spent, ask.keeps, ask.need, ask.least, ask.like, ask.fund.limit or 0)


def check_take(take: Take) -> None:
    """Raise TotalTooLarge for a take that no store of claims takes."""
    check_numbers(take.number, take.has, take.need, take.like, take.rate.limit, sum(abs(n) for _age, n in take.uses))
