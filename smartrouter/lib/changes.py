"""Worker side. How a saved row makes itself known: a signal that also covers queryset updates and bulk operations."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models, transaction
from django.dispatch import Signal

# sender: the model class; pks: the rows that were added, changed or deleted, None for "any of them".
# Sent inside the transaction that writes the rows.
rows_changed = Signal()


def announce(model: type[models.Model], pks: Sequence[Any]) -> None:
    """Send rows_changed for these rows; nothing for none."""
    if pks:
        rows_changed.send(model, pks=list(pks))


class TrackedQuerySet(models.QuerySet):
    """A queryset whose update and bulk operations announce what they change, in the same transaction.

    save(), delete() and queryset deletes are covered by Django's own signals, which are connected where the change log is;
    bulk_update() goes through update().
    """

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db):
            pks = list(self.order_by().values_list("pk", flat=True))
            count = super().update(**kwargs)
            if count > len(pks):  # another transaction has brought in rows between the two statements
                rows_changed.send(self.model, pks=None)
            else:
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


class TrackedModel(models.Model):
    """A model whose saved row and its announcement stand or fall together: Django sends post_save after the row's own
    transaction, so that a crash in between would leave a row that nobody hears of."""

    class Meta:
        abstract = True

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save_base(*args, **kwargs)
