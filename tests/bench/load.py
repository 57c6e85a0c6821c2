"""Worker side. The load: so many connections, each with one request after another, every answer compared byte by byte."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

from tests.bench.messages import unframed
from tests.bench.mock import content_length

OK = b"HTTP/1.1 200 "
LAST_CHUNK = b"0\r\n\r\n"
SILENCE_S = 30.0
RAMP_S = 0.001  # between two connections, so that paced streams do not beat in time


@dataclass(slots=True)
class Tally:
    """What a run of the load saw. done counts all whole answers, done_in_time those before the deadline."""

    done: int = 0
    done_in_time: int = 0
    errors: int = 0
    sample: str = ""  # the first error
    seconds: float = 0.0  # from the first request to the deadline
    latencies_ms: list[float] = field(default_factory=list)

    def note_error(self, text: str) -> None:
        """Count one; the first is kept."""
        self.errors += 1
        self.sample = self.sample or text[:500]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes, what it sends, and the body that must come back."""

    port: int
    request: bytes
    expected: bytes
    is_streamed: bool


class Client(asyncio.Protocol):
    """One connection. Sends the next request until the deadline; an error ends it."""

    transport: asyncio.Transport

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._parts: list[bytes] = []
        self._began = 0.0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but do not derive from the class.
        self.transport = cast(asyncio.Transport, transport)
        self._run.transports.add(self.transport)
        self._send()

    def _send(self) -> None:
        self._is_busy = True
        self._began = time.perf_counter()
        self.transport.write(self._run.target.request)

    def data_received(self, data: bytes) -> None:
        parts, target = self._parts, self._run.target
        parts.append(data)
        # Only a stream's last piece ends in LAST_CHUNK, since events end in two line feeds; it may itself be cut in two.
        if target.is_streamed and len(parts) > 1 and len(data) >= len(LAST_CHUNK) and not data.endswith(LAST_CHUNK):
            return
        whole = data if len(parts) == 1 else b"".join(parts)
        error = stream_error(whole, target.expected) if target.is_streamed else plain_error(whole, target.expected)
        if error is not None:
            parts.clear()
            self._finish(error)

    def _finish(self, error: str) -> None:
        run, now = self._run, time.perf_counter()
        self._is_busy = False
        if error:
            run.tally.note_error(error)
            self.transport.close()
            return
        run.tally.done += 1
        run.tally.latencies_ms.append((now - self._began) * 1000)
        if now < run.deadline:
            run.tally.done_in_time += 1
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_busy:
            said = b"".join(self._parts)[-200:]
            self._run.tally.note_error(f"the connection was lost in the middle of an answer; last bytes: {said!r}")
        self._run.note_closed(self.transport)


class _Run:
    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self.tally = Tally(seconds=seconds)
        self.deadline = time.perf_counter() + seconds
        self.transports: set[asyncio.Transport] = set()
        self.is_over = asyncio.Event()
        self.left = 0

    def note_closed(self, transport: asyncio.Transport) -> None:
        self.transports.discard(transport)
        self.left -= 1
        if self.left <= 0:
            self.is_over.set()


def plain_error(data: bytes, expected: bytes) -> str | None:
    """None while a plain answer is not whole, "" where it is what was expected, else what is wrong."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not data.startswith(OK):
        return f"not 200: {data!r}"
    if len(data) == end + 4 + len(expected) and data.endswith(expected):
        return ""
    size = content_length(data[:end])
    if size is None:
        return f"an answer without its length: {data!r}"
    if len(data) < end + 4 + size:
        return None
    return f"another answer than expected: {data!r}"


def stream_error(data: bytes, expected: bytes) -> str | None:
    """None while a stream is not whole, "" where it is what was expected, else what is wrong."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not data.startswith(OK):
        return f"not 200: {data!r}"
    if b"chunked" not in data[:end].lower():
        return f"not a stream: {data!r}"
    if not data.endswith(LAST_CHUNK):
        return None
    try:
        payload = unframed(data[end + 4 :])
    except ValueError as e:
        return f"a stream with broken framing ({e}): {data[-200:]!r}"
    return "" if payload == expected else f"another stream than expected, which ends: {payload[-300:]!r}"


async def run_load(target: Target, *, connections: int, seconds: float) -> Tally:
    """The tally when the last answer is in. Requests start until the deadline; those that are open then may end."""
    loop = asyncio.get_running_loop()
    run = _Run(target, seconds)
    run.left = connections
    began = time.perf_counter()
    for _ in range(connections):
        await asyncio.sleep(RAMP_S)
        try:
            await loop.create_connection(lambda: Client(run), "127.0.0.1", target.port)
        except OSError as e:
            run.tally.note_error(f"no connection: {e}")
            run.left -= 1
    run.tally.seconds = max(run.deadline - began, 1e-9)
    if run.left > 0:
        try:
            await asyncio.wait_for(run.is_over.wait(), seconds + SILENCE_S)
        except TimeoutError:
            run.tally.note_error(f"{run.left} connections without an answer for {SILENCE_S:.0f} s")
            for transport in list(run.transports):
                transport.abort()
    return run.tally
