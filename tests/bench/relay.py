"""Worker side. The plainest proxy in Python: bytes of one connection to another, nothing read, nothing kept.

What any asyncio gateway costs at least, for machines without nginx. Each client's connection has one to the upstream,
which stays open as long as the client's.

    python -m tests.bench.relay FD UPSTREAM_PORT     # FD: a bound socket, inherited
"""

import asyncio
import socket
import sys
from typing import cast

import uvloop


class Side(asyncio.Protocol):
    """One end of a pair: writes what comes in to the other end, waits for a slow reader, and closes with it."""

    transport: asyncio.Transport

    def __init__(self, other: "Side | None" = None) -> None:
        self.other = other
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but do not derive from the class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class Client(Side):
    """A client's connection; the one to the upstream is opened at once."""

    def __init__(self, port: int, opening: "set[asyncio.Task[None]]") -> None:
        super().__init__()
        self._port = port
        self._opening = opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        task = asyncio.get_running_loop().create_task(self._open(), name="open_upstream")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, upstream = await loop.create_connection(lambda: Side(self), "127.0.0.1", self._port)
        except OSError:
            self.transport.close()
            return
        self.other = upstream
        for data in self.early:
            upstream.transport.write(data)
        if self.transport.is_closing():
            upstream.transport.close()


async def serve(listener: socket.socket, port: int) -> None:
    """Relay to the port until the process is ended."""
    opening: set[asyncio.Task[None]] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Client(port, opening), sock=listener, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
