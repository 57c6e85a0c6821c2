"""Worker side. Writing rows: only what differs, checked by the model's own rules, noted in the report."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError
from django.db.models import Field, Model
from django.utils.translation import gettext as _

from billing.models import Budget
from channels.models import Channel
from providers.models import Provider, ProviderModel
from smartrouter.accounts.models import Tenant
from smartrouter.configfile.cleaning import number_problem, row_problems, same
from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.report import Action, ConfigError, FieldChange, Line, Report
from smartrouter.configfile.showing import changes_of, fields_of, printable

M = TypeVar("M", bound=Model)
T = TypeVar("T")
P = ParamSpec("P")

# The document's word for a column that has another name in the database.
FIELD_NAMES: Mapping[str, str] = {
    "is_active": "active",
    "is_free": "free",
    "allowed_models": "models",
    "provider_model": "model",
    "digest": "key",
    "secret": "key",
    "last_four": "key",
    "env_name": "key",
    "connect_timeout_s": "timeouts.connect_s",
    "first_byte_timeout_s": "timeouts.first_content_s",
    "idle_timeout_s": "timeouts.idle_s",
    "total_timeout_s": "timeouts.total_s",
    "selects": "select",
    "strategy": "routing_strategy",
    "layers": "routing_strategy",
    "pattern": "names",
    "previous_digest": "previous.key",
    "previous_until": "previous.until",
    "max_cost_per_request_nusd": "max_cost_per_request_usd",
    "start": "from",
    "end": "to",
}

# The block that a model's rows are reported under.
BLOCK_OF: Mapping[str, str] = {
    "provider": "providers",
    "providermodel": "models",
    "modelprice": "models",
    "exchangerate": "exchange_rates",
    "tenant": "tenants",
    "routerkey": "tenants",
    "user": "tenants",
    "membership": "tenants",
    "channel": "channels",
    "channelkey": "channels",
    "offering": "channels",
    "offeringprice": "channels",
    "modelgroup": "model_groups",
    "groupmember": "model_groups",
    "timepolicy": "model_groups",
    "strategyrule": "strategies",
}

# The same of budgets, by the kind of their scope.
BLOCK_OF_BUDGETS: Mapping[str, str] = {
    **dict.fromkeys(("tenant", "router_key", "user", "end_user"), "tenants"),
    "channel": "channels",
    "group": "model_groups",
}


class Stop(Exception):
    """The database refused a row: nothing more can be tried in this transaction."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands for a value that could not be read, until its row is looked at."""

    problems: tuple[Problem, ...]


@dataclass(slots=True)
class Run:
    """One apply: its moment, what it did, what is wrong, and the rows by name that others refer to."""

    now: datetime
    report: Report = field(default_factory=Report)
    problems: list[Problem] = field(default_factory=list)
    # Entries by (block, name) that are in problems already; with an empty name: any of the block.
    refused: set[tuple[str, str]] = field(default_factory=set)
    providers: dict[str, Provider] = field(default_factory=dict)
    models: dict[tuple[str, str], ProviderModel] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    key_places: dict[int, Place] = field(default_factory=dict)  # where the router keys of the files stand, by id

    @contextmanager
    def entry(self, block: str = "", name: str = "") -> Iterator[None]:
        """Collect what is wrong inside, so that the next entry is looked at as well."""
        try:
            yield
        except ConfigError as e:
            self.problems += e.problems
            if block:
                self.refused.add((block, name))

    def is_refused(self, block: str, name: str) -> bool:
        """Whether the entry of that name may be missing only because it is wrong itself."""
        return (block, name) in self.refused or (block, "") in self.refused

    def find(self, block: str, rows: Mapping[str, M], name: str, place: Place) -> M:
        """The row that the place names. Raises ConfigError, without a problem where the entry itself was refused."""
        row = rows.get(name)
        if row is None:
            raise ConfigError([] if self.is_refused(block, name) else [place.says(not_there(block, rows, name))])
        return row

    def note(self, row: Model, action: Action, label: str, fields: Any = (), was: str = "") -> None:
        """Put what happened to the row into the report."""
        block, kind = _block_of(row), str(row._meta.verbose_name)
        self.report.lines.append(Line(action, block, kind, label, tuple(fields), was))

    def warn(self, problem: Problem) -> None:
        self.report.warnings.append(str(problem))


def _block_of(row: Model) -> str:
    """The block that the row is reported under."""
    if isinstance(row, Budget):
        return BLOCK_OF_BUDGETS[row.scope.kind]
    assert row._meta.model_name is not None
    return BLOCK_OF[row._meta.model_name]


def not_there(block: str, rows: Mapping[str, Any], name: str) -> str:
    """The sentence for a name that nothing has, with the nearest that something has."""
    near = difflib.get_close_matches(name, rows, 1)
    if near:
        said = _("There is no “%(name)s” in %(block)s; did you mean “%(near)s”?")
        return said % {"name": printable(name), "block": block, "near": near[0]}
    return _("There is no “%(name)s” in %(block)s.") % {"name": printable(name), "block": block}


