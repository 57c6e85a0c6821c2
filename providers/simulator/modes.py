"""Worker side. The table of what the simulator can be asked to do, and the reader of a model's suffix.

A model is asked for as `<model>`, `<model>!<mode>` or `<model>!<mode>:option=number,option=number`. Every mode accepts
`first_ms` (wait before the first byte), `pace_ms` (wait between pieces of content; a plain answer waits for their sum)
and `chunks` (how many pieces of content; otherwise the answer has its natural length).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# ok: the answer is whole.   before, after: it breaks before or after the first content.
# either: the answer is whole, and a reader may well refuse it before its first content (too big, encoded).
Stage = Literal["ok", "before", "after", "either"]
COMMON_OPTIONS = frozenset({"first_ms", "pace_ms", "chunks"})


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to behave.

    `streamed` and `plain` say where an answer breaks; `expects` is the error class of DESIGN.md section 6 that a reader
    should see; `waits` names the reader's deadline that must end it (None: the break is immediate); `options` are the
    mode's own with their defaults (None: off unless given).
    """

    name: str
    summary: str
    streamed: Stage = "ok"
    plain: Stage = "ok"
    expects: str | None = None
    waits: Literal["first_byte", "idle", "total"] | None = None
    status: int | None = 200
    options: Mapping[str, float | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _healthy(name: str, summary: str, **options: float | None) -> Mode:
    return Mode(name, summary, options=options)


def _refusal(name: str, status: int, expects: str, summary: str, **options: float | None) -> Mode:
    return Mode(name, summary, "before", "before", expects, status=status, options=options)


def _broken(name: str, expects: str, summary: str, *, status: int | None = 200, **options: float | None) -> Mode:
    """A fault before the first content, whether streamed or not, that shows at once."""
    return Mode(name, summary, "before", "before", expects, status=status, options=options)


def _cut(name: str, plain: Stage, expects: str, summary: str, **options: float | None) -> Mode:
    """A fault after the first content of a stream."""
    return Mode(name, summary, "after", plain, expects, options=options)


_TABLE = (
    _healthy("ok", "answers"),
    _healthy("slow-first-byte", "answers after a long wait", first_ms=3000),
    _healthy("crlf", "ends lines with CRLF, adds comments, spreads some events over several data lines"),
    _healthy("split", "writes the stream in pieces of `bytes` bytes, through characters and line ends", bytes=3),
    _healthy("unicode", "answers with several scripts, emoji, U+2028, U+2029 and U+0085"),
    _healthy("other-model", "names a model in its answer that was not asked for"),
    _healthy("cost", "adds `cost` in USD to usage, as OpenRouter does"),
    _healthy("no-usage", "never reports usage"),
    _healthy("usage-null", "reports usage as null"),
    _healthy("usage-every-chunk", "reports cumulative usage on every chunk, asked or not"),
    _healthy("usage-twice", "sends two usage chunks, of which the last is right"),
    _healthy("no-done", "ends the body cleanly after finish reason and usage, without [DONE]"),
    Mode("big-headers", "answers with one header of `kb` KiB", "either", "either", "GARBAGE", options={"kb": 64}),
    Mode("gzip", "answers gzip-encoded although nobody asked for that", "either", "either", "GARBAGE"),
    Mode("giant", "answers with one event of `mb` MiB", "either", "either", "GARBAGE", options={"mb": 8}),
    _refusal("400", 400, "REQUEST", "refuses a parameter"),
    _refusal("context", 400, "CONTEXT", "says that the prompt is too long for the model"),
    _refusal("content-filter", 400, "CONTENT", "says that the prompt violates a policy"),
    _refusal("401", 401, "KEY", "says that the key is wrong"),
    _refusal("402", 402, "KEY", "says that the balance is used up"),
    _refusal("403", 403, "KEY_MODEL", "says that this key may not use this model"),
    _refusal("404", 404, "MODEL", "says that the model does not exist"),
    _refusal("404-html", 404, "CHANNEL", "sends a web server's own 404 page, as a wrong base URL does"),
    _refusal("redirect", 302, "CHANNEL", "redirects to its own list of models"),
    _refusal("429", 429, "RATE", "limits the rate; with `ra`, Retry-After in seconds", ra=None),
    _refusal("529", 529, "RATE", "is overloaded, in Anthropic's way; with `ra`, Retry-After", ra=None),
    _refusal("500", 500, "TRANSIENT", "fails"),
    _refusal("502", 502, "TRANSIENT", "has lost its own upstream"),
    _refusal("503", 503, "TRANSIENT", "is overloaded; with `ra`, Retry-After (then RATE fits as well)", ra=None),
    _broken("reset", "TRANSIENT", "resets the connection instead of answering", status=None),
    _broken("close", "TRANSIENT", "closes the connection instead of answering", status=None),
    Mode("hang", "never answers", "before", "before", "TRANSIENT", "first_byte", None),
    Mode("slow-headers-then-hang", "sends headers, and never a body", "before", "before", "TRANSIENT", "first_byte"),
    Mode("trickle", "sends a byte every `ms`, its first event after minutes", "before", "before", "TRANSIENT",
         "first_byte", options={"ms": 200}),
    Mode("comments-then-hang", "sends a comment (plain: a blank line) every `ms` for ever", "before", "before",
         "TRANSIENT", "first_byte", options={"ms": 200}),
    _broken("html", "GARBAGE", "sends an HTML page with status 200"),
    _broken("empty", "GARBAGE", "sends an empty body with status 200"),
    _broken("broken-json", "GARBAGE", "sends truncated JSON (a stream: as its first event, then the answer)"),
    _broken("bad-utf8", "GARBAGE", "sends bytes that are not UTF-8 (a stream: in its first event, then the answer)"),
    _broken("error-200", "TRANSIENT", "sends an error object with status 200 (a stream: as its first event)"),
    _broken("role-then-error", "TRANSIENT", "sends a role and empty content, then an error event (plain: error-200)"),
    _cut("error-midstream", "before", "TRANSIENT", "sends `after` pieces, then an error event (plain: error-200)",
         after=5),
    _cut("cut", "before", "TRANSIENT", "resets after `after` pieces (plain: after half of the body)", after=5),
    _cut("cut-fin", "before", "TRANSIENT", "closes after `after` pieces, the body unfinished (plain: half)", after=5),
    _cut("no-finish", "ok", "TRANSIENT", "ends the body cleanly without finish reason, usage and [DONE] "
         "(plain: without finish reason and usage)"),
    Mode("content-then-hang", "falls silent after `after` pieces (plain: after half of the body)", "after", "before",
         "TRANSIENT", "idle", options={"after": 5}),
    Mode("endless", "sends content without end (plain: a body without end)", "after", "before", "GARBAGE", "total",
         options={"pace_ms": 2}),
)  # fmt: skip
MODES: Mapping[str, Mode] = {mode.name: mode for mode in _TABLE}


class UnknownMode(ValueError):
    """The suffix of a model's name cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A model's name, read: the model itself, the mode and the options with defaults filled in."""

    model: str
    mode: Mode
    options: Mapping[str, float | None]

    def number(self, option: str, default: float = 0) -> float:
        value = self.options.get(option)
        return default if value is None else value


def parse_model(name: str) -> Asked:
    """What a model's name asks for. Raises UnknownMode for a mode, option or number that does not exist."""
    model, mark, suffix = name.partition("!")
    mode_name, _, given = suffix.partition(":")
    if not mark:
        mode_name = "ok"
    mode = MODES.get(mode_name)
    if mode is None:
        raise UnknownMode(f"there is no mode '{mode_name}'; GET /__modes lists them")
    options: dict[str, float | None] = dict(mode.options)
    for item in filter(None, given.split(",")):
        key, _, text = item.partition("=")
        if key not in COMMON_OPTIONS and key not in mode.options:
            raise UnknownMode(f"mode '{mode_name}' has no option '{key}'")
        options[key] = _read_number(text, item)
    return Asked(model, mode, options)


def _read_number(text: str, item: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise UnknownMode(f"'{item}' is not option=number") from None
    if not 0 <= number < 1e9:
        raise UnknownMode(f"'{item}' is out of range")
    return number
