"""Worker side. The tables, as plain text for a terminal and as markdown, both made from an entry of the history."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.bench.figures import DIRECT, GATEWAY, MAX_FOREIGN, change, overheads
from tests.bench.messages import PACE_S

Entry = Mapping[str, Any]
# The share of the core from which on the gateway, and not the load, sets the pace.
SATURATED = 0.95
_CPU = (
    ("plain", "CPU ms per request (16 connections)"),
    ("burst", "CPU ms per 1000 events, in bursts (16 streams)"),
    ("paced", f"CPU ms per 1000 events, one each {PACE_S * 1000:.0f} ms (20 streams)"),
)


def rows_of(entry: Entry, previous: Entry | None = None) -> list[list[str]]:
    """The table: a title row, then a row for each figure."""
    proxies = list(entry["proxies"])
    ratios = [f"times {name}" for name in proxies]
    rows = [["", "SmartRouter", "web + ingester", *proxies, *ratios, "since last"]]
    for kind, title in _CPU:
        figures = entry["figures"][kind]
        ours = figures["subjects"][GATEWAY]
        rows.append([
            title,
            _digits(ours["cpu_ms"]),
            f"{_digits(ours['web_ms'])} + {_digits(ours['ingester_ms'])}",
            *[_digits(figures["subjects"][name]["cpu_ms"]) for name in proxies],
            *[_digits(figures["ratios"][name]) for name in proxies],
            _since(entry, previous, partial(_cpu_of, kind)),
        ])  # fmt: skip
    rows.append(_throughput(entry, previous, proxies))
    rows.extend(_latency(entry, previous, proxies, part) for part in ("p50_ms", "p99_ms"))
    before, after = entry["memory"]["before"], entry["memory"]["after"]
    since = _since(entry, previous, lambda e: e["memory"]["after"][0])
    blank = [""] * (2 * len(proxies))
    rows.append(
        ["memory of the web process, RSS MB", f"{after[0]:.0f}", f"{before[0]:.0f} at the start", *blank, since]
    )
    rows.append(["  its own part of it, PSS MB", f"{after[1]:.0f}", f"{before[1]:.0f} at the start", *blank, ""])
    return rows


def text_table(rows: list[list[str]]) -> str:
    """Columns in line: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]])
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(rows: list[list[str]]) -> str:
    """The same as a table for a document."""
    lines = ["| " + " | ".join(cell.strip() for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def conditions_line(entry: Entry) -> str:
    """What was measured, where and when."""
    commit = (entry["commit"] or "no git") + (" with changes" if entry["dirty"] else "")
    stores = {"embedded": "SQLite", "server": "PostgreSQL and Redis"}[entry["stores"]]
    return (
        f"{entry['time'][:16].replace('T', ' ')} UTC, commit {commit}, {entry['cpu']} with {entry['cores']} cores, "
        f"Python {entry['python']}, {stores}, {entry['mode']}"
    )


def remarks(entry: Entry) -> list[str]:
    """What must be known before the figures are believed."""
    said = []
    for kind, figures in entry["figures"].items():
        noise = figures["noise"]
        others = f"others used up to {noise['worst_foreign']:.0%} of a core"
        counted = f"{figures['rounds']} rounds count, {noise['dropped']} dropped; {others}"
        verdict = f" - NOISY: more than {MAX_FOREIGN:.0%}, repeat it on a quieter machine" if noise["is_noisy"] else ""
        said.append(f"{kind}: {counted}{verdict}")
    share = entry["figures"]["plain"]["subjects"][GATEWAY]["core_share"]
    if share < SATURATED:
        said.append(
            f"The gateway used {share:.0%} of its core: the load did not saturate it; requests/s is a lower bound."
        )
    stores = entry["figures"]["plain"]["subjects"][GATEWAY]["stores_ms"]
    if stores:
        said.append(f"The stores used {_digits(stores)} ms CPU per request, which is not counted as the gateway's.")
    if entry["cores"] < 2:
        said.append("ONE CORE: gateway, mock and load took it from each other; only the CPU figures mean something.")
    return said


def _cpu_of(kind: str, entry: Entry) -> float:
    return float(entry["figures"][kind]["subjects"][GATEWAY]["cpu_ms"])


def _throughput(entry: Entry, previous: Entry | None, proxies: list[str]) -> list[str]:
    subjects = entry["figures"]["plain"]["subjects"]
    # A proxy that did not fill its core could have done more: the load was the limit.
    others = [
        ("" if subjects[name]["core_share"] >= SATURATED else ">") + f"{subjects[name]['per_s']:.0f}"
        for name in proxies
    ]
    since = _since(entry, previous, lambda e: e["figures"]["plain"]["subjects"][GATEWAY]["per_s"])
    share = f"{subjects[GATEWAY]['core_share']:.0%} of the core"
    return ["requests/s on one core", f"{subjects[GATEWAY]['per_s']:.0f}", share, *others, *[""] * len(proxies), since]


def _latency(entry: Entry, previous: Entry | None, proxies: list[str], part: str) -> list[str]:
    latency = entry["figures"]["latency"]
    added = overheads(latency)
    title = f"added latency at one connection, {part.removesuffix('_ms')} ms"
    whole = f"{_digits(latency['subjects'][GATEWAY][part])} - {_digits(latency['subjects'][DIRECT][part])}"
    since = _since(entry, previous, lambda e: overheads(e["figures"]["latency"])[GATEWAY][part])
    others = [_digits(added[name][part]) for name in proxies]
    ratios = [_digits(added[GATEWAY][part] / added[name][part]) if added[name][part] > 0 else "" for name in proxies]
    return [title, _digits(added[GATEWAY][part]), whole, *others, *ratios, since]


def _since(entry: Entry, previous: Entry | None, read: Callable[[Entry], float]) -> str:
    if previous is None:
        return ""
    changed = change(read(entry), read(previous))
    return "" if changed is None else f"{changed:+.0%}".replace("%", " %")


def _digits(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
