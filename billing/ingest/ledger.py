"""Worker side. Usage records and their sums, by hour and by scope: all in one transaction, each row counted once."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models, transaction

from billing.budgets import NO_PROCESS
from billing.ingest.insert import add, insert_new, prepared
from billing.ingest.rows import Row, fit
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
_CHANNELS = "channel:"
_FAILURES = frozenset((UsageRecord.Status.FAILED, UsageRecord.Status.CUT, UsageRecord.Status.ABANDONED))
_ALIKE = itemgetter(*HOUR_KEY[1:], "scopes", "process", "is_billable", "status")


def store_rows(rows: Sequence[Row]) -> int:
    """How many of the rows were new; those that are already there change nothing, neither rows nor sums.

    A row has a value for each column, in their order; one that its column cannot hold is cut, in place. At most 30,000
    rows at once: SQLite takes 32,766 keys. Raises django.db.Error, and then nothing was stored.
    """
    fit(rows)
    make_commits_durable()
    columns = UsageRecord._meta.concrete_fields
    values = prepared(columns, (row.values() for row in rows))
    with transaction.atomic():
        new = insert_new(columns, values)
        alike = [*totals(rows[place] for place in new)]
        _add(UsageHour, HOUR_KEY, HOUR_SUMS, hour_sums(alike))
        _add(ScopeUsage, SCOPE_KEY, SCOPE_SUMS, scope_sums(alike))
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


class Total(NamedTuple):
    """What rows that count for the same hour, names and scopes come to."""

    hour_key: tuple[Any, ...]
    scopes: tuple[tuple[str, int], ...]
    process: UUID
    is_billable: bool
    is_failed: bool
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_nusd: int
    charge_nusd: int
    unpriced: int


def totals(rows: Iterable[Row]) -> Iterator[Total]:
    """The rows, those alike in one: a batch has many requests of few keys, models and channels."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        hour = row["admitted_at"].replace(minute=0, second=0, microsecond=0)
        groups[hour, *_ALIKE(row)].append(row)
    for (*hour_key, scopes, process, is_billable, status), members in groups.items():
        yield Total(
            tuple(hour_key),
            scopes or (),
            process or NO_PROCESS,
            is_billable,
            status in _FAILURES,
            len(members),
            sum(row["prompt_tokens"] for row in members),
            sum(row["completion_tokens"] for row in members),
            sum(row["cached_tokens"] for row in members),
            sum(row["cost_nusd"] or 0 for row in members),
            sum(row["charge_nusd"] or 0 for row in members),
            sum(row["cost_nusd"] is None or (is_billable and row["charge_nusd"] is None) for row in members),
        )


def hour_sums(found: Iterable[Total]) -> dict[tuple[Any, ...], list[int]]:
    """What the rows add to each hour: HOUR_KEY -> HOUR_SUMS."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for each in found:
        added = (
            each.attempts if each.is_billable else 0,
            each.attempts,
            each.attempts if each.is_failed else 0,
            each.prompt_tokens,
            each.completion_tokens,
            each.cached_tokens,
            each.cost_nusd,
            each.charge_nusd if each.is_billable else 0,
            each.unpriced,
        )
        _sum_up(sums, each.hour_key, added)
    return sums


def scope_sums(found: Iterable[Total]) -> dict[tuple[Any, ...], list[int]]:
    """What the rows add to each scope's day: SCOPE_KEY -> SCOPE_SUMS.

    A channel's money is the cost of all attempts; a caller's the charge of billable ones, and only those count for him.
    """
    sums: dict[tuple[Any, ...], list[int]] = {}
    for each in found:
        tokens = each.prompt_tokens + each.completion_tokens
        for scope, day in each.scopes:
            if scope.startswith(_CHANNELS):
                money = each.cost_nusd
            elif each.is_billable:
                money = each.charge_nusd
            else:
                continue
            _sum_up(sums, (scope, date.fromordinal(day), each.process), (money, tokens, each.attempts))
    return sums


def _sum_up(sums: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], added: Sequence[int]) -> None:
    before = sums.get(key)
    sums[key] = [*added] if before is None else [*map(int.__add__, before, added)]


def _add(
    model: type[models.Model],
    key_names: Sequence[str],
    sum_names: Sequence[str],
    sums: Mapping[tuple[Any, ...], Sequence[int]],
) -> None:
    """Add to the sums in the order of their keys, so that the ingesters of several hosts never wait in a circle."""
    fields = {field.name: field for field in model._meta.concrete_fields}
    columns = [fields[name] for name in (*key_names, *sum_names)]
    add(columns, prepared(columns, ((*key, *sums[key]) for key in sorted(sums))), key_names=key_names)
