"""Worker side. HTTP/1.1 on a raw socket: requests in, bytes out, and the two rude ways to end a connection.

A framework would not do: faults need the socket (a reset, a body that is shorter than promised, one byte at a time).
"""

from __future__ import annotations

import asyncio
import http
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 256 * 1024
# l_onoff=1, l_linger=0: close() sends RST and drops what is unsent (Linux socket(7)).
LINGER_ZERO = struct.pack("ii", 1, 0)

Handler = Callable[["Connection", "Request"], Awaitable[None]]
Headers = Iterable[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """One request, read to its end."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(slots=True)
class _Incoming:
    """A request while its bytes arrive."""

    url: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    header_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """One client connection. Requests on it are served one after the other, each in its own task.

    When the client leaves, the task of the current request is cancelled at once and `gone_at` says when that was.
    """

    def __init__(self, handler: Handler, register: set[Connection]) -> None:
        self._handler = handler
        self._register = register
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = _Incoming()
        self._waiting: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._keep_alive = True
        self._transport: asyncio.Transport | None = None
        self.gone_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods and not the base class.
        self._transport = transport = cast(asyncio.Transport, transport)
        # With no buffer of our own, "written" means that the kernel took it: the journal is exact, and a reset
        # that follows does not swallow earlier bytes.
        transport.set_write_buffer_limits(high=0)
        self._register.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400)

    def eof_received(self) -> bool:
        return False  # a client that half-closes has left: the transport closes, and connection_lost follows

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone_at = time.time()
        self._register.discard(self)
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_url(self, url: bytes) -> None:
        self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._incoming
        incoming.header_bytes += len(name) + len(value)
        if incoming.header_bytes > MAX_HEADER_BYTES:
            self._refuse(431)
            return
        incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._incoming.headers.get("expect", "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._incoming.body += body
        if len(self._incoming.body) > MAX_BODY_BYTES:
            self._incoming.body.clear()
            self._refuse(413)

    def on_message_complete(self) -> None:
        if self.is_closing:
            return
        incoming = self._incoming
        path, _, query = incoming.url.decode("latin-1").partition("?")
        self._waiting.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                path=unquote(path),
                query=dict(parse_qsl(query)),
                headers=incoming.headers,
                body=bytes(incoming.body),
                keep_alive=self._parser.should_keep_alive(),
            )
        )
        if self._task is None:
            self._serve_next()

    def _serve_next(self) -> None:
        request = self._waiting.popleft()
        self._keep_alive = request.keep_alive
        self._task = self._loop.create_task(self._serve(request), name=f"simulator {request.method} {request.path}")
        self._task.add_done_callback(self._after)

    async def _serve(self, request: Request) -> None:
        await self._handler(self, request)

    def _after(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self.abort()
        elif (error := task.exception()) is not None:
            self.abort()
            self._loop.call_exception_handler({"message": "simulator request failed", "exception": error})
        elif not self._keep_alive:
            self.close()
        elif self._waiting and not self.is_closing:
            self._serve_next()

    def _refuse(self, status: int) -> None:
        if not self.is_closing:
            self._write(head_bytes(status, [("connection", "close"), ("content-length", "0")]))
            self.close()

    @property
    def is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task of the request in progress, for the one who shuts down."""
        return self._task

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Return when the kernel has taken the bytes. A client that left cancels the caller instead."""
        self._write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    async def send_head(self, status: int, headers: Headers) -> None:
        extra = [] if self._keep_alive else [("connection", "close")]
        await self.send(head_bytes(status, [*headers, *extra]))

    async def send_chunk(self, data: bytes) -> None:
        """Return when `data` was written as one piece of a chunked body."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_chunks(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def respond(self, status: int, body: bytes, headers: Headers) -> None:
        """Return when a whole response was written, head and body in one piece."""
        extra = [] if self._keep_alive else [("connection", "close")]
        head = head_bytes(status, [*headers, ("content-length", str(len(body))), *extra])
        await self.send(head + body)

    def close(self) -> None:
        """End the connection with a FIN, after what is written, wherever the response stands."""
        self._keep_alive = False
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """End the connection with an RST."""
        self._keep_alive = False
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection now, with whatever the kernel makes of it."""
        if self._transport is not None:
            self._transport.abort()


def head_bytes(status: int, headers: Headers) -> bytes:
    """The status line and headers, ready to be written."""
    try:
        reason = http.HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"  # 529 is not in the registry, yet vendors send it
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
