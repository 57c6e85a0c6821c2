"""Hot path. What a family of counters is seeded from, and the times that its processes keep."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from smartrouter.lib.counters.base import Entry, SeedCounter


class SourceUnavailable(Exception):
    """The records cannot be read now."""


class SourceSilent(SourceUnavailable):
    """The records give no answer."""


class Source(Protocol):
    """The records behind a family. Reading them raises SourceUnavailable."""

    def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        """Every counter that has not been forgotten, as the records have it now, piece by piece; each counter once."""
        ...

    def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        """Entries that no live process may have added, piece by piece; with all_recent, all entries of late.

        Only such as read_seeds() names as entries, or would name if it was called now.
        """
        ...

    def is_behind(self) -> bool:
        """Whether records of processes that have ended are still on their way, as far as this process can see."""
        ...

    async def close(self) -> None:
        """Give up what reading needs."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """When things are done, in seconds.

    tick_s: how often a process looks at the store. grace_s: how long a seeding takes at least, so that every live process
    has seen it and added its entries again; and for how long totals are not known after the store was away. remember_s:
    how long a process remembers its own entries; records have to arrive within that time. late_after_s: when all recent
    records are read again after a seeding, and after a process has begun or the store was away from it. late_every_s: how
    often those are read that came without a live process. turn_s: for how long the others leave reading to the one that
    does. stands_s: for how long a family is known without any process near, and how long an entry may have waited for the
    store: past that, recent records are not enough, and the family is counted anew. settle_s: for how long the in-process
    store is not seeded because records are on their way. piece_s: for how long records that give no answer are waited for.
    """

    tick_s: float = 1.0
    grace_s: float = 3.0
    lock_s: float = 30.0
    retry_s: float = 2.0
    remember_s: float = 600.0
    late_after_s: tuple[float, ...] = (3.0, 30.0, 120.0)
    late_every_s: float = 30.0
    turn_s: float = 10.0
    stands_s: float = 1200.0
    settle_s: float = 120.0
    piece_s: float = 120.0
