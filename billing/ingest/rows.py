"""Worker side. From the lines of one attempt to the values of its usage record."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import models

from billing.models import ScopeUsage, UsageRecord
from billing.spool import CheckpointLine, CloseLine, OpenLine
from smartrouter.lib.clock import at_ms

Row = dict[str, Any]

# An upstream can report any number. One that no column holds would stop every row behind it, so each is cut to its
# column's range as PostgreSQL has it; money to a million USD an attempt, so that the hourly sums fit as well.
_INT_RANGES = {
    "PositiveSmallIntegerField": (0, 2**15 - 1),
    "PositiveIntegerField": (0, 2**31 - 1),
    "BigIntegerField": (-(2**63), 2**63 - 1),
}
_MONEY_AT_MOST_NUSD = 10**15
_PROCESS = re.compile("[0-9a-f]{32}")
_SHARED = (
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
    "trace",
)
_CLOSED = tuple(name for name in CloseLine.__struct_fields__ if name not in ("attempt_id", "price"))


def closed_row(opened: OpenLine, close: CloseLine, *, process: UUID | None = None) -> Row:
    """The row of an attempt that was closed: what the close line says, nothing priced again."""
    row = _opened(opened, process)
    row.update((name, getattr(close, name)) for name in _CLOSED)
    row["price"] = close.price if close.price is not None else opened.price
    return _fitted(row)


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
        price=opened.price,
    )
    return _fitted(row)


def process_of(spool_uid: str) -> UUID | None:
    """The web process that wrote a spool file; None for a name that is no process's id."""
    return UUID(spool_uid) if _PROCESS.fullmatch(spool_uid) else None


def _opened(opened: OpenLine, process: UUID | None) -> Row:
    row: Row = {name: getattr(opened, name) for name in _SHARED}
    row["attempt_id"] = UUID(opened.attempt_id)
    row["request_id"] = UUID(opened.request_id)
    row["admitted_at"] = at_ms(opened.admitted_ms)
    row["started_at"] = at_ms(opened.started_ms)
    row["scopes"] = None if opened.scopes is None else [[_scope_key(key), day] for key, day in opened.scopes]
    row["process"] = process
    return row


def _fitted(row: Row) -> Row:
    """Every column of the table, in its order, with a value that it can hold."""
    return {name: fit(row[name]) if name in row else default for name, default, fit in _COLUMNS}


def _fitter(field: models.Field) -> Callable[[Any], Any]:
    if isinstance(field, models.CharField):
        return _text_of_at_most(field.max_length or 0)
    low, high = _INT_RANGES.get(field.get_internal_type(), (None, None))
    if low is None or high is None:
        return lambda value: value
    if field.name.endswith("_nusd"):
        low, high = -_MONEY_AT_MOST_NUSD, _MONEY_AT_MOST_NUSD
    return lambda value: None if value is None else min(max(value, low), high)


def _text_of_at_most(length: int) -> Callable[[str | None], str | None]:
    # PostgreSQL has no text with a NUL in it.
    return lambda text: text[:length].replace("\0", "") if text and ("\0" in text or len(text) > length) else text


def _default(field: models.Field) -> Any:
    if field.has_default():
        return field.get_default()
    return "" if isinstance(field, models.CharField) else None


_COLUMNS: tuple[tuple[str, Any, Callable[[Any], Any]], ...] = tuple(
    (field.name, _default(field), _fitter(field)) for field in UsageRecord._meta.concrete_fields
)
_scope_key = _text_of_at_most(ScopeUsage._meta.get_field("scope").max_length or 0)
