"""SIGTERM under load: what can end in time ends as if nothing was, the rest is told and recorded."""

import asyncio
import signal
import time
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.stack import Stack, running_stack
from tests.survival.traffic import Heard, assert_complete, chat, listen, offering_document, run_clients, until

pytestmark = pytest.mark.slow

DRAIN_S = 3
PACE_MS = 50
OFFERS = {
    "short": (f"sim-fast!ok:pace_ms={PACE_MS},chunks=40",),  # 2 s
    "long": (f"sim-fast!ok:pace_ms={PACE_MS},chunks=1000",),
}


@dataclass
class Ended:
    """How it went. exit_s: from the signal to the process's end; latecomer: what a connection after the signal met."""

    short: list[Heard]
    long: list[Heard]
    plain: Heard
    latecomer: str = ""
    exit_s: float = 0
    codes: list[int] = field(default_factory=list)


async def shut_down_under_load(session: aiohttp.ClientSession, stack: Stack) -> Ended:
    """50 streams and one plain request, half a second of them, then SIGTERM."""
    ended = Ended([Heard("short") for _ in range(25)], [Heard("long") for _ in range(25)], Heard("long"))
    streams = [*ended.short, *ended.long]
    clients = [asyncio.create_task(listen(session, stack, chat(each.model, stream=True), each)) for each in streams]
    clients.append(asyncio.create_task(listen(session, stack, chat("long"), ended.plain)))
    await until(lambda: all(each.events for each in streams))
    assert stack.web is not None
    began = time.monotonic()
    stack.web.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    late = await listen(session, stack, chat("short"), Heard("short"))
    ended.latecomer = late.error_code or "answered" if late.status else "refused"
    ended.codes.append(await asyncio.to_thread(stack.web.wait, 30))
    ended.exit_s = time.monotonic() - began
    await asyncio.gather(*clients)
    return ended


def test_streams_end_within_the_drain_time_or_with_an_error_event_and_a_row() -> None:
    with running_stack(offering_document(OFFERS), DRAIN_SECONDS=str(DRAIN_S)) as stack:
        ended = run_clients(lambda session: shut_down_under_load(session, stack))
        rows = {row["request_id"]: row for row in assert_complete(stack)}
        spool = list((stack.data / "spool").glob("*.spool"))

    print(f"\nthe process ended {ended.exit_s:.2f} s after SIGTERM, drain time {DRAIN_S} s")
    assert ended.codes == [0]
    assert ended.exit_s < DRAIN_S + 7
    assert ended.latecomer in ("refused", "shutting_down")
    assert [each.end for each in ended.short] == ["done"] * 25
    assert [(each.end, each.error_code) for each in ended.long] == [("ended", "shutting_down")] * 25
    assert (ended.plain.status, ended.plain.error_code) == (503, "shutting_down")
    assert {rows[each.request_id]["status"] for each in ended.short} == {"ok"}
    drained = [rows[each.request_id] for each in ended.long]
    assert {row["status"] for row in drained} == {"drained"}
    for row, each in zip(drained, ended.long, strict=True):
        assert row["completion_tokens"] == sum(bool(e["choices"][0]["delta"].get("content")) for e in each.events[:-1])
        assert row["charge_nusd"] > 0
    assert (rows[ended.plain.request_id]["status"], rows[ended.plain.request_id]["charge_nusd"]) == ("drained", 0)
    assert spool == []
