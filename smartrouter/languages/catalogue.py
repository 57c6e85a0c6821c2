"""Worker side. The .po file: merged with what the sources say, written so that differences stay small, compiled to .mo."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import polib

from smartrouter.languages.extraction import Message

# Of both languages of the world of .po files, this one knows no plural.
METADATA = {
    "Language": "zh_Hans",
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Transfer-Encoding": "8bit",
    "Plural-Forms": "nplurals=1; plural=0;",
}
HEADER = "Simplified Chinese. `make messages` adds and removes entries; what stands in msgstr is kept."
PACKAGE_MARK = "From the package "
_FORMAT = re.compile(r"%(?:\(\w+\))?[sdirf]|%\(\w+\)[-+ #0]*\d*(?:\.\d+)?[sdirf]")


def read_catalogue(path: Path) -> polib.POFile:
    """The catalogue; an empty one where there is no file. Raises OSError for a file that is no .po, naming the line."""
    if not path.exists():
        return polib.POFile(wrapwidth=0)
    return polib.pofile(str(path), encoding="utf-8", wrapwidth=0)


def merge(old: polib.POFile, ours: set[Message], theirs: Mapping[Message, str]) -> polib.POFile:
    """A catalogue of exactly these messages, ours first, with the translations of the old one."""
    known = {(entry.msgid, entry.msgctxt or ""): entry for entry in old if not entry.obsolete}
    merged = polib.POFile(wrapwidth=0)
    merged.header = HEADER
    merged.metadata = dict(METADATA)
    for message, package in wanted(ours, theirs).items():
        entry = _entry(message, package)
        before = known.get((message.text, message.context))
        if before is not None:
            _keep_translation(entry, before)
        merged.append(entry)
    return merged


def wanted(ours: set[Message], theirs: Mapping[Message, str]) -> dict[Message, str]:
    """Each message once, in the catalogue's order, with the package that it comes from; empty for ours.

    One text may be used with a plural here and without one there: the entry with the plural serves both.
    """
    chosen: dict[tuple[str, str], tuple[str, Message]] = {}
    for package, message in [*(("", one) for one in ours), *((name, one) for one, name in theirs.items())]:
        key = (message.text, message.context)
        now = chosen.get(key)
        if now is None:
            chosen[key] = (package, message)
        else:
            chosen[key] = (min(now[0], package), max(now[1], message))
    return {message: package for package, message in sorted(chosen.values())}


def write_catalogue(path: Path, ours: set[Message], theirs: Mapping[Message, str]) -> polib.POFile:
    """The merged catalogue, in the file at path. Whoever edits the file in the meantime is not overwritten."""
    while True:
        before = path.read_bytes() if path.exists() else b""
        merged = merge(read_catalogue(path), ours, theirs)
        text = f"{merged}\n".encode()
        if before == (path.read_bytes() if path.exists() else b""):
            if text != before:
                replace_file(path, text)
            return merged


def replace_file(path: Path, content: bytes) -> None:
    """Put the content at path; a reader meets the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def compile_catalogue(catalogue: polib.POFile) -> bytes:
    """The .mo file, the same bytes for the same translations."""
    binary: bytes = catalogue.to_binary()
    return binary


def _entry(message: Message, package: str) -> polib.POEntry:
    entry = polib.POEntry(
        msgid=message.text,
        msgctxt=message.context or None,
        comment=f"{PACKAGE_MARK}{package}." if package else "",
        flags=["python-format"] if _FORMAT.search(message.text + message.plural) else [],
    )
    if message.plural:
        entry.msgid_plural = message.plural
        entry.msgstr_plural = {0: ""}
    return entry


def _keep_translation(entry: polib.POEntry, before: polib.POEntry) -> None:
    """Take over what was translated, also where a message has just got a plural or lost it, and the translator's notes."""
    text = before.msgstr_plural.get(0, "") if before.msgid_plural else before.msgstr
    if entry.msgid_plural:
        entry.msgstr_plural = {0: text}
    else:
        entry.msgstr = text
    entry.tcomment = before.tcomment
    if "fuzzy" in before.flags:
        entry.flags.append("fuzzy")
