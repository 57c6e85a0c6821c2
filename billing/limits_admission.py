"""Hot path. One request in front of its limits: what it draws from each, and what it is told of them."""

from typing import Protocol

from billing.limits import RateRefused
from billing.limits_parallel import Places
from billing.rates import LARGEST_USE, Bucket, Window
from smartrouter.lib.counters.claims import RATE_PERIOD_S

# When a refusal says nothing of the time: requests under way end whenever they end.
PARALLEL_WAIT_S = 1.0
UNKNOWN_WAIT_S = 1.0

_LIMIT_REQUESTS = b"x-ratelimit-limit-requests"
_REMAINING_REQUESTS = b"x-ratelimit-remaining-requests"
_RESET_REQUESTS = b"x-ratelimit-reset-requests"
_LIMIT_TOKENS = b"x-ratelimit-limit-tokens"
_REMAINING_TOKENS = b"x-ratelimit-remaining-tokens"
_RESET_TOKENS = b"x-ratelimit-reset-tokens"
_SECONDS = (b"0s", *(b"%ds" % s for s in range(1, 60)), b"1m0s")

Headers = list[tuple[bytes, bytes]]


class Keeper(Protocol):
    """What an admission has to know of the process's limits."""

    def now(self) -> float:
        """Seconds that only ever grow."""
        ...

    def alone(self) -> int | None:
        """How many processes share the limits without the store; None while that is up."""
        ...

    def tell_window(self, window: Window) -> None:
        """Tell the store of it before long."""
        ...

    def tell_places(self, places: Places) -> None:
        """Tell the store of it before long."""
        ...


