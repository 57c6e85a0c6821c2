"""Worker side. Usage records and their hourly sums in the database: both in one transaction, each row counted once."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction

from billing.ingest.rows import Row
from billing.models import UsageHour, UsageRecord

HOUR_KEY = ("hour", "tenant", "router_key", "group", "offering", "provider", "channel")
HOUR_SUMS = (
    "requests",
    "attempts",
    "failures",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost_nusd",
    "charge_nusd",
    "unpriced",
)
_READY_TYPES = frozenset((str, int, bool))
_FAILURES = frozenset((UsageRecord.Status.FAILED, UsageRecord.Status.CUT, UsageRecord.Status.ABANDONED))


def store_rows(rows: Sequence[Row]) -> int:
    """How many of the rows were new; those that are already there change nothing, neither rows nor sums.

    At most about 600 rows at once: SQLite takes 32,766 parameters. Raises django.db.Error, and then nothing was stored.
    """
    make_commits_durable()
    with transaction.atomic():
        stored = _insert(rows)
        new = {row["attempt_id"]: row for row in rows if row["attempt_id"] in stored}
        _add_to_hours(hour_sums(new.values()))
    return len(new)


def make_commits_durable() -> None:
    """Have SQLite reach the disk with each commit: afterwards the spool file goes, and with it the only other copy."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=FULL")


def billed_requests(request_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the requests that already have a billable row."""
    found = UsageRecord.objects.filter(request_id__in=request_ids, is_billable=True)
    return set(found.values_list("request_id", flat=True))


def known_attempts(attempt_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the attempts that already have a row."""
    return set(UsageRecord.objects.filter(pk__in=attempt_ids).values_list("pk", flat=True))


def hour_sums(rows: Iterable[Row]) -> dict[tuple[Any, ...], list[int]]:
    """What the rows add to each hour: HOUR_KEY -> HOUR_SUMS."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        hour = row["admitted_at"].replace(minute=0, second=0, microsecond=0)
        total = sums.setdefault((hour, *(row[name] for name in HOUR_KEY[1:])), [0] * len(HOUR_SUMS))
        cost, charge, is_billable = row["cost_nusd"], row["charge_nusd"], row["is_billable"]
        added = (
            int(is_billable),
            1,
            int(row["status"] in _FAILURES),
            row["prompt_tokens"],
            row["completion_tokens"],
            row["cached_tokens"],
            cost or 0,
            (charge or 0) if is_billable else 0,
            int(cost is None or (is_billable and charge is None)),
        )
        for i, amount in enumerate(added):
            total[i] += amount
    return sums


def _insert(rows: Sequence[Row]) -> set[UUID]:
    fields = UsageRecord._meta.concrete_fields
    key = _quote(UsageRecord._meta.pk.column)
    values = [value for row in rows for value in _prepared(fields, row.values())]
    sql = f"{_insert_into(UsageRecord, fields, len(rows))} ON CONFLICT ({key}) DO NOTHING RETURNING {key}"
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return {UsageRecord._meta.pk.to_python(value) for (value,) in cursor.fetchall()}


def _add_to_hours(sums: dict[tuple[Any, ...], list[int]]) -> None:
    """Add to the hours in the order of their keys, so that the ingesters of several hosts never wait in a circle."""
    if not sums:
        return
    columns = {field.name: field for field in UsageHour._meta.concrete_fields}
    fields = [columns[name] for name in (*HOUR_KEY, *HOUR_SUMS)]
    values = [value for key in sorted(sums) for value in _prepared(fields, (*key, *sums[key]))]
    table = _quote(UsageHour._meta.db_table)
    added = ", ".join(f"{_quote(name)} = {table}.{_quote(name)} + excluded.{_quote(name)}" for name in HOUR_SUMS)
    keys = ", ".join(_quote(name) for name in HOUR_KEY)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_insert_into(UsageHour, fields, len(sums))} ON CONFLICT ({keys}) DO UPDATE SET {added}", values
        )


def _prepared(fields: Sequence[Any], values: Iterable[Any]) -> Iterable[Any]:
    # Text, numbers and booleans of the right type go in as they are; asking each field costs twice the insert itself.
    database = connections[DEFAULT_DB_ALIAS]
    for field, value in zip(fields, values, strict=True):
        is_ready = value is None or type(value) in _READY_TYPES
        yield value if is_ready else field.get_db_prep_save(value, database)


def _insert_into(model: type[models.Model], fields: Sequence[Any], count: int) -> str:
    columns = ", ".join(_quote(field.column) for field in fields)
    marks = f"({', '.join(['%s'] * len(fields))})"
    rows = ", ".join([marks] * count)
    # Only names from our own models stand in the text; every value is a parameter.
    return f"INSERT INTO {_quote(model._meta.db_table)} ({columns}) VALUES {rows}"  # noqa: S608


def _quote(name: str | None) -> str:
    return connection.ops.quote_name(name or "")
