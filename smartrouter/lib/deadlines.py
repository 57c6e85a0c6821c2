"""Hot path. Deadlines for what is waited for from the network, cheap enough for each event of a stream.

A process that was stopped, or whose event loop had no time, finds its timers due before it has read what came meanwhile.
A deadline that is due therefore lets the loop read first, and where it comes late itself it waits as long again.
"""

import asyncio
from types import TracebackType

# For the loop to read what has come, and for the task to go on with it.
TURN_S = 0.05
TURNS_AT_MOST = 10
# A machine that slept for hours has lost its connections all the same.
LATE_AT_MOST_S = 60.0


class Deadline:
    """A context manager whose block ends with TimeoutError when `at`, on the loop's clock, has passed.

    Moving it costs next to nothing: its timer looks, when it is due, whether it was moved. To be entered once.
    """

    __slots__ = ("_armed_at", "_before", "_excused_at", "_has_ended", "_loop", "_task", "_timer", "_turns", "at")

    def __init__(self, at: float) -> None:
        self.at = at
        self._excused_at: float | None = None
        self._has_ended = False
        self._turns = 0

    def __enter__(self) -> "Deadline":
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._arm(self.at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._has_ended and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, at: float) -> None:
        """Let it be another time from now on."""
        if at != self.at:
            self.at = at
            if at < self._armed_at:
                self._timer.cancel()
                self._arm(at)

    def _arm(self, at: float) -> None:
        # One that is set when it has passed already comes at once, and not late.
        self._armed_at = max(at, self._loop.time())
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        now, at = self._loop.time(), self.at
        if self._excused_at == at and now - self._armed_at > TURN_S and self._turns < TURNS_AT_MOST:
            # It stood still once more, and may still not have read.
            self._turns += 1
            self._arm(now + TURN_S)
        elif self._excused_at == at:
            self._has_ended = True
            self._task.cancel()
        elif now < at:
            self._arm(at)
        else:
            self._excused_at = at
            self._arm(now + TURN_S + min(now - max(at, self._armed_at), LATE_AT_MOST_S))
