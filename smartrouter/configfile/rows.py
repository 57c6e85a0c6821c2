"""Worker side. Writing rows: only what differs, checked by the model's own rules, noted in the report."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DatabaseError, models
from django.utils.translation import gettext as _

from channels.models import Channel
from providers.models import Provider, ProviderModel
from smartrouter.accounts.models import Tenant
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError, Line, Report

M = TypeVar("M", bound=models.Model)

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
}


# SQLite keeps decimals as floats, which are exact so far.
DIGITS_AT_MOST = 15


class Stop(Exception):
    """The database refused a row: nothing more can be tried in this transaction."""


@dataclass(slots=True)
class Run:
    """One apply: its moment, what it did, what is wrong, and the rows by name that others refer to."""

    now: datetime
    report: Report = field(default_factory=Report)
    errors: list[str] = field(default_factory=list)
    refused: set[tuple[str, str]] = field(default_factory=set)  # entries by (block, name) that are in errors already
    providers: dict[str, Provider] = field(default_factory=dict)
    models: dict[tuple[str, str], ProviderModel] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)

    @contextmanager
    def entry(self, block: str = "", name: str = "") -> Iterator[None]:
        """Collect what is wrong inside, so that the next entry is looked at as well."""
        try:
            yield
        except ConfigError as e:
            self.errors += e.messages
            self.refused.add((block, name))

    def find(self, block: str, rows: Mapping[str, M], name: str, place: Place) -> M:
        """The row that the place names. Raises ConfigError, without a message where the entry itself was refused."""
        row = rows.get(name)
        if row is None:
            known = (block, name) in self.refused
            raise ConfigError([] if known else [place.says(_("There is no “%(name)s” in %(block)s.") % {
                "name": name, "block": block,
            })])  # fmt: skip
        return row


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
    run: Run, row: M, values: Mapping[str, Any], place: Place, *, label: str, spelled: Mapping[str, str] | None = None
) -> M:
    """The row with these values, saved if that changes anything. Raises ConfigError where the model refuses them."""
    spelled = {**FIELD_NAMES, **(spelled or {})}
    columns = {name: _field(row, name).attname for name in values}
    is_new = row._state.adding
    before = {} if is_new else {name: getattr(row, column) for name, column in columns.items()}
    for name, value in values.items():
        if problem := _number_problem(value):
            raise ConfigError([place.at(*spelled.get(name, name).split(".")).says(problem)])
        setattr(row, name, value)
    if not is_new and not _differing(row, columns, before):
        return row
    try:
        row.full_clean()
    except ValidationError as e:
        raise ConfigError(list(_messages(row, e, place, spelled))) from e
    changed = _differing(row, columns, before)  # again: clean() may have brought a value back to what was there
    if not is_new and not changed:
        return row
    try:
        row.save()
    except DatabaseError as e:
        run.errors.append(place.says(_("The database refused this entry (%s).") % type(e).__name__))
        raise Stop from e
    kind = str(row._meta.verbose_name)
    if is_new:
        run.report.added.append(Line(kind, label))
    else:
        names = dict.fromkeys(spelled.get(name, name) for name in changed)
        run.report.changed.append(Line(kind, label, tuple(names)))
    return row


def _number_problem(value: Any) -> str:
    """What is wrong with a number that the columns would change in silence; empty for none."""
    if isinstance(value, float) and not math.isfinite(value):
        return _("This number is too large.")
    if isinstance(value, Decimal):
        if not value.is_finite():
            return _("This is not a number.")
        if len(value.normalize().as_tuple().digits) > DIGITS_AT_MOST:
            return _("This number has more than %d digits.") % DIGITS_AT_MOST
    return ""


def _field(row: models.Model, name: str) -> models.Field:
    found = row._meta.get_field(name)
    assert isinstance(found, models.Field)  # no reverse relation is ever written
    return found


def _differing(row: models.Model, columns: Mapping[str, str], before: Mapping[str, Any]) -> list[str]:
    return [
        name for name, column in columns.items() if name not in before or not same(before[name], getattr(row, column))
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; true is not 1, also inside lists and objects."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _messages(row: models.Model, error: ValidationError, place: Place, spelled: Mapping[str, str]) -> Iterator[str]:
    for name, problems in error.error_dict.items():
        where = place if name == NON_FIELD_ERRORS else place.at(*spelled.get(name, name).split("."))
        for problem in problems:
            if problem.code == "invalid_choice":
                choices = _field(row, name).flatchoices
                yield where.says(_("Use one of: %s.") % ", ".join(str(value) for value, _label in choices))
            else:
                yield from (where.says(message) for message in problem.messages)


def as_json(value: Any, place: Place) -> Any:
    """The value as JSON columns keep it: exact numbers become floats. Raises ConfigError where JSON has no form."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, dict):
        return {key: as_json(item, place.at(str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item, place.at(index)) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError([place.says(_("This number is too large."))])
    try:
        json.dumps(value)
    except TypeError as e:
        raise ConfigError([place.says(_("This value has no form in JSON."))]) from e
    return value
