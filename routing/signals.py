"""Hot path. The live signals that ranking reads: what is in flight, how fast and how well each offering has answered lately.

Reading never waits and costs a look into a dict. An attempt is a Flight from the moment when its account is opened until it
ends, in whatever way; ending it twice changes nothing. What other processes see comes in through routing.sharing.

Against an offering's reliability count TRANSIENT, GARBAGE, CHANNEL, KEY, KEY_MODEL and MODEL; RATE counts a quarter, since
the upstream works and has no room just now. REQUEST, CONTEXT and CONTENT are the caller's doing, and an attempt whose client
left or that we ended ourselves says nothing.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from billing.quota import QuotaCounts
from channels.records import Candidate
from routing.tracks import UNTRIED_MS, Response, Track, quantile
from smartrouter.lib.errors import ErrorClass

FAULTS = {
    ErrorClass.TRANSIENT: 1.0,
    ErrorClass.GARBAGE: 1.0,
    ErrorClass.CHANNEL: 1.0,
    ErrorClass.KEY: 1.0,
    ErrorClass.KEY_MODEL: 1.0,
    ErrorClass.MODEL: 1.0,
    ErrorClass.RATE: 0.25,
}
ANSWER_TOKENS = 300
# Of fewer tokens the pace of an answer cannot be told; then this one is assumed.
TOKENS_AT_LEAST = 32
USUAL_TOKENS_PER_S = 50.0
TOKENS_PER_S_AT_MOST = 10_000.0
FORGOTTEN_AFTER_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of an offering, for people. None: not known.

    in_flight: of its channel. p50_ms and p95_ms: of the time to the first content of streams and to the whole of plain
    answers, over about the last hundred. samples: attempts so far. quota: the member's daily limit.
    """

    in_flight: int
    first_content_ms: float | None
    answer_ms: float | None
    tokens_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    reliability: float | None
    samples: int
    used_today: int
    quota: int | None


class Flight:
    """One attempt on its way."""

    __slots__ = ("_began", "_first_at", "_is_streamed", "_signals", "_track", "held_up_s", "is_over")

    def __init__(self, signals: "Signals", track: Track, is_streamed: bool, began: float) -> None:
        self._signals = signals
        self._track = track
        self._is_streamed = is_streamed
        self._began = began
        self._first_at: float | None = None
        self.held_up_s = 0.0  # how long a client that reads slowly has kept the stream waiting
        self.is_over = False

    def first_content(self) -> None:
        """The first content of a stream has come."""
        track, now = self._track, self._signals.clock()
        self._first_at = now
        self._note_time(track.streamed, (now - self._began) * 1000, now)

    def answered(self, tokens: int) -> None:
        """The whole answer has come, with so many completion tokens."""
        if self.is_over:
            return
        track, now = self._track, self._signals.clock()
        whole_s = max(now - self._began - self.held_up_s, 1e-6)
        first_s = 0.0 if self._first_at is None else self._first_at - self._began
        if tokens >= TOKENS_AT_LEAST:
            pace = min(tokens / max(whole_s - first_s, 1e-6), TOKENS_PER_S_AT_MOST)
            track.pace.add(pace, now)
            track.answer_s.add(first_s + ANSWER_TOKENS / pace, now)
        else:
            track.answer_s.add((first_s or whole_s) + ANSWER_TOKENS / USUAL_TOKENS_PER_S, now)
        track.share.add(1.0, 0.0, now)
        if not self._is_streamed:
            self._note_time(track.plain, whole_s * 1000, now)
        self._close(now, is_news=True)

    def failed(self, kind: ErrorClass) -> None:
        """The attempt failed, or its stream was cut."""
        if self.is_over:
            return
        fault = FAULTS.get(kind)
        now = self._signals.clock()
        if fault is None:
            self._close(now, is_news=False)
            return
        track = self._track
        track.share.add(0.0, fault, now)
        side = self._side()
        if side.figure is None:
            side.figure = UNTRIED_MS
        self._close(now, is_news=True)
        side.watch.renew(now)

    def left(self) -> None:
        """The attempt ended before it told anything of its upstream: client gone, drained, a failure of ours."""
        if not self.is_over:
            self._close(self._signals.clock(), is_news=False)

    def _side(self) -> Response:
        return self._track.streamed if self._is_streamed else self._track.plain

    def _note_time(self, side: Response, sample_ms: float, now: float) -> None:
        track = self._track
        side.average.add(sample_ms, now)
        track.times.add(sample_ms)
        track.refigure()
        side.watch.renew(now)
        side.watch.end(self)

    def _close(self, now: float, *, is_news: bool) -> None:
        self.is_over = True
        track = self._track
        if is_news:
            track.refigure()
            track.watch.renew(now)
        track.watch.end(self)
        self._side().watch.end(self)
        self._signals.land(track, now)


