"""Worker side. From plain data to entries: every field of the right type, every name once, every error placed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from django.utils.translation import gettext as _

from smartrouter.configfile.checking import form_problems, unknown_field
from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.schema import (
    BLOCKS,
    ChannelSpec,
    ExchangeRateSpec,
    ModelGroupSpec,
    ModelSpec,
    ProviderSpec,
    Spec,
    StrategySpec,
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
    """The entries of all files that are right in their form, block by block, and what is wrong with the others.

    given: where each block stands that is a list, if only an empty one. refused: the (block, name) of entries that are
    left out; the name is "" where it is not known either.
    """

    providers: list[Entry[ProviderSpec]] = field(default_factory=list)
    models: list[Entry[ModelSpec]] = field(default_factory=list)
    exchange_rates: list[Entry[ExchangeRateSpec]] = field(default_factory=list)
    tenants: list[Entry[TenantSpec]] = field(default_factory=list)
    channels: list[Entry[ChannelSpec]] = field(default_factory=list)
    model_groups: list[Entry[ModelGroupSpec]] = field(default_factory=list)
    strategies: list[Entry[StrategySpec]] = field(default_factory=list)
    given: dict[str, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[tuple[str, str]] = field(default_factory=set)


def parse(documents: Iterable[tuple[Any, Place]]) -> Configuration:
    """The entries of the documents, merged."""
    found = Configuration()
    for document, place in documents:
        if not isinstance(document, Mapping):
            said = _("The document must be a mapping of blocks: %s.") % ", ".join(BLOCKS)
            found.problems.append(place.says(said))
            continue
        for name, content in document.items():
            if name in BLOCKS:
                _parse_block(found, name, content, place.at(name))
            else:
                found.problems.append(unknown_field(name, place, BLOCKS))
    for name in BLOCKS:
        _refuse_unclear(found, name)
    return found


def _refuse_unclear(found: Configuration, block: str) -> None:
    """Leave out the entries whose name stood before, or that are renamed from a name that another entry has."""
    entries: list[Entry[Any]] = getattr(found, block)
    problems = _doubled([(_identity(entry.spec), entry.place) for entry in entries])
    problems += _renamed_away(entries) if "was" in BLOCKS[block].__struct_fields__ else []
    places = {(problem.place.number, problem.place.path[:2]) for problem in problems}
    left_out = [entry for entry in entries if (entry.place.number, entry.place.path) in places]
    found.problems += problems
    found.refused |= {(block, getattr(entry.spec, "name", "")) for entry in left_out}
    setattr(found, block, [entry for entry in entries if entry not in left_out])


def _doubled(named: Sequence[tuple[Any, Place]]) -> list[Problem]:
    """One problem for each place whose name stood before."""
    first: dict[Any, Place] = {}
    problems = []
    for name, place in named:
        if name in first:
            shown = "/".join(map(str, name)) if isinstance(name, tuple) else name
            said = _("“%(name)s” is there twice; first at %(place)s.") % {"name": shown, "place": first[name]}
            problems.append(place.says(said))
        first.setdefault(name, place)
    return problems


def refuse_doubled(named: Sequence[tuple[Any, Place]]) -> None:
    """Raise ConfigError where a name stands twice."""
    problems = _doubled(named)
    if problems:
        raise ConfigError(problems)


def _identity(spec: Any) -> Any:
    if isinstance(spec, ModelSpec):
        return spec.provider, spec.model
    if isinstance(spec, ExchangeRateSpec):
        return spec.currency, str(spec.effective_from or "")
    if isinstance(spec, StrategySpec):
        return spec.names
    return spec.name


def _renamed_away(entries: Sequence[Entry[Any]]) -> list[Problem]:
    """A `was` that is the name of another entry: whether it is renamed or kept would depend on the order."""
    names = {_identity(entry.spec) for entry in entries}
    problems = []
    for entry in entries:
        spec = entry.spec
        old = (spec.provider, spec.was) if isinstance(spec, ModelSpec) else spec.was
        if spec.was and old != _identity(spec) and old in names:
            said = _("“%s” is also an entry of its own; choose one.") % spec.was
            problems.append(entry.place.at("was").says(said))
    return problems


def _parse_block(found: Configuration, name: str, content: Any, place: Place) -> None:
    if content is None:
        return
    if name == "model_groups" and isinstance(content, Mapping):  # the older form
        items = [(place.at(str(key)), _named(key, value)) for key, value in content.items()]
    elif isinstance(content, list):
        items = [(place.at(index), value) for index, value in enumerate(content)]
    else:
        found.problems.append(place.says(_("Write a list here.")))
        found.refused.add((name, ""))
        return
    found.given.setdefault(name, place)
    for where, value in items:
        data = written_out(BLOCKS[name], value)
        if problems := list(form_problems(BLOCKS[name], data, where)):
            found.problems += problems
            found.refused.add((name, _name_of(data)))
        else:
            getattr(found, name).append(Entry(msgspec.convert(data, BLOCKS[name], dec_hook=decode), where))


def _named(name: Any, value: Any) -> Any:
    """The older form's entry with its name inside; an empty one is a group without members."""
    if value is None:
        return {"name": name}
    return {"name": name, **value} if isinstance(value, Mapping) else value


def written_out(kind: type[Spec], data: Any) -> Any:
    """A channel whose keys and models are objects where the file has plain text."""
    if kind is not ChannelSpec or not isinstance(data, Mapping):
        return data
    data = dict(data)
    for name, field_name in (("keys", "key"), ("models", "model")):
        if isinstance(data.get(name), list):
            data[name] = [{field_name: item} if isinstance(item, str) else item for item in data[name]]
    return data


def _name_of(data: Any) -> str:
    """The name by which other entries may refer to this one; empty where it has none."""
    name = data.get("name") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else ""
