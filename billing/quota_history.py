"""Worker side. What the usage records say of daily quotas, read in a thread of its own.

The latest rows of a channel and model are given one by one, under their attempt's id, those before as a sum; why that is
right, and for how long what is late may come again: billing.session_history. Rows are found by their channel's name and the
time in their id (the index usage_of_channel_newest).
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

from django.db.models import QuerySet
from django.utils.timezone import now

from billing.models import UsageRecord
from billing.quota import KEPT_AFTER_S, Limited, Used, counter_of, quota_entry
from billing.session_history import LATE_ROWS, SINGLE_ROWS, first_id
from billing.session_rows import SessionRows
from billing.sessions import REMEMBERED_S
from smartrouter.lib.counters import Entry, SeedCounter

PIECE = 200


def read_used(limited: Collection[Limited], moment: datetime) -> Iterator[list[Used]]:
    """How many attempts the records have of each on the local day of this moment."""
    for one in limited:
        day, begins, _ends = _day_of(one, moment)
        yield [(one, day, _rows_of(one).filter(attempt_id__gte=first_id(begins)).count())]


def read_seeds(limited: Collection[Limited], moment: datetime) -> Iterator[list[SeedCounter]]:
    """The counter of each on the local day of this moment."""
    for one in limited:
        day, begins, ends = _day_of(one, moment)
        single_from = max(begins, moment - SINGLE_ROWS)
        before = _rows_of(one).filter(attempt_id__gte=first_id(begins), attempt_id__lt=first_id(single_from)).count()
        recent = _rows_of(one).filter(attempt_id__gte=first_id(single_from)).values_list("attempt_id", flat=True)
        entries = {attempt_id.hex: 1 for attempt_id in recent.iterator(chunk_size=PIECE)}
        ttl_s = (ends - moment).total_seconds() + KEPT_AFTER_S
        yield [SeedCounter(counter_of(one, day), before, ttl_s, entries, REMEMBERED_S)]


def read_late(limited: Collection[Limited], moment: datetime, *, all_recent: bool) -> Iterator[list[Entry]]:
    """The entries of the last 90 minutes' rows of today; without all_recent, of those that no process has counted."""
    for one in limited:
        day, begins, ends = _day_of(one, moment)
        rows = _rows_of(one).filter(attempt_id__gte=first_id(max(begins, moment - LATE_ROWS)))
        if not all_recent:
            rows = rows.filter(status=UsageRecord.Status.ABANDONED)
        left_ms = (ends - moment).total_seconds() * 1000
        piece: list[Entry] = []
        for attempt_id in rows.values_list("attempt_id", flat=True).iterator(chunk_size=PIECE):
            piece.append(quota_entry(one, day, attempt_id.hex, left_ms))
            if len(piece) == PIECE:
                yield piece
                piece = []
        yield piece


def _day_of(limited: Limited, moment: datetime) -> tuple[date, datetime, datetime]:
    """The local date of a moment, and when it begins and ends."""
    day = moment.astimezone(limited.zone).date()
    begins = datetime.combine(day, time.min, limited.zone)
    return day, begins, datetime.combine(day + timedelta(days=1), time.min, limited.zone)


def _rows_of(limited: Limited) -> QuerySet:
    return UsageRecord.objects.filter(channel=limited.channel, upstream_model=limited.model).order_by()


class QuotaRows(SessionRows):
    """The records behind the quotas, in a thread that start() starts.

    limited: what is to be read, asked for each time, on the event loop.
    """

    def __init__(self, limited: Callable[[], Collection[Limited]], folder: Path | None = None) -> None:
        super().__init__(folder, name="quota-rows", is_started=False)
        self._limited = limited

    def read_used(self, limited: Collection[Limited]) -> AsyncGenerator[Sequence[Used], None]:
        return self._pieces(lambda: read_used(limited, now()))

    def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        limited = self._limited()
        return self._pieces(lambda: read_seeds(limited, now()))

    def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        limited = self._limited()
        return self._pieces(lambda: read_late(limited, now(), all_recent=all_recent))
