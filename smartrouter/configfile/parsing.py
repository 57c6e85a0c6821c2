"""Worker side. From plain data to entries: every field of the right type, every name once, every error placed."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from django.utils.translation import gettext as _

from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.schema import (
    BLOCKS,
    LATER,
    ChannelSpec,
    ExchangeRateSpec,
    ModelGroupSpec,
    ModelSpec,
    ProviderSpec,
    Spec,
    TenantSpec,
    decode,
)

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True, slots=True)
class Entry(Generic[S]):
    """One entry and where it stands."""

    spec: S
    place: Place


@dataclass(slots=True)
class Configuration:
    """The entries of all files, block by block."""

    providers: list[Entry[ProviderSpec]]
    models: list[Entry[ModelSpec]]
    exchange_rates: list[Entry[ExchangeRateSpec]]
    tenants: list[Entry[TenantSpec]]
    channels: list[Entry[ChannelSpec]]
    model_groups: list[Entry[ModelGroupSpec]]


# How msgspec says it (0.22), and where: "Expected `str`, got `int` - at `$.keys[0].name`", "... - at `key` in `$.x`".
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_PART = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
_MISSING = re.compile(r"^Object missing required field `(.*)`$")
_EXPECTED = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`$")


def parse(documents: Iterable[tuple[Any, Place]]) -> Configuration:
    """The entries of the documents, merged. Raises ConfigError with everything that is wrong with their form."""
    errors: list[str] = []
    blocks: dict[str, list[Entry[Any]]] = {name: [] for name in BLOCKS}
    for document, place in documents:
        if not isinstance(document, Mapping):
            errors.append(place.says(_("The document must be a mapping of blocks: %s.") % ", ".join(BLOCKS)))
            continue
        for name, content in document.items():
            if name in BLOCKS:
                blocks[name] += _parse_block(name, content, place.at(name), errors)
            else:
                errors.append(_unknown(str(name), place, BLOCKS))
    for name, entries in blocks.items():
        errors += _doubled([(_identity(entry.spec), entry.place) for entry in entries])
        errors += _renamed_away(entries) if name != "exchange_rates" else []
    if errors:
        raise ConfigError(errors)
    return Configuration(**blocks)


def _doubled(named: Sequence[tuple[Any, Place]]) -> list[str]:
    """One message for each place whose name stood before."""
    first: dict[Any, Place] = {}
    errors = []
    for name, place in named:
        if name in first:
            shown = "/".join(map(str, name)) if isinstance(name, tuple) else name
            errors.append(
                place.says(_("“%(name)s” is there twice; first at %(place)s.") % {"name": shown, "place": first[name]})
            )
        first.setdefault(name, place)
    return errors


def refuse_doubled(named: Sequence[tuple[Any, Place]]) -> None:
    """Raise ConfigError where a name stands twice."""
    errors = _doubled(named)
    if errors:
        raise ConfigError(errors)


def _identity(spec: Any) -> Any:
    if isinstance(spec, ModelSpec):
        return spec.provider, spec.model
    if isinstance(spec, ExchangeRateSpec):
        return spec.currency, str(spec.effective_from or "")
    return spec.name


def _renamed_away(entries: Sequence[Entry[Any]]) -> list[str]:
    """A `was` that is the name of another entry: whether it is renamed or kept would depend on the order."""
    names = {_identity(entry.spec) for entry in entries}
    errors = []
    for entry in entries:
        spec = entry.spec
        old = (spec.provider, spec.was) if isinstance(spec, ModelSpec) else spec.was
        if spec.was and old != _identity(spec) and old in names:
            errors.append(entry.place.at("was").says(_("“%s” is also an entry of its own; choose one.") % spec.was))
    return errors


def _parse_block(name: str, content: Any, place: Place, errors: list[str]) -> list[Entry[Any]]:
    if content is None:
        return []
    if name == "model_groups" and isinstance(content, Mapping):  # the older form
        items = [(place.at(str(key)), _named(key, value)) for key, value in content.items()]
    elif isinstance(content, list):
        items = [(place.at(index), value) for index, value in enumerate(content)]
    else:
        errors.append(place.says(_("Write a list here.")))
        return []
    entries = [_parse_entry(BLOCKS[name], value, where, errors) for where, value in items]
    return [entry for entry in entries if entry is not None]


def _named(name: Any, value: Any) -> Any:
    """The older form's entry with its name inside; an empty one is a group without members."""
    if value is None:
        return {"name": name}
    return {"name": name, **value} if isinstance(value, Mapping) else value


