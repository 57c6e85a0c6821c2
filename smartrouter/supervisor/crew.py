"""Worker side. The supervisor's children: one process group, no shell, and no one left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smartrouter.supervisor import guard


@dataclass(frozen=True, slots=True)
class Part:
    """One child: its name for people, its arguments after the Python interpreter, the descriptors it inherits.

    is_first_to_stop: it is told to end at once; the others once all of these are gone.
    """

    name: str
    arguments: tuple[str, ...]
    fds: tuple[int, ...] = ()
    is_first_to_stop: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A part that runs."""

    part: Part
    process: subprocess.Popen[bytes]


class Crew:
    """The children as processes. Not in the terminal's foreground group: Ctrl-C reaches the supervisor alone."""

    def __init__(self, *, folder: Path, environment: Mapping[str, str], grace_s: float) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self.members: list[Member] = []
        life_end, self._life = os.pipe()
        crew_end, self._crew = os.pipe()
        # -I -S: it needs the standard library only, and so starts in a few milliseconds.
        arguments = ("-I", "-S", str(Path(guard.__file__)), str(life_end), str(crew_end), str(grace_s))
        self._guard = self._spawn(Part("guard", arguments, (life_end, crew_end)), group=0)
        self._group = self._guard.pid
        os.close(life_end)
        os.close(crew_end)

    def start(self, parts: Iterable[Part]) -> None:
        """Start these parts, the last of the crew."""
        for part in parts:
            fds = (*part.fds, self._crew)
            process = self._spawn(Part(part.name, part.arguments, fds), group=self._group)
            self.members.append(Member(part, process))
        os.close(self._crew)
        self._crew = -1

    def ended(self) -> tuple[str, int] | None:
        """The name and exit code (negative: the signal) of a child that has ended, None while all live."""
        for name, process in [(m.part.name, m.process) for m in self.members] + [("guard", self._guard)]:
            code = process.poll()
            if code is not None:
                return name, code
        return None

    def tell(self, members: Iterable[Member], number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal to those that still live."""
        for member in members:
            if member.process.poll() is None:
                member.process.send_signal(number)

    def kill(self) -> None:
        """Kill what is left of the group, grandchildren and guard included; return when the children are collected."""
        processes = [*(member.process for member in self.members), self._guard]
        # While one of ours is not collected, the group's number is still the group's.
        if any(process.poll() is None for process in processes):
            with suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)
        for process in processes:
            process.wait()
        for end in (self._life, self._crew):
            if end >= 0:
                os.close(end)
        self._life = self._crew = -1

    def _spawn(self, part: Part, *, group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  (our own interpreter and our own arguments)
            [sys.executable, *part.arguments],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            pass_fds=part.fds,
            process_group=group,
        )


def are_gone(members: Iterable[Member]) -> bool:
    """Whether all of them have ended."""
    return all(member.process.poll() is not None for member in members)
