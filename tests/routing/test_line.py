"""Our server's shorter ways for our entry: the same bytes as by ASGI's messages, and word when the client leaves."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from routing.endpoints.entry import LINE
from smartrouter.supervisor.protocol import CappedProtocol, Line

pytestmark = pytest.mark.asyncio

HEADERS = [(b"content-type", b"application/json"), (b"x-model", b"m \\u1234"), (b"content-length", b"2")]
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(application: Callable[..., Any], **options: Any) -> AsyncIterator[int]:
    """The port of a server with this application."""
    config = uvicorn.Config(application, http=CappedProtocol, lifespan="off", log_config=None, **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """By the line under /line, else by messages."""
    line: Line = scope["extensions"][LINE]
    status = 204 if scope["path"].endswith("204") else 200
    body, headers = (b"", HEADERS[:2]) if status == 204 else (b"{}", HEADERS)
    headers = [*headers, (b"connection", b"close")] if scope["path"].endswith("close") else headers
    if not scope["path"].startswith("/line") or not line.answer(status, headers, body):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def talk(port: int, request: bytes) -> bytes:
    """All that comes back to one request, without the date."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    found = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return re.sub(rb"date: [^\r]*\r\n", b"", found)


@pytest.mark.parametrize("request_", [
    GET % b"%b",
    b"GET /%b HTTP/1.0\r\nHost: x\r\n\r\n",
    b"HEAD /%b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /%bclose HTTP/1.1\r\nHost: x\r\n\r\n",
])  # fmt: skip
async def test_the_line_answers_as_messages_do(request_: bytes) -> None:
    async with serving(answer) as port:
        by_line, by_messages = await talk(port, request_ % b"line"), await talk(port, request_ % b"send")

    assert by_line == by_messages
    assert by_line.startswith(b"HTTP/1.1 200 OK\r\n") and by_line.count(b"\r\n\r\n") == 1


async def test_several_requests_on_one_connection_are_answered_in_order() -> None:
    async with serving(answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"line" + GET % b"send" + GET % b"line")
        found = [await asyncio.wait_for(reader.readuntil(b"{}"), 30) for _request in range(3)]
        writer.close()

    assert [each[:15] for each in found] == [b"HTTP/1.1 200 OK"] * 3


async def test_a_header_that_would_break_the_answer_is_left_to_the_server() -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x", b"a\r\nset-cookie: b"), (b"content-length", b"0")]
        assert scope["extensions"][LINE].answer(200, headers, b"") is False

    async with serving(wrong) as port:
        found = await talk(port, GET % b"")

    assert b"set-cookie" not in found


@pytest.mark.parametrize("waiting", [0, 1])
@pytest.mark.parametrize("later", [0, 1])
async def test_who_answers_hears_that_the_client_has_left(waiting: int, later: int) -> None:
    """Also where a further request waits behind the one that is answered, that came with it or after it."""
    begun, gone = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if begun.is_set():
            return
        scope["extensions"][LINE].on_leave(gone.set)
        begun.set()
        await asyncio.wait_for(gone.wait(), 30)
        ended.append((await asyncio.wait_for(receive(), 30))["type"])

    async with serving(slow) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"" * (1 + waiting))
        await begun.wait()
        if later:
            writer.write(GET % b"")
        await asyncio.sleep(0.2)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 30)
        await asyncio.sleep(0.1)

    assert ended[0] == "http.disconnect"


async def test_a_dropped_connection_is_gone_for_who_answers_and_for_the_client() -> None:
    heard: list[str] = []

    async def dropping(scope: Any, receive: Any, send: Any) -> None:
        line: Line = scope["extensions"][LINE]
        line.on_leave(lambda: heard.append("left"))
        await receive()
        line.drop()
        heard.append((await asyncio.wait_for(receive(), 30))["type"])

    async with serving(dropping) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 30)
        writer.close()

    assert heard == ["left", "http.disconnect"]
