"""Worker side. Keys, addresses, the journal, clients that leave, the process itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from providers.simulator.server import RunningSimulator, start
from tests.simulator.harness import ROOT, SimulatorProcess, simulator_process
from tests.simulator.reader import HEADERS, KEY, chat_body, read_chat

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def beta() -> AsyncIterator[RunningSimulator]:
    """A simulator in this process, on asyncio's own loop (the one in a process of its own runs on uvloop)."""
    running = await start(name="beta")
    yield running
    await running.stop()


async def wait_closed(running: RunningSimulator, attempt: str, timeout_s: float = 1) -> dict[str, Any]:
    """The entry of an attempt, once it is closed."""
    async with asyncio.timeout(timeout_s):
        while True:
            for entry in running.journal.find(attempt):
                if entry["outcome"] != "open":
                    return entry
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("authorization", "status", "code", "outcome"),
    [
        (None, 401, "invalid_api_key", "fault:invalid-key"),
        ("Basic abc", 401, "invalid_api_key", "fault:invalid-key"),
        ("Bearer sim-invalid-123456", 401, "invalid_api_key", "fault:invalid-key"),
        ("Bearer sim-broke-123456", 429, "insufficient_quota", "fault:insufficient-quota"),
        ("bearer anything", 200, None, "complete"),
    ],
)
async def test_keys(
    beta: RunningSimulator, authorization: str | None, status: int, code: str | None, outcome: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{beta.base_url}/chat/completions", json=chat_body("sim-fast")) as response:
            body = await response.json()
        async with session.get(f"{beta.base_url}/models") as listing:
            listed = listing.status

    assert (response.status, listed) == (status, status)
    assert body.get("error", {}).get("code") == code
    assert [entry["outcome"] for entry in beta.journal.find()] == [outcome]


async def test_a_refused_key_is_echoed_masked(beta: RunningSimulator) -> None:
    headers = {"Authorization": "Bearer sim-invalid-secret-99"}
    seen = await read_chat(beta.base_url, chat_body("sim-fast"), headers=headers)

    assert "sim-i***99" in seen.json["error"]["message"]
    assert b"secret" not in seen.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/sim-vision", 200),
        ("GET", "/v1/models/gpt-unknown", 404),
        ("GET", "/v1/chat/completions", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/", 404),
    ],
)
async def test_addresses(beta: RunningSimulator, method: str, path: str, status: int) -> None:
    url = f"{beta.base_url.removesuffix('/v1')}{path}"
    async with aiohttp.ClientSession(headers=HEADERS) as session, session.request(method, url) as response:
        body = await response.json()

    assert response.status == status
    assert (set(body["error"]) if status == 404 else None) in (None, {"message", "type", "param", "code"})


async def test_models_say_what_discovery_needs(beta: RunningSimulator) -> None:
    async with aiohttp.ClientSession(headers=HEADERS) as session, session.get(f"{beta.base_url}/models") as response:
        rows = (await response.json())["data"]

    assert [row["id"] for row in rows] == ["sim-fast", "sim-smart", "sim-vision", "sim-reasoner", "sim-free"]
    assert set(rows[0]) == {"id", "object", "created", "owned_by", "context_length", "max_output_tokens"}


async def test_what_is_not_http_or_not_json_is_refused(beta: RunningSimulator) -> None:
    url = f"{beta.base_url}/chat/completions"
    async with aiohttp.ClientSession(headers=HEADERS) as session, session.post(url, data=b"{not json") as response:
        status = response.status
    reader, writer = await asyncio.open_connection("127.0.0.1", beta.port)
    writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert status == 400
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert beta.journal.find()[0]["body"] is None


async def test_the_journal_keeps_what_was_asked_and_written(beta: RunningSimulator) -> None:
    body = chat_body("sim-fast", stream=True, extra_field={"deep": [1, "二"]})
    seen = await read_chat(beta.base_url, body, attempt="req-1")
    await read_chat(beta.base_url, chat_body("sim-unknown"), attempt="req-2")

    first, second = beta.journal.find()
    assert (first["index"], first["attempt_id"], first["simulator"], first["model"]) == (0, "req-1", "beta", "sim-fast")
    assert (first["mode"], first["stream"], first["status"], first["outcome"]) == ("ok", True, 200, "complete")
    assert first["body"] == body
    assert first["headers"]["authorization"] == KEY[-4:]
    assert KEY not in json.dumps([first, second])
    assert first["text"] == seen.text
    assert first["content_chunks_sent"] == first["completion_tokens"] == len(seen.pieces)
    assert first["prompt_tokens"] == seen.usages[0]["prompt_tokens"]
    assert first["received_at"] <= first["closed_at"] <= time.time()
    assert (second["status"], second["outcome"]) == (404, "fault:model-not-found")


async def test_the_journal_is_filtered_and_cleared_over_http(alpha: SimulatorProcess) -> None:
    for attempt in ("one", "two", "two"):
        await read_chat(alpha.base_url, chat_body("sim-fast"), attempt=attempt)
    last = alpha.journal()[-1]["index"]

    assert len(alpha.journal("two")) == 2
    assert [entry["attempt_id"] for entry in alpha.journal(since=last - 1)] == ["two", "two"]
    alpha.clear_journal()
    assert alpha.journal() == []
    await read_chat(alpha.base_url, chat_body("sim-fast"), attempt="three")
    assert [entry["index"] for entry in alpha.journal(since=last + 1)] == [last + 1]


