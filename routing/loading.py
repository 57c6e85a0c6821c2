"""Worker side. Reading the RoutingTable's rows from the database: all of them, some of them, or a range."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
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
        self._label = label
        self._refs = deque(refs)

    @property
    def is_small(self) -> bool:
        """Whether one piece is all."""
        return len(self._refs) <= PIECE_ROWS

    def next_piece(self) -> list[Item]:
        """The next rows; an empty list when all were read."""
        refs = [self._refs.popleft() for _ in range(min(PIECE_ROWS, len(self._refs)))]
        found = {row.pk: row for row in _rows_of(self._label).filter(pk__in=refs)} if refs else {}
        return [(self._label, ref, _read(self._label, found[ref]) if ref in found else None) for ref in refs]


class RowRange:
    """The rows of a model between two ids, piece by piece; None for those of the known ones that no longer exist.

    known: the refs that the table has now. Rows that are added or deleted meanwhile have log entries of their own.
    """

    def __init__(self, label: str, span: tuple[int, int], known: Iterable[int]) -> None:
        self._label = label
        self._low, self._high = span
        self._known = deque(sorted(ref for ref in known if self._low <= ref <= self._high))

    @property
    def is_small(self) -> bool:
        """Whether one piece is all."""
        return self._high - self._low < PIECE_ROWS

    def next_piece(self) -> list[Item]:
        """The next rows; an empty list when all were read."""
        if self._low > self._high:
            return []
        rows = list(_rows_of(self._label).filter(pk__range=(self._low, self._high))[:PIECE_ROWS])
        last = rows[-1].pk if len(rows) == PIECE_ROWS else self._high
        self._low = last + 1
        items: list[Item] = [(self._label, row.pk, _read(self._label, row)) for row in rows]
        found = {row.pk for row in rows}
        while self._known and self._known[0] <= last:
            ref = self._known.popleft()
            if ref not in found:
                items.append((self._label, ref, None))
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
        for span in [ANY_ID] if ANY_ID in spans[label] else spans[label]:
            yield RowRange(label, span, known(label))
