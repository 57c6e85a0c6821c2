"""kill -9 of the web process: nothing that was sent upstream is forgotten, and nothing is billed twice."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.stack import Stack, running_stack
from tests.survival.traffic import (
    Heard,
    assert_complete,
    chat,
    journals,
    listen,
    offering_document,
    run_clients,
    tag_of,
)

pytestmark = pytest.mark.slow

PACE_MS = 50
SLOW = f"ok:pace_ms={PACE_MS},chunks=600"
OFFERS = {"whole": (f"sim-fast!{SLOW}",), "moved": ("sim-fast!500", f"sim-fast!{SLOW}")}
REQUESTS = 200
# When the process dies, in seconds after the clients began: while requests open, between and after checkpoints.
DEATHS_S = (0.25, 0.9, 2.6, 3.4, 4.3)
CHECKPOINT_S = 2.0
SLACK_TOKENS = 12


async def die_under_load(session: aiohttp.ClientSession, stack: Stack, after_s: float) -> list[Heard]:
    """What the clients heard of a process that died so long after they began."""
    bodies = [chat(name, stream=stream) for name in OFFERS for stream in (True, False)] * (REQUESTS // 4)
    heard = [Heard(body["model"]) for body in bodies]
    clients = [asyncio.create_task(listen(session, stack, *pair)) for pair in zip(bodies, heard, strict=True)]
    await asyncio.sleep(after_s)
    await asyncio.to_thread(stack.kill_web)
    await asyncio.gather(*clients)
    return heard


def tokens_behind(rows: list[dict[str, Any]], entries: list[dict[str, Any]]) -> list[int]:
    """By how many tokens the row of each killed stream is behind what its upstream had sent."""
    sent = {entry["attempt_id"]: entry["completion_tokens"] for entry in entries}
    streams = [row for row in rows if row["is_streamed"] and row["status"] == "abandoned" and tag_of(row) in sent]
    return [sent[tag_of(row)] - row["completion_tokens"] for row in streams]


def test_every_attempt_has_one_row_and_every_request_one_bill_after_five_kills() -> None:
    heard: list[Heard] = []
    with running_stack(offering_document(OFFERS)) as stack:
        for after_s in DEATHS_S:
            heard += run_clients(lambda session, after_s=after_s: die_under_load(session, stack, after_s))
            if after_s != DEATHS_S[-1]:
                stack.start_web()
        rows, entries = assert_complete(stack), journals(stack)

    assert {client.end for client in heard} == {"broken"}
    assert not [client for client in heard if client.request_id not in {"", *(row["request_id"] for row in rows)}]
    assert {row["status"] for row in rows} == {"abandoned", "failed"}
    assert Counter(row["is_billable"] for row in rows if row["status"] == "failed").keys() <= {0}
    assert {row["attempt"] for row in rows} == {1, 2}
    behind = tokens_behind(rows, entries)
    print(f"\n{len(heard)} requests, {len(entries)} attempts upstream, {len(rows)} rows; of {len(behind)} killed streams"
          f" the row is at most {max(behind)} tokens behind")  # fmt: skip
    assert min(behind) >= 0
    assert max(behind) <= CHECKPOINT_S * 1000 / PACE_MS + SLACK_TOKENS
    checkpointed = [row for row in rows if row["status"] == "abandoned" and row["completion_tokens"] > 0]
    assert len(checkpointed) >= REQUESTS // 2  # the streams of one death at least: a slow machine opens late
    assert all(row["is_estimated"] and row["charge_nusd"] > 0 for row in checkpointed)
