"""Hot path. Logs as one JSON object a line, with the request's id, and without anything that looks like a key."""

import json
import logging
import re
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}
# The shapes of vendors' keys and of ours. A second wall: nothing should log them in the first place.
_KEYS = re.compile(
    r"(?i)\b(bearer\s+)[^\s\"',]+|\b(?:sk|rk|gsk|xai|pk|key|AIza|hf|sim)[-_][A-Za-z0-9_\-]{8,}|\bAIza[A-Za-z0-9_\-]{20,}"
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")


def redact(text: str) -> str:
    """The text with everything that looks like a credential replaced by ***."""
    return _URL_PASSWORD.sub(r"\1***@", _KEYS.sub(lambda m: f"{m.group(1) or ''}***", text))


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, logger, event, request_id and the fields given in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        request_id = request_id_var.get()
        if request_id is not None:
            line["request_id"] = request_id
        line.update((k, v) for k, v in record.__dict__.items() if k not in _STANDARD and not k.startswith("_"))
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return redact(json.dumps(line, ensure_ascii=False, default=str))
