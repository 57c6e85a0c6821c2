"""Worker side. Files as YAML: numbers exact, every key once, nothing endless, and a line for every error.

Plain scalars are read as YAML 1.2 does: only true and false are booleans, 10:00 is text, 010 is ten. Numbers with a
point or an exponent become Decimal from their own text. No tag but the seven of JSON is accepted.
"""

import itertools
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import yaml
from django.utils.translation import gettext as _

from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.schema import WORDS
from smartrouter.configfile.spots import FAST_LOADER, read_spots
from smartrouter.lib.reasons import system_reason

FILE_BYTES_AT_MOST = 16 * 1024 * 1024
# What aliases may add to a file, in nodes: plenty for shared prices, nothing for a "billion laughs".
ALIASED_NODES_AT_MOST = 100_000

_TAG = "tag:yaml.org,2002:"
_QUOTED = re.compile(r"(['\"]).*\1")
# YAML 1.2's core schema, by the first character as PyYAML wants it.
RESOLVERS: list[tuple[str, re.Pattern[str], str]] = [
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN"),
    ("int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    ("float", re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"), "-+.0123456789"),
    ("merge", re.compile(r"^<<$"), "<"),
]

_Base: Any = FAST_LOADER


class ConfigLoader(_Base):
    """PyYAML's safe loader, stricter."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    yaml_constructors: dict[str | None, Any] = {
        **{
            _TAG + name: yaml.SafeLoader.yaml_constructors[_TAG + name]
            for name in ("null", "bool", "str", "seq", "map")
        },
        None: yaml.SafeLoader.yaml_constructors[None],
    }


def _int_of(loader: ConfigLoader, node: yaml.ScalarNode) -> int:
    text = node.value
    return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


def _decimal_of(loader: ConfigLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(node.value)


ConfigLoader.yaml_constructors.update({_TAG + "int": _int_of, _TAG + "float": _decimal_of})
for _name, _pattern, _first in RESOLVERS:
    for _char in [*_first, *([""] if _name == "null" else [])]:
        ConfigLoader.yaml_implicit_resolvers.setdefault(_char, []).append((_TAG + _name, _pattern))


def read_file(path: Path, number: int = 0) -> tuple[Any, Place]:
    """The file's content and its place, as the file of that number. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return read_stream(file, str(path), number)
    except OSError as e:
        reason = _("The file cannot be read: %s.") % system_reason(e)
        raise ConfigError([Place(str(path), number=number).says(reason)]) from e


def read_stream(file: IO[bytes], source: str, number: int = 0) -> tuple[Any, Place]:
    """The content of an open file and its place. Raises ConfigError and OSError."""
    place = Place(source, number=number)
    raw = file.read(FILE_BYTES_AT_MOST + 1)
    if len(raw) > FILE_BYTES_AT_MOST:
        raise ConfigError([place.says(_("The file is larger than %d MiB.") % (FILE_BYTES_AT_MOST >> 20))])
    try:
        return read_text(raw.decode("utf-8-sig"), source, number)
    except UnicodeDecodeError as e:
        place = replace(place, line=raw.count(b"\n", 0, e.start) + 1)
        raise ConfigError([place.says(_("The file is not text in UTF-8."))]) from e


def read_text(text: str, source: str, number: int = 0) -> tuple[Any, Place]:
    """The content of YAML text and its place. Raises ConfigError; no message quotes the text, where secrets stand."""
    loader, place = None, Place(source, number=number)
    try:
        place = replace(place, root=read_spots(text, place))
        loader = ConfigLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise ConfigError([replace(place, line=1).says(_("The file is empty."))])
        _check_tree(root, place)
        return loader.construct_document(root), place
    except yaml.MarkedYAMLError as e:
        raise ConfigError([_not_yaml(e, text, place)]) from None
    except yaml.reader.ReaderError as e:
        place = replace(place, line=text.count("\n", 0, e.position) + 1)
        raise ConfigError([place.says(_("There is a character that YAML does not allow."))]) from None
    finally:
        if loader is not None:
            loader.dispose()


def _not_yaml(error: yaml.MarkedYAMLError, text: str, place: Place) -> Problem:
    """What the parser says, with its line and column and without what it quotes."""
    mark = error.problem_mark or error.context_mark
    last = text.rstrip().count("\n")  # the end of the file is no line
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if line > last:
        line, column = last, len(text.rstrip().rpartition("\n")[2])
    reason = _QUOTED.sub("…", error.problem or error.context or "")
    said = _("This is not valid YAML (column %(column)d): %(reason)s.") % {"column": column + 1, "reason": reason}
    return replace(place, line=line + 1).says(said)


def _check_tree(root: yaml.Node, place: Place) -> None:
    """Refuse doubled keys, bad scalars, circles, and aliases that would blow the document up. Raises ConfigError."""
    problems: list[Problem] = []
    weights: dict[int, int] = {}  # nodes below each node, written out; 0 while it is being counted

    def weigh(node: yaml.Node, where: Place) -> int:
        known = weights.get(id(node))
        if known is not None:
            if not known:
                raise ConfigError([_at(where, node).says(_("An alias stands inside the value that it names."))])
            return known
        weights[id(node)] = 0
        total = 1
        if isinstance(node, yaml.ScalarNode):
            problems.extend(_at(where, node).says(reason) for reason in _scalar_errors(node))
        elif isinstance(node, yaml.MappingNode):
            problems.extend(_doubled_keys(node, where))
            total += sum(weigh(key, where) + weigh(value, _below(where, key)) for key, value in node.value)
        else:
            total += sum(weigh(item, where.at(index)) for index, item in enumerate(node.value))
        weights[id(node)] = total
        return total

    if weigh(root, place) - len(weights) > ALIASED_NODES_AT_MOST:
        said = _("The file's aliases stand for more than %d values.") % ALIASED_NODES_AT_MOST
        raise ConfigError([replace(place, root=None).says(said)])
    if problems:
        raise ConfigError(problems)


def _at(where: Place, node: yaml.Node) -> Place:
    """The place with the node's own line, and the path as far as it consists of the document's words."""
    path = itertools.takewhile(lambda part: isinstance(part, int) or part in WORDS, where.path)
    return replace(where, path=tuple(path), line=node.start_mark.line + 1)


def _below(where: Place, key: yaml.Node) -> Place:
    return where.at(str(key.value) if isinstance(key, yaml.ScalarNode) else "?")


def _doubled_keys(node: yaml.MappingNode, where: Place) -> list[Problem]:
    seen: dict[str, int] = {}
    problems = []
    for key, _value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(_at(where, key).says(_("A key must be text.")))
        elif key.value in seen:
            said = _("This field is there twice; first in line %d.") % seen[key.value]
            problems.append(_at(_below(where, key), key).says(said))
        else:
            seen[key.value] = key.start_mark.line + 1
    return problems


def _scalar_errors(node: yaml.ScalarNode) -> list[str]:
    """What an escape or a tag can put into a scalar and no database or number takes."""
    if "\0" in node.value or any("\ud800" <= char <= "\udfff" for char in node.value):
        return [_("This text has a character that cannot be stored.")]
    if node.tag in (_TAG + "int", _TAG + "float"):
        patterns = [pattern for name, pattern, _first in RESOLVERS if _TAG + name == node.tag]
        if len(node.value) > 100 or not any(pattern.match(node.value) for pattern in patterns):
            return [_("This is not a number.")]
    if node.tag == _TAG + "bool" and node.value.lower() not in ("true", "false"):
        return [_("Write true or false.")]
    return []
