"""Worker side. What the simulator was asked and what it wrote: the evidence that a bill is compared with."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

KEPT_ENTRIES = 200_000
# Longer answers (giant, endless) are counted in full and kept in part.
KEPT_TEXT_CHARS = 256 * 1024
SECRET_HEADERS = ("authorization", "api-key", "x-api-key")


@dataclass(slots=True)
class Entry:
    """One chat request. `outcome` is open, complete, client_gone, fault:<mode or reason>, or stopped (with the server).

    Counts are of what was written to the socket so far. A streamed chunk with content, reasoning or a piece of a tool
    call is one completion token; a plain answer counts when its whole body was written. Times are epoch seconds.
    """

    index: int
    attempt_id: str
    simulator: str
    model: str
    mode: str
    stream: bool
    received_at: float
    body: Any
    headers: dict[str, str]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    content_chunks_sent: int = 0
    status: int | None = None
    outcome: str = "open"
    client_gone_at: float | None = None
    closed_at: float | None = None
    _pieces: list[str] = field(default_factory=list)
    _chars: int = 0

    @property
    def text(self) -> str:
        """The content written so far, without reasoning and tool calls."""
        return "".join(self._pieces)

    def count(self, tokens: int, text: str) -> None:
        """Record one written piece of the answer."""
        self.completion_tokens += tokens
        self.content_chunks_sent += 1
        self.add_text(text)

    def add_text(self, text: str) -> None:
        kept = text[: KEPT_TEXT_CHARS - self._chars]
        if kept:
            self._pieces.append(kept)
            self._chars += len(kept)

    def as_dict(self) -> dict[str, Any]:
        names = [name for name in self.__slots__ if not name.startswith("_")]
        return {**{name: getattr(self, name) for name in names}, "text": self.text}


class Journal:
    """The last 200,000 entries in memory and, with a path, two JSON lines an entry in a file: at open and at close."""

    def __init__(self, simulator: str, path: Path | None = None) -> None:
        self._simulator = simulator
        self._entries: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._next_index = 0
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def open(self, headers: dict[str, str], body: Any) -> Entry:
        """A new entry for a request that has just been read; `body` is None when it is not JSON."""
        asked = body if isinstance(body, dict) else {}
        entry = Entry(
            index=self._next_index,
            attempt_id=headers.get("x-request-id", ""),
            simulator=self._simulator,
            model=str(asked.get("model", "")),
            mode="",
            stream=asked.get("stream") is True,
            received_at=time.time(),
            body=body,
            headers={k: v[-4:] if k in SECRET_HEADERS else v for k, v in headers.items()},
        )
        self._next_index += 1
        self._entries.append(entry)
        self._append("open", entry)
        return entry

    def close(self, entry: Entry, outcome: str, *, client_gone_at: float | None = None) -> None:
        """Fix the outcome of an entry. The first one counts; later calls change nothing."""
        if entry.outcome != "open":
            return
        entry.outcome = outcome
        entry.client_gone_at = client_gone_at
        entry.closed_at = time.time()
        self._append("close", entry)

    def find(self, attempt_id: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """Entries from index `since` on, oldest first; with `attempt_id` only those of that attempt."""
        return [
            entry.as_dict()
            for entry in self._entries
            if entry.index >= since and (attempt_id is None or entry.attempt_id == attempt_id)
        ]

    def clear(self) -> None:
        """Forget the entries in memory. Indexes go on counting, so that `since` keeps its meaning."""
        self._entries.clear()

    def stop(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, event: str, entry: Entry) -> None:
        if self._file is not None:
            os.write(self._file, orjson.dumps({"event": event, **entry.as_dict()}, option=orjson.OPT_APPEND_NEWLINE))
