"""Worker side. What was used: one row for each attempt, and hourly sums of them."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from billing.budgets import Budget, BudgetScope, ScopeUsage

__all__ = ["Budget", "BudgetScope", "ScopeUsage", "UsageHour", "UsageRecord"]


class UsageRecord(models.Model):
    """One attempt against one upstream: what was used, what it cost us, what the tenant is charged.

    Names are kept as text and nothing points here or away from here, so that deleting a channel never rewrites the
    past. tenant_ref and router_key_ref are the rows' ids at the time. The primary key is the attempt's UUIDv7: newest
    last. Exactly one row of a request is billable. Money in nano-USD; None: the price was not known.
    """

    class Status(models.TextChoices):
        OK = "ok", _("OK")
        FAILED = "failed", _("Failed")
        CUT = "cut", _("Cut off")
        CLIENT_GONE = "client_gone", _("Client left")
        DRAINED = "drained", _("Ended by shutdown")
        ABANDONED = "abandoned", _("Abandoned")

    attempt_id = models.UUIDField(_("attempt id"), primary_key=True)
    request_id = models.UUIDField(_("request id"))
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    is_billable = models.BooleanField(_("billable"))
    status = models.CharField(_("status"), max_length=12, choices=Status)
    endpoint = models.CharField(_("endpoint"), max_length=40)
    is_streamed = models.BooleanField(_("streamed"))
    # times
    admitted_at = models.DateTimeField(_("admitted"))
    started_at = models.DateTimeField(_("started"))
    duration_ms = models.PositiveIntegerField(_("duration (ms)"), null=True)
    first_content_ms = models.PositiveIntegerField(_("first content (ms)"), null=True)
    # who
    tenant = models.CharField(_("tenant"), max_length=100)
    tenant_ref = models.BigIntegerField()
    router_key = models.CharField(_("router key"), max_length=100)
    router_key_ref = models.BigIntegerField()
    end_user = models.CharField(_("end user"), max_length=256, blank=True)
    client_request_id = models.CharField(_("client's request id"), max_length=128, blank=True)
    # Null for most: then no index holds the row, and processes of an older version write what they always wrote.
    session_id = models.CharField(_("session id"), max_length=128, null=True, blank=True)
    # what
    requested_model = models.CharField(_("requested model"), max_length=200)
    group = models.CharField(_("model group"), max_length=100, blank=True)
    offering = models.CharField(_("offered as"), max_length=200)
    provider = models.CharField(_("provider"), max_length=60)
    channel = models.CharField(_("channel"), max_length=100)
    channel_key = models.CharField(_("channel key"), max_length=100, blank=True)
    upstream_model = models.CharField(_("upstream model"), max_length=200)
    reported_model = models.CharField(_("reported model"), max_length=200, blank=True)
    is_model_mismatch = models.BooleanField(_("another model answered"), default=False)
    # how it went
    http_status = models.PositiveSmallIntegerField(_("upstream status"), null=True)
    error_class = models.CharField(_("error class"), max_length=12, blank=True)
    error_message = models.CharField(_("error"), max_length=500, blank=True)
    finish_reason = models.CharField(_("finish reason"), max_length=40, blank=True)
    # tokens: prompt includes cached, cache writes, audio and image; cache writes include those for one hour;
    # completion includes reasoning and audio output
    prompt_tokens = models.PositiveIntegerField(_("prompt tokens"), default=0)
    completion_tokens = models.PositiveIntegerField(_("completion tokens"), default=0)
    cached_tokens = models.PositiveIntegerField(_("cached tokens"), default=0)
    cache_write_tokens = models.PositiveIntegerField(_("cache write tokens"), default=0)
    cache_write_1h_tokens = models.PositiveIntegerField(_("cache write tokens (1 h)"), default=0)
    reasoning_tokens = models.PositiveIntegerField(_("reasoning tokens"), default=0)
    audio_input_tokens = models.PositiveIntegerField(_("audio input tokens"), default=0)
    audio_output_tokens = models.PositiveIntegerField(_("audio output tokens"), default=0)
    image_tokens = models.PositiveIntegerField(_("image tokens"), default=0)
    is_estimated = models.BooleanField(_("estimated"), default=False)
    # money
    cost_nusd = models.BigIntegerField(_("cost"), null=True)
    charge_nusd = models.BigIntegerField(_("charge"), null=True)
    is_cost_reported = models.BooleanField(_("cost reported by upstream"), default=False)
    price = models.JSONField(_("price used"), null=True)
    # who else was weighed: routing.trace; null where there was no choice
    trace = models.JSONField(_("how it was chosen"), null=True)
    # whom it was counted for: [["tenant:1", 739941], ...], scope and local day (date.toordinal()) each; and by which process
    scopes = models.JSONField(_("counted for"), null=True)
    process = models.UUIDField(_("web process"), null=True)

    class Meta:
        verbose_name = _("usage record")
        verbose_name_plural = _("usage records")
        ordering = ["-attempt_id"]
        indexes = [
            models.Index(fields=["request_id"], name="usage_by_request"),
            models.Index(fields=["tenant", "-attempt_id"], name="usage_of_tenant_newest"),
            models.Index(fields=["tenant_ref", "-attempt_id"], name="usage_of_tenant_ref_newest"),
            models.Index(fields=["channel", "-attempt_id"], name="usage_of_channel_newest"),
            models.Index(
                fields=["session_id", "-attempt_id"],
                name="usage_of_session_newest",
                condition=models.Q(session_id__isnull=False),
            ),
            # What read_seeds() and read_late() of session_history go by; all_recent and else.
            models.Index(
                fields=["attempt_id"], name="usage_with_session", condition=models.Q(session_id__isnull=False)
            ),
            models.Index(
                fields=["attempt_id"],
                name="usage_abandoned_with_session",
                condition=models.Q(session_id__isnull=False, status="abandoned"),
            ),
        ]

    def __str__(self) -> str:
        return str(self.attempt_id)


class UsageHour(models.Model):
    """The sums of the usage records admitted in one hour (UTC), for one combination of names.

    requests counts billable rows, attempts all rows; failures those that failed, were cut off or abandoned; unpriced
    those whose cost, or charge if billable, is not known. Charge is summed over billable rows only, all else over all.
    """

    hour = models.DateTimeField(_("hour"))
    tenant = models.CharField(_("tenant"), max_length=100)
    router_key = models.CharField(_("router key"), max_length=100)
    group = models.CharField(_("model group"), max_length=100, blank=True)
    offering = models.CharField(_("offered as"), max_length=200)
    provider = models.CharField(_("provider"), max_length=60)
    channel = models.CharField(_("channel"), max_length=100)
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    attempts = models.PositiveBigIntegerField(_("attempts"), default=0)
    failures = models.PositiveBigIntegerField(_("failures"), default=0)
    prompt_tokens = models.PositiveBigIntegerField(_("prompt tokens"), default=0)
    completion_tokens = models.PositiveBigIntegerField(_("completion tokens"), default=0)
    cached_tokens = models.PositiveBigIntegerField(_("cached tokens"), default=0)
    cost_nusd = models.BigIntegerField(_("cost"), default=0)
    charge_nusd = models.BigIntegerField(_("charge"), default=0)
    unpriced = models.PositiveBigIntegerField(_("without a price"), default=0)

    class Meta:
        verbose_name = _("hourly usage")
        verbose_name_plural = _("hourly usage")
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "tenant", "router_key", "group", "offering", "provider", "channel"],
                name="usage_hour_once_a_combination",
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.tenant}"
