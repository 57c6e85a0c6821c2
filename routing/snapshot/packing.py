"""Worker side. The table's rows as JSON and back, each field by its declared type.

A field of a type that is not known here fails when this module is imported, not when a snapshot is needed. shape() changes
with every added, removed or retyped field, so that a snapshot of another version is refused instead of misread.
"""

import dataclasses
import hashlib
import types
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from datetime import time
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from routing import rows
from smartrouter.lib.sealing import Secret

Convert = Callable[[Any], Any]


class Codec(NamedTuple):
    """To JSON and back; plain: JSON has the type, nothing is converted."""

    pack: Convert
    unpack: Convert
    plain: bool = False


def _same(value: Any) -> Any:
    return value


PLAIN = Codec(_same, _same, True)
_SIMPLE: Mapping[Any, Codec] = {
    int: PLAIN,
    str: PLAIN,
    bool: PLAIN,
    float: PLAIN,
    Any: PLAIN,
    types.NoneType: PLAIN,
    Decimal: Codec(str, Decimal),
    Secret: Codec(lambda secret: secret.reveal(), Secret),
    time: Codec(time.isoformat, time.fromisoformat),
    zoneinfo.ZoneInfo: Codec(str, zoneinfo.ZoneInfo),
}


@cache
def codec_of(kind: Any) -> Codec:
    """How values of a type are converted. Raises TypeError for a type that nobody has taught it."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if dataclasses.is_dataclass(kind):
        return _codec_of_class(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Codec(attrgetter("value"), kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType) and types.NoneType in arguments and len(arguments) == 2:
        inner = codec_of(next(each for each in arguments if each is not types.NoneType))
        return PLAIN if inner.plain else Codec(_unless_none(inner.pack), _unless_none(inner.unpack))
    if origin in (Mapping, dict) and arguments[0] is str:
        inner = codec_of(arguments[1])
        return PLAIN if inner.plain else Codec(_on_values(inner.pack), _on_values(inner.unpack))
    if origin is frozenset:
        return Codec(sorted, frozenset)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        inner = codec_of(arguments[0])
        return Codec(list, tuple) if inner.plain else Codec(_each(inner.pack, list), _each(inner.unpack, tuple))
    raise TypeError(f"a snapshot cannot hold {kind}")


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _on_values(convert: Convert) -> Convert:
    return lambda value: {name: convert(each) for name, each in value.items()}


def _each(convert: Convert, into: Callable[[Iterable[Any]], Any]) -> Convert:
    return lambda value: into(convert(each) for each in value)


def _fields_of(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(field.name, hints[field.name]) for field in dataclasses.fields(kind) if field.init]


def _codec_of_class(kind: Any) -> Codec:
    """A dataclass as the list of its fields, in order; only those that JSON lacks cost anything."""
    fields = _fields_of(kind)
    values_of = attrgetter(*(name for name, _hint in fields))
    converted = [(at, codec_of(hint)) for at, (_name, hint) in enumerate(fields) if not codec_of(hint).plain]

    def pack(row: Any) -> list[Any]:
        values = list(values_of(row))
        for at, codec in converted:
            values[at] = codec.pack(values[at])
        return values

    def unpack(values: list[Any]) -> Any:
        for at, codec in converted:
            values[at] = codec.unpack(values[at])
        return kind(*values)

    return Codec(pack, unpack)


ROWS: Mapping[str, type] = {kind.__name__: kind for kind in get_args(rows.Row)}
CODECS: Mapping[str, Codec] = {name: codec_of(kind) for name, kind in ROWS.items()}


def shape() -> str:
    """A digest of all rows' fields and their types."""
    described: dict[str, list[str]] = {}

    def describe(kind: Any) -> None:
        if dataclasses.is_dataclass(kind) and str(kind) not in described:
            described[str(kind)] = [f"{name}: {hint}" for name, hint in _fields_of(kind)]
            for _name, hint in _fields_of(kind):
                describe(hint)
        for argument in get_args(kind):
            describe(argument)

    for kind in ROWS.values():
        describe(kind)
    return hashlib.sha256(repr(sorted(described.items())).encode()).hexdigest()[:16]
