"""kill -9 of a web process: what it spent is counted to the nano-USD, and it leaves the register."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import aiohttp
import pytest

from billing.ingest import is_ingester_running
from tests.stack import Stack, running_stack
from tests.survival.traffic import Heard, assert_complete, chat, listen, offering_document, run_clients

pytestmark = pytest.mark.slow

BURIED_WITHIN_S = 30
OFFERS = {"quick": ("sim-fast",), "moved": ("sim-fast!500", "sim-fast"), "slow": ("sim-fast!ok:pace_ms=50,chunks=600",)}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(offering_document(OFFERS)) as running:
        running.start("manage.py", "ingest")
        yield running


def registered(stack: Stack) -> set[str]:
    return {row["uid"] for row in stack.query("SELECT uid FROM routing_webprocess")}


def until_gone(stack: Stack, uids: set[str]) -> float:
    """Seconds until none of the processes is in the register any more."""
    began = time.monotonic()
    while registered(stack) & uids:
        assert time.monotonic() - began < BURIED_WITHIN_S, stack.log[-4000:]
        time.sleep(0.1)
    return time.monotonic() - began


async def die_under_load(session: aiohttp.ClientSession, stack: Stack) -> None:
    bodies = [chat(name, stream=stream) for name in OFFERS for stream in (True, False)] * 8
    heard = [Heard(body["model"]) for body in bodies]
    clients = [asyncio.create_task(listen(session, stack, *pair)) for pair in zip(bodies, heard, strict=True)]
    await asyncio.sleep(2.5)
    await asyncio.to_thread(stack.kill_web)
    await asyncio.gather(*clients)


def sums_of_rows(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], Counter[str]]:
    """What the rows come to for each scope, local day and process."""
    sums: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows:
        for scope, day in json.loads(row["scopes"] or "[]"):
            is_channel = scope.startswith("channel:")
            if is_channel or row["is_billable"]:
                total = sums.setdefault((scope, date.fromordinal(day).isoformat(), row["process"]), Counter())
                total["requests"] += 1
                total["tokens"] += row["prompt_tokens"] + row["completion_tokens"]
                total["money_nusd"] += row["cost_nusd" if is_channel else "charge_nusd"] or 0
    return sums


def assert_scopes_add_up(stack: Stack, rows: list[dict[str, Any]]) -> None:
    """Every attempt was counted for somebody, and the sums are those of the rows."""
    assert [row for row in rows if not row["scopes"] or row["process"] is None] == []
    found = {
        (used["scope"], str(used["day"]), used["process"]): {
            name: used[name] for name in ("requests", "tokens", "money_nusd")
        }
        for used in stack.query("SELECT * FROM billing_scopeusage")
    }
    assert found == {
        key: {name: total[name] for name in found.get(key, total)} for key, total in sums_of_rows(rows).items()
    }


def test_a_killed_process_is_buried_and_its_scopes_add_up(stack: Stack) -> None:
    killed = registered(stack)
    run_clients(lambda session: die_under_load(session, stack))
    stack.start_web()

    took_s = until_gone(stack, killed)

    print(f"\nburied {took_s:.1f} s after the next process was ready")
    assert registered(stack) and not registered(stack) & killed
    for process in stack.processes:
        if process.args[-1] == "ingest":  # type: ignore[index]  # a list, as stack.start() makes it
            process.terminate()
            process.wait(20)
    rows = assert_complete(stack)
    assert {row["status"] for row in rows} >= {"ok", "failed", "abandoned"}
    assert_scopes_add_up(stack, rows)


def test_a_process_that_ends_in_order_leaves_nothing_behind(stack: Stack) -> None:
    ingester = stack.start("manage.py", "ingest")
    if stack.web is None or stack.web.poll() is not None:
        stack.start_web()
    assert stack.post(chat("quick"))[0] == 200
    while not is_ingester_running(stack.data / "spool"):
        assert ingester.poll() is None
        time.sleep(0.05)

    stack.kill_web(signal.SIGTERM)
    ingester.terminate()

    assert ingester.wait(30) == 0
    assert registered(stack) == set()
    assert [path.name for path in (stack.data / "spool").iterdir() if path.name != "ingester.lock"] == []