class Signals:
    """The live signals of this process, with what others have told of theirs. All on the event loop."""

    def __init__(self, quota: QuotaCounts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.quota = quota
        self.used_today = quota.used_today
        # By the channel's ref: all that is in flight, here and elsewhere; and what is here.
        self._in_flight: dict[int, int] = {}
        self.own_in_flight: dict[int, int] = {}
        self._others_in_flight: dict[int, int] = {}
        self.tracks: dict[int, Track] = {}
        # The offerings with something new since they were last told to others, latest last.
        self.news: dict[int, Track] = {}
        # What each other process has told last of each offering: counts and sums, and its histogram.
        self.others: dict[str, dict[int, tuple[list[float], list[list[float]]]]] = {}

    # --- reading

    def in_flight(self, channel_ref: int) -> int:
        """How many requests the channel is answering, of all processes."""
        return self._in_flight.get(channel_ref, 0)

    def response_ms(self, ref: int, is_streamed: bool) -> float | None:
        """The time to the first content of streams, or to the whole of plain answers; None: worth a try.

        Over the share of good answers: how long it takes until one is there. An offering that was never measured counts
        UNTRIED_MS while its first attempt is in flight.
        """
        track = self.tracks.get(ref)
        if track is None:
            return None
        side = track.streamed if is_streamed else track.plain
        figure, watch = side.figure, side.watch
        if watch.fresh_until <= self.clock() and watch.is_due(is_known=figure is not None):
            return None
        return UNTRIED_MS if figure is None else figure

    def answer_s(self, ref: int) -> float | None:
        """Seconds to an answer of 300 tokens; None: never measured. 0 where an old figure is worth a try."""
        track = self.tracks.get(ref)
        if track is None or track.answer_s.value is None:
            return None
        watch = track.watch
        return 0.0 if watch.fresh_until <= self.clock() and watch.is_due(is_known=True) else track.answer_s.value

    def reliability(self, ref: int) -> float | None:
        """The decayed share of good answers; None: not known, or so long ago that it is worth a try."""
        track = self.tracks.get(ref)
        if track is None or track.share.value is None:
            return None
        watch = track.watch
        is_old = watch.fresh_until <= self.clock()
        return None if is_old and watch.is_due(is_known=True, reader=1) else track.share.value

    def known(self) -> Collection[int]:
        """The offerings of which anything is known."""
        return self.tracks.keys()

    def snapshot(self, ref: int) -> Snapshot:
        """All that is known of an offering."""
        track = self.tracks.get(ref)
        used, quota = self.used_today(ref), self.quota.limit_of(ref)
        if track is None:
            return Snapshot(0, None, None, None, None, None, None, 0, used, quota)
        others = [told[ref] for told in self.others.values() if ref in told]
        buckets = [*track.times.relative(), *(bucket for _sums, times in others for bucket in times)]
        return Snapshot(
            in_flight=self.in_flight(track.channel),
            first_content_ms=track.streamed.average.value,
            answer_ms=track.plain.average.value,
            tokens_per_s=track.pace.value,
            p50_ms=quantile(buckets, 0.5),
            p95_ms=quantile(buckets, 0.95),
            reliability=track.share.value,
            samples=track.begun + sum(int(sums[0]) for sums, _times in others),
            used_today=used,
            quota=quota,
        )

    # --- feeding

    def begin(self, candidate: Candidate, attempt_id: str, *, is_streamed: bool) -> Flight:
        """The attempt that is being sent now; attempt_id: a UUIDv7 as 32 hex digits."""
        now, channel, ref = self.clock(), candidate.channel.ref, candidate.ref
        track = self.tracks.get(ref)
        if track is None:
            track = self.tracks[ref] = Track(ref, channel)
        elif track.channel != channel and not track.own_in_flight:
            track.channel = channel
        flight = Flight(self, track, is_streamed, now)
        (track.streamed if is_streamed else track.plain).watch.begin(flight, now)
        track.watch.begin(flight, now)
        if not track.own_in_flight and ref not in self.news:
            track.told_from = track.sums()
        track.begun += 1
        track.own_in_flight += 1
        self._move(track, 1, now)
        self.quota.count(candidate, attempt_id)
        return flight

    def land(self, track: Track, now: float) -> None:
        """The attempt is over; Flight calls it, once."""
        track.own_in_flight -= 1
        self._move(track, -1, now)

    def _move(self, track: Track, by: int, now: float) -> None:
        channel = track.channel
        own = self.own_in_flight.get(channel, 0) + by
        if own:
            self.own_in_flight[channel] = own
        else:
            self.own_in_flight.pop(channel, None)
        self._set_total(channel)
        track.active_at = track.own_at = now
        self.news.pop(track.ref, None)
        self.news[track.ref] = track

    def put_others(self, in_flight: dict[int, int]) -> None:
        """What the other processes have in flight, by channel."""
        channels = self._others_in_flight.keys() | in_flight.keys()
        self._others_in_flight = in_flight
        for channel in channels:
            self._set_total(channel)

    def forget_old(self) -> None:
        """Forget offerings without an attempt for hours."""
        before = self.clock() - FORGOTTEN_AFTER_S
        old = [track for track in self.tracks.values() if track.active_at < before and not track.own_in_flight]
        for track in old:
            del self.tracks[track.ref]

    def _set_total(self, channel: int) -> None:
        total = self.own_in_flight.get(channel, 0) + self._others_in_flight.get(channel, 0)
        if total:
            self._in_flight[channel] = total
        else:
            self._in_flight.pop(channel, None)
