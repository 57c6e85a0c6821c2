"""A client that asks many times at once, forgives nothing and keeps what it got."""

import asyncio
import re
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.stack import KEY, Stack

DONE = b"[DONE]"


@dataclass(slots=True)
class Reply:
    """One answer of the router. bad: why it cannot be what a client was promised, None where nothing is wrong."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_cut: bool = False
    seconds: float = 0.0
    chunks: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    is_done: bool = False
    bad: str | None = None

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def is_streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def choices(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [choice for chunk in self.chunks for choice in chunk["choices"]]
        return found

    @property
    def text(self) -> str:
        """All that was said, by the stream's chunks or the plain message."""
        if self.is_streamed:
            return "".join(choice["delta"].get("content") or "" for choice in self.choices)
        return str(self.json["choices"][0]["message"]["content"])

    @property
    def pieces(self) -> int:
        """How many chunks carried content."""
        return sum(bool(choice["delta"].get("content")) for choice in self.choices)

    @property
    def finishes(self) -> list[str]:
        if not self.is_streamed:
            return [choice["finish_reason"] for choice in self.json["choices"] if choice["finish_reason"]]
        return [choice["finish_reason"] for choice in self.choices if choice.get("finish_reason")]

    @property
    def usage(self) -> dict[str, Any] | None:
        """The last usage that the client was shown."""
        if not self.is_streamed:
            return self.json.get("usage")
        return next((chunk["usage"] for chunk in reversed(self.chunks) if chunk.get("usage")), None)

    def read_events(self) -> None:
        """Fill chunks, error and is_done from the body of a stream; the first thing that must not be is kept in bad."""
        blocks = re.split(rb"\r\n\r\n|\n\n|\r\r", self.body)
        if blocks.pop():
            self.bad = "the body ends within an event"
        for block in blocks:
            lines = [line[5:].removeprefix(b" ") for line in re.split(rb"\r\n|\n|\r", block) if line[:5] == b"data:"]
            data = b"\n".join(lines)
            if not data:
                continue
            if self.is_done or self.error:
                self.bad = f"more after the end: {data[:80]!r}"
            elif data == DONE:
                self.is_done = True
            else:
                self._read_event(data)

    def _read_event(self, data: bytes) -> None:
        try:
            event = orjson.loads(data.decode())
        except ValueError:
            self.bad = f"not JSON: {data[:80]!r}"
            return
        if "error" in event:
            self.error = event["error"]
        elif "choices" not in event:
            self.bad = f"not a chunk: {data[:80]!r}"
        else:
            self.chunks.append(event)


async def ask(session: aiohttp.ClientSession, url: str, body: Any, **headers: str) -> Reply:
    """The answer to one chat request, read to its end or to its break."""
    reply, loop = Reply(), asyncio.get_running_loop()
    began = loop.time()
    try:
        sent = {"Authorization": f"Bearer {KEY}", **headers}
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=sent) as response:
            reply.status = response.status
            reply.headers = {name.lower(): value for name, value in response.headers.items()}
            parts = []
            try:
                async for part in response.content.iter_any():
                    parts.append(part)
            finally:
                reply.body = b"".join(parts)
    except (aiohttp.ClientError, ConnectionError):
        reply.is_cut = True
    reply.seconds = loop.time() - began
    if reply.is_streamed:
        reply.read_events()
    return reply


async def ask_often(url: str, body: Any, count: int, at_once: int) -> list[Reply]:
    """That many answers to the same request, so many of them at once."""
    gate = asyncio.Semaphore(at_once)
    timeout, connector = aiohttp.ClientTimeout(total=60), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def one() -> Reply:
            async with gate:
                return await ask(session, url, body)

        return list(await asyncio.gather(*(one() for _turn in range(count))))


def chat(model: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A chat request; a streamed one asks for usage."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Say something"}], **more}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def models_of(stack: Stack, key: str = KEY, *, query: str = "?tags=true") -> dict[str, dict[str, Any]]:
    """What GET /v1/models lists for a key, by id in its order."""
    request = urllib.request.Request(f"{stack.url}/v1/models{query}", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = orjson.loads(answer.read())
    assert found["object"] == "list"
    return {entry["id"]: entry for entry in found["data"]}


def listed(stack: Stack, key: str = KEY) -> set[str]:
    """The names that GET /v1/models lists for a key, tags as well."""
    return set(models_of(stack, key))
