"""Worker side. A run from start to end: everything started, warmed up, measured, checked, stopped, removed."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import cpu, history
from tests.bench.children import BenchError, Children, bound_socket, port_of
from tests.bench.figures import DIRECT, GATEWAY, figures_of
from tests.bench.gateway import start_gateway, store_servers
from tests.bench.messages import BURST, EVENTS, PACED, PLAIN
from tests.bench.mock import Mock
from tests.bench.probe import gateway_targets, plain_targets
from tests.bench.profile_report import profile_rows, take_profiles
from tests.bench.proxies import proxy_names, start_proxy
from tests.bench.rounds import Kind, Measuring, Patience, Subject

# Answers are counted in requests, streams in thousands of events.
KILO_EVENTS = EVENTS / 1000


@dataclass(frozen=True, slots=True)
class Mode:
    """How long a run takes. Seconds of each load in a round; the paced streams take 2 s each whatever is asked."""

    rounds: int
    plain_s: float
    burst_s: float
    paced_s: float
    latency_s: float
    warm_up_s: float
    wait_s: float
    repeats: int

    def kinds(self) -> dict[str, Kind]:
        """The kinds of load by name."""
        return {
            "plain": Kind("plain", PLAIN, 16, self.plain_s, self.rounds),
            "burst": Kind("burst", BURST, 16, self.burst_s, self.rounds),
            "paced": Kind("paced", PACED, 20, self.paced_s, self.rounds),
            "latency": Kind("latency", PLAIN, 1, self.latency_s, self.rounds),
        }


MODES = {
    "full": Mode(5, 3.0, 2.5, 3.5, 1.5, 3.0, 60.0, 10),
    "quick": Mode(3, 1.2, 1.0, 0.5, 0.5, 1.5, 3.0, 1),
    "tiny": Mode(1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0, 0),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that is running. profile: the file of a sampled web process."""

    measuring: Measuring
    gateway: Subject
    others: tuple[Subject, ...]
    profile: Path


def run_bench(mode_name: str, stores: str, proxy: str) -> dict[str, Any]:
    """The result, as an entry for the history. Raises BenchError where it would not be valid."""
    names, mode = proxy_names(proxy), MODES[mode_name]
    entry = history.conditions(stores, mode_name, names)
    with running(mode, stores, names) as bench:
        gateway = bench.gateway.gateway
        assert gateway is not None
        memory = {"before": cpu.memory_mb(gateway.web)}
        figures = {}
        for name, kind in mode.kinds().items():
            subjects = [s for s in (bench.gateway, *bench.others) if s.name != DIRECT or name == "latency"]
            kept = bench.measuring.rounds(kind, subjects)
            figures[name] = figures_of(kept, KILO_EVENTS if kind.model != PLAIN else 1)
        memory["after"] = cpu.memory_mb(gateway.web)
        gateway.check_records()
        entry |= {"figures": figures, "memory": memory, "requests": gateway.requests}
    return entry


def run_profile(mode_name: str, stores: str) -> list[list[str]]:
    """The table of where the time goes. Raises BenchError."""
    mode = MODES[mode_name]
    kinds = [
        Kind(k.title, k.model, k.connections, k.seconds * 3, 1) for name, k in mode.kinds().items() if name != "latency"
    ]
    with running(mode, stores, [], is_profiled=True) as bench:
        return profile_rows(take_profiles(bench.measuring, kinds, bench.gateway, bench.profile))


@contextmanager
def running(mode: Mode, stores: str, proxies: list[str], *, is_profiled: bool = False) -> Iterator[Bench]:
    """Mock, proxies, stores and gateway, warm; all of it is gone afterwards."""
    if sys.platform != "linux":
        raise BenchError("CPU time is read from /proc, so that Linux is needed.")
    cores = cpu.choose_cores(os.sched_getaffinity(0))
    if cores.is_shared:
        print("This machine has one core: gateway, mock and load will disturb each other, so it cannot measure well.")
    allowed = os.sched_getaffinity(0)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="smartrouter-bench-") as name,
            store_servers(stores, Path(name)) as servers,
            Children(Path(name)) as children,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            os.sched_setaffinity(0, {cores.load})
            upstream = _start_mock(runner)
            profile = Path(name, "samples.json")
            started = [start_proxy(proxy, children, cores, upstream) for proxy in proxies]
            gateway = start_gateway(
                children, cores, upstream=upstream, stores=servers, profile=profile if is_profiled else None
            )
            # The mock answers only while the loop runs, so that whoever waits for its answers waits in a thread.
            targets = runner.run(asyncio.to_thread(gateway_targets, gateway.port))
            gateway.requests += len(targets)
            ours = Subject(GATEWAY, targets, (gateway.web,), gateway)
            others = [Subject(each.name, plain_targets(each.port), each.pids) for each in started]
            direct = Subject(DIRECT, plain_targets(upstream))
            measuring = Measuring(runner, cores, Patience(mode.wait_s, mode.repeats, partial(print, flush=True)))
            for subject in (ours, *others):
                for kind in (
                    Kind("warm-up", PLAIN, 16, mode.warm_up_s, 1),
                    Kind("warm-up", BURST, 16, mode.warm_up_s / 3, 1),
                ):
                    measuring.sample(kind, subject)
            yield Bench(measuring, ours, (*others, direct), profile)
    finally:
        os.sched_setaffinity(0, allowed)


def _start_mock(runner: asyncio.Runner) -> int:
    """The port of a mock in the runner's own loop: with the load in one process, fewer switches, more requests."""
    listener = bound_socket()

    async def listen() -> None:
        await asyncio.get_running_loop().create_server(Mock, sock=listener, backlog=2048)

    runner.run(listen())
    return port_of(listener)
