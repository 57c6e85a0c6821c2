"""Worker side. Whether the scheduled jobs run."""

from django.utils.timezone import now
from django.utils.translation import gettext as _

from routing.register import JOBS_SILENT_S, pulse_at
from smartrouter.doctor.finding import Finding, Level


def check_jobs() -> list[Finding]:
    """When a job last ran; a warning where that is long ago, or never."""
    subject = _("jobs")
    last = pulse_at()
    advice = _("“make run” starts them; on a server run a Celery worker and one beat.")
    if last is None:
        return [Finding(Level.WARNING, subject, _("no scheduled job has run yet"), advice)]
    seconds = int((now() - last).total_seconds())
    if seconds > JOBS_SILENT_S:
        return [Finding(Level.WARNING, subject, _("no scheduled job has run for %d s") % seconds, advice)]
    return [Finding(Level.OK, subject, _("the last one ran %d s ago") % max(0, seconds))]
