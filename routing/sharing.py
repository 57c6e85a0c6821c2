"""Hot path. The live signals of all processes: each tells the others about once a second what it has seen, on a board.

How it is merged. In-flight counts are added. Of figures a notice holds this process's own samples as counts and sums that
only ever grow; a reader takes the difference to the notice before, and lets it count like so many samples of its own with
that mean. A notice that was missed loses nothing, one that is read twice adds nothing. With the sums a notice has those of
the moment when the process began to use the offering after a pause: a reader that knows the process, and has not heard from
it of this offering, takes the difference to them. Of a process that is new to it a reader takes the decayed figures as one
sample, unless it knows the offering. A process that does not tell again within TTL_S has nothing in flight any more; it is
known for KNOWN_FOR_S, since it may only have had nothing to tell. Without the store each goes on with what it has.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from channels.records import Candidate
from routing.signals import Signals
from routing.table import RoutingTable
from routing.tracks import UNTRIED_MS, Track
from smartrouter.lib.counters import CounterStore, StoreUnavailable

logger = logging.getLogger(__name__)

BOARD = "signals"
TICK_S = 1.0
TTL_S = 5.0
KNOWN_FOR_S = 600.0
DEADLINE_S = 1.0
FORGET_EVERY = 600
# An offering is told of for so long after its last attempt began or ended; and no more than so many, the latest. As what is
# told are sums, what is left out once comes with the next time.
TOLD_FOR_S = 5.0
TOLD_AT_MOST = 200

Notice = dict[str, Any]


class SignalSharing:
    """The task that exchanges signals and keeps the quotas up to date. name: this process's."""

    def __init__(
        self, signals: Signals, store: CounterStore, table: RoutingTable, name: str, *, tick_s: float = TICK_S
    ) -> None:
        self.signals = signals
        self._store = store
        self._table = table
        self._name = name
        self._tick_s = tick_s
        self._version: int | None = None
        self._ticks = 0
        self._has_told = False
        # When each other process was last on the board.
        self._heard_at: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the quotas once, then go on in a task."""
        self._watch_quotas()
        await self.signals.quota.load()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="counter-signals")

    async def close(self) -> None:
        """Tell the others that nothing is in flight any more; bring what is left of the quotas to the store."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            if self._store.is_shared and self._has_told:
                await self._store.publish(
                    BOARD, self._name, orjson.dumps({"in_flight": [], "offerings": []}), self._tick_s
                )
        except StoreUnavailable:
            logger.info("signals_left_to_expire")
        finally:
            await self.signals.quota.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            try:
                await self.tick()
            except StoreUnavailable:
                self.signals.put_others({})
            except Exception:
                # Without this task no process would hear of the others, and nobody would know.
                logger.exception("signals_failed")

    async def tick(self) -> None:
        """Everything that is due once a second. Raises StoreUnavailable."""
        self._ticks += 1
        if self._ticks % FORGET_EVERY == 0:
            self.signals.forget_old()
        self._watch_quotas()
        await self.signals.quota.refresh()
        if self._store.is_shared:
            await self._tell()
            await self._hear(await self._store.read(BOARD, deadline_s=DEADLINE_S))

    def _watch_quotas(self) -> None:
        if self._table.version != self._version:
            self._version = self._table.version
            self.signals.quota.watch(limited_members(self._table))

    async def _tell(self) -> None:
        """Tell of what had an attempt lately; of nothing, once and then no more."""
        signals = self.signals
        since = signals.clock() - TOLD_FOR_S
        for ref, track in tuple(signals.news.items()):
            if track.own_at >= since:
                break
            del signals.news[ref]
        latest = islice(reversed(signals.news.values()), TOLD_AT_MOST)
        notice = {"in_flight": list(signals.own_in_flight.items()), "offerings": [_told(track) for track in latest]}
        is_empty = not (notice["in_flight"] or notice["offerings"])
        if not is_empty or self._has_told:
            await self._store.publish(BOARD, self._name, orjson.dumps(notice), TTL_S, deadline_s=DEADLINE_S)
            self._has_told = not is_empty

    async def _hear(self, notices: Mapping[str, bytes]) -> None:
        signals, in_flight, now = self.signals, dict[int, int](), self.signals.clock()
        for name, payload in notices.items():
            if name == self._name:
                continue
            notice: Notice = orjson.loads(payload)
            for channel, count in notice["in_flight"]:
                in_flight[channel] = in_flight.get(channel, 0) + count
            is_new = name not in signals.others
            self._heard_at[name] = now
            self._take_in(signals.others.setdefault(name, {}), notice, is_new=is_new)
            await asyncio.sleep(0)
        for name in [name for name, at in self._heard_at.items() if at < now - KNOWN_FOR_S]:
            del self._heard_at[name], signals.others[name]
        signals.put_others(in_flight)

    def _take_in(self, seen: dict[int, tuple[list[float], list[list[float]]]], notice: Notice, *, is_new: bool) -> None:
        signals, now = self.signals, self.signals.clock()
        for ref, channel, sums, told_from, figures, times in notice["offerings"]:
            track = signals.tracks.get(ref)
            if track is None:
                track = signals.tracks[ref] = Track(ref, channel)
            before = seen[ref][0] if ref in seen else None
            if before == sums:
                continue
            seen[ref] = sums, times
            has_begun_anew = before is not None and sums[0] < before[0]  # it had forgotten the offering
            is_news = False
            if not (is_new and before is None):
                is_news = _take_differences(track, sums, told_from if before is None or has_begun_anew else before, now)
            if before is None:
                is_news |= _adopt(track, sums, figures, now)
            if is_news:
                track.active_at = now
                track.refigure()
                track.watch.renew(now)