@pytest.mark.parametrize("is_own_process", [True, False])
async def test_a_client_that_leaves_is_noticed_and_counted_to_the_chunk(
    alpha: SimulatorProcess, beta: RunningSimulator, is_own_process: bool
) -> None:
    base_url = alpha.base_url if is_own_process else beta.base_url
    received = 0
    async with aiohttp.ClientSession(headers={**HEADERS, "X-Request-Id": "leaver"}) as session:
        body = chat_body("sim-fast!ok:pace_ms=40,chunks=500", stream=True)
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            async for line in response.content:
                received += b'"delta":{"content":"' in line and b'"role"' not in line
                if received == 5:
                    break
            response.close()
            left_at = time.time()
    if is_own_process:
        [entry] = await asyncio.to_thread(alpha.closed_journal, "leaver", timeout_s=1)
    else:
        entry = await wait_closed(beta, "leaver")

    assert entry["outcome"] == "client_gone"
    assert -0.1 <= entry["client_gone_at"] - left_at < 1
    assert 5 <= entry["content_chunks_sent"] == entry["completion_tokens"] <= 6


async def test_a_client_that_stops_reading_stops_the_writer(beta: RunningSimulator) -> None:
    body = json.dumps(chat_body("sim-fast!endless:pace_ms=0", stream=True)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nX-Request-Id: full\r\n"
    with socket.create_connection(("127.0.0.1", beta.port)) as sock:
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        written = -1
        async with asyncio.timeout(20):
            while written != (now := sum(entry["completion_tokens"] for entry in beta.journal.find("full"))) or not now:
                written = now
                await asyncio.sleep(0.3)
        assert beta.journal.find("full")[0]["outcome"] == "open"
    entry = await wait_closed(beta, "full")

    assert entry["outcome"] == "client_gone"
    assert entry["completion_tokens"] == written > 100


async def test_a_connection_serves_one_request_after_the_other(beta: RunningSimulator) -> None:
    async with aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(limit=1)) as session:
        for position in range(20):
            body = chat_body("sim-fast", stream=position % 2 == 0)
            async with session.post(f"{beta.base_url}/chat/completions", json=body) as response:
                await response.read()
                assert response.status == 200
    request = f"GET /v1/models/sim-fast HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", beta.port)
    writer.write(request + request + last)  # pipelined
    answers = await reader.read()
    writer.close()

    assert answers.count(b"HTTP/1.1 200 OK") == 3


async def test_two_hundred_at_once_are_all_answered(alpha: SimulatorProcess) -> None:
    since = len(alpha.journal())
    body = chat_body("sim-fast!ok:pace_ms=10,chunks=20", stream=True)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=HEADERS, connector=connector) as session:

        async def call(position: int) -> bytes:
            headers = {"X-Request-Id": f"many-{position}"}
            async with session.post(f"{alpha.base_url}/chat/completions", json=body, headers=headers) as response:
                return await response.read()

        answers = await asyncio.gather(*(call(position) for position in range(200)))

    entries = [entry for entry in alpha.journal(since=since) if entry["attempt_id"].startswith("many-")]
    assert all(answer.endswith(b"data: [DONE]\n\n") for answer in answers)
    assert {entry["attempt_id"] for entry in entries} == {f"many-{position}" for position in range(200)}
    assert {(entry["outcome"], entry["completion_tokens"]) for entry in entries} == {("complete", 20)}


async def test_stopping_ends_what_is_open_and_frees_the_port() -> None:
    running = await start(name="gamma")
    call = asyncio.create_task(read_chat(running.base_url, chat_body("sim-fast!hang"), attempt="open"))
    async with asyncio.timeout(2):
        while not running.journal.find("open"):
            await asyncio.sleep(0.01)
    await running.stop()
    seen = await call
    again = await start(name="gamma", port=running.port)
    await again.stop()

    assert seen.end == "cut"
    assert running.journal.find("open")[0]["outcome"] == "stopped"


async def test_the_process_writes_its_journal_and_stops_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for number in (signal.SIGTERM, signal.SIGINT):
        with simulator_process("delta", journal_path=path) as delta:
            hanging = asyncio.create_task(read_chat(delta.base_url, chat_body("sim-fast!hang"), attempt="h"))
            await read_chat(delta.base_url, chat_body("sim-fast"), attempt="w")
            started = time.monotonic()
            os.kill(delta.process.pid, number)
            code = await asyncio.to_thread(delta.process.wait, 5)
            assert (code, (await hanging).end) == (0, "cut")
            assert time.monotonic() - started < 2

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 8
    assert {(line["attempt_id"], line["outcome"]) for line in lines if line["event"] == "close"} == {
        ("w", "complete"),
        ("h", "stopped"),
    }


@pytest.mark.parametrize("what", ["port", "journal"])
async def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    alpha: SimulatorProcess, tmp_path: Path, what: str
) -> None:
    missing = tmp_path / "missing" / "journal.jsonl"
    more = ["--port", str(alpha.port)] if what == "port" else ["--port", "0", "--journal", str(missing)]

    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "providers.simulator", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert (f"127.0.0.1:{alpha.port}" if what == "port" else str(missing)) in ended.stderr