def _parse_entry(kind: type[Spec], data: Any, place: Place, errors: list[str]) -> Entry[Any] | None:
    """The entry; None where its form is wrong. Unknown fields are noted one after the other and left out."""
    data = _written_out(kind, data)
    while True:
        try:
            return Entry(msgspec.convert(data, kind, dec_hook=decode), place)
        except msgspec.ValidationError as e:
            what, path = _read_error(e)
            unknown = _UNKNOWN.match(what)
            if not unknown:
                errors.append(place.at(*path).says(_in_words(what)))
                return None
            errors.append(_unknown(unknown[1], place.at(*path), _known_fields(kind, path)))
            data = _without(data, (*path, unknown[1]))


def _written_out(kind: type[Spec], data: Any) -> Any:
    """A channel whose keys and models are objects where the file has plain text."""
    if kind is not ChannelSpec or not isinstance(data, Mapping):
        return data
    data = dict(data)
    for name, field in (("keys", "key"), ("models", "model")):
        if isinstance(data.get(name), list):
            data[name] = [{field: item} if isinstance(item, str) else item for item in data[name]]
    return data


def _read_error(error: msgspec.ValidationError) -> tuple[str, tuple[str | int, ...]]:
    found = _WHERE.match(str(error))
    assert found is not None  # the pattern takes any text
    parts = _PART.findall(found["path"] or "")
    return found["what"], tuple(name or int(index) for name, index in parts)


def _unknown(name: str, place: Place, known: Iterable[str]) -> str:
    if name in LATER:
        return place.at(name).says(LATER[name])
    if not _FIELD.fullmatch(name):  # {key:secret} is a field called "key:secret", which must not be shown
        return place.says(_("There is a field whose name is none; is a space missing after its colon?"))
    return place.at(name).says(_("There is no such field; there are: %s.") % ", ".join(known))


def _known_fields(kind: Any, path: Sequence[str | int]) -> tuple[str, ...]:
    """The fields of the entry below kind at the path."""
    for part in path:
        if isinstance(part, str):
            info = msgspec.inspect.type_info(kind)
            assert isinstance(info, msgspec.inspect.StructType)
            kind = _struct_in(next(field.type for field in info.fields if field.name == part))
    fields: tuple[str, ...] = kind.__struct_fields__
    return fields


def _struct_in(info: msgspec.inspect.Type) -> Any:
    """The Struct inside an optional one or a list of them."""
    if isinstance(info, msgspec.inspect.StructType):
        return info.cls
    if isinstance(info, msgspec.inspect.ListType):
        return _struct_in(info.item_type)
    assert isinstance(info, msgspec.inspect.UnionType)
    return _struct_in(next(t for t in info.types if not isinstance(t, msgspec.inspect.NoneType)))


def _without(data: Any, path: Sequence[str | int]) -> Any:
    """A copy of the data without what stands at the path; the original may be shared by aliases."""
    head, rest = path[0], path[1:]
    if isinstance(data, list):
        return [_without(item, rest) if index == head else item for index, item in enumerate(data)]
    if rest:
        return {**data, head: _without(data[head], rest)}
    return {key: value for key, value in data.items() if key != head}


def _type_names() -> dict[str, str]:
    return {
        "str": _("text"),
        "int": _("a whole number"),
        "float": _("a number"),
        "decimal": _("a number"),
        "Decimal": _("a number"),
        "bool": _("true or false"),
        "null": _("nothing"),
        "array": _("a list"),
        "object": _("a mapping"),
    }


def _in_words(what: str) -> str:
    missing = _MISSING.match(what)
    if missing:
        return _("“%s” is missing.") % missing[1]
    expected = _EXPECTED.match(what)
    if expected:
        say: Callable[[str], str] = lambda text: _(" or ").join(  # noqa: E731
            _type_names().get(part, part) for part in text.split(" | ") if part != "null" or text == "null"
        )
        return _("Expected %(expected)s, found %(found)s.") % {"expected": say(expected[1]), "found": say(expected[2])}
    return what
