"""Hot path. One rate in one process: what it has taken ahead, what it has used in the last minute, and what of that the
store has still to be told.

Uses of one moment lie in one bucket, told by its age. A settlement changes the bucket of its admission, so that the
difference is told with that age; a bucket that has left the minute changes no more.
"""

from collections import deque

from billing.limits import Subject
from smartrouter.lib.counters.claims import RATE_PERIOD_S, RECALLED_S, TAKEN_S, Rate, Take, Taken

# Uses so close together are one bucket, at the moment of the last of them.
BUCKET_S = 0.02
# Less than the store's own patience, counted from before it was asked: nothing is used that it has taken back.
HELD_S = 0.6 * TAKEN_S
# So much is taken ahead: a multiple of what one request needs, or of what was used in a second.
NEEDS_AHEAD = 4
SECONDS_AHEAD = 2
LARGEST_USE = 2**40

Batch = tuple[int, list[tuple[float, int]]]


class Bucket:
    """Uses of one moment; untold: what of them, more or less, the store has not been told; is_listed: it is
    among those that are told next."""

    __slots__ = ("at", "began", "is_listed", "is_told", "untold", "uses")

    def __init__(self, at: float, uses: int) -> None:
        self.at = at
        self.began = at
        self.uses = uses
        self.untold = uses
        self.is_told = False
        self.is_listed = True


