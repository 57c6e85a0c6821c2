"""Clients that leave, or stop reading: the upstream is told within a second and the record says what was produced."""

import asyncio
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from tests.stack import KEY, Stack, running_stack
from tests.survival.firehose import Firehose
from tests.survival.traffic import (
    HEADERS,
    Heard,
    assert_complete,
    chat,
    journals,
    listen,
    offering_document,
    run_clients,
    until,
)

pytestmark = pytest.mark.slow

PACE_MS = 20
OFFERS = {
    "stream": (f"sim-fast!ok:pace_ms={PACE_MS},chunks=500",),
    "plain": ("sim-fast!ok:pace_ms=150,chunks=40",),  # 6 s
    "quick": ("sim-smart",),
    "flood": ("sim-smart", "sim-fast"),
}
DRAINED_AT_ONCE = 64
LEAVING = 100
SLOW_READERS = 10
RSS_GROWTH_MB = 40
ESTABLISHED = "01"  # as /proc/net/tcp has it


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    document = offering_document(OFFERS)
    document["channels"][0]["models"].pop()  # the flood comes from beta alone
    with running_stack(document, WEB_CONCURRENCY="1") as running:  # how many are drained is each process's own count
        yield running


@dataclass
class Gone:
    """A client that left: when, after how many pieces of content, by the answer's request id."""

    left_at: float = 0.0
    pieces: int = 0
    request_id: str = ""


async def leave_after(session: aiohttp.ClientSession, stack: Stack, pieces: int) -> Gone:
    """Read so many pieces of a stream, then go."""
    gone = Gone()
    async with session.post(
        f"{stack.url}/v1/chat/completions", json=chat("stream", stream=True), headers=HEADERS
    ) as got:
        gone.request_id = got.headers["x-request-id"]
        async for line in got.content:
            gone.pieces += b'"content":"' in line and b'"content":""' not in line
            if gone.pieces >= pieces:
                break
        gone.left_at = time.time()
        got.close()
    return gone


async def leave_streams(session: aiohttp.ClientSession, stack: Stack) -> list[Gone]:
    """50 clients that leave at random pieces, the last of them after 2.4 s or so."""
    chance = random.Random(7)
    return await asyncio.gather(*(leave_after(session, stack, chance.randint(1, 120)) for _ in range(50)))


