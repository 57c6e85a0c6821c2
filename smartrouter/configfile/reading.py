"""Worker side. Files as YAML: numbers exact, every key once, nothing endless, and a line for every error.

Plain scalars are read as YAML 1.2 does: only true and false are booleans, 10:00 is text, 010 is ten. Numbers with a
point or an exponent become Decimal from their own text. No tag but the seven of JSON is accepted.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from django.utils.translation import gettext as _

from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError

FILE_BYTES_AT_MOST = 16 * 1024 * 1024
DEPTH_AT_MOST = 40
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

# libyaml where PyYAML was built with it: the same results about ten times faster.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def read_file(path: Path) -> tuple[Any, Place]:
    """The file's content and its place. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_AT_MOST + 1)
        if len(raw) > FILE_BYTES_AT_MOST:
            raise ConfigError([f"{path}: " + _("The file is larger than %d MiB.") % (FILE_BYTES_AT_MOST >> 20)])
        return read_text(raw.decode("utf-8-sig"), str(path))
    except OSError as e:
        raise ConfigError([f"{path}: " + _("The file cannot be read: %s.") % (e.strerror or type(e).__name__)]) from e
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise ConfigError([f"{path}:{line}: " + _("The file is not text in UTF-8.")]) from e


def read_text(text: str, source: str) -> tuple[Any, Place]:
    """The content of YAML text and its place. Raises ConfigError; no message quotes the text, where secrets stand."""
    loader = None
    try:
        _check_depth(text, source)
        loader = ConfigLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise ConfigError([f"{source}:1: " + _("The file is empty.")])
        _check_tree(root, source)
        return loader.construct_document(root), Place(source, root)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = min(mark.line, text.rstrip().count("\n")) + 1 if mark else 1  # the end of the file is no line
        reason = _QUOTED.sub("…", e.problem or e.context or "")
        raise ConfigError([f"{source}:{line}: " + _("This is not valid YAML: %s.") % reason]) from None
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        raise ConfigError([f"{source}:{line}: " + _("There is a character that YAML does not allow.")]) from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_depth(text: str, source: str) -> None:
    """Refuse what is nested too deeply, before anything recursive looks at it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_AT_MOST:
                place = f"{source}:{event.start_mark.line + 1 if event.start_mark else 1}: "
                raise ConfigError([place + _("The file is nested more than %d levels deep.") % DEPTH_AT_MOST])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_tree(root: yaml.Node, source: str) -> None:
    """Refuse doubled keys, bad scalars, circles, and aliases that would blow the document up. Raises ConfigError."""
    errors: list[str] = []
    weights: dict[int, int] = {}  # nodes below each node, written out; 0 while it is being counted

    def weigh(node: yaml.Node) -> int:
        known = weights.get(id(node))
        if known is not None:
            if not known:
                raise ConfigError([_at(source, node) + _("An alias stands inside the value that it names.")])
            return known
        weights[id(node)] = 0
        if isinstance(node, yaml.ScalarNode):
            errors.extend(_scalar_errors(node, source))
            total = 1
        elif isinstance(node, yaml.MappingNode):
            errors.extend(_doubled_keys(node, source))
            total = 1 + sum(weigh(key) + weigh(value) for key, value in node.value)
        else:
            total = 1 + sum(map(weigh, node.value))
        weights[id(node)] = total
        return total

    if weigh(root) - len(weights) > ALIASED_NODES_AT_MOST:
        raise ConfigError(
            [f"{source}: " + _("The file's aliases stand for more than %d values.") % ALIASED_NODES_AT_MOST]
        )
    if errors:
        raise ConfigError(errors)


def _at(source: str, node: yaml.Node) -> str:
    return f"{source}:{node.start_mark.line + 1}: "


def _doubled_keys(node: yaml.MappingNode, source: str) -> list[str]:
    seen: dict[str, int] = {}
    errors = []
    for key, _value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            errors.append(_at(source, key) + _("A key must be text."))
        elif key.value in seen:
            errors.append(_at(source, key) + _("This field is there twice; first in line %d.") % seen[key.value])
        else:
            seen[key.value] = key.start_mark.line + 1
    return errors


def _scalar_errors(node: yaml.ScalarNode, source: str) -> list[str]:
    """What an escape or a tag can put into a scalar and no database or number takes."""
    if "\0" in node.value or any("\ud800" <= char <= "\udfff" for char in node.value):
        return [_at(source, node) + _("This text has a character that cannot be stored.")]
    if node.tag in (_TAG + "int", _TAG + "float"):
        patterns = [pattern for name, pattern, _first in RESOLVERS if _TAG + name == node.tag]
        if len(node.value) > 100 or not any(pattern.match(node.value) for pattern in patterns):
            return [_at(source, node) + _("This is not a number.")]
    if node.tag == _TAG + "bool" and node.value.lower() not in ("true", "false"):
        return [_at(source, node) + _("Write true or false.")]
    return []