def tried(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Refused:
    """What the call returns; a Refused, for save_row, where it raises ConfigError: other fields are still looked at."""
    try:
        return call(*args, **kwargs)
    except ConfigError as e:
        return Refused(tuple(e.problems))


def take_renamed(rows: dict[Any, M], name: Any, was: Any, place: Place) -> M | None:
    """The row of that name, or the one that still has the old name; None for neither. Raises ConfigError for both."""
    if was is None or was == name or was not in rows:
        return rows.get(name)
    if name in rows:
        raise ConfigError(
            [place.at("was").says(_("The old and the new name both exist; remove “was” or one of them."))]
        )
    rows[name] = rows.pop(was)
    return rows[name]


def save_row(
    run: Run,
    row: M,
    values: Mapping[str, Any],
    place: Place,
    *,
    label: str,
    spelled: Mapping[str, str] | None = None,
    follows: Model | None = None,
) -> M:
    """The row with these values, saved and noted if that changes anything.

    follows: the row that a new one takes over from, which stays. Raises ConfigError with everything that the model
    refuses, and with the problems of each Refused among the values.
    """
    spelled = {**FIELD_NAMES, **(spelled or {})}
    columns = {name: _field(row, name).attname for name in values}
    is_new = row._state.adding
    before = {} if is_new else {name: getattr(row, column) for name, column in columns.items()}
    problems = _set_values(row, values, place, spelled)
    if not problems and not is_new and not _differing(row, columns, before):
        return row
    wrong = [name for name, value in values.items() if isinstance(value, Refused) or number_problem(value)]
    problems += row_problems(row, place, spelled, wrong)
    if wrong or problems:
        raise ConfigError(problems)
    changed = _differing(row, columns, before)  # again: clean() may have brought a value back to what was there
    if not is_new and not changed:
        return row
    write(run, place, row.save)
    if is_new:
        run.note(row, Action.ADDED, label, fields_of(row, values, spelled, follows))
    else:
        _note_change(run, row, {name: _readable(row, name, before[name]) for name in changed}, label, spelled)
    return row


def switch_off(run: Run, row: Model, place: Place, label: str) -> None:
    """Switch the row off, if it is on, and note it. Nothing else of it is checked: it may be older than a rule."""
    switch(run, row, place, label, on=False)


def switch(run: Run, row: Any, place: Place, label: str, *, on: bool) -> None:
    """Bring is_active to that value and note it, if that changes anything."""
    if row.is_active is on:
        return
    row.is_active = on
    write(run, place, lambda: row.save(update_fields=["is_active"]))
    change = FieldChange("active", str(not on).lower(), str(on).lower())
    run.note(row, Action.CHANGED if on else Action.SWITCHED_OFF, label, [change] if on else ())


def write(run: Run, place: Place, save: Callable[[], None]) -> None:
    """Call save. Raises Stop, with the problem noted, where the database refuses the row."""
    try:
        save()
    except DatabaseError as e:
        run.problems.append(place.says(_("The database refused this entry (%s).") % type(e).__name__))
        raise Stop from e


def _set_values(row: Model, values: Mapping[str, Any], place: Place, spelled: Mapping[str, str]) -> list[Problem]:
    """Set what can be set; what is wrong with the rest."""
    problems: list[Problem] = []
    for name, value in values.items():
        if isinstance(value, Refused):
            problems += value.problems
        elif said := number_problem(value):
            problems.append(place.at(*spelled.get(name, name).split(".")).says(said))
        else:
            setattr(row, name, value)
    return problems


def _note_change(run: Run, row: Model, old: Mapping[str, Any], label: str, spelled: Mapping[str, str]) -> None:
    """Note a change under what matters most of it: that the row is off now, that it has another name, or the rest."""
    action, names = Action.CHANGED, dict.fromkeys(old)
    was = old.get("name", "") if row._meta.model_name != "groupmember" else ""
    if was:
        action = Action.RENAMED
        names.pop("name")
    if old.get("is_active") is True:
        action = Action.SWITCHED_OFF
        names.pop("is_active")
    run.note(row, action, label, changes_of(row, old, names, spelled), was)


def _readable(row: Model, name: str, old: Any) -> Any:
    """An old value as it can be shown: the row instead of its id."""
    column = _field(row, name)
    if old is None or not column.is_relation:
        return old
    assert isinstance(column.related_model, type)
    return column.related_model._base_manager.filter(pk=old).first()


def _field(row: Model, name: str) -> "Field[Any, Any]":
    found = row._meta.get_field(name)
    assert isinstance(found, Field)  # no reverse relation is ever written
    return found


def _differing(row: Model, columns: Mapping[str, str], before: Mapping[str, Any]) -> list[str]:
    return [
        name for name, column in columns.items() if name not in before or not same(before[name], getattr(row, column))
    ]