def closed_entries(stack: Stack, within_s: float = 10) -> list[dict[str, Any]]:
    """The journals' entries when none is open any more."""
    deadline = time.monotonic() + within_s
    while any(entry["outcome"] == "open" for entry in journals(stack)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return journals(stack)


def open_connections(stack: Stack) -> int:
    """How many connections the web process's port has."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(fields[1] == f"0100007F:{stack.port:04X}" and fields[3] == ESTABLISHED for fields in table)


def test_the_upstream_of_a_stream_is_cut_within_a_second_and_the_row_says_what_came(stack: Stack) -> None:
    gone = run_clients(lambda session: leave_streams(session, stack))

    entries = {entry["attempt_id"]: entry for entry in closed_entries(stack)}
    rows = {row["request_id"]: row for row in assert_complete(stack)}
    noticed = [entries[f"{each.request_id}-1"]["client_gone_at"] - each.left_at for each in gone]
    off = []
    for each in gone:
        row, entry = rows[UUID(each.request_id).hex], entries[f"{each.request_id}-1"]
        assert (row["status"], entry["outcome"], row["is_estimated"]) == ("client_gone", "client_gone", 1)
        off.append(row["completion_tokens"] - entry["completion_tokens"])
    print(f"\nupstreams noticed after {max(noticed) * 1000:.0f} ms at most; rows off by {sorted(Counter(off).items())}")
    assert max(noticed) < 1.0
    # What an upstream wrote while the word that its client had left was on its way was read by nobody.
    assert -1 - max(noticed) * 1000 / PACE_MS <= min(off) <= max(off) <= 1


async def leave_plain(session: aiohttp.ClientSession, stack: Stack) -> None:
    """100 clients that leave halfway through their plain answer."""

    async def ask() -> None:
        try:
            async with asyncio.timeout(3.0):
                await listen(session, stack, chat("plain"), Heard("plain"))
        except TimeoutError:
            return

    await asyncio.gather(*(ask() for _ in range(LEAVING)))


def test_plain_answers_are_drained_and_billed_exactly_and_too_many_are_cut(stack: Stack) -> None:
    stack.alpha.clear_journal()
    run_clients(lambda session: leave_plain(session, stack))

    entries = {entry["attempt_id"]: entry for entry in closed_entries(stack)}
    rows = [row for row in assert_complete(stack) if row["requested_model"] == "plain"]
    exact = [row for row in rows if not row["is_estimated"]]
    cut = [row for row in rows if row["is_estimated"]]
    assert (len(exact), len(cut)) == (DRAINED_AT_ONCE, LEAVING - DRAINED_AT_ONCE)
    assert {row["status"] for row in rows} == {"client_gone"}
    for row in exact:
        entry = entries[f"{UUID(row['request_id'])}-1"]
        assert entry["outcome"] == "complete"
        assert (row["prompt_tokens"], row["completion_tokens"]) == (entry["prompt_tokens"], entry["completion_tokens"])
        assert row["charge_nusd"] == entry["prompt_tokens"] * 1000 + entry["completion_tokens"] * 2000
    assert all(row["charge_nusd"] > 0 for row in cut)
    assert {entries[f"{UUID(row['request_id'])}-1"]["outcome"] for row in cut} == {"client_gone"}


@dataclass
class Unread:
    """Connections whose answers nobody reads."""

    sockets: list[socket.socket] = field(default_factory=list)

    def open(self, stack: Stack) -> None:
        body = json.dumps(chat("flood", stream=True)).encode()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", stack.port))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.sockets.append(sock)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def test_clients_that_do_not_read_cost_little_memory_and_hold_up_nobody(stack: Stack) -> None:
    before_mb, unread, waits = stack.rss_mb(), Unread(), []
    with Firehose() as firehose:
        stack.execute("UPDATE providers_provider SET base_url = ? WHERE name = 'sim-b'", firehose.base_url)
        stack.execute("INSERT INTO routing_change (model, row, at) VALUES ('providers.provider', '', '2026-01-01')")
        time.sleep(1)
        for _ in range(SLOW_READERS):
            unread.open(stack)
        written = -1
        while written < firehose.written:  # until all buffers on the way are full
            written = firehose.written
            began = time.monotonic()
            assert stack.post(chat("quick"))[0] == 200
            waits.append(time.monotonic() - began)
            time.sleep(0.5)
        grown_mb = stack.rss_mb() - before_mb
        unread.close()
        asyncio.run(until(lambda: firehose.ended == SLOW_READERS, within_s=1))

    rows = [row for row in assert_complete(stack) if row["requested_model"] == "flood"]
    print(f"\n{SLOW_READERS} clients that do not read: {written / 2**20:.0f} MB on their way, {grown_mb:.1f} MB of them in"
          f" the process; {len(waits)} others answered within {max(waits) * 1000:.0f} ms")  # fmt: skip
    assert written > 2**20
    assert grown_mb < RSS_GROWTH_MB
    assert max(waits) < 2
    assert [row["status"] for row in rows] == ["client_gone"] * SLOW_READERS
    assert all(row["charge_nusd"] > 0 for row in rows)


def test_a_client_that_does_not_read_is_cut_off_in_the_end(stack: Stack) -> None:
    """With a shorter patience than the real minute; the rest is the real thing."""
    stack.kill_web()
    code = "import routing.relay, sys; from django.core.management import execute_from_command_line as run; "
    code += "import django; django.setup(); routing.relay.CLIENT_WRITE_S = 1; run(['manage.py', 'web'])"
    with Firehose() as firehose:
        stack.execute("UPDATE providers_provider SET base_url = ? WHERE name = 'sim-b'", firehose.base_url)
        stack.start_web([sys.executable, "-c", code])
        unread = Unread()
        unread.open(stack)
        asyncio.run(until(lambda: firehose.ended == 1))

        asyncio.run(until(lambda: not open_connections(stack)))
    row = [row for row in assert_complete(stack) if row["requested_model"] == "flood"][-1]

    assert (row["status"], row["is_billable"]) == ("client_gone", 1)
    unread.close()
