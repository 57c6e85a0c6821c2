"""Worker side. `manage.py web` with a sampler beside it: where the process's CPU time goes, by room and library.

    python -m tests.bench.sampled_web FILE --fd N

SIGUSR1 starts sampling, SIGUSR2 ends it and writes the counts to FILE. The kernel's profiling timer fires each few
milliseconds of CPU time; Python then runs the handler after the current instruction, so that the time of a call into C
belongs to the line that called it.
"""

import dis
import json
import linecache
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from tests.bench.rooms import OUTSIDE, group_of_call, group_of_file, is_room

INTERVAL_S = 0.002
# The frames from which the event loop runs: what is called from there was called by uvloop.
LOOP_FILES = ("asyncio/runners.py", "asyncio/base_events.py", "uvicorn/_compat.py", "uvicorn/server.py")


class Sampler:
    """Counts where the main thread is. own: (code, instruction, called by the loop, innermost room)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: Counter[tuple[CodeType, int, bool, str]] = Counter()
        self._groups: dict[CodeType, str] = {}

    def install(self) -> None:
        """Wait for the signals."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._start)
        signal.signal(signal.SIGUSR2, self._stop)

    def _start(self, number: int, frame: FrameType | None) -> None:
        self._seen.clear()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        partial = self._file.with_suffix(".part")
        partial.write_text(json.dumps(self._counts()))
        partial.rename(self._file)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        back = frame.f_back
        is_top = back is None or back.f_code.co_filename.endswith(LOOP_FILES)
        self._seen[frame.f_code, frame.f_lasti, is_top, self._innermost_room(frame)] += 1

    def _innermost_room(self, frame: FrameType | None) -> str:
        """The nearest room below, looking no further than the event loop: what started the server is not at work."""
        while frame is not None and not frame.f_code.co_filename.endswith(LOOP_FILES):
            group = self._group(frame.f_code)
            if is_room(group):
                return group
            frame = frame.f_back
        return ""

    def _group(self, code: CodeType) -> str:
        group = self._groups.get(code)
        if group is None:
            group = self._groups[code] = group_of_file(code.co_filename)
        return group

    def _counts(self) -> dict[str, dict[str, int]]:
        """own: group -> samples in its own code; charged: room -> samples in it or in what it called."""
        own: Counter[str] = Counter()
        charged: Counter[str] = Counter()
        for (code, instruction, is_top, room), count in self._seen.items():
            if self._group(code) == OUTSIDE:
                continue
            group = self._leaf(code, instruction, is_top)
            own[group] += count
            # What the loop did before it called a room's first line was not done for that room.
            charged[group if not room or (is_top and not is_room(group)) else room] += count
        return {"own": dict(own), "charged": dict(charged)}

    def _leaf(self, code: CodeType, instruction: int, is_top: bool) -> str:
        opcode = code.co_code[instruction] if 0 <= instruction < len(code.co_code) else 0
        if code.co_filename.endswith(LOOP_FILES) or (is_top and dis.opname[opcode] == "RESUME"):
            return "uvloop"
        return group_of_call(_text_at(code, instruction)) or self._group(code)


def _text_at(code: CodeType, instruction: int) -> str:
    """The source text of an instruction, where it lies on one line."""
    line, end_line, start, end = list(code.co_positions())[instruction // 2]
    if line is None or start is None:
        return ""
    text = linecache.getline(code.co_filename, line).encode()
    return text[start : end if end_line == line else None].decode(errors="replace")


def main() -> None:
    """Serve as `manage.py web` does."""
    file, *arguments = sys.argv[1:]
    Sampler(Path(file)).install()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", "web", *arguments])


if __name__ == "__main__":
    main()
