"""Worker side. The change log, the register of web processes, the jobs' pulse; their models are routing.models's."""

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _


class Change(models.Model):
    """The change log: one configuration row that was added, changed or deleted, written in the same transaction.

    row is its primary key as text, or a range of them (12-40), or empty for "any row of this model". Web processes apply
    what they have not seen.
    """

    model = models.CharField(max_length=60)
    row = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField(default=now)

    class Meta:
        indexes = [models.Index(fields=["at"], name="change_by_time_prune")]

    def __str__(self) -> str:
        return f"{self.model}:{self.row or '*'}"


class WebProcess(models.Model):
    """A web process; without a shared store only one may live.

    One that has ended stays until all that it wrote into its spool is in the database: what it had claimed of budgets is
    settled then. released_at: an operator has given up a lost host, and its claims no longer count.
    """

    uid = models.UUIDField(_("id"), primary_key=True)
    host = models.CharField(_("host"), max_length=200)
    pid = models.PositiveIntegerField(_("process id"))
    data_folder = models.CharField(_("data folder"), max_length=500)
    started_at = models.DateTimeField(_("started at"), default=now)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), default=now)
    left_at = models.DateTimeField(_("ended at"), null=True, editable=False)
    released_at = models.DateTimeField(_("released at"), null=True, editable=False)

    class Meta:
        verbose_name = _("web process")
        verbose_name_plural = _("web processes")
        ordering = ["host", "pid"]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Pulse(models.Model):
    """When the scheduled jobs last ran: a row named `jobs`, renewed by a job."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"{self.name}: {self.at.isoformat(timespec='seconds')}"
