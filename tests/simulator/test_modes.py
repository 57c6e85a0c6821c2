"""Worker side. Every mode does what the table of modes says, streamed and plain."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from typing import Any

import aiohttp
import pytest

from providers.simulator.modes import MODES, Mode, UnknownMode, parse_model
from tests.simulator.harness import SimulatorProcess
from tests.simulator.reader import DONE, KEY, Seen, chat_body, read_chat

pytestmark = pytest.mark.asyncio
EVERY_MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
# Faster than the defaults, with the same behaviour.
OPTIONS = {"slow-first-byte": "first_ms=150", "giant": "mb=1", "trickle": "ms=5", "comments-then-hang": "ms=20"}
BROKEN = {"broken-json": "json", "bad-utf8": "utf-8", "error-200": "error", "role-then-error": "error"}


def model_of(mode: Mode, options: str = "") -> str:
    options = options or OPTIONS.get(mode.name, "")
    return f"sim-fast!{mode.name}" + (f":{options}" if options else "")


async def served(alpha: SimulatorProcess, mode: Mode, *, stream: bool) -> tuple[Seen, dict[str, Any]]:
    """What the reader saw and what the journal says about it."""
    attempt = f"{mode.name}-{stream}"
    timeout_s = 0.4 if mode.waits else 10
    seen = await read_chat(
        alpha.base_url, chat_body(model_of(mode), stream=stream), attempt=attempt, timeout_s=timeout_s
    )
    [entry] = alpha.closed_journal(attempt)
    assert entry["mode"] == mode.name
    assert entry["stream"] is stream
    assert entry["status"] == mode.status
    return seen, entry


async def test_the_table_is_served_as_json(alpha: SimulatorProcess) -> None:
    table = alpha.modes()

    assert [row["name"] for row in table] == list(MODES)
    assert {"summary", "streamed", "plain", "expects", "waits", "status", "options"} <= set(table[0])


@EVERY_MODE
async def test_a_streamed_answer_is_whole_or_breaks_where_the_table_says(alpha: SimulatorProcess, mode: Mode) -> None:
    seen, entry = await served(alpha, mode, stream=True)

    if mode.streamed in ("ok", "either"):
        assert (seen.status, seen.end, seen.broken) == (200, "clean", None)
        assert seen.finishes == ["stop"]
        assert (seen.events[-1] == DONE) is (mode.name != "no-done")
        assert entry["outcome"] == "complete"
        if mode.name != "giant":
            assert seen.text.startswith("[alpha] ")
            assert seen.text.endswith(" (alpha)")
        if seen.usages:
            assert seen.usages[-1]["completion_tokens"] == entry["completion_tokens"]
    else:
        assert not seen.finishes
        assert DONE not in seen.events
        assert bool(seen.pieces) is (mode.streamed == "after")
        assert entry["outcome"] == ("client_gone" if mode.waits else f"fault:{mode.name}")
        assert (seen.end == "timeout") is (mode.waits is not None)
        assert seen.broken == (BROKEN | {"error-midstream": "error"}).get(mode.name)
    if mode.name not in ("endless", "broken-json", "bad-utf8", "giant"):
        assert entry["text"] == seen.text
        assert entry["completion_tokens"] == len(seen.pieces)


@EVERY_MODE
async def test_a_plain_answer_is_whole_or_breaks_as_the_table_says(alpha: SimulatorProcess, mode: Mode) -> None:
    seen, entry = await served(alpha, mode, stream=False)

    if mode.plain in ("ok", "either"):
        choice = seen.json["choices"][0]
        assert (seen.status, seen.end) == (200, "clean")
        assert choice["finish_reason"] == (None if mode.name == "no-finish" else "stop")
        assert entry["outcome"] == "complete"
        assert choice["message"]["content"].startswith(entry["text"][:1000])
        if seen.json.get("usage"):
            assert seen.json["usage"]["completion_tokens"] == entry["completion_tokens"]
        return
    assert entry["outcome"] == ("client_gone" if mode.waits else f"fault:{mode.name}")
    assert entry["completion_tokens"] == 0
    assert (seen.end == "timeout") is (mode.waits is not None)
    if seen.status == 200 and seen.end == "clean":
        with pytest.raises((ValueError, KeyError)):
            _ = seen.json["choices"]


@pytest.mark.parametrize(
    ("mode", "status", "code", "kind", "param"),
    [
        ("400", 400, "unsupported_parameter", "invalid_request_error", "max_tokens"),
        ("context", 400, "context_length_exceeded", "invalid_request_error", "messages"),
        ("content-filter", 400, "content_policy_violation", "invalid_request_error", None),
        ("401", 401, "invalid_api_key", "invalid_request_error", None),
        ("402", 402, "invalid_request_error", "unknown_error", None),
        ("403", 403, "permission_denied", "permission_denied", None),
        ("404", 404, "model_not_found", "invalid_request_error", None),
        ("429", 429, "rate_limit_exceeded", "tokens", None),
        ("500", 500, None, "server_error", None),
        ("502", 502, None, "server_error", None),
        ("503", 503, None, "server_error", None),
        ("529", 529, "overloaded_error", "overloaded_error", None),
    ],
)
async def test_an_error_mode_sends_the_vendors_literal_body(
    alpha: SimulatorProcess, mode: str, status: int, code: str | None, kind: str, param: str | None
) -> None:
    seen = await read_chat(alpha.base_url, chat_body(f"sim-fast!{mode}", stream=True))

    error = seen.json["error"]
    assert (seen.status, error["code"], error["type"], error["param"]) == (status, code, kind, param)
    assert error["message"]
    assert "retry-after" not in seen.headers


@pytest.mark.parametrize("mode", ["429", "503", "529"])
async def test_retry_after_is_sent_when_asked_for(alpha: SimulatorProcess, mode: str) -> None:
    seen = await read_chat(alpha.base_url, chat_body(f"sim-fast!{mode}:ra=7"))

    assert seen.headers["retry-after"] == "7"


async def test_pages_and_redirects_are_what_a_wrong_address_sends(alpha: SimulatorProcess) -> None:
    page = await read_chat(alpha.base_url, chat_body("sim-fast!html"))
    missing = await read_chat(alpha.base_url, chat_body("sim-fast!404-html"))
    redirect = await read_chat(alpha.base_url, chat_body("sim-fast!redirect"))

    assert (page.headers["content-type"], page.body[:15]) == ("text/html; charset=utf-8", b"<!DOCTYPE html>")
    assert (missing.status, missing.body[:15]) == (404, b"<!DOCTYPE html>")
    assert (redirect.status, redirect.headers["location"]) == (302, "/v1/models")


async def test_crlf_uses_comments_and_several_data_lines(alpha: SimulatorProcess) -> None:
    seen = await read_chat(alpha.base_url, chat_body("sim-fast!crlf", stream=True))

    assert b"\n" not in seen.body.replace(b"\r\n", b"")
    assert b": keep-alive\r\n\r\n" in seen.body
    assert b'\r\ndata:   "id"' in seen.body


async def test_unicode_has_the_separators_that_are_not_line_ends(alpha: SimulatorProcess) -> None:
    seen = await read_chat(alpha.base_url, chat_body("sim-fast!unicode", stream=True))

    assert {"\u2028", "\u2029", "\u0085", "好"} <= set(seen.text)
    assert "\u2028".encode() in seen.body


async def test_split_cuts_through_characters(alpha: SimulatorProcess) -> None:
    body = chat_body("sim-fast!split:bytes=2", stream=True)
    body["messages"][0]["content"] = "你好"
    received = await _raw(alpha, body)

    sizes = {int(line, 16) for line in received.partition(b"\r\n\r\n")[2].split(b"\r\n")[::2] if line}
    assert sizes == {0, 1, 2} or sizes == {0, 2}
    assert "你".encode() not in received


async def test_gzip_is_sent_although_identity_was_asked_for(alpha: SimulatorProcess) -> None:
    received = await _raw(alpha, chat_body("sim-fast!gzip"))

    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head
    assert json.loads(gzip.decompress(body))["object"] == "chat.completion"


async def test_big_headers_and_giant_events_have_the_size_that_was_asked_for(alpha: SimulatorProcess) -> None:
    padded = await read_chat(alpha.base_url, chat_body("sim-fast!big-headers:kb=20"))
    giant = await read_chat(alpha.base_url, chat_body("sim-fast!giant:mb=2", stream=True))

    assert len(padded.headers["x-padding"]) == 20 * 1024
    assert [len(piece) for piece in giant.pieces] == [2 * 1024 * 1024]


@pytest.mark.parametrize(("mode", "is_reset"), [("reset", True), ("close", False)])
async def test_reset_is_an_rst_and_close_a_fin(alpha: SimulatorProcess, mode: str, is_reset: bool) -> None:
    if is_reset:
        with pytest.raises(ConnectionResetError):
            await _raw(alpha, chat_body(f"sim-fast!{mode}"))
    else:
        assert await _raw(alpha, chat_body(f"sim-fast!{mode}")) == b""


async def test_a_cut_is_an_rst_or_a_fin_after_exactly_the_pieces_that_were_asked_for(alpha: SimulatorProcess) -> None:
    with pytest.raises(ConnectionResetError):
        await _raw(alpha, chat_body("sim-fast!cut:after=3", stream=True))
    reset = await read_chat(alpha.base_url, chat_body("sim-fast!cut:after=3", stream=True))
    closed = await _raw(alpha, chat_body("sim-fast!cut-fin:after=3", stream=True))
    half = await _raw(alpha, chat_body("sim-fast!cut-fin"))

    assert (len(reset.pieces), reset.end) == (3, "cut")
    assert closed.count(b'"delta":{"content":"') == 3
    assert not closed.endswith(b"0\r\n\r\n")
    head, _, body = half.partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert len(body) == promised // 2


async def test_trickle_is_one_byte_at_a_time(alpha: SimulatorProcess) -> None:
    seen = await read_chat(alpha.base_url, chat_body("sim-fast!trickle:ms=50", stream=True), timeout_s=0.6)

    assert 3 <= len(seen.body) <= 13


async def test_usage_modes(alpha: SimulatorProcess) -> None:
    every = await read_chat(alpha.base_url, chat_body("sim-fast!usage-every-chunk:chunks=4", stream=True))
    twice = await read_chat(alpha.base_url, chat_body("sim-fast!usage-twice:chunks=4", stream=True))
    null = await read_chat(alpha.base_url, chat_body("sim-fast!usage-null", stream=True))
    without = await read_chat(alpha.base_url, chat_body("sim-fast!no-usage", stream=True))
    cost = await read_chat(alpha.base_url, chat_body("sim-fast!cost:chunks=4", stream=True))
    plain_cost = await read_chat(alpha.base_url, chat_body("sim-fast!cost:chunks=4"))

    assert [usage["completion_tokens"] for usage in every.usages] == [0, 1, 2, 3, 4, 4, 4]
    assert [usage["completion_tokens"] for usage in twice.usages] == [2, 4]
    assert null.usages == [] and b'"choices":[],"usage":null' in null.body
    assert b'"usage"' not in without.body
    assert cost.usages[-1]["cost"] > 0
    assert plain_cost.json["usage"] == cost.usages[-1]


async def test_other_model_names_another_model(alpha: SimulatorProcess) -> None:
    seen = await read_chat(alpha.base_url, chat_body("sim-fast!other-model"))

    assert seen.json["model"] == "sim-something-else"


async def test_pace_and_first_byte_are_kept(alpha: SimulatorProcess) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(
            f"{alpha.base_url}/chat/completions",
            json=chat_body("sim-fast!ok:first_ms=200,pace_ms=30,chunks=11", stream=True),
        ) as response,
    ):
        first_s = clock() - started
        await response.read()
    whole_s = clock() - started

    assert first_s >= 0.2
    assert whole_s - first_s > 0.25  # the eleven pieces did not come at once


@pytest.mark.parametrize("name", ["sim-fast!nonsense", "sim-fast!ok:pase_ms=1", "sim-fast!ok:chunks=many", "sim-fast!"])
async def test_a_suffix_that_cannot_be_read_says_so(alpha: SimulatorProcess, name: str) -> None:
    with pytest.raises(UnknownMode):
        parse_model(name)
    seen = await read_chat(alpha.base_url, chat_body(name))

    assert (seen.status, seen.json["error"]["code"]) == (404, "model_not_found")


async def _raw(alpha: SimulatorProcess, body: dict[str, Any]) -> bytes:
    """Every byte that the socket gives until it ends. Raises ConnectionResetError on an RST."""
    data = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    loop = asyncio.get_running_loop()
    received = b""
    with socket.create_connection(("127.0.0.1", alpha.port), timeout=5) as sock:
        sock.setblocking(False)
        await loop.sock_sendall(sock, f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        async with asyncio.timeout(5):
            while piece := await loop.sock_recv(sock, 65536):
                received += piece
    return received
