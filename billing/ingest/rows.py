"""Worker side. From the lines of one attempt to the values of its usage record."""

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import models

from billing.models import ScopeUsage, UsageRecord
from billing.spool import CheckpointLine, CloseLine, OpenLine
from billing.spool.lines import NULL, Json
from smartrouter.lib.clock import at_ms

# The values of all columns, in their order. Ids are hex digits, as in the lines; process is a UUID.
Row = dict[str, Any]

# An upstream can report any number. One that no column holds would stop every row behind it, so each is cut to its
# column's range as PostgreSQL has it; money to a million USD an attempt, so that the hourly sums fit as well.
_INT_RANGES = {
    "PositiveSmallIntegerField": (0, 2**15 - 1),
    "PositiveIntegerField": (0, 2**31 - 1),
    "BigIntegerField": (-(2**63), 2**63 - 1),
}
_MONEY_RANGE = (-(10**15), 10**15)
_PROCESS = re.compile("[0-9a-f]{32}")
_OPENED = (
    "attempt_id",
    "request_id",
    "attempt",
    "endpoint",
    "is_streamed",
    "tenant",
    "tenant_ref",
    "router_key",
    "router_key_ref",
    "end_user",
    "client_request_id",
    "session_id",
    "requested_model",
    "group",
    "offering",
    "provider",
    "channel",
    "channel_key",
    "upstream_model",
)
_CLOSED = tuple(name for name in CloseLine.__struct_fields__ if name not in ("attempt_id", "price"))
_values_opened = attrgetter(*_OPENED)
_values_closed = attrgetter(*_CLOSED)


def closed_row(opened: OpenLine, close: CloseLine, *, process: UUID | None = None) -> Row:
    """The row of an attempt that was closed: what the close line says, nothing priced again."""
    row = _opened(opened, process)
    row.update(zip(_CLOSED, _values_closed(close), strict=True))
    row["price"] = row["price"] if _is_null(close.price) else close.price
    return row


def abandoned_row(
    opened: OpenLine, checkpoint: CheckpointLine | None, *, is_billable: bool, process: UUID | None = None
) -> Row:
    """The row of an attempt whose process died: what the last checkpoint says, or the open line where there is none."""
    row = _opened(opened, process)
    last = checkpoint or opened
    row.update(
        is_billable=is_billable,
        status=UsageRecord.Status.ABANDONED.value,
        is_estimated=True,
        duration_ms=checkpoint.at_ms - opened.started_ms if checkpoint else None,
        prompt_tokens=opened.prompt_tokens,
        completion_tokens=checkpoint.completion_tokens if checkpoint else 0,
        cost_nusd=last.cost_nusd,
        charge_nusd=last.charge_nusd,
    )
    return row


def process_of(spool_uid: str) -> UUID | None:
    """The web process that wrote a spool file; None for a name that is no process's id."""
    return UUID(spool_uid) if _PROCESS.fullmatch(spool_uid) else None


def _opened(opened: OpenLine, process: UUID | None) -> Row:
    row = _DEFAULTS.copy()
    row.update(zip(_OPENED, _values_opened(opened), strict=True))
    row["admitted_at"] = at_ms(opened.admitted_ms)
    row["started_at"] = at_ms(opened.started_ms)
    row["scopes"] = None if opened.scopes is None else _fitting_scopes(opened.scopes)
    row["process"] = process
    row["price"] = None if _is_null(opened.price) else opened.price
    row["trace"] = None if _is_null(opened.trace) else opened.trace
    return row


def _is_null(value: Json) -> bool:
    return value is None or value == NULL


def fit(rows: Sequence[Row]) -> None:
    """Cut each value to what its column can hold. Hardly one ever is too large, so a column is looked at as a whole."""
    for name, longest in _LONGEST:
        texts = [text for row in rows if (text := row[name])]
        if texts and (max(map(len, texts)) > longest or "\0" in "".join(texts)):
            for row in rows:
                row[name] = row[name] and _fitting_text(row[name], longest)
    for name, low, high in _RANGES:
        numbers = [number for row in rows if (number := row[name]) is not None]
        if numbers and (min(numbers) < low or max(numbers) > high):
            for row in rows:
                row[name] = None if row[name] is None else min(max(row[name], low), high)


def _fitting_text(text: str, longest: int) -> str:
    # PostgreSQL has no text with a NUL in it.
    return text[:longest].replace("\0", "")


@lru_cache(maxsize=10_000)
def _fitting_scopes(scopes: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    return tuple((_fitting_text(key, _LONGEST_SCOPE), day) for key, day in scopes)


def _range(field: models.Field) -> tuple[int, int]:
    return _MONEY_RANGE if field.name.endswith("_nusd") else _INT_RANGES[field.get_internal_type()]


def _default(field: models.Field) -> Any:
    if field.has_default():
        return field.get_default()
    return "" if isinstance(field, models.CharField) else None


_FIELDS = UsageRecord._meta.concrete_fields
_DEFAULTS: Row = {field.name: _default(field) for field in _FIELDS}
_LONGEST = tuple((field.name, field.max_length or 0) for field in _FIELDS if isinstance(field, models.CharField))
_RANGES = tuple((field.name, *_range(field)) for field in _FIELDS if field.get_internal_type() in _INT_RANGES)
_LONGEST_SCOPE = ScopeUsage._meta.get_field("scope").max_length or 0
