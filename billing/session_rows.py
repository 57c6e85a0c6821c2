"""Worker side. The usage records of sessions, for a store of counters that has lost them or never had them.

A session's latest rows are given one by one, under their request's id, the ones before that as a sum. An id may come again
from the process that settled the request, which remembers it for ten minutes, or from a row that was late. No request
lasts longer than an hour (REQUEST_TIMEOUT_SECONDS), so that whatever may come again has begun within the last
two hours (SINGLE_ROWS).
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Max, Min, QuerySet, Sum
from django.utils.timezone import now

from billing.models import UsageRecord
from billing.sessions import FORGOTTEN_AFTER_S, counter_name
from smartrouter.lib.counters import Entry, SeedCounter, SourceUnavailable

T = TypeVar("T")

SINGLE_ROWS = timedelta(hours=2)
# Less than SINGLE_ROWS, so that a seed that began a while ago has named each of them.
LATE_ROWS = timedelta(hours=1)
IDLE = timedelta(seconds=FORGOTTEN_AFTER_S)
STOP_WITHIN_S = 3.0
FEW_SESSIONS = 500

Session = tuple[int, str]


@dataclass(slots=True)
class Found:
    """What the rows of one session say so far; first and last: when its requests were admitted."""

    first: datetime
    last: datetime
    base: int = 0
    entries: dict[str, int] = field(default_factory=dict)


def read_seeds(moment: datetime) -> list[SeedCounter]:
    """Every session that had a request within 24 h before this moment, with all that it has come to."""
    found: dict[Session, Found] = {}
    single_from = moment - SINGLE_ROWS
    rows = billed_rows().filter(attempt_id__gte=first_id(single_from))
    for key, session, request_id, charge, admitted_at in rows.values_list(
        "router_key_ref", "session_id", "request_id", "charge_nusd", "admitted_at"
    ).iterator():
        item = found.setdefault((key, session), Found(admitted_at, admitted_at))
        item.entries[request_id.hex] = charge
        item.first, item.last = min(item.first, admitted_at), max(item.last, admitted_at)
    _add_sums(found, moment - IDLE, single_from, only=None)
    # Day by day backwards, for as long as any session has gone on without a pause of a day. No day has room for a pause.
    end, open_sessions = moment - IDLE, set(found)
    while open_sessions:
        open_sessions = _add_sums(found, end - IDLE, end, only=open_sessions)
        end -= IDLE
    return [
        SeedCounter(counter_name(*session), item.base, ttl_s, item.entries)
        for session, item in found.items()
        if (ttl_s := FORGOTTEN_AFTER_S - (moment - item.last).total_seconds()) > 0
    ]


def _add_sums(
    found: dict[Session, Found], start: datetime, end: datetime, *, only: set[Session] | None
) -> set[Session]:
    """Add the sums of one stretch of time, of these sessions only; those that had any and go on without a pause."""
    rows = billed_rows().filter(attempt_id__gte=first_id(start), attempt_id__lt=first_id(end))
    if only is not None and len(only) <= FEW_SESSIONS:
        rows = rows.filter(session_id__in={session for _key, session in only})
    going_on = set()
    grouped = rows.order_by().values_list("router_key_ref", "session_id")
    for key, session, total, first, last in grouped.annotate(
        Sum("charge_nusd"), Min("admitted_at"), Max("admitted_at")
    ).iterator():
        if only is not None and ((key, session) not in only or found[key, session].first - last >= IDLE):
            continue
        item = found.setdefault((key, session), Found(first, last))
        item.base += total
        item.first, item.last = min(item.first, first), max(item.last, last)
        going_on.add((key, session))
    return going_on


def read_late(moment: datetime, *, all_recent: bool) -> list[Entry]:
    """The entries of the last hour's rows; without all_recent, of those that no process has settled."""
    rows = billed_rows().filter(attempt_id__gte=first_id(moment - LATE_ROWS))
    if not all_recent:
        rows = rows.filter(status=UsageRecord.Status.ABANDONED)
    columns = rows.values_list("router_key_ref", "session_id", "request_id", "charge_nusd")
    return [
        Entry(counter_name(key, session), request_id.hex, charge, FORGOTTEN_AFTER_S)
        for key, session, request_id, charge in columns.iterator()
    ]


def billed_rows() -> QuerySet:
    """The rows that count for sessions; the index usage_with_session holds them by time."""
    return UsageRecord.objects.filter(session_id__isnull=False, is_billable=True, charge_nusd__isnull=False)


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment: rows are kept in the order of their ids."""
    return UUID(int=max(0, round(moment.timestamp() * 1000)) << 80)


class SessionRows:
    """The records behind the sessions' counters, read in a thread that is there from the start and waits for work.

    No request may start a thread, nor wait for one of a pool's; and the thread that keeps the table is never to be late.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="session-rows", daemon=True)
        self._thread.start()

    async def read_seeds(self) -> Sequence[SeedCounter]:
        return await self._ask(lambda: read_seeds(now()))

    async def read_late(self, *, all_recent: bool) -> Sequence[Entry]:
        return await self._ask(lambda: read_late(now(), all_recent=all_recent))

    async def close(self) -> None:
        """End the thread; one that the database holds up is left behind."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, STOP_WITHIN_S)

    async def _ask(self, read: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                value = read()
            except (DatabaseError, InterfaceError) as e:
                tell(partial(_fail, answer, SourceUnavailable(type(e).__name__)))
            except Exception as e:  # noqa: BLE001  (handed to the one who waits for it)
                tell(partial(_fail, answer, e))
            else:
                tell(partial(_succeed, answer, value))

        def tell(outcome: Callable[[], None]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(outcome)

        self._jobs.put(job)
        return await answer

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            connection.close()  # it would be idle for hours


def _succeed(answer: "asyncio.Future[T]", value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
