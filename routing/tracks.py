"""Hot path. What is known of one offering: decayed figures of its answers, and when they are worth another look.

All times are seconds of one clock that only ever grows; it is handed in, so that whoever calls decides what time it is.

Figures. A recent answer counts RECENT_SHARE of the figure. A figure without a sample for STALE_S is old: the next sample
counts half, or replaces it where it is less than half of it (the channel has recovered). An old figure goes on to hold for
as many rankings as PASSED_OVER, whichever layers read it; then the offering is worth a try, for one attempt at a time: while
it is in flight the old figure holds for the others. So an offering that nobody asks for is not tried out for its own sake,
and one that is always passed over gets its chance every twenty seconds or so. Each process has its own trial.
"""

from array import array
from collections.abc import Iterable, Sequence
from math import exp, log

STALE_S = 20.0
PASSED_OVER = 20
RECENT_SHARE = 0.2
RECENT_SHARE_OF_FAILURES = 0.1
# How an offering counts that was never measured while its first attempt is in flight, or when that failed: behind all others.
UNTRIED_MS = 60_000.0
# Below this the share of good answers makes no more difference to the response time.
SHARE_AT_LEAST = 0.02

_BUCKETS = 48
_GROWTH = log(1.32)  # 48 buckets from 1 ms to 10 minutes
_FADE = 1.01  # each sample counts so much more than the one before: about the last hundred matter


