"""Worker side. Rounds: the same load against gateway, proxy and mock in turn, repeated where others used the machine."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench import cpu
from tests.bench.children import BenchError
from tests.bench.cpu import Cores
from tests.bench.figures import MAX_FOREIGN, Kept, Round, Sample, keep_quiet, noise_of, percentile
from tests.bench.gateway import Gateway
from tests.bench.load import Tally, Target, run_load


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is measured: the gateway, a proxy, or (without processes of its own) the mock."""

    name: str
    targets: Mapping[str, Target]
    pids: tuple[int, ...] = ()
    gateway: Gateway | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of load."""

    title: str
    model: str
    connections: int
    seconds: float
    rounds: int


@dataclass
class Patience:
    """How long the whole run may still wait for others to be quiet, and how many rounds it may repeat."""

    wait_s: float
    repeats: int
    say: Callable[[str], None] = field(default=print)

    def wait_until_quiet(self, cores: Cores) -> None:
        """Return when both cores are idle but for us, or when patience is at its end."""
        while self.wait_s > 0:
            began = time.perf_counter()
            before = [cpu.core_times(core) for core in (cores.gateway, cores.load)]
            time.sleep(0.5)
            after = [cpu.core_times(core) for core in (cores.gateway, cores.load)]
            if max(cpu.foreign_share(b, a, 0.0) for b, a in zip(before, after, strict=True)) < 0.1:
                return
            self.wait_s -= time.perf_counter() - began


class Measuring:
    """Measures subjects on the cores; the runner's loop also holds the mock, which answers while a load runs."""

    def __init__(self, runner: asyncio.Runner, cores: Cores, patience: Patience) -> None:
        self._runner = runner
        self._cores = cores
        self._patience = patience

    def rounds(self, kind: Kind, subjects: Sequence[Subject]) -> Kept:
        """The rounds of one kind that count. Raises BenchError at the first wrong answer."""
        found: list[Round] = []
        quiet = 0
        while quiet < kind.rounds:
            self._patience.wait_until_quiet(self._cores)
            each = {subject.name: self.sample(kind, subject) for subject in subjects}
            found.append(each)
            self._patience.say(_line(kind, len(found), each))
            if noise_of(each) <= MAX_FOREIGN:
                quiet += 1
            elif len(found) >= kind.rounds:
                if not self._patience.repeats:
                    break
                self._patience.repeats -= 1
        return keep_quiet(found, kind.rounds)

    def sample(self, kind: Kind, subject: Subject) -> Sample:
        """One load against one subject."""
        gateway = subject.gateway
        before = [cpu.core_times(core) for core in (self._cores.gateway, self._cores.load)]
        own, stores, mine = (
            cpu.cpu_s(subject.pids),
            gateway.stores_cpu_s() if gateway else 0.0,
            cpu.cpu_s([os.getpid()]),
        )
        ingester = gateway.ingester_cpu_s() if gateway else 0.0
        tally = self._load(kind, subject)
        own_s = cpu.cpu_s(subject.pids) - own
        ingester_now = gateway.ingester_cpu_s() if gateway else 0.0
        load_s = cpu.cpu_s([os.getpid()]) - mine + (gateway.stores_cpu_s() - stores if gateway else 0.0)
        after = [cpu.core_times(core) for core in (self._cores.gateway, self._cores.load)]
        used = (own_s + ingester_now - ingester, load_s)
        if self._cores.is_shared:
            used = (sum(used), sum(used))
        foreign = [cpu.foreign_share(b, a, s) for b, a, s in zip(before, after, used, strict=True)]
        if gateway:
            gateway.requests += tally.done
            gateway.catch_up()
        return Sample(
            done=tally.done,
            per_s=tally.done_in_time / tally.seconds,
            wall_s=after[0].at - before[0].at,
            web_s=own_s,
            ingester_s=gateway.ingester_cpu_s() - ingester if gateway else 0.0,
            stores_s=gateway.stores_cpu_s() - stores if gateway else 0.0,
            foreign=max(foreign),
            p50_ms=percentile(tally.latencies_ms, 0.5),
            p99_ms=percentile(tally.latencies_ms, 0.99),
        )

    def _load(self, kind: Kind, subject: Subject) -> Tally:
        target = subject.targets[kind.model]
        tally = self._runner.run(run_load(target, connections=kind.connections, seconds=kind.seconds))
        if tally.errors or not tally.done:
            raise BenchError(
                f"{tally.errors} of {tally.errors + tally.done} answers of the {subject.name} were wrong; {tally.sample}"
            )
        return tally


def _line(kind: Kind, number: int, each: Round) -> str:
    noise = noise_of(each)
    parts = [f"{name} {sample.done} in {sample.own_s:.2f} s CPU" for name, sample in each.items()]
    verdict = "" if noise <= MAX_FOREIGN else ", too noisy"
    return f"  {kind.title} {number}: {', '.join(parts)}; others {noise:.0%}{verdict}"
