"""What ranking makes of the live signals: load is spread; slow channels are left, and found again when they recover."""

import json
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from routing.asking import Ask
from routing.rank import rank
from routing.strategies import PRESETS
from routing.tracks import STALE_S
from smartrouter.lib.errors import ErrorClass
from tests.routing.signal_bench import AT_MS, Bench
from tests.stack import KEY, ROOT, running_stack

CHANNELS = 4


class Traffic:
    """Requests one after the other by one strategy, each channel answering in its own time. random: as in a web process."""

    def __init__(self, strategy: str, *, is_streamed: bool = True, every_s: float = 0.25) -> None:
        self.bench = Bench(CHANNELS)
        self.strategy = PRESETS[strategy]
        self.ask = Ask(0, 100, None, is_streamed, AT_MS)
        self.random = Random(7)
        self.every_s = every_s
        self.ms = dict.fromkeys(range(1, CHANNELS + 1), 50.0)
        self.broken: set[int] = set()

    def pick(self) -> int:
        candidates = list(self.bench.candidates.values())
        return rank(candidates, self.strategy, self.ask, self.bench.signals, self.random)[0].candidate.ref

    def request(self) -> int:
        """The channel that got the next request."""
        ref = self.pick()
        if ref in self.broken:
            self.bench.fail(ref)
        else:
            self.bench.answer(ref, self.ms[ref] * self.random.uniform(0.9, 1.1), is_streamed=self.ask.is_streamed)
        self.bench.clock.now += self.every_s
        return ref

    def run(self, requests: int) -> "Counter[int]":
        return Counter(self.request() for _request in range(requests))

    def favourite(self) -> int:
        return self.run(10).most_common(1)[0][0]


@pytest.mark.parametrize("is_streamed", [True, False])
def test_response_time_leaves_a_channel_that_slows_down_within_20_requests(is_streamed: bool) -> None:
    traffic = Traffic("response_time", is_streamed=is_streamed)
    traffic.run(40)
    slow = traffic.favourite()

    traffic.ms[slow] = 500
    traffic.run(20)

    assert traffic.run(20)[slow] == 0


@pytest.mark.parametrize("is_streamed", [True, False])
def test_response_time_returns_to_a_channel_within_60_s_of_its_recovery(is_streamed: bool) -> None:
    traffic = Traffic("response_time", is_streamed=is_streamed)
    traffic.ms = dict.fromkeys(traffic.ms, 200.0)
    best = 3
    traffic.ms[best] = 50
    traffic.run(40)
    assert traffic.favourite() == best
    traffic.ms[best] = 500
    traffic.run(400)
    assert traffic.favourite() != best

    traffic.ms[best] = 50
    recovered = traffic.bench.clock.now
    while traffic.favourite() != best:
        assert traffic.bench.clock.now - recovered < 60


def test_a_slow_channel_is_tried_by_few_requests_only() -> None:
    traffic = Traffic("response_time")
    traffic.ms[2] = 500
    traffic.run(40)

    counts = traffic.run(1000)
    assert 0 < counts[2] <= 1000 * traffic.every_s / STALE_S + 2


def test_where_requests_are_rare_most_of_them_still_go_to_the_fastest() -> None:
    traffic = Traffic("response_time", every_s=60)
    traffic.ms = {1: 500.0, 2: 50.0, 3: 500.0, 4: 500.0}
    traffic.run(20)

    assert traffic.run(200)[2] > 150


def test_of_many_at_once_one_tries_a_channel_that_was_slow() -> None:
    traffic = Traffic("response_time")
    traffic.ms[2] = 500
    traffic.run(40)
    traffic.bench.clock.now += STALE_S
    for ref in (1, 3, 4):
        traffic.bench.answer(ref, 50)

    picked = Counter[int]()
    for _request in range(100):
        ref = traffic.pick()
        traffic.bench.begin(ref)
        picked[ref] += 1
    assert picked[2] == 1


def test_response_time_does_not_go_to_a_channel_because_it_fails_fast() -> None:
    traffic = Traffic("response_time")
    traffic.broken = {1}

    assert traffic.run(200)[1] <= 200 * traffic.every_s / STALE_S + 2


