"""Hot path. Daily quotas: how many attempts each offering has sent today, in the time zone of its channel.

An attempt counts when it is sent, whatever comes of it and by whatever name it was asked for: what counts is its channel and
the upstream's model. The numbers are kept in this process for every offering, and exactly for those with a limit: there each
attempt is an entry of the counter family `quota`, which all processes share and which is seeded from the usage records
(billing.quota_history) whenever the store does not have it. A day begins at 0, for each day has a counter of its own.

What is read here never exceeds the truth. It falls short by what other processes have sent within the last second; while
Redis is away, by all that they send meanwhile; after it was lost, by what the records lack, until they are there; and right
after a start or a new limit, by what an ingester has still to write.

A channel that is renamed keeps what it has sent today in the processes that saw it under both names. The store and the
records have it under the old name only, and a process that begins later that day does not know it. The day of another zone
is another day: what the channel has sent in it is read from the records.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from billing.sessions import REMEMBERED_S
from channels.records import Candidate
from smartrouter.lib.clock import now_ms
from smartrouter.lib.counters import CounterKeeper, CounterStore, Entry, Source, SourceUnavailable, Timing

logger = logging.getLogger(__name__)

FAMILY = "quota"
# Counters that are asked for in one go.
PIECE = 200
# How often in a row the store has to know of less than the records before everything is counted anew; and how long that is
# given before it is asked for again.
SHORT_AT_MOST = 3
ANEW_EVERY = 30
# How long a start waits for the records, and how long they are read beside requests; how many seconds they are left alone
# where that was not enough, twice as many each time.
LOAD_S = 5.0
LOAD_LATER_S = 120.0
BACK_OFF = 2
BACK_OFF_AT_MOST = 64
# A counter is kept a while after its day, for what is late.
KEPT_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limited:
    """A channel and an upstream model of it, whose attempts a day are limited. Names, as the records have them."""

    channel: str
    model: str
    zone: ZoneInfo


# A channel's ref and name, the upstream's model and the zone: what is counted in one number.
Key = tuple[int, str, str, ZoneInfo]

# Of one of them, on a local day, so many.
Used = tuple[Limited, date, int]


class QuotaSource(Source, Protocol):
    """The records behind the quotas."""

    def read_used(self, limited: Collection[Limited]) -> AsyncGenerator[Sequence[Used], None]:
        """How many attempts the records have of each on its local day. Raises SourceUnavailable."""
        ...

    def start(self) -> None:
        """Get ready to read: nothing was wanted before."""
        ...


def counter_of(limited: Limited, day: date) -> str:
    """The name of a day's counter: a date is another day in another zone. With a length, so that no two pairs have one."""
    return f"{FAMILY}:{day.isoformat()}:{limited.zone.key}:{len(limited.channel)}:{limited.channel}:{limited.model}"


def quota_entry(limited: Limited, day: date, attempt_id: str, left_ms: float) -> Entry:
    """What an attempt adds; attempt_id: 32 hex digits; left_ms: of its day."""
    return Entry(counter_of(limited, day), attempt_id, 1, left_ms / 1000 + KEPT_AFTER_S, REMEMBERED_S)


@dataclass(slots=True, eq=False)
class Today:
    """One channel and model on one local day. recorded: as many as the records had when they were last read.

    earlier: the same channel and model under the names that the channel had before, each with its own numbers.
    """

    channel: int
    limited: Limited
    earlier: tuple["Today", ...] = ()
    is_limited: bool = False
    date: date = date.min
    ends_ms: float = 0.0
    used: int = 0
    recorded: int = 0
    is_loaded: bool = False

    def roll(self, at_ms: float) -> None:
        """Begin the local day of a moment. Nothing that was counted before has to do with it."""
        self.date, self.ends_ms = day_of(self.limited.zone, at_ms)
        self.used = self.recorded = 0
        self.earlier = tuple(day for day in self.earlier if at_ms < day.ends_ms)

    def follow(self, before: "Today") -> None:
        """Let what an offering counted so far count on, where it is the same channel, under another name."""
        old, new = before.limited, self.limited
        if before.channel == self.channel and old.model == new.model and old.zone is new.zone:
            self.earlier = tuple({*self.earlier, before, *before.earlier} - {self})

    def sum_at(self, at_ms: float) -> int:
        """How many attempts there were by now, under all names."""
        own = self.used if at_ms < self.ends_ms else 0
        return own + sum(day.used for day in self.earlier if at_ms < day.ends_ms) if self.earlier else own


def day_of(zone: ZoneInfo, at_ms: float) -> tuple[date, float]:
    """The local date of a moment, and the moment when it ends, in milliseconds."""
    local = datetime.fromtimestamp(at_ms / 1000, zone).date()
    return local, datetime.combine(local + timedelta(days=1), time.min, zone).timestamp() * 1000


