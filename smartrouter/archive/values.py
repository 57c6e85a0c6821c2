"""Worker side. A row's values as JSON, and back again exactly."""

import base64
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.utils.duration import duration_iso_string
from django.utils.translation import gettext as _

from smartrouter.lib.sealing import Sealed, SealedField

# More than any row that the router writes by a thousand times; what a reader holds of one line at most.
LINE_LIMIT_BYTES = 64 * 1024 * 1024

# What JSON can write as \uD800 and no encoding of text can hold.
HALF_PAIR = re.compile("[\ud800-\udfff]")

# From the value as JSON has it to a parameter of a statement. Raises ValueRefused, ValueError, TypeError or ValidationError.
Loader = Callable[[Any], Any]


class ValueRefused(ValueError):
    """What is wrong with a value, for people, without the value."""


def stored_fields(model: type[models.Model]) -> list[models.Field]:
    """The model's own columns, without those that the database computes."""
    return [field for field in model._meta.local_concrete_fields if not getattr(field, "generated", False)]


def encode_row(values: Sequence[Any]) -> str:
    """One line, without its end."""
    return _ENCODER.encode(values)


def _as_text(value: Any) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case UUID() | Decimal():
            return str(value)
        case Sealed():
            return base64.b64encode(value.blob).decode()
        case bytes() | memoryview() | bytearray():
            return base64.b64encode(value).decode()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return duration_iso_string(value)
    raise TypeError(f"{type(value).__name__} has no form in an archive")


# ASCII only: a JSON column of SQLite may hold half of a surrogate pair, which has no bytes.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_as_text)


def loader_of(field: models.Field) -> Loader:
    """How a value of that field comes back. One call a value and no more: an archive has tens of millions."""
    base = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(base, models.BooleanField):
        return _plain(bool, is_null=field.null)
    if isinstance(base, models.IntegerField):
        return _whole_number(*connection.ops.integer_field_range(base.get_internal_type()), is_null=field.null)
    if isinstance(base, models.FloatField):
        return _plain(float, is_null=field.null)
    if isinstance(base, models.CharField | models.TextField):
        return _text(base.max_length, is_null=field.null)
    if isinstance(base, models.JSONField):
        return _converted(object, _from_json(base), is_null=field.null)
    return _converted(str, _from_text(base), is_null=field.null)


def _from_json(field: models.JSONField) -> Loader:
    # SQLite keeps JSON as it was written; PostgreSQL takes it apart, and refuses texts in it that are none.
    if connection.vendor != "postgresql":
        return lambda value: field.get_db_prep_save(value, connection)

    def load(value: Any) -> Any:
        for text in _texts_in(value):
            _refuse_odd(text)
        return field.get_db_prep_save(value, connection)

    return load


def _texts_in(value: Any) -> Iterator[str]:
    """Every text at any depth, the names of members among them."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting.extend(each.keys())
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _from_text(field: models.Field) -> Loader:
    adapt = connection.ops.adapt_datetimefield_value
    if isinstance(field, models.DateTimeField):
        return lambda text: adapt(_aware(datetime.fromisoformat(text)))
    if isinstance(field, models.UUIDField) and connection.features.has_native_uuid_field:
        return UUID
    if isinstance(field, models.UUIDField):
        return lambda text: UUID(text).hex
    if isinstance(field, SealedField):
        return lambda text: field.get_db_prep_save(Sealed(base64.b64decode(text, validate=True)), connection)
    if isinstance(field, models.BinaryField):
        return lambda text: field.get_db_prep_save(base64.b64decode(text, validate=True), connection)
    return lambda text: field.get_db_prep_save(field.to_python(text), connection)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueRefused(_("the time has no zone"))
    return moment


def _plain(kind: type, *, is_null: bool) -> Loader:
    def load(value: Any) -> Any:
        return value if type(value) is kind else _null(value, is_null=is_null)

    return load


def _converted(kind: type, convert: Loader, *, is_null: bool) -> Loader:
    def load(value: Any) -> Any:
        return convert(value) if value is not None and isinstance(value, kind) else _null(value, is_null=is_null)

    return load


def _whole_number(low: int | None, high: int | None, *, is_null: bool) -> Loader:
    if low is None or high is None:
        return _plain(int, is_null=is_null)

    def load(value: Any) -> Any:
        if type(value) is not int:
            return _null(value, is_null=is_null)
        if low <= value <= high:
            return value
        raise ValueRefused(_("the number does not fit the column"))

    return load


def _text(length: int | None, *, is_null: bool) -> Loader:
    # SQLite keeps what is too long, and text with a NUL in it; PostgreSQL refuses both.
    is_strict = connection.vendor == "postgresql"
    limit = length if is_strict and length else sys.maxsize

    def load(value: Any) -> Any:
        if type(value) is not str:
            return _null(value, is_null=is_null)
        _refuse_odd(value, may_hold_nul=not is_strict)
        if len(value) > limit:
            raise ValueRefused(_("the text is longer than %d characters") % limit)
        return value

    return load


def _refuse_odd(text: str, *, may_hold_nul: bool = False) -> None:
    if "\0" in text and not may_hold_nul:
        raise ValueRefused(_("PostgreSQL stores no text with a NUL character in it"))
    if not text.isascii() and HALF_PAIR.search(text):
        raise ValueRefused(_("it holds half of a surrogate pair, which is no character"))


def _null(value: Any, *, is_null: bool) -> None:
    if value is not None:
        raise ValueRefused(_("it has the wrong type"))
    if not is_null:
        raise ValueRefused(_("it must not be null"))


def reason_of(error: Exception) -> str:
    """What is wrong with a value, for people, without the value, which the libraries' own sentences may quote."""
    return str(error) if isinstance(error, ValueRefused) else _("it cannot be read")
