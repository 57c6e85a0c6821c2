"""Every mode of the simulator as a model of one running stack, played often, with the evidence kept by mode.

`f-<mode>` is broken on the first channel and healthy on the second, `b-<mode>` is broken on both. Modes that make a reader
wait are on channels of their own with short timeouts, so that a busy machine does not make the others fail.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from providers.simulator.modes import MODES, Mode
from tests.routing.replies import Reply, ask_often, chat
from tests.stack import KEY, Stack

CALLS = 200
AT_ONCE = 20
IN_FLIGHT = 500
# An answer of `giant` is a megabyte: a tenth of the calls of the others.
HEAVY = {"giant": 20}
OPTIONS = {
    "slow-first-byte": "first_ms=150,chunks=8",
    "unicode": "",
    "giant": "mb=1",
    "endless": "pace_ms=300",
    "hang": "",
    "429": "ra=7",
    "trickle": "ms=100",
    "comments-then-hang": "ms=100",
}
PATIENT = {"connect_s": 10, "first_content_s": 20, "idle_s": 20, "total_s": 30}
# By what a mode waits for: that one deadline is short.
HASTY = {
    "first_byte": PATIENT | {"first_content_s": 0.5, "total_s": 1.2},
    "idle": PATIENT | {"idle_s": 0.5, "total_s": 3},
    "total": PATIENT | {"total_s": 1.2},
}
ALPHA_PRICE, BETA_PRICE = {"input": 1, "output": 2}, {"input": 3, "output": 4}


def upstream_model(mode: str) -> str:
    """The simulator's name of the mode, with few pieces of content where it has any say in that."""
    return f"sim-fast!{mode}:{OPTIONS.get(mode, 'chunks=8')}"


def fault_document() -> dict[str, Any]:
    """The configuration with all modes."""
    healthy = "sim-fast!ok:chunks=8"
    names = {mode: upstream_model(mode) for mode in MODES}
    quick = [mode for mode in MODES if not MODES[mode].waits]
    slow = {waits: [mode for mode in MODES if MODES[mode].waits == waits] for waits in HASTY}

    def channel(name: str, provider: str, priority: int, modes: list[str], **more: Any) -> dict[str, Any]:
        models = [{"name": f"b-{mode}", "model": names[mode]} for mode in modes]
        if priority == 1:
            models = [model | {"aliases": [model["name"].replace("b-", "f-", 1)]} for model in models]
        return {"name": name, "provider": provider, "keys": [f"sim-key-{name}"], "priority": priority,
                "models": models, **more}  # fmt: skip

    return {
        "providers": [
            {"name": "sim-a", "kind": "local", "base_url": "ALPHA"},
            {"name": "sim-b", "kind": "local", "base_url": "BETA"},
        ],
        "models": [
            *({"provider": "sim-a", "model": name, "price": ALPHA_PRICE} for name in names.values()),
            *({"provider": "sim-b", "model": name, "price": BETA_PRICE} for name in {*names.values(), healthy}),
        ],
        "channels": [
            channel("alpha", "sim-a", 1, quick, timeouts=PATIENT),
            *(channel(f"alpha-{waits}", "sim-a", 1, slow[waits], timeouts=HASTY[waits]) for waits in HASTY),
            channel("beta-broken", "sim-b", 2, quick, timeouts=PATIENT),
            *(channel(f"beta-{waits}", "sim-b", 2, slow[waits], timeouts=HASTY[waits]) for waits in HASTY),
            {"name": "beta", "provider": "sim-b", "keys": ["sim-key-beta"], "priority": 2, "timeouts": PATIENT,
             "models": [{"name": "well", "model": healthy, "aliases": [f"f-{mode}" for mode in MODES]}]},
        ],
        "tenants": [{"name": "acme", "can_see_channels": True, "router_keys": [{"name": "main", "key": KEY}]}],
    }  # fmt: skip


@dataclass(slots=True)
class Played:
    """What the clients of one mode got, and by request id what the database and the simulators have about it."""

    mode: Mode
    is_streamed: bool
    replies: list[Reply]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    journal: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rows_of(self, reply: Reply) -> list[dict[str, Any]]:
        """The attempts' rows of a reply's request, in order."""
        return sorted(self.rows.get(UUID(reply.request_id).hex, []), key=lambda row: row["attempt"])

    def entry_of(self, reply: Reply, attempt: int) -> dict[str, Any]:
        """What the simulator journalled of an attempt."""
        return self.journal[f"{reply.request_id}-{attempt}"]


async def _ask_both_ways(
    url: str, models: Sequence[str], count: int, at_once: int
) -> list[tuple[list[Reply], list[Reply]]]:
    """Plain and streamed answers of each model, all at the same time."""

    async def both(model: str) -> tuple[list[Reply], list[Reply]]:
        plain, streamed = chat(model), chat(model, stream=True)
        return await asyncio.gather(ask_often(url, plain, count, at_once), ask_often(url, streamed, count, at_once))

    return await asyncio.gather(*map(both, models))


def play(
    stack: Stack, prefix: str, names: Iterable[str], calls: int, hasty_calls: int
) -> dict[tuple[str, bool], Played]:
    """These modes, streamed and plain, by (mode, is_streamed). Those that only wait are asked hundreds of times at once."""
    found: dict[tuple[str, bool], Played] = {}
    modes = [MODES[name] for name in names]
    hasty = [mode for mode in modes if mode.waits]
    size = max(1, IN_FLIGHT // (2 * hasty_calls))
    batches = [hasty[begin : begin + size] for begin in range(0, len(hasty), size)]
    batches += [[mode] for mode in modes if not mode.waits]
    for batch in batches:
        count, at_once = hasty_calls, hasty_calls
        if not batch[0].waits:
            count, at_once = min(calls, HEAVY.get(batch[0].name, calls)), AT_ONCE // 2
        replies = asyncio.run(_ask_both_ways(stack.url, [prefix + mode.name for mode in batch], count, at_once))
        for mode, (plain, streamed) in zip(batch, replies, strict=True):
            found[mode.name, False] = Played(mode, False, plain)
            found[mode.name, True] = Played(mode, True, streamed)
    rows: dict[str, list[dict[str, Any]]] = {}
    stack.ingest()
    for row in stack.rows():
        rows.setdefault(row["request_id"], []).append(row)
    journal = {}
    for simulator in (stack.alpha, stack.beta):
        journal.update({entry["attempt_id"]: entry for entry in simulator.closed_journal(timeout_s=10)})
    for played in found.values():
        played.rows, played.journal = rows, journal
    return found
