"""Worker side. Where the time of the web process goes: taken under each kind of load, printed by room and library."""

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import cpu
from tests.bench.children import BenchError
from tests.bench.figures import Sample
from tests.bench.rooms import ROOMS
from tests.bench.rounds import Kind, Measuring, Subject

WRITE_S = 20.0
LEAST = 0.005  # groups below this share are one row


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of load. own and charged: see sampled_web; system: the kernel's share of the process's CPU time."""

    title: str
    sample: Sample
    system: float
    own: dict[str, int]
    charged: dict[str, int]

    def share(self, group: str) -> tuple[float, float]:
        """The group's parts of all samples: in its own code, and with what it called."""
        total = sum(self.own.values()) or 1
        return self.own.get(group, 0) / total, self.charged.get(group, 0) / total


def take_profiles(measuring: Measuring, kinds: Sequence[Kind], gateway: Subject, file: Path) -> list[Profile]:
    """A profile for each kind of load, from a web process that was started with the sampler."""
    assert gateway.gateway is not None
    pid = gateway.gateway.web
    profiles = []
    for kind in kinds:
        os.kill(pid, signal.SIGUSR1)
        user, system = cpu.user_and_system_s(pid)
        sample = measuring.sample(kind, gateway)
        user_now, system_now = cpu.user_and_system_s(pid)
        os.kill(pid, signal.SIGUSR2)
        counts = _read(file)
        share = (system_now - system) / max(user_now - user + system_now - system, 1e-9)
        profiles.append(Profile(kind.title, sample, share, counts["own"], counts["charged"]))
    return profiles


def profile_rows(profiles: Sequence[Profile]) -> list[list[str]]:
    """A table for report.text_table: rooms first, then libraries, the larger first."""
    rows = [
        ["part of the web process's CPU time", *[f"{p.title}{part}" for p in profiles for part in ("", ", with calls")]]
    ]
    weight = {group: max(max(p.share(group)) for p in profiles) for p in profiles for group in {*p.own, *p.charged}}
    rooms = [room for room in ROOMS if room in weight]
    others = sorted((group for group in weight if group not in ROOMS), key=lambda group: -weight[group])
    large = [group for group in others if weight[group] >= LEAST]
    for group in [*rooms, *large]:
        name = f"{group} (ours)" if group in ROOMS else group
        rows.append([name, *[_percent(share) for p in profiles for share in p.share(group)]])
    small = [group for group in others if weight[group] < LEAST]
    if small:
        rest = [_percent(sum(p.share(group)[i] for group in small)) for p in profiles for i in (0, 1)]
        rows.append(["others", *rest])
    rows.append(["in the kernel, of all of it", *[cell for p in profiles for cell in (_percent(p.system), "")]])
    rows.append(["samples", *[cell for p in profiles for cell in (str(sum(p.own.values())), "")]])
    return rows


def _read(file: Path) -> dict[str, dict[str, int]]:
    until = time.monotonic() + WRITE_S
    while not file.exists():
        if time.monotonic() > until:
            raise BenchError("The web process did not write its samples.")
        time.sleep(0.05)
    counts: dict[str, dict[str, int]] = json.loads(file.read_text())
    file.unlink()
    return counts


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
