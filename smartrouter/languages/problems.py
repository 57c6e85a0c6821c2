"""Worker side. What is wrong with a catalogue: one line for each problem."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import polib

from smartrouter.languages.catalogue import compile_catalogue, wanted
from smartrouter.languages.extraction import Message

SHOWN_AT_MOST = 70
_PERCENT = re.compile(r"%%|%\((?P<name>\w+)\)[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]|%[-+ #0]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa]")
_BRACES = re.compile(r"\{(\w*)\}")


def problems_of(
    catalogue: polib.POFile, ours: set[Message], theirs: Mapping[Message, str], compiled: bytes | None
) -> list[str]:
    """Every problem, in the catalogue's order: missing and stale entries first, then what is wrong inside of entries."""
    needed = {(message.text, message.context): message for message in wanted(ours, theirs)}
    present = Counter((entry.msgid, entry.msgctxt or "") for entry in catalogue if not entry.obsolete)
    found = [f"missing: {_shown(text)}" for (text, context) in needed if (text, context) not in present]
    found += [f"twice: {_shown(text)}" for (text, _context), count in present.items() if count > 1]
    for entry in catalogue:
        found += _problems_of_entry(entry, needed.get((entry.msgid, entry.msgctxt or "")))
    if compiled is None:
        found.append("not compiled: there is no .mo file")
    elif compiled != compile_catalogue(catalogue):
        found.append("not compiled: the .mo file is not what the .po file compiles to")
    return found


def _problems_of_entry(entry: polib.POEntry, message: Message | None) -> Iterator[str]:
    if entry.obsolete or message is None or (entry.msgid_plural or "") != message.plural:
        yield f"stale: {_shown(entry.msgid)}"
        return
    if "fuzzy" in entry.flags:
        yield f"fuzzy: {_shown(entry.msgid)}"
    texts = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
    if not texts or not all(text.strip() for text in texts):
        yield f"untranslated: {_shown(entry.msgid)}"
        return
    original = entry.msgid_plural or entry.msgid
    for text in texts:
        difference = difference_of_placeholders(original, text)
        if difference:
            yield f"placeholders ({difference}): {_shown(entry.msgid)}"
        elif _edges(original) != _edges(text):
            yield f"line breaks at the ends: {_shown(entry.msgid)}"


def difference_of_placeholders(original: str, translation: str) -> str:
    """What one has and the other lacks; empty where the translation can be filled in as the original can.

    Named ones may stand in any order and more than once; nameless ones are filled in by their place.
    """
    named, nameless = _placeholders(original)
    named_there, nameless_there = _placeholders(translation)
    lost, added = named - named_there, named_there - named
    if lost or added:
        return ", ".join([*(f"without {name}" for name in sorted(lost)), *(f"with {name}" for name in sorted(added))])
    if nameless != nameless_there:
        return f"{' '.join(nameless) or 'none'} became {' '.join(nameless_there) or 'none'}"
    return ""


def _placeholders(text: str) -> tuple[set[str], list[str]]:
    named: set[str] = set()
    nameless: list[str] = []
    for match in _PERCENT.finditer(text):
        if match.group("name"):
            named.add(match.group())
        elif match.group() != "%%":
            nameless.append(match.group())
    for match in _BRACES.finditer(text):
        if match.group(1):
            named.add(match.group())
        else:
            nameless.append(match.group())
    return named, nameless


def _edges(text: str) -> tuple[bool, bool]:
    return text.startswith("\n"), text.endswith("\n")


def _shown(text: str) -> str:
    """The entry's text on one line, cut."""
    line = " ".join(text.split())
    return f"“{line}”" if len(line) <= SHOWN_AT_MOST else f"“{line[:SHOWN_AT_MOST]}…”"


def compiled_file(path: Path) -> bytes | None:
    """What stands in the .mo file beside the .po file; None without one."""
    compiled = path.with_suffix(".mo")
    return compiled.read_bytes() if compiled.exists() else None
