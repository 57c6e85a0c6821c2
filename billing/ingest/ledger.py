"""Worker side. Usage records and their sums, by hour and by scope: all in one transaction, each row counted once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction

from billing.budgets import NO_PROCESS
from billing.ingest.rows import Row
from billing.models import ScopeUsage, UsageHour, UsageRecord

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
SCOPE_KEY = ("scope", "day", "process")
SCOPE_SUMS = ("money_nusd", "tokens", "requests")
# SQLite takes 32,766 parameters.
PARAMETERS_AT_MOST = 30_000
_CHANNELS = "channel:"
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
        _add(UsageHour, HOUR_KEY, HOUR_SUMS, hour_sums(new.values()))
        _add(ScopeUsage, SCOPE_KEY, SCOPE_SUMS, scope_sums(new.values()))
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


def scope_sums(rows: Iterable[Row]) -> dict[tuple[Any, ...], list[int]]:
    """What the rows add to each scope's day: SCOPE_KEY -> SCOPE_SUMS.

    A channel's money is the cost of all attempts; a caller's the charge of billable ones, and only those count for him.
    """
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        tokens, is_billable = row["prompt_tokens"] + row["completion_tokens"], row["is_billable"]
        for scope, day in row["scopes"] or ():
            if scope.startswith(_CHANNELS):
                money = row["cost_nusd"]
            elif is_billable:
                money = row["charge_nusd"]
            else:
                continue
            key = (scope, date.fromordinal(day), row["process"] or NO_PROCESS)
            total = sums.setdefault(key, [0] * len(SCOPE_SUMS))
            for i, amount in enumerate((money or 0, tokens, 1)):
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


def _add(
    model: type[models.Model],
    key_names: Sequence[str],
    sum_names: Sequence[str],
    sums: Mapping[tuple[Any, ...], Sequence[int]],
) -> None:
    """Add to the sums in the order of their keys, so that the ingesters of several hosts never wait in a circle."""
    columns = {field.name: field for field in model._meta.concrete_fields}
    fields = [columns[name] for name in (*key_names, *sum_names)]
    table = _quote(model._meta.db_table)
    added = ", ".join(f"{_quote(name)} = {table}.{_quote(name)} + excluded.{_quote(name)}" for name in sum_names)
    conflict = f"ON CONFLICT ({', '.join(map(_quote, key_names))}) DO UPDATE SET {added}"
    keys, at_once = sorted(sums), PARAMETERS_AT_MOST // len(fields)
    with connection.cursor() as cursor:
        for start in range(0, len(keys), at_once):
            piece = keys[start : start + at_once]
            values = [value for key in piece for value in _prepared(fields, (*key, *sums[key]))]
            cursor.execute(f"{_insert_into(model, fields, len(piece))} {conflict}", values)


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