class RateAdmission:
    """An Admission, once enter() was called. uses: what it draws from each window."""

    __slots__ = ("_buckets", "_is_under_way", "_keeper", "_tokens", "places", "uses", "windows")

    def __init__(self, keeper: Keeper, tokens: int) -> None:
        self._keeper = keeper
        self._tokens = tokens
        self.windows: list[Window] = []
        self.uses: list[int] = []
        self.places: list[Places] = []
        self._buckets: list[Bucket] = []
        self._is_under_way = False

    def wait(self, count: int) -> None:
        """Have it counted among those who wait, or no more: 1 or -1."""
        for window in self.windows:
            window.waiting += count
        for places in self.places:
            places.waiting += count

    def is_awaited(self) -> bool:
        """Whether others wait for one of its limits: they were there before."""
        for window in self.windows:
            if window.waiting:
                return True
        for places in self.places:  # noqa: SIM110  (a generator costs more than all of this)
            if places.waiting:
                return True
        return False

    def can_enter(self, now: float, processes: int) -> bool:
        """Whether what this process has is enough for all limits."""
        for window, uses in zip(self.windows, self.uses, strict=True):
            if not window.can_use(uses, now):
                return False
        for places in self.places:  # noqa: SIM110  (as above)
            if not places.can_begin(processes):
                return False
        return True

    def can_enter_alone(self, now: float, processes: int) -> bool:
        """Whether it is within this process's share of all limits."""
        for window, uses in zip(self.windows, self.uses, strict=True):
            if not window.can_use_alone(uses, now, processes):
                return False
        return all(places.can_begin_alone(processes) for places in self.places)

    def enter(self, now: float) -> None:
        """Draw from all limits."""
        keeper, buckets = self._keeper, self._buckets
        for window, uses in zip(self.windows, self.uses, strict=True):
            buckets.append(window.use(uses, now))
            if not window.is_active:
                keeper.tell_window(window)
        for places in self.places:
            places.begin(now)
            if not places.is_active:
                keeper.tell_places(places)
        self._is_under_way = True

    def refusal(self, now: float, processes: int, *, is_late: bool) -> RateRefused | None:
        """Why it is refused, if the store has refused it for good; is_late: or at all."""
        for places in self.places:
            if places.can_begin(processes):
                continue
            if is_late or places.is_closed or (places.refused and places.is_final):
                return RateRefused(places.subject, "parallel", places.limit, PARALLEL_WAIT_S)
        for window, uses in zip(self.windows, self.uses, strict=True):
            lack = uses - window.room(now)
            if lack <= 0:
                continue
            if is_late or (window.is_final and 0 < window.refused <= lack):
                wait_s = RATE_PERIOD_S if uses > window.limit else window.wait_ms / 1000 or UNKNOWN_WAIT_S
                return RateRefused(window.subject, window.which, window.limit, wait_s)
        return None

    def refusal_alone(self, now: float, processes: int) -> RateRefused:
        """Why it is not within this process's share."""
        for places in self.places:
            if not places.can_begin_alone(processes):
                return RateRefused(places.subject, "parallel", places.limit, PARALLEL_WAIT_S)
        wait_s, longest = -1.0, self.windows[0]
        for window, uses in zip(self.windows, self.uses, strict=True):
            if not window.can_use_alone(uses, now, processes):
                this_s = window.wait_alone_s(uses, now, processes)
                if this_s > wait_s:
                    wait_s, longest = this_s, window
        return RateRefused(longest.subject, longest.which, longest.limit, wait_s)

    def headers(self) -> Headers:
        """As of an Admission. Reset is the time until all of the limit is free again, if nothing more is asked for: the
        latest use of this process leaves then."""
        keeper = self._keeper
        now, alone = keeper.now(), keeper.alone()
        least: Window | None = None
        least_tokens: Window | None = None
        left = left_tokens = 0
        for window in self.windows:
            this = window.left(now, alone)
            if window.which == "requests":
                if least is None or this < left:
                    least, left = window, this
            elif least_tokens is None or this < left_tokens:
                least_tokens, left_tokens = window, this
        found: Headers = []
        if least is not None:
            found.append((_LIMIT_REQUESTS, least.limit_text))
            found.append((_REMAINING_REQUESTS, b"%d" % left))
            found.append((_RESET_REQUESTS, _reset(least, now)))
        if least_tokens is not None:
            found.append((_LIMIT_TOKENS, least_tokens.limit_text))
            found.append((_REMAINING_TOKENS, b"%d" % left_tokens))
            found.append((_RESET_TOKENS, _reset(least_tokens, now)))
        return found

    def settle(self, tokens: int) -> None:
        """As of an Admission. Absolute: of several calls the last one counts."""
        difference = min(max(tokens, 0), LARGEST_USE) - self._tokens
        if difference and self._buckets:
            self._tokens += difference
            now = self._keeper.now()
            for window, bucket in zip(self.windows, self._buckets, strict=True):
                if window.which == "tokens":
                    self._correct(window, bucket, difference, now)

    def end(self) -> None:
        """As of an Admission."""
        if not self._is_under_way:
            return
        self._is_under_way = False
        if self.places:
            now = self._keeper.now()
            for places in self.places:
                places.end(now)

    def withdraw(self) -> None:
        """As of an Admission; it ends it as well."""
        if self._buckets:
            now = self._keeper.now()
            for window, bucket in zip(self.windows, self._buckets, strict=True):
                self._correct(window, bucket, -self._tokens if window.which == "tokens" else -1, now)
            self._buckets.clear()
        self.end()

    def _correct(self, window: Window, bucket: Bucket, difference: int, now: float) -> None:
        window.correct(bucket, difference, now)
        if not window.is_active:
            self._keeper.tell_window(window)


def duration(seconds: float) -> bytes:
    """As OpenAI writes it, of up to a minute: 120ms, 7s, 1m0s; rounded up."""
    if seconds <= 0:
        return _SECONDS[0]
    if seconds < 1:
        return b"%dms" % min(999, -int(-seconds * 1000 // 1))
    return _SECONDS[min(60, -int(-seconds // 1))]


def _reset(window: Window, now: float) -> bytes:
    return duration(window.log[-1].at + RATE_PERIOD_S - now) if window.log else _SECONDS[0]
