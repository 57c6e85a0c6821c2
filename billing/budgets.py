"""Worker side. Budgets, whom they are for, and what those have used by day. Django finds them through billing.models."""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from channels.models import Channel
from smartrouter.accounts.models import RouterKey, Tenant, User
from smartrouter.lib.changes import TrackedModel, TrackedQuerySet

# In the place of the processes whose sums were put together.
NO_PROCESS = UUID(int=0)


class BudgetScope(TrackedModel):
    """Whom budgets are for: one thing, of one kind. A model group points here, for its room lies above.

    end_user: the text that requests give as `user`, or billing.scopes.EACH. The scope of a group has nothing but its kind.
    """

    class Kind(models.TextChoices):
        TENANT = "tenant", _("Tenant")
        ROUTER_KEY = "router_key", _("Router key")
        USER = "user", _("Owner of keys")
        GROUP = "group", _("Model group")
        CHANNEL = "channel", _("Channel")
        END_USER = "end_user", _("End user")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, blank=True, related_name="budget_scopes", verbose_name=_("tenant")
    )
    router_key = models.OneToOneField(
        RouterKey, models.CASCADE, null=True, blank=True, related_name="budget_scope", verbose_name=_("router key")
    )
    user = models.OneToOneField(
        User, models.CASCADE, null=True, blank=True, related_name="budget_scope", verbose_name=_("user")
    )
    channel = models.OneToOneField(
        Channel, models.CASCADE, null=True, blank=True, related_name="budget_scope", verbose_name=_("channel")
    )
    end_user = models.CharField(_("end user"), max_length=256, blank=True, default="")

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("budget scope")
        verbose_name_plural = _("budget scopes")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "tenant", "end_user"],
                condition=models.Q(tenant__isnull=False),
                name="budget_scope_once_a_tenant",
            )
        ]

    def __str__(self) -> str:
        match self.kind:
            case self.Kind.GROUP:
                return str(getattr(self, "model_group", "-"))
            case self.Kind.END_USER:
                return f"{self.tenant}/{self.end_user}"
        return str(self.tenant or self.router_key or self.user or self.channel or "-")


class Budget(TrackedModel):
    """What a scope may use in a window of its own time zone. Amounts in nano-USD, requests or tokens, as its unit says.

    limit: nothing is spent beyond it. soft_limit: a warning only. counted_from: since when it is as it is now.
    """

    class Unit(models.TextChoices):
        USD = "usd", _("USD")
        REQUESTS = "requests", _("Requests")
        TOKENS = "tokens", _("Tokens")

    class Window(models.TextChoices):
        DAY = "day", _("Day")
        WEEK = "week", _("Week")
        MONTH = "month", _("Month")
        TOTAL = "total", _("Total")

    scope = models.ForeignKey(BudgetScope, models.CASCADE, related_name="budgets", verbose_name=_("scope"))
    unit = models.CharField(_("unit"), max_length=10, choices=Unit, default=Unit.USD)
    window = models.CharField(_("window"), max_length=10, choices=Window, default=Window.MONTH)
    limit = models.BigIntegerField(_("limit"), null=True, blank=True, validators=[MinValueValidator(0)])
    soft_limit = models.BigIntegerField(
        _("soft limit"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("When it is reached there is a warning; nothing is refused."),
    )
    counted_from = models.DateTimeField(_("counted from"), default=now, editable=False)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        ordering = ["scope", "unit", "window"]
        constraints = [
            models.UniqueConstraint(fields=["scope", "unit", "window"], name="budget_once_a_window"),
            models.CheckConstraint(
                condition=models.Q(limit__isnull=False) | models.Q(soft_limit__isnull=False),
                name="budget_has_a_limit",
                violation_error_message=_("Give a limit, a soft limit or both."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.get_unit_display()}/{self.get_window_display()}"

    def clean(self) -> None:
        super().clean()
        if self.limit is not None and self.soft_limit is not None and self.soft_limit > self.limit:
            raise ValidationError({"soft_limit": _("A soft limit lies below the limit.")})


class ScopeUsage(models.Model):
    """What one scope has used on one local day, by process: the sums of the usage records that were counted for it.

    scope: "tenant:1", "router_key:5", "user:7", "group:3", "channel:9", "end_user:1:alice". Money: a channel's cost of all
    attempts, everybody else's charge of billable ones; None was counted as 0. requests: billable attempts, a channel's all.
    Nothing points away from here, so that history survives deletions.
    """

    scope = models.CharField(_("scope"), max_length=300)
    day = models.DateField(_("day"))
    process = models.UUIDField(_("web process"), default=NO_PROCESS)
    money_nusd = models.BigIntegerField(_("money"), default=0)
    tokens = models.BigIntegerField(_("tokens"), default=0)
    requests = models.BigIntegerField(_("requests"), default=0)

    class Meta:
        verbose_name = _("usage of a day")
        verbose_name_plural = _("usage by day")
        constraints = [models.UniqueConstraint(fields=["scope", "day", "process"], name="scope_usage_once_a_day")]
        indexes = [models.Index(fields=["process"], name="scope_usage_of_process")]

    def __str__(self) -> str:
        return f"{self.scope} {self.day}"
