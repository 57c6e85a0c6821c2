"""Worker side. Which entries of the change log are new."""

import time
from itertools import pairwise

from django.db import connection, models

from routing.models import Change

# A transaction that commits later than this after it drew its log ids is missed until the next full load.
GAP_LIMIT_S = 900.0
NEWEST_AT_START = 1000

# (model, row) as Change has them
Entry = tuple[str, str]


class ChangeFollower:
    """Follows the log from its newest entry on.

    Ids are drawn before a transaction commits, so a lower id may appear after a higher one: every id that was skipped is
    a gap, asked for again until it appears or GAP_LIMIT_S has passed (then its transaction was rolled back). SQLite's
    writers take turns and need no notes_gaps: there a gap is an entry that was rolled back or pruned.
    """

    def __init__(self, *, notes_gaps: bool) -> None:
        self._notes_gaps = notes_gaps
        self._last = 0
        self._gaps: list[tuple[int, int, float]] = []
        self._statement: str | None = None

    @property
    def position(self) -> int:
        """The newest entry that was fetched or was there at the start."""
        return self._last

    def resume(self, position: int) -> None:
        """Begin after an entry that was the newest once; call start() when a full load is due."""
        self._last = position
        self._gaps = []

    def start(self) -> None:
        """Begin after the newest entry; call it before a full load. Ids below it may still be on their way."""
        newest = Change.objects.order_by("-pk").values_list("pk", flat=True)[:NEWEST_AT_START]
        ids = sorted(newest)
        self._last = ids[-1] if ids else 0
        self._gaps = []
        if ids:
            # As many again below the oldest that was looked at: a slow transaction may have drawn one of those.
            self._note_gap(max(1, ids[0] - NEWEST_AT_START), ids[0] - 1)
        for below, above in pairwise(ids):
            self._note_gap(below + 1, above - 1)

    def fetch(self) -> list[Entry]:
        """The entries that appeared since the last call."""
        entries = self._with_gaps() if self._gaps else self._newer()
        for pk, _model, _row in entries:
            if pk > self._last:
                self._note_gap(self._last + 1, pk - 1)
                self._last = pk
            else:
                self._fill_gap(pk)
        limit = time.monotonic() - GAP_LIMIT_S
        self._gaps = [gap for gap in self._gaps if gap[2] > limit]
        return [(model, row) for _pk, model, row in entries]

    def _newer(self) -> list[tuple[int, str, str]]:
        # Asked ten times a second: making the statement anew costs ten times what the database does for it.
        if self._statement is None:
            self._statement, _parameters = _rows(models.Q(pk__gt=0)).query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(self._statement, [self._last])
            found: list[tuple[int, str, str]] = cursor.fetchall()
            return found

    def _with_gaps(self) -> list[tuple[int, str, str]]:
        wanted = models.Q(pk__gt=self._last)
        for low, high, _since in self._gaps:
            wanted |= models.Q(pk__range=(low, high))
        return list(_rows(wanted))

    def _note_gap(self, low: int, high: int) -> None:
        if self._notes_gaps and low <= high:
            self._gaps.append((low, high, time.monotonic()))

    def _fill_gap(self, pk: int) -> None:
        for index, (low, high, since) in enumerate(self._gaps):
            if low <= pk <= high:
                parts = [(low, pk - 1, since), (pk + 1, high, since)]
                self._gaps[index : index + 1] = [part for part in parts if part[0] <= part[1]]
                return


def _rows(wanted: models.Q) -> "models.QuerySet[Change, tuple[int, str, str]]":
    return Change.objects.filter(wanted).order_by("pk").values_list("pk", "model", "row")
