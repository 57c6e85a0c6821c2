"""Worker side. What is done now and then for routing."""

from datetime import timedelta

from celery import shared_task
from django.utils.timezone import now

from routing.models import Change, Pulse

# Web processes read the log within a second; one that was cut off from the database for longer builds its table anew.
KEPT_FOR = timedelta(days=1)
ROWS_AT_ONCE = 1000
# The name of the row that says when the scheduled jobs last ran.
JOBS = "jobs"


@shared_task(ignore_result=True)
def note_pulse() -> None:
    """Write down that a beat sends and a worker works."""
    Pulse.objects.update_or_create(name=JOBS, defaults={"at": now()})


@shared_task
def prune_changes() -> int:
    """How many rows of the change log were deleted because they are older than a day."""
    deleted = 0
    while True:
        chunk = (
            Change.objects.filter(at__lt=now() - KEPT_FOR).order_by("at").values_list("pk", flat=True)[:ROWS_AT_ONCE]
        )
        # As a list: the rows of one short transaction, so that no writer of the log waits for all of them.
        count, _by_model = Change.objects.filter(pk__in=list(chunk)).delete()
        deleted += count
        if count < ROWS_AT_ONCE:
            return deleted
