"""Worker side. Reading the RoutingTable's rows from the database: all of them, some of them, or a range."""

import logging
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.db import models

from routing.changes import LOGGED_MODELS, range_of
from routing.follower import Entry
from routing.readers import READERS

logger = logging.getLogger(__name__)

Item = tuple[str, int, Any]


# There may be hundreds of thousands of these: only what is needed is read, without making model instances.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "accounts.routerkey": (
        "pk", "tenant_id", "name", "digest", "allowed_models", "is_active", "expires_at",
        "denied_models", "default_model", "can_choose_strategy", "owner_id", "rpm", "tpm", "max_parallel", "networks",
        "labels", "previous_digest", "previous_until",
    ),
}  # fmt: skip
# What is read from the database at once while the process serves.
PIECE_ROWS = 500
ANY_ID = (0, 2**63 - 1)


def _rows_of(label: str) -> models.QuerySet[Any]:
    """All rows of a model, in the order of their ids."""
    rows = apps.get_model(label)._default_manager.order_by("pk")
    found: models.QuerySet[Any] = rows.values_list(*_COLUMNS[label], named=True) if label in _COLUMNS else rows
    return found


def _read(label: str, row: Any) -> Any:
    """The table's row; None (as if deleted) for one that cannot be read, which is logged and must not stop the others."""
    try:
        return READERS[label](row)
    except (ValueError, TypeError, AttributeError) as e:
        logger.error("row_unreadable", extra={"model": label, "row": row.pk, "reason": str(e)})
        return None


def load_all() -> Iterator[Item]:
    """Every row of every model, parents first."""
    for label in LOGGED_MODELS:
        for row in _rows_of(label).iterator(chunk_size=1000):
            yield label, row.pk, _read(label, row)


class NamedRows:
    """These rows of a model as they are when their turn comes; None for those that no longer exist."""

    def __init__(self, label: str, refs: Iterable[int]) -> None:
        self.label = label
        self._refs = deque(refs)

    @property
    def size(self) -> int:
        """How many rows there are to read."""
        return len(self._refs)

    def next_piece(self) -> list[Item]:
        """The next rows; an empty list when all were read."""
        refs = [self._refs.popleft() for _ in range(min(PIECE_ROWS, len(self._refs)))]
        found = {row.pk: row for row in _rows_of(self.label).filter(pk__in=refs)} if refs else {}
        return [(self.label, ref, _read(self.label, found[ref]) if ref in found else None) for ref in refs]


class RowRange:
    """The rows of a model between two ids, piece by piece; None for those of the known ones that no longer exist.

    known: the refs that the table has now, sorted. Rows that are added or deleted meanwhile have log entries of their own.
    """

    def __init__(self, label: str, span: tuple[int, int], known: Sequence[int]) -> None:
        self.label = label
        self._low, self._high = span
        self._known = deque(known[bisect_left(known, self._low) : bisect_right(known, self._high)])

    @property
    def size(self) -> int:
        """How many rows there are to read, at most."""
        return self._high - self._low + 1

    def next_piece(self) -> list[Item]:
        """The next rows; an empty list when all were read."""
        if self._low > self._high:
            return []
        rows = list(_rows_of(self.label).filter(pk__range=(self._low, self._high))[:PIECE_ROWS])
        last = rows[-1].pk if len(rows) == PIECE_ROWS else self._high
        self._low = last + 1
        items: list[Item] = [(self.label, row.pk, _read(self.label, row)) for row in rows]
        found = {row.pk for row in rows}
        while self._known and self._known[0] <= last:
            ref = self._known.popleft()
            if ref not in found:
                items.append((self.label, ref, None))
        return items or self.next_piece()


Reading = NamedRows | RowRange


def readings_of(entries: Iterable[Entry], known: Callable[[str], Iterable[int]]) -> Iterator[Reading]:
    """What has to be read for these change log entries, parents first; known: the refs that the table has of a model."""
    named: dict[str, dict[int, None]] = defaultdict(dict)
    spans: dict[str, dict[tuple[int, int], None]] = defaultdict(dict)
    for label, row in entries:
        low, high = range_of(row) or ANY_ID
        if low == high:
            named[label][low] = None
        else:
            spans[label][low, high] = None
    for label in LOGGED_MODELS:
        if label in named:
            yield NamedRows(label, named[label])
        if label in spans:
            refs = sorted(known(label))
            for span in [ANY_ID] if ANY_ID in spans[label] else spans[label]:
                yield RowRange(label, span, refs)


def split_by_size(readings: Sequence[Reading]) -> tuple[list[Reading], list[Reading]]:
    """The readings of models of which no more than one piece is to be read, and the others, both in their order.

    All of a model are taken together: SQLite has a bulk update of thousands of rows logged as many short ranges.
    """
    sizes: Counter[str] = Counter()
    for reading in readings:
        sizes[reading.label] += reading.size
    small = [reading for reading in readings if sizes[reading.label] <= PIECE_ROWS]
    return small, [reading for reading in readings if sizes[reading.label] > PIECE_ROWS]
