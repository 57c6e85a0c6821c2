"""Worker side. How a saved row makes itself known: a signal that also covers queryset updates and bulk operations."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models, transaction
from django.dispatch import Signal

# sender: the model class; pks: the rows that were added, changed or deleted, None for "any of them".
# Sent inside the transaction that writes the rows.
rows_changed = Signal()

# Past so many rows, one "any of them" costs less than naming each.
NAMED_ROWS_AT_MOST = 500


def announce(model: type[models.Model], pks: Sequence[Any]) -> None:
    """Send rows_changed for these rows; nothing for none."""
    if pks:
        rows_changed.send(model, pks=None if len(pks) > NAMED_ROWS_AT_MOST else list(pks))


class TrackedQuerySet(models.QuerySet):
    """A queryset whose update and bulk operations announce what they change, in the same transaction.

    save(), delete() and queryset deletes are covered by Django's own signals, which are connected where the change log is.
    """

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db):
            pks = list(self.order_by().values_list("pk", flat=True)[: NAMED_ROWS_AT_MOST + 1])
            count = super().update(**kwargs)
            announce(self.model, pks)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        with transaction.atomic(using=self.db):
            rows = super().bulk_create(objs, *args, **kwargs)
            if any(row.pk is None for row in rows):  # ignore_conflicts does not tell which rows went in
                rows_changed.send(self.model, pks=None)
            else:
                announce(self.model, [row.pk for row in rows])
        return rows

    def bulk_update(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> int:
        rows = list(objs)
        with transaction.atomic(using=self.db):
            count = super().bulk_update(rows, *args, **kwargs)  # type: ignore[arg-type]
            announce(self.model, [row.pk for row in rows])
        return count
