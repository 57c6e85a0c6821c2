"""Hot path. The live signals as ranking has read them last, for those who only tell of them.

Ranking counts how often it has passed over an old figure, and lets an attempt try it anew after so many times. Whoever
explains a choice must neither hasten that nor see it otherwise than the choice did.
"""

from collections.abc import Collection

from routing.rank import Live
from routing.signals import Signals, Snapshot
from routing.tracks import PASSED_OVER, UNTRIED_MS, Watch


class Glance:
    """Looks at signals and changes nothing in them."""

    __slots__ = ("_signals", "in_flight", "used_today")

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self.in_flight = signals.in_flight
        self.used_today = signals.used_today

    def response_ms(self, ref: int, is_streamed: bool) -> float | None:
        """As Signals.response_ms."""
        track = self._signals.tracks.get(ref)
        if track is None:
            return None
        side = track.streamed if is_streamed else track.plain
        if self._was_due(side.watch, is_known=side.figure is not None):
            return None
        return UNTRIED_MS if side.figure is None else side.figure

    def answer_s(self, ref: int) -> float | None:
        """As Signals.answer_s."""
        track = self._signals.tracks.get(ref)
        if track is None or track.answer_s.value is None:
            return None
        return 0.0 if self._was_due(track.watch) else track.answer_s.value

    def reliability(self, ref: int) -> float | None:
        """As Signals.reliability."""
        track = self._signals.tracks.get(ref)
        if track is None or track.share.value is None:
            return None
        return None if self._was_due(track.watch) else track.share.value

    def known(self) -> Collection[int]:
        """As Signals.known."""
        return self._signals.known()

    def snapshot(self, ref: int) -> Snapshot:
        """As Signals.snapshot."""
        return self._signals.snapshot(ref)

    def _was_due(self, watch: Watch, *, is_known: bool = True) -> bool:
        if watch.fresh_until > self._signals.clock() or watch.trial is not None:
            return False
        return not is_known or watch.passed > PASSED_OVER


def glance_at(live: Live) -> Live:
    """The same signals to look at only; signals that count nothing, as they are."""
    return Glance(live) if isinstance(live, Signals) else live
