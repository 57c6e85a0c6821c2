"""Worker side. What Linux says about processes and cores: CPU time, memory, and how much of a core others used."""

import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
# prctl's number for "send me a signal when my parent dies" (linux/prctl.h).
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of what is measured and the core of mock and load; is_shared: there is only one."""

    gateway: int
    load: int

    @property
    def is_shared(self) -> bool:
        return self.gateway == self.load


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """Seconds since the machine started: busy with processes and interrupts, and taken by the host."""

    busy: float
    stolen: float
    at: float


def choose_cores(allowed: Iterable[int]) -> Cores:
    """The first two of the cores that this process may use; twice the same where there is one."""
    ordered = sorted(allowed)
    return Cores(ordered[0], ordered[min(1, len(ordered) - 1)])


def cpu_s(pids: Sequence[int]) -> float:
    """The CPU seconds of all living threads of the processes, to the nanosecond where the kernel counts them."""
    total = 0.0
    for pid in pids:
        try:
            threads = [(task / "schedstat").read_text() for task in (PROC / str(pid) / "task").iterdir()]
            total += sum(int(text.split()[0]) for text in threads) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            total += _coarse_s(pid)
    return total


def _coarse_s(pid: int) -> float:
    """In steps of 10 ms; 0 for a process that has ended meanwhile, as a database's helpers do."""
    try:
        return sum(user_and_system_s(pid))
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def user_and_system_s(pid: int) -> tuple[float, float]:
    """The CPU seconds of one process in its own code and in the kernel, in steps of 10 ms."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) * TICK_S, int(fields[12]) * TICK_S


def tree_of(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    found = [pid]
    for known in found:
        found.extend(child for child, parent in parents.items() if parent == known)
    return found


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory, and the part of it that is the process's own with its share of what others use too."""
    text = (PROC / str(pid) / "smaps_rollup").read_text()
    rss, pss = (re.search(rf"^{name}:\s+(\d+)", text, re.M) for name in ("Rss", "Pss"))
    assert rss is not None and pss is not None
    return int(rss[1]) / 1024, int(pss[1]) / 1024


def core_times(core: int) -> CoreTimes:
    """What /proc/stat says now. The kernel counts by looking which process runs at each tick of its clock."""
    match = re.search(rf"^cpu{core} (.*)$", (PROC / "stat").read_text(), re.M)
    assert match is not None
    user, nice, system, _, _, irq, softirq, stolen, *_ = map(int, match[1].split())
    return CoreTimes((user + nice + system + irq + softirq) * TICK_S, stolen * TICK_S, time.perf_counter())


def foreign_share(before: CoreTimes, after: CoreTimes, own_s: float) -> float:
    """The part of the core's time that neither we used nor nobody: other processes and the host; 0 to 1."""
    wall = after.at - before.at
    used = after.busy - before.busy - own_s + after.stolen - before.stolen
    return min(1.0, max(0.0, used / wall)) if wall > 0 else 0.0


def cpu_model() -> str:
    """The processor's name."""
    match = re.search(r"^model name\s*:\s*(.*)$", (PROC / "cpuinfo").read_text(), re.M)
    return match[1].strip() if match else os.uname().machine


class Placement:
    """Called in a child before its program starts: one core, and an end if the benchmark dies without a word."""

    def __init__(self, core: int) -> None:
        import ctypes

        self._core = core
        self._prctl = ctypes.CDLL(None).prctl  # looked up now: a child between fork and exec must not load anything

    def __call__(self) -> None:
        os.sched_setaffinity(0, {self._core})
        self._prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
