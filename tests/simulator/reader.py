"""Worker side. A plain reader of chat answers that notes everything and forgives nothing."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp

KEY = "sk-simulator-test-1234"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ENOUGH_BYTES = 32 * 1024 * 1024
DONE = "[DONE]"


@dataclass(slots=True)
class Seen:
    """What a reader saw of one answer. `broken`: why the first unusable event or body was so, None if none was."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    end: Literal["clean", "cut", "timeout"] = "clean"
    events: list[Any] = field(default_factory=list)
    broken: str | None = None

    @property
    def pieces(self) -> list[str]:
        """The streamed pieces of content, empty ones left out."""
        deltas = [choice["delta"] for event in self._chunks() for choice in event["choices"]]
        return [delta["content"] for delta in deltas if delta.get("content")]

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def finishes(self) -> list[str]:
        reasons = [choice["finish_reason"] for event in self._chunks() for choice in event["choices"]]
        return [reason for reason in reasons if reason]

    @property
    def usages(self) -> list[dict[str, Any]]:
        return [event["usage"] for event in self._chunks() if event.get("usage")]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def _chunks(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event != DONE and "choices" in event]


def chat_body(model: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A chat request; a streamed one asks for usage."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Say something"}], **more}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


async def read_chat(
    base_url: str, body: Any, *, attempt: str = "", timeout_s: float = 5, headers: dict[str, str] | None = None
) -> Seen:
    """What came back, to its end, to a break, or to the deadline."""
    seen = Seen()
    sent = {**HEADERS, "X-Request-Id": attempt, **(headers or {})}
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(
                max_field_size=1 << 20, max_line_size=1 << 20, auto_decompress=True, headers=sent
            ) as session,
            session.post(f"{base_url}/chat/completions", json=body, allow_redirects=False) as response,
        ):
            seen.status = response.status
            seen.headers = {name.lower(): value for name, value in response.headers.items()}
            async for data in response.content.iter_any():
                seen.body += data
                if len(seen.body) > ENOUGH_BYTES:
                    break
    except TimeoutError:
        seen.end = "timeout"
    except (aiohttp.ClientError, ConnectionError):
        seen.end = "cut"
    if "text/event-stream" in seen.headers.get("content-type", ""):
        _read_events(seen)
    return seen


def _read_events(seen: Seen) -> None:
    """Split by the rules of server-sent events; stop at the first event that cannot be used."""
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\n|\r", seen.body):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            seen.broken = _read_event(seen, b"\n".join(data))
            if seen.broken:
                return
            data = []


def _read_event(seen: Seen, data: bytes) -> str | None:
    if data == DONE.encode():
        seen.events.append(DONE)
        return None
    try:
        event = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return "utf-8"
    except ValueError:
        return "json"
    seen.events.append(event)
    return "error" if "error" in event else None