class Average:
    """A decayed average. count and total: of this process's own samples, ever; others learn from their differences."""

    __slots__ = ("at", "count", "total", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self.at = 0.0
        self.count = 0
        self.total = 0.0

    def add(self, sample: float, now: float) -> None:
        """Take in a sample of this process."""
        self.count += 1
        self.total += sample
        self.take(sample, 1, now)

    def take(self, sample: float, count: int, now: float) -> None:
        """Take in so many samples with this mean."""
        old = self.value
        if old is None:
            self.value = sample
        elif now - self.at >= STALE_S:
            self.value = sample if sample < old / 2 else (old + sample) / 2
        else:
            self.value = old + (1 - (1 - RECENT_SHARE) ** count) * (sample - old)
        self.at = now


class Share:
    """The decayed share of good answers. good and bad: of this process, ever.

    A good answer after STALE_S without any forgives what was before it.
    """

    __slots__ = ("at", "bad", "good", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self.at = 0.0
        self.good = 0.0
        self.bad = 0.0

    def add(self, good: float, bad: float, now: float) -> None:
        """Take in answers of this process."""
        self.good += good
        self.bad += bad
        self.take(good, bad, now)

    def take(self, good: float, bad: float, now: float) -> None:
        """Take in so many good and bad answers."""
        count = good + bad
        if not bad and now - self.at >= STALE_S:
            self.value = 1.0
        else:
            old = 1.0 if self.value is None else self.value
            self.value = old + (1 - (1 - RECENT_SHARE_OF_FAILURES) ** count) * (good / count - old)
        self.at = now


class Histogram:
    """Where recent samples lie, in milliseconds, by buckets that grow by a third."""

    __slots__ = ("_weight", "weights")

    def __init__(self) -> None:
        self.weights = array("f", bytes(4 * _BUCKETS))
        self._weight = 1.0

    def add(self, sample_ms: float) -> None:
        """Take in a sample."""
        index = min(_BUCKETS - 1, int(log(sample_ms) / _GROWTH)) if sample_ms > 1.0 else 0
        self.weights[index] += self._weight
        self._weight *= _FADE
        if self._weight > 1e6:
            self.weights = array("f", (weight / 1e6 for weight in self.weights))
            self._weight = 1.0

    def relative(self) -> list[tuple[int, float]]:
        """The buckets that hold something, and their weights, that of the latest sample being 1."""
        least = self._weight / 1000
        return [(i, round(weight / self._weight, 3)) for i, weight in enumerate(self.weights) if weight > least]


def quantile(buckets: Iterable[Sequence[float]], share: float) -> float | None:
    """The milliseconds that this share of the samples stays below, within a sixth; None without samples."""
    weights: dict[float, float] = {}
    for index, weight in buckets:
        weights[index] = weights.get(index, 0.0) + weight
    left = sum(weights.values()) * share
    for index in sorted(weights):
        left -= weights[index]
        if left <= 0:
            return round(exp(_GROWTH * (index + 0.5)), 1)
    return None


class Watch:
    """Until when figures hold, and the attempt that tries them anew. passed: how often they were passed over since."""

    __slots__ = ("_readings", "fresh_until", "passed", "trial")

    def __init__(self) -> None:
        self.fresh_until = 0.0
        self.passed = 0
        self._readings = [0, 0]
        self.trial: object | None = None

    def is_due(self, *, is_known: bool, reader: int = 0) -> bool:
        """Whether an offering with an old figure is worth a try. Each call counts as one reading of it.

        reader: 0, or 1 for a second figure of this watch. A ranking reads either or both of them, and counts once.
        """
        if self.trial is not None:
            return False
        if not is_known:
            return True
        self._readings[reader] += 1
        self.passed = max(self._readings)
        return self.passed > PASSED_OVER

    def begin(self, flight: object, now: float) -> None:
        """Let the attempt be the trial, where there is none and the figure is old."""
        if self.trial is None and self.fresh_until <= now:
            self.trial = flight
            self._restart()

    def end(self, flight: object) -> None:
        """The attempt is over; where it brought nothing, another one is let try."""
        if self.trial is flight:
            self.trial = None

    def renew(self, now: float) -> None:
        """There is something new to go by."""
        self.fresh_until = now + STALE_S
        self._restart()

    def _restart(self) -> None:
        self.passed = 0
        self._readings[:] = (0, 0)


class Response:
    """The response time of streamed answers, or of plain ones. figure: what ranking goes by, None: nothing is known."""

    __slots__ = ("average", "figure", "watch")

    def __init__(self) -> None:
        self.average = Average()
        self.watch = Watch()
        self.figure: float | None = None


class Track:
    """One offering. begun: attempts of this process; own_in_flight: those that are on their way.

    active_at: when anything was heard of it last, here or elsewhere. own_at: when an attempt of this process began or ended
    last. told_from: its sums when this process began to use it after a pause.
    """

    __slots__ = (
        "active_at", "answer_s", "begun", "channel", "own_at", "own_in_flight", "pace", "plain", "ref", "share", "streamed",
        "times", "told_from", "watch",
    )  # fmt: skip

    def __init__(self, ref: int, channel: int) -> None:
        self.ref = ref
        self.channel = channel
        self.streamed = Response()
        self.plain = Response()
        self.answer_s = Average()
        self.pace = Average()
        self.share = Share()
        self.times = Histogram()
        self.watch = Watch()
        self.active_at = 0.0
        self.own_at = 0.0
        self.begun = 0
        self.own_in_flight = 0
        self.told_from = self.sums()

    def averages(self) -> tuple[Average, ...]:
        """All that is averaged, as others are told of it."""
        return self.streamed.average, self.plain.average, self.answer_s, self.pace

    def sums(self) -> list[float]:
        """What others learn from: attempts begun, good and bad answers; then for each average samples and their total."""
        sums: list[float] = [self.begun, self.share.good, self.share.bad]
        for average in self.averages():
            sums += (average.count, round(average.total, 3))
        return sums

    def refigure(self) -> None:
        """Work out what ranking goes by: the time that a good answer takes, failed attempts included.

        An offering that only ever failed comes behind all others.
        """
        share = self.share.value
        for side in (self.streamed, self.plain):
            average = side.average.value
            if average is not None:
                side.figure = average if share is None else average / max(share, SHARE_AT_LEAST)