class QuotaCounts:
    """The attempts of today. All on the event loop; watch() and refresh() are called every second.

    open_rows: the records of what it is given. They are opened at once, as they have to know what there was before this
    process, and started when there is a first limit.
    """

    def __init__(
        self,
        store: CounterStore,
        open_rows: Callable[[Callable[[], Collection[Limited]]], QuotaSource],
        *,
        timing: Timing | None = None,
        clock_ms: Callable[[], float] = now_ms,
    ) -> None:
        self._store = store
        self._rows = open_rows(self.limited)
        self._timing = timing
        self._clock_ms = clock_ms
        self._by_ref: dict[int, Today] = {}
        self._days: dict[Key, Today] = {}
        self._limits: dict[int, int] = {}
        self._limited: dict[Key, Today] = {}
        self._keeper: CounterKeeper | None = None
        self._loading: asyncio.Task[None] | None = None
        self._short = 0
        self._wait = 0
        self._back_off = BACK_OFF
        self._load_wait = 0

    # --- on the way of a request

    def used_today(self, ref: int) -> int:
        """How many attempts the offering's channel has sent today for its upstream model."""
        today = self._by_ref.get(ref)
        return 0 if today is None else today.sum_at(self._clock_ms())

    def limit_of(self, ref: int) -> int | None:
        """The smallest daily limit of a group's member that is this offering; None where there is none."""
        return self._limits.get(ref)

    def count(self, candidate: Candidate, attempt_id: str) -> None:
        """An attempt that is being sent; attempt_id: a UUIDv7 as 32 hex digits, whose moment decides on the day."""
        today = self._today(candidate)
        at_ms = int(attempt_id[:12], 16)
        if at_ms >= today.ends_ms:
            today.roll(at_ms)
        today.used += 1
        if today.is_limited and self._keeper is not None:
            self._keeper.note(quota_entry(today.limited, today.date, attempt_id, today.ends_ms - at_ms))

    def _today(self, candidate: Candidate) -> Today:
        """Where the candidate counts as it is now; its channel's name and zone and its model may have been others."""
        key = _key_of(candidate)
        today = self._days.get(key)
        if today is None:
            today = self._days[key] = Today(key[0], Limited(*key[1:]))
        before = self._by_ref.get(candidate.ref)
        if before is not today:
            self._by_ref[candidate.ref] = today
            if before is not None:
                today.follow(before)
        return today

    # --- beside requests

    def watch(self, candidates: Iterable[Candidate]) -> None:
        """From now on, count these exactly: the members of groups that have a daily limit. Others no longer."""
        before, self._limits, self._limited = self._limited, {}, {}
        for candidate in candidates:
            limit, ref = candidate.daily_limit, candidate.ref
            if limit is not None:
                self._limits[ref] = min(limit, self._limits.get(ref, limit))
                today = self._limited[_key_of(candidate)] = self._today(candidate)
                if not today.is_limited:
                    # What was sent while there was no limit is nowhere but in the records.
                    today.is_limited, today.is_loaded = True, False
        for key in before.keys() - self._limited.keys():
            before[key].is_limited = False
        if self._limited and self._keeper is None:
            self._rows.start()
            self._keeper = CounterKeeper(self._store, FAMILY, self._rows, timing=self._timing)
            self._keeper.start()

    def limited(self) -> Collection[Limited]:
        """What is counted exactly."""
        return [today.limited for today in self._limited.values()]

    async def load(self, within_s: float | None = None) -> None:
        """Read from the records what is not known yet, LOAD_S at most. Without the records, the counts go on without them.

        What was read counts at once, and is not asked for again.
        """
        waiting = {today.limited: today for today in self._limited.values() if not today.is_loaded}
        if not waiting:
            return
        try:
            async with asyncio.timeout(LOAD_S if within_s is None else within_s):
                async for piece in self._rows.read_used(list(waiting)):
                    for limited, day, used in piece:
                        self._put_recorded(waiting[limited], day, used)
        except (SourceUnavailable, TimeoutError) as e:
            logger.warning("quotas_not_read", extra={"reason": type(e).__name__})
            if isinstance(e, TimeoutError):
                self._load_wait, self._back_off = self._back_off, min(2 * self._back_off, BACK_OFF_AT_MOST)
            return
        self._back_off = BACK_OFF
        for today in waiting.values():
            today.is_loaded = True

    def _put_recorded(self, today: Today, day: date, used: int) -> None:
        self._begin_day(today)
        if today.date == day:
            today.recorded = used
            today.used = max(today.used, used)
        today.is_loaded = True

    async def refresh(self) -> None:
        """Take over what all processes together have come to. Raises StoreUnavailable."""
        if not self._limited:
            return
        self._begin_load()
        days = list(self._limited.values())
        for today in days:
            self._begin_day(today)
        is_short = False
        for start in range(0, len(days), PIECE):
            piece = days[start : start + PIECE]
            named = [today.date for today in piece]
            totals = await self._store.totals([counter_of(today.limited, today.date) for today in piece])
            for today, day, total in zip(piece, named, totals, strict=True):
                if total is not None and today.date == day:
                    today.used = max(today.used, total)
                    is_short = is_short or total < today.recorded
        await self._count_anew(is_short)

    async def _count_anew(self, is_short: bool) -> None:
        """Have the family seeded again where the records know of more than the store: a limit that is new today."""
        self._wait = max(0, self._wait - 1)
        self._short = self._short + 1 if is_short and not self._wait else 0
        if self._short >= SHORT_AT_MOST:
            self._short, self._wait = 0, ANEW_EVERY
            epoch = (await self._store.standing(FAMILY)).epoch
            if epoch is not None:
                logger.info("quotas_counted_anew")
                await self._store.start_over(FAMILY, epoch)

    def _begin_day(self, today: Today) -> None:
        now = self._clock_ms()
        if now >= today.ends_ms:
            today.roll(now)

    def _begin_load(self) -> None:
        if self._load_wait:
            self._load_wait -= 1
            return
        is_loading = self._loading is not None and not self._loading.done()
        if not is_loading and not all(today.is_loaded for today in self._limited.values()):
            self._loading = asyncio.get_running_loop().create_task(self.load(LOAD_LATER_S), name="quota-load")

    async def close(self) -> None:
        """Bring what is left to the store; end the thread."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._keeper is not None:
            await self._keeper.close()


def _key_of(candidate: Candidate) -> Key:
    channel = candidate.channel
    return channel.ref, channel.name, candidate.model, channel.zone
