"""One attempt against an upstream that says exactly what a test wants, over a real socket."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from channels.upstream import EventStream, failure_of, headers_of, read_answer
from smartrouter.lib.errors import ErrorClass, UpstreamError
from smartrouter.lib.sealing import Secret
from smartrouter.lib.sse import data_of
from tests.channels.raw_upstream import END, HANG_UP, KEY, PAUSE, STREAM, RawUpstream, chunked, plain, raw_upstream

pytestmark = pytest.mark.asyncio

ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER = b'{"choices":[{"message":{"content":"hi"}}]}'


async def stream_of(upstream: RawUpstream) -> EventStream:
    return EventStream(await upstream.send(), upstream.candidate.channel)


async def rest_of(stream: EventStream) -> list[bytes]:
    """All further events."""
    found: list[bytes] = []
    while (events := await stream.read()) is not None:
        found += events
    return found


async def failure(upstream: RawUpstream) -> UpstreamError:
    """The error that an attempt ends with."""
    with pytest.raises(UpstreamError) as caught:
        await upstream.send()
    return caught.value


async def test_the_request_has_our_headers_and_json_and_nothing_that_invites_compression() -> None:
    async with raw_upstream([plain(200, ANSWER)], headers=Secret({"X-Team": "blue-1234"})) as upstream:
        response = await upstream.send({"model": "m", "x": "é"})
        doc = await read_answer(response, upstream.candidate.channel)

    head, _blank, body = upstream.requests[0].partition(b"\r\n\r\n")
    lines = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in head.split(b"\r\n")[1:]}
    assert doc["choices"][0]["message"]["content"] == "hi"
    assert json.loads(body) == {"model": "m", "x": "é"}
    assert lines[b"authorization"] == f"Bearer {KEY}".encode() and lines[b"x-request-id"] == b"tag-1"
    assert (lines[b"content-type"], lines[b"accept-encoding"]) == (b"application/json", b"identity")
    assert lines[b"x-team"] == b"blue-1234"


async def test_extra_headers_replace_none_of_ours() -> None:
    async with raw_upstream([], headers=Secret({"X-Request-Id": "theirs", "Authorization": "theirs"})) as upstream:
        channel = upstream.candidate.channel

        headers = headers_of(channel, channel.keys[0], "tag-1")

    assert headers == {"X-Request-Id": "tag-1", "Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "no", "code": "unsupported_parameter", "param": "x"}, ErrorClass.REQUEST),
        (404, {"message": "no such model", "code": "model_not_found"}, ErrorClass.MODEL),
        (429, {"message": "no money", "code": "insufficient_quota"}, ErrorClass.KEY),
    ],
)
async def test_an_error_that_comes_in_pieces_is_read_whole(
    status: int, error: dict[str, Any], kind: ErrorClass, pieces: int
) -> None:
    whole = plain(status, json.dumps({"error": error}).encode())
    head, body = whole[:-40], whole[-40:]
    step = -(-len(body) // pieces)
    script = [head, *(part for at in range(0, len(body), step) for part in (PAUSE, body[at : at + step]))]

    async with raw_upstream(script) as upstream:
        found = await failure(upstream)

    assert (found.kind, found.code, found.status) == (kind, error["code"], status)


async def test_an_endless_error_is_read_in_part() -> None:
    head = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n"

    async with raw_upstream([head, *[chunked(b"x" * 65536)] * 500]) as upstream:
        found = await asyncio.wait_for(failure(upstream), 5)

    assert found.kind is ErrorClass.TRANSIENT


@pytest.mark.parametrize("field", ["message", "code", "param"])
async def test_a_key_that_the_upstream_quotes_is_not_repeated_whatever_its_shape(field: str) -> None:
    error = {"message": "The request is wrong", "code": "wrong", "param": "x"} | {
        field: f"see {KEY} and blue-1234-secret"
    }
    body = json.dumps({"error": error}).encode()

    async with raw_upstream(
        [plain(400, body)], [plain(200, body)], headers=Secret({"X-Team": "blue-1234-secret"})
    ) as upstream:
        refused = await failure(upstream)
        with pytest.raises(UpstreamError) as with_200:
            await read_answer(await upstream.send(), upstream.candidate.channel)

    for found in (refused, with_200.value):
        told = f"{found.message} {found.code} {found.param}"
        assert KEY not in told and "blue-1234" not in told and "***" in told


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([b"SSH-2.0-OpenSSH_9\r\n", HANG_UP], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"], ErrorClass.GARBAGE),
        ([HANG_UP], ErrorClass.TRANSIENT),
        ([b"HTTP/1.1 2", HANG_UP], ErrorClass.TRANSIENT),
        ([b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"], ErrorClass.CHANNEL),
        ([b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n"], ErrorClass.TRANSIENT),
    ],
)
async def test_what_is_not_an_answer_is_classified(script: list[bytes], kind: ErrorClass) -> None:
    async with raw_upstream(script) as upstream:
        found = await failure(upstream)

    assert found.kind is kind
    assert "127.0.0.1" not in found.message


async def test_a_kept_connection_that_was_given_up_counts_as_unanswered() -> None:
    async with raw_upstream([plain(200, ANSWER)], [HANG_UP]) as upstream:
        await read_answer(await upstream.send(), upstream.candidate.channel)
        found = await failure(upstream)

    assert found.kind is ErrorClass.TRANSIENT and found.is_unanswered
    assert upstream.connections == 1


async def test_an_answer_that_breaks_off_is_not_unanswered() -> None:
    async with raw_upstream([plain(200, ANSWER)[:-5], HANG_UP]) as upstream:
        response = await upstream.send()
        with pytest.raises(UpstreamError) as caught:
            await read_answer(response, upstream.candidate.channel)

    assert caught.value.kind is ErrorClass.TRANSIENT and not caught.value.is_unanswered


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError(104, "x"),
        OSError(5, "x"),
        TimeoutError(),
        aiohttp.ClientPayloadError("http://10.0.0.1/secret"),
        ValueError("x"),
    ],
)
async def test_no_network_failure_names_an_address(error: BaseException) -> None:
    found = failure_of(error)

    assert found.message and "10.0.0.1" not in found.message


async def test_the_first_content_is_found_and_what_came_before_is_kept() -> None:
    comment = b": queued\n\n"
    async with raw_upstream(
        [STREAM, chunked(comment + ROLE), PAUSE, chunked(WORD + WORD), chunked(DONE), END]
    ) as upstream:
        stream = await stream_of(upstream)
        events, first = await stream.read_until_content()
        rest = await rest_of(stream)

    assert events[:2] == [comment, ROLE] and events[first] == WORD and first == 2
    assert [data_of(event) for event in (events + rest)[-3:]] == [data_of(WORD), data_of(WORD), b"[DONE]"]


@pytest.mark.parametrize(
    "ending", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n", b"data: [DONE]\r\n\r", b"data: [DONE] \n"]
)
async def test_a_done_without_its_blank_line_is_a_done_when_the_body_ends(ending: bytes) -> None:
    async with raw_upstream([STREAM, chunked(WORD), PAUSE, chunked(ending), END]) as upstream:
        stream = await stream_of(upstream)
        await stream.read_until_content()
        rest = await rest_of(stream)

    assert [data_of(event).strip() for event in rest] == [b"[DONE]"]


@pytest.mark.parametrize("ending", [b"", b"data: [DO", b'data: {"choices":[{"delta":{"content":"x"}}]}', b": [DONE]"])
async def test_other_unfinished_events_are_not_completed(ending: bytes) -> None:
    async with raw_upstream([STREAM, chunked(WORD), PAUSE, *([chunked(ending)] if ending else []), END]) as upstream:
        stream = await stream_of(upstream)
        await stream.read_until_content()

        assert await rest_of(stream) == []


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", ErrorClass.GARBAGE, None),
        (b"<!DOCTYPE html><html></html>", ErrorClass.GARBAGE, None),
        (DONE, ErrorClass.GARBAGE, None),
        (ROLE + DONE, ErrorClass.GARBAGE, None),
        (ROLE, ErrorClass.GARBAGE, None),
        (b"data: nonsense\n\n", ErrorClass.GARBAGE, None),
        (b"data: [1]\n\n", ErrorClass.GARBAGE, None),
        (ROLE + b'data: {"choices":[{"delta":{"con\n\n', ErrorClass.GARBAGE, None),
        (ROLE + b'data: {"error":{"message":"busy","code":503}}\n\n', ErrorClass.TRANSIENT, "503"),
        (ROLE + b'data: {"error":{"message":"slow","code":429}}\n\n', ErrorClass.RATE, "429"),
        (b'data: {"error":{"message":"bad","code":400,"type":"BadRequestError"}}\n\n', ErrorClass.REQUEST, "400"),
        (b'data: {"error":"text"}\n\n', ErrorClass.TRANSIENT, None),
        (b'{"error":{"message":"This model\'s maximum context length is 5","code":"context_length_exceeded"}}',
         ErrorClass.CONTEXT, "context_length_exceeded"),
        (b'data: {"choices":[{"delta":{},"error":{"message":"x","code":502},"finish_reason":"error"}]}\n\n',
         ErrorClass.TRANSIENT, "502"),
    ],
)  # fmt: skip
async def test_a_stream_that_fails_before_its_first_content_is_classified(
    body: bytes, kind: ErrorClass, code: str | None
) -> None:
    async with raw_upstream([STREAM, *([chunked(body)] if body else []), END]) as upstream:
        stream = await stream_of(upstream)
        with pytest.raises(UpstreamError) as caught:
            await stream.read_until_content()

    assert (caught.value.kind, caught.value.code) == (kind, code)


async def test_a_stream_of_nothing_but_comments_is_given_up_after_a_megabyte() -> None:
    async with raw_upstream([STREAM, *[chunked(b": " + b"x" * 60_000 + b"\n\n")] * 40]) as upstream:
        stream = await stream_of(upstream)
        with pytest.raises(UpstreamError) as caught:
            await asyncio.wait_for(stream.read_until_content(), 5)

    assert caught.value.kind is ErrorClass.GARBAGE


NO_COMPLETION = (
    b"", b"null", b"[]", b'"x"', b"{}", b'{"choices":[]}', b'{"choices":null}', b"<html>", b'{"choices":[{}',
    b'{"choices":[{"message":{"content":"\xff"}}]}',
)  # fmt: skip


@pytest.mark.parametrize("body", NO_COMPLETION)
async def test_a_plain_answer_that_is_no_completion_is_garbage(body: bytes) -> None:
    async with raw_upstream([plain(200, body)]) as upstream:
        response = await upstream.send()
        with pytest.raises(UpstreamError) as caught:
            await read_answer(response, upstream.candidate.channel)

    assert caught.value.kind is ErrorClass.GARBAGE


async def test_blank_lines_before_a_plain_answer_are_no_harm() -> None:
    async with raw_upstream([STREAM, chunked(b"\n\n"), PAUSE, chunked(b"\n" + ANSWER + b"\n"), END]) as upstream:
        doc = await read_answer(await upstream.send(), upstream.candidate.channel)

    assert doc["choices"]
