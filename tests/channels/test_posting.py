"""How requests are posted: their heads, and the connections that they leave behind."""

import asyncio
import contextlib
import time

import aiohttp
import pytest
from yarl import URL

from channels.upstream import read_answer
from smartrouter.lib.errors import ErrorClass, UpstreamError
from smartrouter.lib.outbound import AddressPolicy, Target, open_session, post
from smartrouter.lib.sealing import Secret
from tests.channels.raw_upstream import PAUSE, RawUpstream, plain, raw_upstream

pytestmark = pytest.mark.asyncio

ANSWER = b'{"choices":[{"message":{"content":"hi"}}]}'
CONNECTING = aiohttp.ClientTimeout(total=None, sock_connect=5)


def heads(upstream: RawUpstream, name: bytes) -> list[bytes]:
    """The values of a header in the first request."""
    lines = upstream.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [line.partition(b":")[2].strip() for line in lines if line.lower().startswith(name + b":")]


async def ask(upstream: RawUpstream) -> str:
    """The text of one answer."""
    doc = await read_answer(await upstream.send(), upstream.candidate.channel)
    return str(doc["choices"][0]["message"]["content"])


async def test_every_header_stands_there_once() -> None:
    async with raw_upstream([plain(200, ANSWER)]) as upstream:
        assert await ask(upstream) == "hi"

        host = f"127.0.0.1:{upstream.candidate.channel.chat.url.port}".encode()
        assert upstream.requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: ")
        assert [heads(upstream, name) for name in (b"host", b"user-agent", b"accept", b"content-type")] == [
            [host], [b"SmartRouter"], [b"*/*"], [b"application/json"]
        ]  # fmt: skip


async def test_a_channels_own_user_agent_replaces_ours() -> None:
    async with raw_upstream([plain(200, ANSWER)], headers=Secret({"user-agent": "Acme", "X-Team": "blüe"})) as upstream:
        await ask(upstream)

        assert heads(upstream, b"user-agent") == [b"Acme"]
        assert heads(upstream, b"x-team") == ["blüe".encode()]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: b", "a\nb", "a\r\nb\r\nc", "a\0b", "a\r\n"])
async def test_a_header_with_a_line_break_is_never_sent(value: str) -> None:
    async with raw_upstream([plain(200, ANSWER)], headers=Secret({"X-Team": value})) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await upstream.send()

        assert (caught.value.kind, upstream.requests) == (ErrorClass.CHANNEL, [])


async def test_a_connection_is_used_again_unless_the_upstream_closes_it() -> None:
    scripts = [[plain(200, ANSWER)], [plain(200, ANSWER, b"Connection: close")], [plain(200, ANSWER)]]
    async with raw_upstream(*scripts) as upstream:
        for connections in (1, 1, 2):
            await ask(upstream)
            assert upstream.connections == connections


async def test_what_comes_before_the_answer_is_passed_over() -> None:
    first = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with raw_upstream([*first, PAUSE, plain(200, ANSWER)]) as upstream:
        assert await ask(upstream) == "hi"


async def test_an_answer_that_comes_before_the_body_was_sent_costs_the_connection() -> None:
    """The rest of the body would stand before the next request."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain(413, b"{}"))
        await writer.drain()
        await asyncio.sleep(60)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    target = Target(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    async with open_session(AddressPolicy.parse(["127.0.0.0/8"])) as session:
        for _ in range(2):
            reply = await post(session, target, {}, b"x" * 30_000_000, timeout=CONNECTING)
            assert (reply.status, await reply.content.read()) == (413, b"{}")
    server.close()

    assert connections == 2


async def test_a_dropped_answer_leaves_nothing_to_be_sent() -> None:
    """An upstream that does not read would else keep the connection, and the body in our memory, for as long as it likes."""
    lost = asyncio.Event()

    class Upstream(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")

    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    target = Target(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    async with open_session(AddressPolicy.parse(["127.0.0.0/8"])) as session:
        reply = await post(session, target, {}, b"x" * 30_000_000, timeout=CONNECTING)
        protocol = reply.content._protocol
        protocol.connection_lost = lambda _error: lost.set()  # type: ignore[method-assign]
        reply.close()
        await asyncio.wait_for(lost.wait(), 30)
    server.close()


async def test_a_connection_that_the_upstream_has_left_is_not_used_again() -> None:
    """Its goodbye is there, but the event loop has not read it yet."""
    served = 0

    class Upstream(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            nonlocal served
            served += data.count(b"POST ")
            self._transport.write(plain(200, b"{}"))
            self._transport.close()

    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    target = Target(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    async with open_session(AddressPolicy.parse(["127.0.0.0/8"])) as session:
        for _ in range(50):
            reply = await post(session, target, {}, b"{}", timeout=CONNECTING)
            assert await reply.content.read() == b"{}"
            time.sleep(0.002)  # the goodbye arrives, and nobody reads it
    server.close()

    assert served == 50


async def test_a_new_connection_is_used_whatever_the_upstream_says_first() -> None:
    """As TLS does, with its session tickets: it is no goodbye."""
    connections = 0

    class Upstream(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal connections
            connections += 1
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.write(plain(200, b"{}"))

    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    target = Target(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    async with open_session(AddressPolicy.parse(["127.0.0.0/8"])) as session:
        with contextlib.suppress(aiohttp.ClientError):  # where the words were read before there was a reader
            reply = await post(session, target, {}, b"{}", timeout=CONNECTING)
            assert await reply.content.read() == b"{}"
    server.close()

    assert connections == 1
