"""Worker side. The translatable strings of Python modules and Django templates, without xgettext."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.extract import extract_python
from django.utils.translation.template import templatize

# Which argument of a call is what: Babel counts from 1, "c" marks the context.
_PLAIN = (1,)
_PLURAL = (1, 2)
_CONTEXT = ((1, "c"), 2)
_CONTEXT_PLURAL = ((1, "c"), 2, 3)
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...]] = {
    "_": _PLAIN,
    "gettext": _PLAIN,
    "gettext_lazy": _PLAIN,
    "gettext_noop": _PLAIN,
    "ngettext": _PLURAL,
    "ngettext_lazy": _PLURAL,
    "pgettext": _CONTEXT,
    "pgettext_lazy": _CONTEXT,
    "npgettext": _CONTEXT_PLURAL,
    "npgettext_lazy": _CONTEXT_PLURAL,
}
_SKIPPED_FOLDERS = {"__pycache__", "locale", "migrations", "node_modules", "tests"}


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One string to translate."""

    text: str
    plural: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable(Exception):
    """A source that cannot be read for strings: where, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def messages_below(folder: Path) -> set[Message]:
    """The messages of every .py and .html file below the folder. Raises Unreadable."""
    found: set[Message] = set()
    for path in sources_below(folder):
        text = path.read_text(encoding="utf-8")
        found |= (
            messages_of_template(text, str(path)) if path.suffix == ".html" else messages_of_python(text, str(path))
        )
    return found


def messages_of_python(source: str, place: str) -> set[Message]:
    """The messages of a module: those whose text is a literal. Raises Unreadable where the tokens make no sense."""
    found: set[Message] = set()
    lines = io.BytesIO(source.encode())
    try:
        for _line, function, arguments, _comments in extract_python(lines, KEYWORDS, [], {"encoding": "utf-8"}):
            message = _message(KEYWORDS[str(function)], arguments)
            if message is not None:
                found.add(message)
    except (SyntaxError, IndentationError, ValueError) as e:
        raise Unreadable(place, str(e)) from e
    return found


def messages_of_template(source: str, place: str) -> set[Message]:
    """The messages of a template. Raises Unreadable for a block that Django cannot read."""
    try:
        calls = templatize(source, origin=place)
    except SyntaxError as e:
        raise Unreadable(place, str(e)) from e
    # What is not a message is filled with X; its indentation would be nonsense to Python's tokenizer.
    return messages_of_python("\n".join(line.lstrip() for line in calls.splitlines()), place)


def _message(keyword: tuple[int | tuple[int, str], ...], arguments: object) -> Message | None:
    """The message of one call; None for one whose text is not a literal."""
    given = [arguments] if isinstance(arguments, str) else list(arguments) if isinstance(arguments, tuple) else []
    context = ""
    texts: list[str] = []
    for part in keyword:
        index = (part[0] if isinstance(part, tuple) else part) - 1
        value = given[index] if index < len(given) else None
        if not isinstance(value, str):
            return None
        if isinstance(part, tuple):
            context = value
        else:
            texts.append(value)
    return Message(texts[0], texts[1] if len(texts) > 1 else "", context) if texts[0] else None


def sources_below(folder: Path) -> Iterator[Path]:
    """The files to read: not tests, not migrations, and not the apps that lie below another app's folder."""
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED_FOLDERS and not (here / name / "apps.py").exists()
        )
        for name in sorted(names):
            if name.endswith((".py", ".html")):
                yield here / name
