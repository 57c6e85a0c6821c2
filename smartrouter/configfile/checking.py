"""Worker side. What is wrong with the form of an entry: all of it, each with its place, before it is converted."""

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from django.utils.translation import gettext as _

from smartrouter.configfile.later import sentence_for
from smartrouter.configfile.moments import Moment
from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.schema import ChannelKeySpec, OfferingSpec, Spec, decode
from smartrouter.lib.sealing import Secret

# What an unknown field may look like to be shown: {sk-1234: x} may be a misplaced secret.
_FIELD = re.compile(r"[A-Za-z_]{1,24}")
_HEADER = re.compile(r"[A-Za-z0-9_-]{1,60}")


def form_problems(kind: Any, data: Any, place: Place) -> Iterator[Problem]:
    """Everything that keeps the data from being of that type; nothing for data that msgspec.convert takes."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if data is not None or types.NoneType not in arguments:
            yield from _choice_problems(arguments, data, place)
    elif origin is list:
        if isinstance(data, list):
            for index, item in enumerate(data):
                yield from form_problems(arguments[0], item, place.at(index))
        else:
            yield place.says(_expected(_("a list"), data))
    elif origin is dict:
        yield from _mapping_problems(arguments[1], data, place)
    elif isinstance(kind, type) and issubclass(kind, Spec):
        yield from _struct_problems(kind, data, place)
    elif kind is not Any and (said := _leaf_problem(kind, data)):
        yield place.says(said)


def unknown_field(name: Any, place: Place, known: Iterable[str]) -> Problem:
    """What to say about a field that the place does not have. A name that may be a secret is not shown."""
    if not isinstance(name, str):
        return place.says(_("A field's name must be text."))
    known = list(known)
    if sentence := sentence_for(name, place.path, known):
        return place.at(name).says(sentence)
    near = difflib.get_close_matches(name, known, 1)
    if near:
        said = _("There is no such field; did you mean “%(near)s”? There are: %(known)s.")
        return place.at(name).says(said % {"near": near[0], "known": ", ".join(known)})
    if not _FIELD.fullmatch(name):
        return place.says(_("There is a field whose name is none; is a space missing after its colon?"))
    return place.at(name).says(_("There is no such field; there are: %s.") % ", ".join(known))


def is_header_name(name: Any) -> bool:
    """Whether the name may be shown: {X-Team:secret} is a header called "X-Team:secret"."""
    return isinstance(name, str) and _HEADER.fullmatch(name) is not None


def missing_name() -> str:
    """The sentence for a key that is no header's name."""
    return _("There is a field whose name is none; is a space missing after its colon?")


@cache
def _types_of(kind: type[Spec]) -> dict[str, Any]:
    """The types of the fields, by the document's words for them."""
    hints = get_type_hints(kind)
    return {info.encode_name: hints[info.name] for info in msgspec.structs.fields(kind)}


def _choice_problems(kinds: Iterable[Any], data: Any, place: Place) -> Iterator[Problem]:
    """What is wrong with data that may be of one type or none, or text or a list."""
    kinds = [kind for kind in kinds if kind is not types.NoneType]
    fitting = [kind for kind in kinds if (get_origin(kind) is list) is isinstance(data, list)]
    if len(kinds) == 1:
        yield from form_problems(kinds[0], data, place)
    elif isinstance(data, str | list):
        yield from form_problems(fitting[0], data, place)
    else:
        yield place.says(_expected(_("text or a list"), data))


def _struct_problems(kind: type[Spec], data: Any, place: Place) -> Iterator[Problem]:
    if not isinstance(data, Mapping):
        expected = _("text or a mapping") if kind in (ChannelKeySpec, OfferingSpec) else _("a mapping")
        yield place.says(_expected(expected, data))
        return
    hints = _types_of(kind)
    for name, value in data.items():
        if name in hints:
            yield from form_problems(hints[name], value, place.at(name))
        else:
            yield unknown_field(name, place, kind.__struct_encode_fields__)
    for field in msgspec.structs.fields(kind):
        if field.required and field.encode_name not in data:
            yield place.at(field.encode_name).says(_("“%s” is missing.") % field.encode_name)


def _mapping_problems(kind: Any, data: Any, place: Place) -> Iterator[Problem]:
    if not isinstance(data, Mapping):
        yield place.says(_expected(_("a mapping"), data))
        return
    for name, value in data.items():
        if not isinstance(name, str):
            yield place.says(_("A field's name must be text."))
        elif kind is not Secret or is_header_name(name):
            yield from form_problems(kind, value, place.at(name))
        elif not isinstance(value, str | Secret):
            yield place.says(missing_name())


def _leaf_problem(kind: type, data: Any) -> str:
    """What is wrong with a single value; empty for nothing."""
    try:
        if kind in (Moment, Secret):
            decode(kind, data)
        else:
            msgspec.convert(data, kind)
    except msgspec.ValidationError:
        if kind is float and isinstance(data, int | Decimal) and not isinstance(data, bool):
            return _("This number is too large.")
        return _expected(_names()[kind], data)
    except ValueError as e:
        return str(e)
    return ""


def _names() -> dict[type, str]:
    return {
        str: _("text"),
        int: _("a whole number"),
        float: _("a number"),
        Decimal: _("a number"),
        bool: _("true or false"),
        types.NoneType: _("nothing"),
        list: _("a list"),
        dict: _("a mapping"),
    }


def _expected(expected: str, data: Any) -> str:
    found = _("a mapping") if isinstance(data, Mapping) else _names().get(type(data), _("something else"))
    return _("Expected %(expected)s, found %(found)s.") % {"expected": expected, "found": found}
