"""Worker side. The block model_groups. Groups may name one another, wherever they stand in the files."""

from collections.abc import Mapping, Sequence

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from routing.models import ModelGroup
from smartrouter.configfile.apply_budgets import apply_budgets, holder_of, read_usd
from smartrouter.configfile.apply_members import apply_members, offered_names
from smartrouter.configfile.apply_strategies import strategy_values
from smartrouter.configfile.apply_time_policies import apply_time_policies
from smartrouter.configfile.parsing import Entry
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.rows import Run, not_there, save_row, take_renamed, tried
from smartrouter.configfile.schema import ModelGroupSpec

# The filters' words in the document; a model's capabilities are a field of their own.
_FILTERS = ("max_cost_per_1k", "min_context_length", "capabilities", "provider_kinds", "regions")
_SPELLED = {name: f"filters.{name}" for name in _FILTERS}

# The name of each group and of the one that it falls back to, as they will be.
Fallbacks = dict[str, str | None]


def apply_groups(run: Run, entries: Sequence[Entry[ModelGroupSpec]]) -> None:
    """Write the groups, each after the one that it falls back to, then the time policies, which may name any group."""
    if not entries:
        return
    groups = {row.name: row for row in ModelGroup.objects.all()}
    offered = offered_names()
    fallbacks = _fallbacks(groups, entries)
    for entry in sorted(entries, key=lambda entry: len(_way(entry.spec.name, fallbacks))):
        with run.entry("model_groups", entry.spec.name):
            _apply_group(run, entry, groups, fallbacks, offered)
    for entry in entries:
        if entry.spec.time_policies is not None and ("model_groups", entry.spec.name) not in run.refused:
            apply_time_policies(run, groups[entry.spec.name], entry, groups)


def _apply_group(
    run: Run,
    entry: Entry[ModelGroupSpec],
    groups: dict[str, ModelGroup],
    fallbacks: Fallbacks,
    offered: set[tuple[str, int, str]],
) -> None:
    spec, place = entry.spec, entry.place
    row = take_renamed(groups, spec.name, spec.was, place) or ModelGroup()
    was_empty = not row._state.adding and _is_empty(row)
    values = {
        "name": spec.name,
        "display_name": spec.display_name,
        "description": spec.description,
        "is_active": spec.active,
        **strategy_values(row, spec.routing_strategy, place),
        "selects": bool(spec.tags) if spec.select is None else spec.select,
        "tags": spec.tags,
        **{name: getattr(spec.filters, name) for name in _FILTERS},
        "max_cost_per_request_nusd": tried(
            read_usd, spec.max_cost_per_request_usd, place.at("max_cost_per_request_usd")
        ),
        "fallback": tried(_fallback_of, run, spec, place.at("fallback"), groups, fallbacks),
    }
    groups[spec.name] = save_row(run, row, values, place, label=spec.name, spelled=_SPELLED)
    with run.entry():
        apply_budgets(run, holder_of(row), spec.budgets, place.at("budgets"))
    if spec.channels is not None:
        apply_members(run, row, spec.channels, place.at("channels"), offered)
    if not spec.channels and _is_empty(row):
        problem = (place if spec.channels is None else place.at("channels")).says(
            _("This group is active, has no members and selects none: give it channels, or tags, or “select: true”.")
        )
        if not was_empty:  # what stands in the database already can be exported and applied again
            raise ConfigError([problem])
        run.warn(problem)


def _is_empty(row: ModelGroup) -> bool:
    """Whether the group is active and can never have a candidate of its own."""
    return row.is_active and not row.selects and not row.members.exists()


def _fallbacks(groups: Mapping[str, ModelGroup], entries: Sequence[Entry[ModelGroupSpec]]) -> Fallbacks:
    """What falls back to what once the entries are applied, those groups included that the files do not have."""
    names = {row.pk: name for name, row in groups.items()}
    for entry in entries:
        spec = entry.spec
        if spec.was is not None and spec.was in groups and spec.name not in groups:
            names[groups[spec.was].pk] = spec.name
    stored = {names[row.pk]: names.get(row.fallback_id) if row.fallback_id else None for row in groups.values()}
    return stored | {entry.spec.name: entry.spec.fallback for entry in entries}


def _way(name: str, fallbacks: Fallbacks) -> list[str]:
    """The group and those that follow it, each once."""
    way: list[str] = []
    step: str | None = name
    while step is not None and step not in way:
        way.append(step)
        step = fallbacks.get(step)
    return way


def _fallback_of(
    run: Run, spec: ModelGroupSpec, place: Place, groups: Mapping[str, ModelGroup], fallbacks: Fallbacks
) -> ModelGroup | None:
    """The group that the entry falls back to, which has its row by now. Raises ConfigError."""
    if spec.fallback is None:
        return None
    _refuse_circle(spec.name, fallbacks, place)
    if spec.fallback not in fallbacks:  # perhaps the old name of a group that another entry renames
        missing = not run.is_refused("model_groups", spec.fallback)
        raise ConfigError([place.says(not_there("model_groups", fallbacks, spec.fallback))] if missing else [])
    return run.find("model_groups", groups, spec.fallback, place)


def _refuse_circle(name: str, fallbacks: Fallbacks, place: Place) -> None:
    """Raise ConfigError, in the model's words, where the group's way leads back to it."""
    way = _way(name, fallbacks)
    if fallbacks.get(way[-1]) != name:
        return
    rows = {each: ModelGroup(name=each) for each in way}
    for each in way:
        rows[each].fallback = rows[fallbacks[each] or ""]
    try:
        rows[name].clean()
    except ValidationError as e:
        raise ConfigError([place.says(message) for message in e.message_dict["fallback"]]) from e