class Window:
    """A sliding minute. has: what may be used until held_until without asking; waiting: how many wait for the store's word.

    used: by all, as the store last said; since: what was used here that is not in that. refused: what it refused last, or 0.
    """

    __slots__ = (
        "_batches",
        "_drawn",
        "_flight",
        "_pace",
        "_quiet_until",
        "_rate",
        "_recent",
        "_untold",
        "has",
        "held_until",
        "is_active",
        "is_final",
        "limit",
        "limit_text",
        "log",
        "name",
        "refused",
        "since",
        "subject",
        "total",
        "used",
        "used_at",
        "wait_ms",
        "waiting",
        "which",
    )

    def __init__(self, subject: Subject, which: str, suffix: str, limit: int) -> None:
        self.name = f"{subject.key}|{suffix}"
        self.which = which
        self.set_limit(subject, limit)
        self.held_until = self.used_at = float("-inf")
        self.waiting = 0
        self.log: deque[Bucket] = deque()
        self.total = 0
        self.used = self.since = 0
        self.is_active = self.is_final = False
        self.refused = self.wait_ms = 0
        self._untold: list[Bucket] = []
        self._batches: list[Batch] = []
        self._drawn = self._flight = 0
        self._pace = self._recent = 0
        self._quiet_until = float("-inf")

    def set_limit(self, subject: Subject, limit: int) -> None:
        """Of now on; what was taken ahead under another one is void."""
        self.subject = subject
        self.has = 0
        self.limit = limit
        self.limit_text = b"%d" % limit
        self._rate = Rate(self.name, limit)

    def room(self, now: float) -> int:
        """What may be used without asking."""
        return self.has if now < self.held_until else 0

    def can_use(self, uses: int, now: float) -> bool:
        """Whether what was taken ahead is enough."""
        return (uses <= self.has and now < self.held_until) or uses <= 0

    def can_use_alone(self, uses: int, now: float, processes: int) -> bool:
        """Whether it is within this process's share, by what was used here."""
        self.prune(now)
        return self.total + uses <= share_of(self.limit, processes)

    def use(self, uses: int, now: float) -> Bucket:
        """Count it; also more than was taken ahead, where the store is away."""
        self.has = self.has - uses if self.has > uses else 0
        self.total += uses
        self.since += uses
        self._drawn += uses
        self._recent += uses
        self.used_at = now
        log = self.log
        if log:
            last = log[-1]
            if now - last.began < BUCKET_S and not last.is_told:
                last.at = now
                last.uses += uses
                last.untold += uses
                return last
            if log[0].at + RATE_PERIOD_S <= now:
                self.prune(now)
        bucket = Bucket(now, uses)
        log.append(bucket)
        self._untold.append(bucket)
        return bucket

    def correct(self, bucket: Bucket, difference: int, now: float) -> None:
        """Count a difference at the bucket's moment, if that is not over."""
        if not difference or bucket.at + RATE_PERIOD_S <= now:
            return
        bucket.uses += difference
        bucket.untold += difference
        self.total += difference
        self.since += difference
        if not bucket.is_listed:
            bucket.is_listed = True
            self._untold.append(bucket)

    def prune(self, now: float) -> None:
        """Forget what has left the minute."""
        log, until = self.log, now - RATE_PERIOD_S
        while log and log[0].at <= until:
            self.total -= log.popleft().uses
        if self._untold and self._untold[0].at <= until:
            self._untold = [bucket for bucket in self._untold if bucket.at > until]
        if self._batches:
            self._batches = [batch for batch in self._batches if batch[1][-1][0] > until]

    def left(self, now: float, processes: int | None) -> int:
        """What a caller may still use; processes: how many share it without the store, None while that is up."""
        if processes is not None:
            self.prune(now)
            return max(0, share_of(self.limit, processes) - self.total)
        return max(0, self.limit - self.since - self.used)

    def wait_alone_s(self, uses: int, now: float, processes: int) -> float:
        """How long until so much is within this process's share, if nobody else comes."""
        excess = self.total + uses - share_of(self.limit, processes)
        for bucket in self.log:
            excess -= bucket.uses
            if excess <= 0:
                return max(0.0, bucket.at + RATE_PERIOD_S - now)
        return RATE_PERIOD_S

    def ahead(self, need: int, now: float) -> int:
        """What it would like on top of its need: by what was used lately; nothing while others want it."""
        if now < self._quiet_until:
            return 0
        wanted = max(NEEDS_AHEAD * need, SECONDS_AHEAD * max(self._pace, self._recent)) - self.has
        return min(max(0, wanted), self.limit)

    def end_second(self) -> None:
        """Another second begins, for the measure of what was used lately."""
        self._pace = max(self._recent, self._pace // 2)
        self._recent = 0

    def give_back(self, now: float, *, is_recalled: bool = False) -> None:
        """Use nothing more of what was taken ahead. is_recalled: nor take any, for a while."""
        self.has = 0
        if is_recalled:
            self._quiet_until = now + RECALLED_S

    @property
    def owes(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._untold or self._batches)

    def takes(self, number: int, now: float, need: int = 0, like: int = 0) -> list[Take]:
        """What to send, under numbers from this one on: what may not have arrived before, and what is new."""
        self.prune(now)
        new = []
        for bucket in self._untold:
            bucket.is_told, bucket.is_listed = True, False
            if bucket.untold:
                new.append((bucket.at, bucket.untold))
                bucket.untold = 0
        self._untold = []
        fresh = sum(uses for _at, uses in new)
        has = self.room(now)
        found = [Take(self._rate, told, _aged(uses, now), max(0, has + fresh)) for told, uses in self._batches]
        new.sort()
        if new:
            self._batches.append((number, new))
        found.append(Take(self._rate, number, _aged(new, now), has, min(need, self.limit + 1), like))
        self._drawn = 0
        self._flight = self.since
        return found

    def note(self, taken: Taken, need: int, sent_at: float, now: float) -> None:
        """The store's answer to the last of what was sent."""
        arrived, self._batches = self._batches, []
        self.has = max(0, taken.has - self._drawn)
        self.held_until = sent_at + HELD_S
        self.used = taken.used
        self.since -= self._flight
        self._flight = 0
        self.refused = 0 if taken.got else need
        self.is_final, self.wait_ms = taken.is_final, taken.wait_ms
        self.prune(now)
        if self.total - sum(bucket.untold for bucket in self._untold) > taken.used:
            self._tell_again(arrived)

    def _tell_again(self, arrived: list[Batch]) -> None:
        """The store has lost what it was told before this, since it knows of less than was used here alone."""
        known: dict[float, int] = {}
        for _number, uses in arrived:
            for at, count in uses:
                known[at] = known.get(at, 0) + count
        for bucket in self.log:
            bucket.untold = bucket.uses - known.pop(bucket.at, 0)
            bucket.is_told = bucket.is_listed = True
        self._untold = list(self.log)
        self.since = self.total
        self.has = self.refused = 0


def share_of(limit: int, processes: int) -> int:
    """What one process allows by itself while the store is away."""
    return max(1, limit // max(1, processes))


def _aged(uses: list[tuple[float, int]], now: float) -> list[tuple[int, int]]:
    return [(int((now - at) * 1000), count) for at, count in uses]
