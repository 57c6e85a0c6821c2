"""Worker side. One answer on its way to the socket: pace, encoding, and the journal kept in step with every write."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from providers.simulator.answers import Answer
from providers.simulator.chunks import ChunkWriter, Event, completion_of
from providers.simulator.errors import JSON, Refusal
from providers.simulator.journal import Entry
from providers.simulator.modes import Asked
from providers.simulator.wire import Connection

SSE = "text/event-stream; charset=utf-8"
# Nothing that hangs hangs longer than this.
MAX_OPEN_S = 600
# An unpaced stream lets others run, and notices a client that left, after this many events.
EVENTS_PER_TURN = 32


def frame(data: bytes) -> bytes:
    """One event of a stream, as OpenAI frames it."""
    return b"data: " + data + b"\n\n"


@dataclass(slots=True)
class Performance:
    """One answer to one request. Whatever writes to the client goes through here.

    `pieces` turns one framed event into what is written, each piece as a chunk of its own; `compressor` gzips them.
    """

    connection: Connection
    asked: Asked
    answer: Answer
    entry: Entry
    stream: bool
    key: str
    frame: Callable[[bytes], bytes] = frame
    pieces: Callable[[bytes], Iterable[bytes]] = lambda data: (data,)
    headers: list[tuple[str, str]] = field(default_factory=list)
    _compressor: Any = None
    _sent: int = 0
    _is_first: bool = True

    @property
    def chunks(self) -> ChunkWriter:
        return ChunkWriter(self.answer, self.asked.mode.name)

    @property
    def pace_s(self) -> float:
        return self.asked.number("pace_ms") / 1000

    def use_gzip(self) -> None:
        """From here on everything is gzip-encoded."""
        self._compressor = zlib.compressobj(wbits=31)
        self.headers.append(("content-encoding", "gzip"))

    async def open_stream(self, content_type: str = SSE) -> None:
        """Return when the headers of a chunked response are out."""
        self.entry.status = 200
        headers = [*self.headers, ("content-type", content_type), ("transfer-encoding", "chunked")]
        await self.connection.send_head(200, headers)

    async def send_event(self, event: Event) -> None:
        """Return when a chunk was written and counted. Content waits for its pace first."""
        if event.tokens:
            await self._keep_pace()
        await self._send_framed(orjson.dumps(event.body))
        if event.tokens:
            self.entry.count(event.tokens, event.text)

    async def send_events(self, events: Iterable[Event]) -> None:
        for event in events:
            await self.send_event(event)

    async def send_json_event(self, body: dict[str, Any]) -> None:
        await self._send_framed(orjson.dumps(body))

    async def send_raw(self, data: bytes) -> None:
        """Return when `data` was written as one chunk of the body, as it is."""
        if self._compressor is not None:
            data = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self.connection.send_chunk(data)

    async def end_stream(self, *, is_done: bool = True) -> None:
        """Return when the body was ended cleanly, with [DONE] or without."""
        if is_done:
            await self._send_framed(b"[DONE]")
        if self._compressor is not None:
            await self.connection.send_chunk(self._compressor.flush())
        await self.connection.end_chunks()

    async def send_plain(self, body: bytes, *, tokens: int, text: str) -> None:
        """Return when a whole plain answer was written and counted."""
        if self._compressor is not None:
            body = self._compressor.compress(body) + self._compressor.flush()
        self.entry.status = 200
        await self.connection.respond(200, body, [*self.headers, ("content-type", JSON)])
        self.entry.completion_tokens = tokens
        self.entry.add_text(text)

    async def send_refusal(self, refusal: Refusal) -> None:
        """Return when an error response was written."""
        self.entry.status = refusal.status
        headers = [*self.headers, ("content-type", refusal.content_type), *refusal.headers]
        await self.connection.respond(refusal.status, refusal.body, headers)

    async def wait_as_if_written(self) -> None:
        """Return when a plain answer would be ready, at the pace of a streamed one."""
        await asyncio.sleep(self.pace_s * self.answer.completion_tokens)

    def plain_body(self) -> bytes:
        return orjson.dumps(completion_of(self.answer, self.asked.mode.name))

    def plain_text(self) -> str:
        return "".join(piece for choice in self.answer.choices for piece in choice.content)

    async def hang(self) -> None:
        """Return after ten minutes, unless the client leaves before."""
        await asyncio.sleep(MAX_OPEN_S)

    async def _send_framed(self, data: bytes) -> None:
        for piece in self.pieces(self.frame(data)):
            await self.send_raw(piece)
        self._sent += 1
        if self._sent % EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)

    async def _keep_pace(self) -> None:
        if not self._is_first and self.pace_s:
            await asyncio.sleep(self.pace_s)
        self._is_first = False
