"""Worker side. The mock upstream: ready-made bytes from a raw asyncio protocol.

python -m tests.bench.mock FD     # FD: a bound socket, inherited
"""

import asyncio
import socket
import sys
from typing import cast

import uvloop

from tests.bench.messages import BURST, PACE_S, PACED, StreamParts, plain_answer, stream_parts

PLAIN_ANSWER = plain_answer()
BURST_PARTS, PACED_PARTS = stream_parts(BURST), stream_parts(PACED)
_BURST, _PACED = BURST.encode(), PACED.encode()
_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Mock(asyncio.Protocol):
    """One connection. Answers each request with a Content-Length; refuses what it cannot read."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._position = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but do not derive from the class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        size = content_length(data[:end])
        if size is None:
            self.transport.write(_REFUSAL)
            self.transport.close()
            return
        if len(data) < end + 4 + size:
            self._buffer = data
            return
        self._buffer = b""
        self._answer(data[end + 4 :])

    def _answer(self, body: bytes) -> None:
        if _BURST in body:
            self._start(BURST_PARTS, 0.0)
        elif _PACED in body:
            self._start(PACED_PARTS, PACE_S)
        else:
            self.transport.write(PLAIN_ANSWER)

    def _start(self, parts: StreamParts, pace_s: float) -> None:
        self._position = 0
        self.transport.write(parts.start)
        self._wait(parts, pace_s)

    def _wait(self, parts: StreamParts, pace_s: float) -> None:
        # Also without a pace each chunk is a write in a turn of the loop of its own, as tokens come one by one.
        if pace_s:
            self._loop.call_later(pace_s, self._go_on, parts, pace_s)
        else:
            self._loop.call_soon(self._go_on, parts, pace_s)

    def _go_on(self, parts: StreamParts, pace_s: float) -> None:
        if self.transport.is_closing():
            return
        if self._position == len(parts.chunks):
            self.transport.write(parts.end)
            return
        self.transport.write(parts.chunks[self._position])
        self._position += 1
        self._wait(parts, pace_s)


def content_length(head: bytes) -> int | None:
    """The length that a head announces; None where it announces none."""
    head = head.lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return None
    line, _, _ = head[start + 17 :].partition(b"\r\n")
    return int(line)


async def serve(listener: socket.socket) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Mock, sock=listener, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