def limited_members(table: RoutingTable) -> Iterator[Candidate]:
    """The members of groups that have a daily limit, as the table has them now."""
    groups = {row.group for row in table.rows["routing.groupmember"].values() if row.daily_limit is not None}
    rows = table.rows["routing.modelgroup"]
    for group in sorted(groups & rows.keys()):
        yield from (candidate for candidate in table.pool_of(rows[group]) if candidate.daily_limit is not None)


def _told(track: Track) -> list[Any]:
    """An offering in a notice: sums of own samples, now and after the last pause, decayed figures, the histogram."""
    figures = [track.share.value, *(average.value for average in track.averages())]
    return [track.ref, track.channel, track.sums(), track.told_from, figures, track.times.relative()]


def _adopt(track: Track, sums: list[float], figures: list[float | None], now: float) -> bool:
    """Whether anything was learned from the figures of a process that is new: only of what was not known."""
    is_news = False
    if track.share.value is None and figures[0] is not None:
        track.share.value, track.share.at = figures[0], now
        is_news = True
    adopted = [False] * 4
    for index, (average, figure) in enumerate(zip(track.averages(), figures[1:], strict=True)):
        if average.value is None and figure is not None:
            average.take(figure, 1, now)
            adopted[index] = True
    _renew_sides(track, adopted[0], adopted[1], now)
    _put_last(track, sums[1], sums[2], now)
    return is_news or any(adopted)


def _take_differences(track: Track, sums: list[float], before: list[float], now: float) -> bool:
    """Whether the other process has had samples since the notice before; taken in."""
    good, bad = sums[1] - before[1], sums[2] - before[2]
    is_news = good + bad > 0
    if is_news:
        track.share.take(good, bad, now)
    counts = []
    for index, average in enumerate(track.averages()):
        at = 3 + 2 * index
        count = int(sums[at] - before[at])
        counts.append(count)
        if count > 0:
            average.take((sums[at + 1] - before[at + 1]) / count, count, now)
            is_news = True
    _renew_sides(track, counts[0] > 0, counts[1] > 0, now)
    _put_last(track, good, bad, now)
    return is_news


def _put_last(track: Track, good: float, bad: float, now: float) -> None:
    """Where it failed and nothing else, whoever has not tried it need not."""
    if bad > 0 and good <= 0:
        for side in (track.streamed, track.plain):
            if side.figure is None and side.average.value is None:
                side.figure = UNTRIED_MS
                side.watch.renew(now)


def _renew_sides(track: Track, has_streamed: bool, has_plain: bool, now: float) -> None:
    for side, has_samples in ((track.streamed, has_streamed), (track.plain, has_plain)):
        if has_samples:
            side.watch.renew(now)
