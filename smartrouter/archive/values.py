"""Worker side. A row's values as JSON, and back again exactly."""

import base64
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils.duration import duration_iso_string
from django.utils.translation import gettext as _

from smartrouter.lib.sealing import Sealed, SealedField

# More than any row that the router writes by a thousand times; what a reader holds of one line at most.
LINE_LIMIT_BYTES = 64 * 1024 * 1024

# From the value as JSON has it to a parameter of a statement. Raises ValueError, TypeError or ValidationError.
Loader = Callable[[Any], Any]


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


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_as_text)


def loader_of(field: models.Field) -> Loader:
    """How a value of that field comes back. One call a value and no more: an archive has tens of millions."""
    base = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(base, models.BooleanField):
        return _plain(bool, field.null)
    if isinstance(base, models.IntegerField):
        return _whole_number(*connection.ops.integer_field_range(base.get_internal_type()), is_null=field.null)
    if isinstance(base, models.FloatField):
        return _plain(float, field.null)
    if isinstance(base, models.CharField | models.TextField):
        return _text(base.max_length, field.null)
    if isinstance(base, models.JSONField):
        return _converted(object, lambda value: base.get_db_prep_save(value, connection), field.null)
    return _converted(str, _from_text(base), field.null)


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
        raise ValueError(_("the time has no zone"))
    return moment


def _plain(kind: type, is_null: bool) -> Loader:
    def load(value: Any) -> Any:
        return value if type(value) is kind else _null(value, is_null)

    return load


def _converted(kind: type, convert: Loader, is_null: bool) -> Loader:
    def load(value: Any) -> Any:
        return convert(value) if value is not None and isinstance(value, kind) else _null(value, is_null)

    return load


def _whole_number(low: int | None, high: int | None, *, is_null: bool) -> Loader:
    if low is None or high is None:
        return _plain(int, is_null)

    def load(value: Any) -> Any:
        if type(value) is not int:
            return _null(value, is_null)
        if low <= value <= high:
            return value
        raise ValueError(_("the number does not fit the column"))

    return load


def _text(length: int | None, is_null: bool) -> Loader:
    # SQLite keeps what is too long, and text with a NUL in it; PostgreSQL refuses both.
    if connection.vendor != "postgresql":
        return _plain(str, is_null)
    limit = length or sys.maxsize

    def load(value: Any) -> Any:
        if type(value) is not str:
            return _null(value, is_null)
        if "\0" in value:
            raise ValueError(_("PostgreSQL stores no text with a NUL character in it"))
        if len(value) > limit:
            raise ValueError(_("the text is longer than %d characters") % limit)
        return value

    return load


def _null(value: Any, is_null: bool) -> None:
    if value is not None:
        raise TypeError(_("it has the wrong type"))
    if not is_null:
        raise ValueError(_("it must not be null"))


def reason_of(error: Exception) -> str:
    """What is wrong with a value, for people, without the value."""
    if isinstance(error, ValidationError):
        return _("it cannot be read")
    return str(error)
