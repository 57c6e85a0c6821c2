"""Hot path. Server-sent events as bytes: cut into events, never decoded for the sake of cutting.

Lines end with LF, CRLF or CR and nothing else (WHATWG HTML, section 9.2.6): U+2028 and its like are text.
"""

import re

_LINE = re.compile(rb"\r\n|\n|\r")
# The blank line that ends an event, in every mixture of line ends.
_EVENT_END = re.compile(rb"\r\n\r\n|\r\n\n|\r\n\r(?!\n)|\n\r\n|\n\n|\n\r(?!\n)|\r\r\n|\r\r")
_BOM = b"\xef\xbb\xbf"
# An unfinished event up to this size is joined with each piece that comes; a longer one is collected, for joining
# megabytes with every few kilobytes would hold the event loop for a second.
_JOINED_AT_MOST = 16 * 1024


class EventTooLarge(ValueError):
    """An event grew past the limit before it ended."""


class EventSplitter:
    """Cuts a byte stream into events; each keeps its bytes, blank line included, so that it can be relayed unchanged."""

    __slots__ = ("_limit", "_long", "_long_size", "_rest", "_started", "_tail")

    def __init__(self, limit: int) -> None:
        self._rest = b""
        self._long: list[bytes] = []
        self._long_size = 0
        self._tail = b""
        self._limit = limit
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        """The events that data completes, in order. Raises EventTooLarge."""
        if self._long:
            if not self._collect(data):
                return []
            data = self.rest
            self._long = []
        elif self._rest:
            data = self._rest + data
        if not self._started:
            if len(data) < 3 and _BOM.startswith(data):
                self._rest = data
                return []
            self._started = True
            data = data.removeprefix(_BOM)
        if b"\r" in data:
            events = self._cut_mixed(data)
        else:
            events = data.split(b"\n\n")
            self._rest = events.pop()
            events = [event + b"\n\n" for event in events]
        if len(self._rest) > min(_JOINED_AT_MOST, self._limit):
            self._collect(self._rest)
            self._rest = b""
        return events

    def finish(self) -> list[bytes]:
        """The event that the end of the stream completes: one whose last CR might have been followed by an LF."""
        last = self.rest
        if not last.endswith((b"\r\r", b"\n\r")):
            return []
        self._rest, self._long = b"", []
        return [last]

    def _collect(self, data: bytes) -> bool:
        """Keep a piece of a long event; whether the event may be complete now."""
        self._long_size = self._long_size + len(data) if self._long else len(data)
        if self._long_size > self._limit:
            raise EventTooLarge(f"an event of more than {self._limit} bytes")
        self._long.append(data)
        seam = self._tail + data
        self._tail = data[-3:] if len(data) >= 3 else seam[-3:]
        return b"\n\n" in seam or (b"\r" in seam and _EVENT_END.search(seam) is not None)

    def _cut_mixed(self, data: bytes) -> list[bytes]:
        events, begin = [], 0
        for found in _EVENT_END.finditer(data):
            # A CR at the very end may be half of a CRLF: wait for what follows.
            if found.end() == len(data) and data.endswith(b"\r"):
                break
            events.append(data[begin : found.end()])
            begin = found.end()
        self._rest = data[begin:]
        return events

    @property
    def rest(self) -> bytes:
        """What came after the last complete event."""
        return b"".join(self._long) if self._long else self._rest


def data_of(event: bytes) -> bytes:
    """The data of an event: its data lines joined by LF; empty for a comment or an event without data."""
    if event.startswith(b"data:") and event.count(b"\n") == 2 and b"\r" not in event:
        return event[5:-2].removeprefix(b" ")
    lines = []
    for line in _LINE.split(event):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines)


def event_of(data: bytes) -> bytes:
    """One event that carries data, which has no line end in it."""
    return b"data: " + data + b"\n\n"
