"""Medians, ratios, noise, the history and the tables."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.bench import cpu
from tests.bench.cpu import Cores, CoreTimes, choose_cores, foreign_share
from tests.bench.figures import (
    DIRECT,
    GATEWAY,
    Sample,
    change,
    figures_of,
    keep_quiet,
    overheads,
    percentile,
)
from tests.bench.history import append, entries, last_alike
from tests.bench.report import markdown_table, remarks, rows_of, text_table
from tests.bench.rooms import group_of_call, group_of_file


def sample(
    web_s: float, *, done: int = 1000, ingester_s: float = 0.0, foreign: float = 0.0, p50_ms: float = 1.0
) -> Sample:
    """A sample of one second."""
    return Sample(done, float(done), 1.0, web_s, ingester_s, 0.0, foreign, p50_ms, 2 * p50_ms)


def entry(cpu_scale: float = 1.0, **conditions: Any) -> dict[str, Any]:
    """A result beside one proxy, made by the real arithmetic."""
    rounds = [{GATEWAY: sample(0.5 * cpu_scale, ingester_s=0.1 * cpu_scale), "nginx": sample(0.03)}]
    kept = keep_quiet(rounds, 1)
    latency = keep_quiet(
        [{DIRECT: sample(0, p50_ms=0.1), GATEWAY: sample(0.5, p50_ms=1.1), "nginx": sample(0.03, p50_ms=0.3)}], 1
    )
    return {
        "time": "2026-01-02T03:04:05+00:00", "commit": "abc1234", "dirty": False, "machine": "m", "cpu": "A CPU", "cores": 2,
        "python": "3.11.7", "stores": "embedded", "mode": "full", "proxies": ["nginx"],
        "figures": {
            "plain": figures_of(kept, 1), "burst": figures_of(kept, 0.104), "paced": figures_of(kept, 0.104),
            "latency": figures_of(latency, 1),
        },
        "memory": {"before": [100.0, 70.0], "after": [110.0, 80.0]}, **conditions,
    }  # fmt: skip


def test_cpu_per_unit_is_the_median_over_rounds_and_its_parts_are_told() -> None:
    rounds = [{GATEWAY: sample(s, ingester_s=0.1)} for s in (0.5, 0.4, 0.9)]

    figures = figures_of(keep_quiet(rounds, 3), 2)["subjects"][GATEWAY]

    assert figures["cpu_ms"] == pytest.approx(0.6 / 1000 / 2 * 1000)
    assert (figures["web_ms"], figures["ingester_ms"]) == pytest.approx((0.25, 0.05))
    assert figures["core_share"] == pytest.approx(0.6)


def test_a_ratio_compares_the_two_sides_of_each_round() -> None:
    # The machine is half as fast in the second round: both sides cost twice as much, and the ratio stays.
    rounds = [{GATEWAY: sample(0.5), "nginx": sample(0.05)}, {GATEWAY: sample(1.0), "nginx": sample(0.1)}]

    figures = figures_of(keep_quiet(rounds, 2), 1)

    assert figures["ratios"] == {"nginx": pytest.approx(10)}


def test_noisy_rounds_are_dropped_for_quiet_ones() -> None:
    rounds = [{GATEWAY: sample(s, foreign=f)} for s, f in ((9.0, 0.5), (1.0, 0.01), (1.0, 0.02))]

    kept = keep_quiet(rounds, 2)

    assert (len(kept.rounds), kept.dropped, kept.is_noisy) == (2, 1, False)
    assert figures_of(kept, 1)["subjects"][GATEWAY]["cpu_ms"] == pytest.approx(1.0)


def test_a_round_is_noisy_if_either_side_was_disturbed_and_counts_only_for_want_of_better() -> None:
    rounds = [{GATEWAY: sample(1.0), "nginx": sample(0.1, foreign=0.4)}]

    kept = keep_quiet(rounds, 1)

    assert kept.is_noisy and kept.worst_foreign == pytest.approx(0.4)


def test_the_foreign_share_is_what_is_neither_ours_nor_idle_and_includes_what_the_host_took() -> None:
    before, after = CoreTimes(10.0, 1.0, 100.0), CoreTimes(11.5, 1.2, 102.0)

    assert foreign_share(before, after, own_s=1.5) == pytest.approx(0.1)
    assert foreign_share(before, after, own_s=0.5) == pytest.approx(0.6)
    assert foreign_share(before, after, own_s=9.0) == 0


def test_the_cpu_of_this_process_is_counted_and_grows() -> None:
    before = cpu.cpu_s([os.getpid()])

    total = sum(range(2_000_000))

    assert total and cpu.cpu_s([os.getpid()]) > before
    assert os.getpid() in cpu.tree_of(os.getppid())
    assert cpu.memory_mb(os.getpid())[0] > 1


def test_one_core_is_shared_and_more_are_not() -> None:
    assert choose_cores({3}).is_shared
    assert choose_cores({3, 1, 2}) == Cores(1, 2)


def test_latency_of_the_mock_is_taken_off() -> None:
    added = overheads(entry()["figures"]["latency"])

    assert added[GATEWAY] == {"p50_ms": pytest.approx(1.0), "p99_ms": pytest.approx(2.0)}
    assert added["nginx"]["p50_ms"] == pytest.approx(0.2)


def test_percentiles_and_changes() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 3
    assert percentile([1], 0.99) == 1
    assert percentile([], 0.5) == 0
    assert change(1.03, 1.0) == pytest.approx(0.03)
    assert change(1.0, 0.0) is None


def test_only_the_newest_entry_that_was_measured_alike_is_compared(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "history.jsonl"
    for old in (entry(1), entry(2), entry(3, proxies=["relay"]), entry(4, machine="other"), entry(5, stores="server")):
        append(old, file)
    file.open("a").write('{"cut sho')

    found = last_alike(entry(2.06), file)

    assert len(entries(file)) == 5
    assert found == entry(2)
    assert rows_of(entry(2.06), found)[1][-1] == "+3 %"
    assert last_alike(entry(mode="quick"), file) is None


def test_the_table_shows_parts_ratios_and_changes_in_both_forms() -> None:
    rows = rows_of(entry(), entry(2))

    text, markdown = text_table(rows), markdown_table(rows)

    assert rows[0] == ["", "SmartRouter", "web + ingester", "nginx", "times nginx", "since last"]
    assert rows[1][1:] == ["0.600", "0.500 + 0.100", "0.030", "20.0", "-50 %"]
    assert len({len(line) for line in text.splitlines()}) == 1
    assert all(line.count("|") == 7 for line in markdown.splitlines())


def test_what_makes_a_result_doubtful_is_said() -> None:
    doubtful = entry()
    doubtful["figures"]["burst"]["noise"]["is_noisy"] = True
    doubtful["cores"] = 1

    said = "\n".join(remarks(doubtful))

    assert said.count("NOISY") == 1 and "ONE CORE" in said and "did not saturate" in said


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("{root}/routing/relay.py", "routing"),
        ("{root}/smartrouter/lib/sse.py", "lib"),
        ("{root}/smartrouter/asgi.py", "smartrouter"),
        ("{root}/.venv/lib/python3.11/site-packages/rest_framework/views.py", "drf"),
        ("/usr/lib/python3.11/asyncio/events.py", "asyncio"),
        ("<frozen importlib>", "standard library"),
    ],
)
def test_a_file_belongs_to_its_room_or_library(name: str, group: str) -> None:
    assert group_of_file(name.format(root=Path(__file__).parents[2])) == group


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("orjson.loads(body)", "orjson"),
        ("os.write(self._fd, data)", "spool write (kernel)"),
        ("self.transport.write(b)", "uvloop"),
        ("len(x)", None),
        ("x", None),
    ],
)
def test_a_call_into_c_belongs_to_its_library(text: str, group: str | None) -> None:
    assert group_of_call(text) == group
