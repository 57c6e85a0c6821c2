"""Worker side. What the usage records say of sessions, read piece by piece.

A session's latest rows are given one by one, under their request's id, the ones before that as a sum. An id may come again
from the process that settled the request, which remembers it for ten minutes, longer only where it has not reached the
store yet and for no longer than twenty; or from a row that was late. No request lasts longer than an hour
(REQUEST_TIMEOUT_SECONDS), so that whatever may come again has begun within the last two hours (REMEMBERED_S).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID

from django.db.models import BooleanField, Max, Min, QuerySet, Sum
from django.db.models.expressions import RawSQL

from billing.models import UsageRecord
from billing.sessions import FORGOTTEN_AFTER_S, REMEMBERED_S, counter_name, session_entry
from smartrouter.lib.counters import Entry, SeedCounter

T = TypeVar("T")

SINGLE_ROWS = timedelta(seconds=REMEMBERED_S)
# A request of an hour, twenty minutes without a store, some for its row to come. Less than SINGLE_ROWS, so that a seed
# that began a while ago has named each of them.
LATE_ROWS = timedelta(minutes=90)
IDLE = timedelta(seconds=FORGOTTEN_AFTER_S)
# What a session has cost before that is not counted any more when a store is seeded.
DAYS_AT_MOST = 31
PIECE = 200

Session = tuple[int, str]


@dataclass(slots=True)
class Found:
    """What the rows of one session say so far; first and last: when its requests were admitted."""

    first: datetime
    last: datetime
    base: int = 0
    entries: dict[str, int] = field(default_factory=dict)


def read_seeds(moment: datetime) -> Iterator[list[SeedCounter]]:
    """Every session that had a request within 24 h before this moment, with all that it has come to in 31 days."""
    live = billed_rows().filter(attempt_id__gte=first_id(moment - IDLE)).order_by("session_id", "router_key_ref")
    sessions = live.values_list("router_key_ref", "session_id").distinct()
    for piece in _pieces(sessions.iterator(chunk_size=PIECE)):
        yield [
            SeedCounter(counter_name(*session), item.base, ttl_s, item.entries, REMEMBERED_S)
            for session, item in _read_sessions(set(piece), moment).items()
            if (ttl_s := FORGOTTEN_AFTER_S - (moment - item.last).total_seconds()) > 0
        ]


def _read_sessions(sessions: set[Session], moment: datetime) -> dict[Session, Found]:
    """What a few sessions have come to."""
    found: dict[Session, Found] = {}
    rows = _rows_of(sessions).filter(attempt_id__gte=first_id(moment - SINGLE_ROWS))
    for key, session, request_id, charge, admitted_at in rows.values_list(
        "router_key_ref", "session_id", "request_id", "charge_nusd", "admitted_at"
    ).iterator(chunk_size=PIECE):
        if (key, session) in sessions:
            item = found.setdefault((key, session), Found(admitted_at, admitted_at))
            item.entries[request_id.hex] = charge
            item.first, item.last = min(item.first, admitted_at), max(item.last, admitted_at)
    start = moment - IDLE
    going_on = sessions
    _add_sums(found, going_on, start, moment - SINGLE_ROWS)
    # Day by day backwards, for as long as any session has gone on without a pause of a day. No day has room for a pause.
    for _day in range(DAYS_AT_MOST - 1):
        end, start = start, start - IDLE
        going_on = _add_sums(found, going_on, start, end)
        if not going_on:
            break
    return found


def _add_sums(found: dict[Session, Found], sessions: set[Session], start: datetime, end: datetime) -> set[Session]:
    """Add the sums of one stretch of time, of these sessions only; those that had any and go on without a pause."""
    rows = _rows_of(sessions).filter(attempt_id__gte=first_id(start), attempt_id__lt=first_id(end))
    going_on = set()
    grouped = rows.values_list("router_key_ref", "session_id")
    for key, session, total, first, last in grouped.annotate(
        Sum("charge_nusd"), Min("admitted_at"), Max("admitted_at")
    ).iterator(chunk_size=PIECE):
        if (key, session) not in sessions:
            continue
        item = found.setdefault((key, session), Found(first, last))
        if item.first - last < IDLE:
            item.base += total
            item.first, item.last = min(item.first, first), max(item.last, last)
            going_on.add((key, session))
    return going_on


def read_late(moment: datetime, *, all_recent: bool) -> Iterator[list[Entry]]:
    """The entries of the last 90 minutes' rows; without all_recent, of those that no process has settled."""
    rows = late_rows(moment, all_recent=all_recent)
    columns = rows.values_list("router_key_ref", "session_id", "request_id", "charge_nusd")
    for piece in _pieces(columns.iterator(chunk_size=PIECE)):
        yield [session_entry(key, session, request_id.hex, charge) for key, session, request_id, charge in piece]


def late_rows(moment: datetime, *, all_recent: bool) -> QuerySet:
    """The rows behind read_late(); the index usage_abandoned_with_session holds those that no process has settled."""
    rows = billed_rows().filter(attempt_id__gte=first_id(moment - LATE_ROWS))
    if all_recent:
        return rows
    # Literally: SQLite takes a partial index only where it sees the value.
    return rows.filter(RawSQL("status = 'abandoned'", (), output_field=BooleanField()))


def billed_rows() -> QuerySet:
    """The rows that count for sessions; the index usage_with_session holds them by time."""
    rows = UsageRecord.objects.filter(session_id__isnull=False, is_billable=True, charge_nusd__isnull=False)
    return rows.order_by()


def _rows_of(sessions: Iterable[Session]) -> QuerySet:
    """The rows of sessions of these ids, whichever their keys; the index usage_of_session_newest has them."""
    return billed_rows().filter(session_id__in={session for _key, session in sessions})


def _pieces(rows: Iterable[T]) -> Iterator[Sequence[T]]:
    left = iter(rows)
    while piece := list(islice(left, PIECE)):
        yield piece


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment: rows are kept in the order of their ids."""
    return UUID(int=max(0, round(moment.timestamp() * 1000)) << 80)
