"""Hot path. A chat completion stream after its first content: relayed as bytes, scanned for the little that matters.

Most events are searched for a few byte patterns and never parsed. Inside JSON text a quotation mark is escaped, so that a
pattern such as `"usage"` cannot be the model's words followed by a colon.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from django.utils.translation import gettext_noop

from providers.dialects import openai_chat
from providers.usage import Usage
from smartrouter.lib.sse import data_of, event_of

_OBJECT_STARTS = (b"data: {", b"data:{")
_OBJECT_ENDS = (b"}\n\n", b"}\r\n\r\n")


_ERROR_LINE = re.compile(rb"^event: ?error\b", re.M)


class BadEvent(ValueError):
    """An event is not what the dialect promises."""


class StreamScanner:
    """Follows one stream. charge_usd gives what a usage costs the caller; usage is kept from its last appearance."""

    __slots__ = (
        "_at_usage", "_charge_usd", "_overhead", "_template", "error", "events", "finish_reason", "is_done", "model",
        "text_size", "usage", "usage_doc",
    )  # fmt: skip

    def __init__(self, charge_usd: Callable[[Usage], float | None]) -> None:
        self._charge_usd = charge_usd
        self._overhead = 0
        self._template: dict[str, Any] = {}
        self._at_usage = 0
        self.usage: Usage | None = None
        self.usage_doc: dict[str, Any] = {}
        self.model = ""
        self.finish_reason = ""
        self.events = 0
        self.text_size = 0
        self.is_done = False
        self.error: dict[str, Any] | None = None

    def begin(self, event: bytes) -> None:
        """Learn from the first event with content what this stream's events look like."""
        doc = orjson.loads(data_of(event))
        self._template = doc
        model = doc.get("model")
        self.model = model[:200] if isinstance(model, str) else ""
        text = sum(openai_chat.text_bytes(choice.get("delta")) for choice in openai_chat.choices_of(doc))
        self._overhead = max(0, len(event) - text)

    def scan(self, event: bytes) -> bytes:
        """The bytes to relay for an event: most often the event itself, nothing for a usage chunk and for [DONE].

        Raises BadEvent. After an error event or [DONE] (see error, is_done) nothing more is relayed.
        """
        if not event.isascii():
            try:
                event.decode()
            except UnicodeDecodeError as e:
                raise BadEvent(gettext_noop("the stream is not UTF-8")) from e
        if b"[DONE]" in event and data_of(event).strip().startswith(openai_chat.DONE):
            self.is_done = True
            return b""
        has_usage = b'"usage"' in event and not _is_null(event, b'"usage"')
        has_finish = b'"finish_reason"' in event and not _is_null(event, b'"finish_reason"')
        is_object = event.startswith(_OBJECT_STARTS) and event.endswith(_OBJECT_ENDS)
        if has_usage or has_finish or b'"error"' in event or not is_object:
            return self._read(event)
        self._count(event)
        return event

    def _read(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data:
            return event
        try:
            doc = orjson.loads(data)
        except orjson.JSONDecodeError as e:
            raise BadEvent(gettext_noop("an event of the stream is not JSON")) from e
        if not isinstance(doc, dict):
            raise BadEvent(gettext_noop("an event of the stream is not a JSON object"))
        if openai_chat.error_object(doc):
            self.error = doc
            return b""
        if _ERROR_LINE.search(event):
            self.error = {"error": doc}
            return b""
        choices = openai_chat.choices_of(doc)
        reasons = [choice.get("finish_reason") for choice in choices]
        self.finish_reason = next((str(reason) for reason in reasons if reason), self.finish_reason)
        if any(openai_chat.is_content(choice.get("delta")) for choice in choices):
            self._count(event)
        found = openai_chat.usage_in(doc)
        if found is None:
            if not isinstance(doc.get("usage"), dict):
                return event
            doc["usage"] = None  # a usage without counts: there may be the upstream's cost in it
            return event_of(orjson.dumps(doc))
        self.usage = openai_chat.read_usage(found)
        self.usage_doc = found
        self._at_usage = self.estimated_tokens()
        if not choices:
            return b""
        openai_chat.show_usage(doc, openai_chat.with_charge(found, self._charge_usd(self.usage)))
        return event_of(orjson.dumps(doc))

    def _count(self, event: bytes) -> None:
        self.events += 1
        self.text_size += max(0, len(event) - self._overhead)

    def restart_count(self) -> None:
        """Forget what was counted so far: it came before the first content."""
        self.events = self.text_size = self._at_usage = 0

    def used(self) -> Usage | None:
        """What was used when a stream ends early: the last reported usage and what went by since; None where none came."""
        since = self.estimated_tokens() - self._at_usage
        if self.usage is None or since <= 0:
            return self.usage
        return replace(self.usage, completion_tokens=self.usage.completion_tokens + since, is_estimated=True)

    def whole(self) -> Usage | None:
        """What was used by a stream that ended well: the last reported usage, unless it came before there was anything."""
        return self.usage if self.usage is None or self.usage.completion_tokens else self.used()

    def estimated_tokens(self) -> int:
        """About how many tokens went by: one an event where the vendor sends token by token, else by size."""
        if self.text_size <= openai_chat.TOKEN_EVENT_BYTES * self.events:
            return self.events
        return -(-self.text_size // openai_chat.BYTES_PER_TOKEN)

    def last_events(self, usage: Usage, *, wants_usage: bool) -> bytes:
        """What ends a whole stream: the usage chunk with our charge where the client asked for it, then [DONE]."""
        found = self.usage_doc or openai_chat.usage_object(usage)
        shown = openai_chat.with_charge(found, self._charge_usd(usage))
        last = openai_chat.usage_event(self._template, shown) if wants_usage else b""
        return last + event_of(openai_chat.DONE)


def _is_null(event: bytes, name: bytes) -> bool:
    """Whether every field of that name is null (for a name that occurs): Groq has one at the top and one in x_groq."""
    begin = event.find(name)
    while begin >= 0:
        begin += len(name)
        if not event[begin : begin + 16].lstrip(b" \t:").startswith(b"null"):
            return False
        begin = event.find(name, begin)
    return True