@pytest.mark.parametrize("strategy", ["balanced", "hybrid"])
def test_a_broken_channel_is_left_and_found_again(strategy: str) -> None:
    traffic = Traffic(strategy)
    traffic.run(40)
    broken = traffic.favourite()
    traffic.broken = {broken}
    traffic.run(20)
    assert traffic.run(60)[broken] <= 2

    traffic.broken = set()
    for ref in set(traffic.ms) - {broken}:
        traffic.ms[ref] = 2000.0  # the others are worse now, so that it is wanted back
    recovered = traffic.bench.clock.now
    while traffic.favourite() != broken:
        assert traffic.bench.clock.now - recovered < 120


def test_least_connections_keeps_equal_channels_within_one() -> None:
    bench, random = Bench(CHANNELS), Random(1)
    ask, strategy = Ask(0, 100, None, False, AT_MS), PRESETS["least_connections"]
    flights = []
    for _request in range(64):
        best = rank(list(bench.candidates.values()), strategy, ask, bench.signals, random)[0].candidate
        flights.append((best, bench.begin(best.ref, is_streamed=False)))
        counts = [bench.signals.in_flight(ref) for ref in bench.candidates]
        assert max(counts) - min(counts) <= 1
    assert [bench.signals.in_flight(ref) for ref in bench.candidates] == [16] * CHANNELS

    for _turn in range(200):  # one ends, another comes
        _candidate, flight = flights.pop(random.randrange(len(flights)))
        flight.failed(ErrorClass.TRANSIENT)
        best = rank(list(bench.candidates.values()), strategy, ask, bench.signals, random)[0].candidate
        flights.append((best, bench.begin(best.ref, is_streamed=False)))
        assert sum(bench.signals.in_flight(ref) for ref in bench.candidates) == 64


def test_64_slow_requests_over_the_wire_are_spread_evenly() -> None:
    """And after streams, plain answers, failures, clients that left and a drain nothing is in flight."""
    model = "sim-fast!ok:first_ms=1500,chunks=2"
    document = {
        "providers": [{"name": "sim-a", "kind": "local", "base_url": "ALPHA"}],
        "models": [{"provider": "sim-a", "model": name, "price": {"input": 1, "output": 2}}
                   for name in (model, "sim-fast!500", "sim-fast!cut", "sim-fast!429", "sim-fast!401", "sim-fast!context",
                                "sim-fast!ok:pace_ms=50,chunks=100", "sim-fast!html")],
        "channels": [
            {"name": f"c{number}", "provider": "sim-a", "keys": [f"sim-key-{number:08}"],
             "models": [{"name": "slow", "model": model}]} for number in range(CHANNELS)
        ] + [
            {"name": f"odd-{name}", "provider": "sim-a", "keys": ["sim-key-odd-00001"],
             "models": [{"name": name, "model": f"sim-fast!{mode}"}]}
            for name, mode in (("500", "500"), ("cut", "cut"), ("429", "429"), ("401", "401"), ("context", "context"),
                               ("paced", "ok:pace_ms=50,chunks=100"), ("html", "html"))
        ],
        "model_groups": [
            {"name": "auto:even", "routing_strategy": "least_connections",
             "channels": [{"channel": f"c{number}", "model": "slow"} for number in range(CHANNELS)]}
        ],
        "tenants": [{"name": "acme", "router_keys": [{"name": "main", "key": KEY}]}],
    }  # fmt: skip
    with running_stack(document) as stack:
        stack.kill_web()
        command = [sys.executable, "-m", "tests.routing.signals_probe", KEY]
        done = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)

    assert found["statuses"] == [200] * 64
    assert found["at once"] == [16] * CHANNELS
    assert found["odd"] == {name: [0, 0] for name in found["odd"]} and len(found["odd"]) == 17
    assert found["known"] == dict.fromkeys(("500", "cut", "429", "401", "html"), 0.0) | {"context": None, "paced": 1.0}
    assert found["drained"] == [1, 0]
