"""The scheduled jobs themselves; that the worker runs them is in test_serve."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from routing.models import Change
from routing.tasks import ROWS_AT_ONCE, prune_changes


@pytest.mark.django_db
def test_changes_older_than_a_day_go_and_newer_ones_stay() -> None:
    old, new = now() - timedelta(hours=25), now() - timedelta(hours=23)
    Change.objects.bulk_create(Change(model="a.b", at=old) for _ in range(2 * ROWS_AT_ONCE + 1))
    Change.objects.bulk_create(Change(model="a.b", at=new) for _ in range(3))

    deleted = prune_changes()

    assert deleted == 2 * ROWS_AT_ONCE + 1
    assert Change.objects.filter(model="a.b").count() == 3
