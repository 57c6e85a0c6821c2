"""Worker side. A row against its model's own rules, and every breach of them with its place."""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.db.models.constraints import BaseConstraint
from django.utils.translation import gettext as _

from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.report import ConfigError

# SQLite keeps decimals as floats, which are exact so far.
DIGITS_AT_MOST = 15


def number_problem(value: Any) -> str:
    """What is wrong with a number that the columns would change in silence; empty for none."""
    if isinstance(value, float) and not math.isfinite(value):
        return _("This number is too large.")
    if isinstance(value, Decimal):
        if not value.is_finite():
            return _("This is not a number.")
        if len(value.normalize().as_tuple().digits) > DIGITS_AT_MOST:
            return _("This number has more than %d digits.") % DIGITS_AT_MOST
    return ""


def row_problems(
    row: models.Model, place: Place, spelled: Mapping[str, str], without: Collection[str]
) -> Iterator[Problem]:
    """What the model's rules say against the row, fields in without left aside."""
    wrong = set(without)
    try:
        row.full_clean(exclude=wrong, validate_constraints=False)
    except ValidationError as e:
        for name, errors in e.error_dict.items():
            where = place if name == NON_FIELD_ERRORS else place.at(*spelled.get(name, name).split("."))
            for error in errors:
                yield from (where.says(message) for message in _sentences(row, name, error))
            wrong.add(name)
    for model, constraints in row.get_constraints():
        for constraint in constraints:
            try:
                constraint.validate(model, row, exclude=wrong)
            except ValidationError as e:
                name = _field_of(constraint)
                where = place.at(*spelled.get(name, name).split(".")) if name else place
                yield from (where.says(message) for message in e.messages)


def _sentences(row: models.Model, name: str, error: ValidationError) -> list[str]:
    if error.code != "invalid_choice":
        return list(error.messages)
    field = row._meta.get_field(name)
    assert isinstance(field, models.Field)
    return [_("Use one of: %s.") % ", ".join(str(value) for value, _label in field.flatchoices)]


def _field_of(constraint: BaseConstraint) -> str:
    """The one field that a constraint is about: of a unique one the last; empty where there are several."""
    if isinstance(constraint, models.UniqueConstraint):
        return str(constraint.fields[-1]) if constraint.fields else ""
    assert isinstance(constraint, models.CheckConstraint)
    names = set(_names_in(constraint.condition))
    return names.pop() if len(names) == 1 else ""


def _names_in(condition: Any) -> Iterator[str]:
    if isinstance(condition, models.Q):
        for child in condition.children:
            yield from _names_in(child)
    elif isinstance(condition, tuple):
        yield str(condition[0]).split("__")[0]


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


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; true is not 1, also inside lists and objects."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
