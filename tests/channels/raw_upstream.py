"""An upstream that says exactly the bytes it is told to, and the candidate that leads to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import orjson
from yarl import URL

from channels.records import Candidate, ChannelRecord, KeyRecord
from channels.upstream import headers_of, send_request
from providers.adapters.openai import OPENAI
from smartrouter.lib.outbound import AddressPolicy, Reply, Target, open_session
from smartrouter.lib.sealing import Secret

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
# A pause within a script: what follows comes in a packet of its own.
PAUSE = b""
HANG_UP = b"hang up"
KEY = "a-key-without-any-known-shape-42"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def plain(status: int, body: bytes, *headers: bytes) -> bytes:
    """A whole answer."""
    lines = [b"HTTP/1.1 %d X" % status, b"Content-Length: %d" % len(body), b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(slots=True)
class RawUpstream:
    """requests: heads and bodies as they came; connections: how many were opened."""

    candidate: Candidate
    session: aiohttp.ClientSession
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def send(self, payload: Any = None) -> Reply | aiohttp.ClientResponse:
        """The answer to one request."""
        channel = self.candidate.channel
        headers = headers_of(channel, channel.keys[0], "tag-1")
        return await send_request(self.session, self.candidate, orjson.dumps(payload or {"model": "m"}), headers)


@asynccontextmanager
async def raw_upstream(*scripts: Sequence[bytes], headers: Secret | None = None) -> AsyncIterator[RawUpstream]:
    """An upstream that answers the first request by the first script, and so on, over as many connections as it gets."""
    waiting = list(scripts)
    found: RawUpstream | None = None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert found is not None
        found.connections += 1
        try:
            while waiting:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                found.requests.append(head + await reader.readexactly(size))
                for part in waiting.pop(0):
                    if part == HANG_UP:
                        return
                    if part == PAUSE:
                        await asyncio.sleep(0.03)
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions")
    channel = ChannelRecord(
        kind="official",
        region="",
        zone=ZoneInfo("UTC"),
        ref=1, name="raw", provider="raw", adapter=OPENAI, chat=Target(url), owner=None, is_active=True, priority=1,
        weight=1.0, keys=(KeyRecord(1, "one", Secret(KEY)),), headers=headers, proxy_url=None, params={},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5), first_content_s=5, idle_s=5, total_s=5,
    )  # fmt: skip
    candidate = Candidate(1, channel, "m", ("m",), "m", True, 1, 1.0)
    async with server, open_session(AddressPolicy.parse(["127.0.0.0/8"])) as session:
        found = RawUpstream(candidate, session)
        yield found
