"""Worker side. The children from their start to their end: until they answer, until one dies or someone says stop."""

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from django.utils.translation import gettext as _

from smartrouter.supervisor.crew import Crew, Part, are_gone

# A full build of the largest configuration takes seconds; past this, something hangs.
READY_WITHIN_S = 120
PROBE_EVERY_S = 0.1
# After the web process has drained: the ingester's last batch, Celery's task in hand.
REST_ENDS_WITHIN_S = 15
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Counts requests to stop and wakes the wait, also when a child ends. In force until close()."""

    def __init__(self) -> None:
        self.stops = 0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup
        numbers = [number for number in STOP_SIGNALS if not (number is signal.SIGHUP and ignored)]
        self._before = {number: signal.signal(number, self._count) for number in numbers}
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def wait(self, timeout_s: float | None) -> None:
        """Return after a signal or the timeout."""
        ready, _, _ = select.select([self._reader], [], [], timeout_s)
        if ready:
            os.read(self._reader, 4096)

    def close(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1


class Watch:
    """One run of a crew. say() takes a sentence for the operator."""

    def __init__(self, crew: Crew, *, drain_s: float, say: Callable[[str], None]) -> None:
        self._crew = crew
        self._drain_s = drain_s
        self._say = say
        self._signals = Signals()

    def run(self, parts: Sequence[Part], is_ready: Callable[[], bool], on_ready: Callable[[], None]) -> int:
        """The exit code: 0 after a requested stop, 1 when a child ended by itself or nobody answered.

        on_ready is called once, when is_ready gives True. Nobody of the crew lives when this returns or raises.
        """
        try:
            self._crew.start(parts)
            went_well = self._wait_until(is_ready)
            if went_well and not self._signals.stops:
                on_ready()
                while not self._signals.stops and not self._has_lost_one():
                    self._signals.wait(None)
                went_well = bool(self._signals.stops)
            self._stop()
            return 0 if went_well else 1
        finally:
            self._crew.kill()
            self._signals.close()

    def _wait_until(self, is_ready: Callable[[], bool]) -> bool:
        """True when ready or told to stop, False when a child has ended or the time is over."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._signals.stops:
            if self._has_lost_one():
                return False
            if is_ready():
                return True
            if time.monotonic() > deadline:
                self._say(_("The web server did not answer within %d seconds; stopping.") % READY_WITHIN_S)
                return False
            self._signals.wait(PROBE_EVERY_S)
        return True

    def _has_lost_one(self) -> bool:
        """Whether a child has ended, having said so."""
        ended = self._crew.ended()
        if ended is None or self._signals.stops:
            return False
        name, code = ended
        if code < 0:
            text = _("The %(name)s process was ended by signal %(number)d; stopping the others.")
            self._say(text % {"name": name, "number": -code})
        else:
            text = _("The %(name)s process ended with exit code %(code)d; stopping the others.")
            self._say(text % {"name": name, "code": code})
        return True

    def _stop(self) -> None:
        """End the crew in order: those that drain first, then the rest. A second signal ends them at once."""
        members = self._crew.members
        if not members:
            return
        if self._signals.stops:
            self._say(_("Stopping: requests in progress have %d seconds. Once more to stop at once.") % self._drain_s)
        first = [member for member in members if member.part.is_first_to_stop]
        rest = [member for member in members if not member.part.is_first_to_stop]
        stops = self._signals.stops
        for group, within_s in ((first, self._drain_s + 10), (rest, REST_ENDS_WITHIN_S)):
            self._crew.tell(group)
            deadline = time.monotonic() + within_s
            while not are_gone(group):
                left = deadline - time.monotonic()
                if left <= 0 or self._signals.stops > max(stops, 1):
                    break
                self._signals.wait(left)
