"""Worker side. Virtual models and their members; the change log; the register of web processes; the pulse of the jobs."""

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from channels.models import Channel
from providers.models import Provider
from smartrouter.lib.changes import TrackedModel, TrackedQuerySet

validate_group_name = RegexValidator(
    r"^[^\s,*\x00-\x1f\x7f]+\Z",
    _("A group's name has no spaces, commas or asterisks; auto:fast is a good one."),
    code="name",
)


class ModelGroup(TrackedModel):
    """A virtual model that clients name."""

    name = models.CharField(_("name"), max_length=100, unique=True, validators=[validate_group_name])
    display_name = models.CharField(_("display name"), max_length=200, blank=True)
    description = models.TextField(_("description"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("model group")
        verbose_name_plural = _("model groups")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class GroupMember(TrackedModel):
    """A group's member: a model on one channel, or on every channel of a provider.

    A member whose provider or channel is not configured yet keeps the name in waiting_for and joins when it appears.
    """

    group = models.ForeignKey(ModelGroup, models.CASCADE, related_name="members", verbose_name=_("group"))
    channel = models.ForeignKey(
        Channel, models.CASCADE, null=True, blank=True, related_name="group_members", verbose_name=_("channel")
    )
    provider = models.ForeignKey(
        Provider, models.CASCADE, null=True, blank=True, related_name="group_members", verbose_name=_("provider")
    )
    waiting_for = models.CharField(
        _("waiting for"),
        max_length=100,
        blank=True,
        help_text=_("The name of a provider or channel that is not configured yet."),
    )
    model = models.CharField(
        _("model"), max_length=200, help_text=_("An offered name, an alias or the provider's own name.")
    )
    position = models.PositiveIntegerField(_("position"), default=0)
    priority = models.PositiveIntegerField(_("priority"), default=1, help_text=_("1 is tried first."))
    weight = models.FloatField(_("weight"), default=1.0, validators=[MinValueValidator(0.0)])
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("group member")
        verbose_name_plural = _("group members")
        ordering = ["position", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    models.Q(channel__isnull=False, provider__isnull=True, waiting_for="")
                    | models.Q(channel__isnull=True, provider__isnull=False, waiting_for="")
                    | (models.Q(channel__isnull=True, provider__isnull=True) & ~models.Q(waiting_for=""))
                ),
                name="group_member_has_one_target",
                violation_error_message=_("Choose a channel, or a provider, or name the one to wait for."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.target_name}/{self.model}"

    @property
    def target_name(self) -> str:
        """The name of the channel or provider, also of one that does not exist yet."""
        return str(self.channel or self.provider or self.waiting_for)

    def clean(self) -> None:
        if sum((self.channel_id is not None, self.provider_id is not None, bool(self.waiting_for))) != 1:
            raise ValidationError(_("Choose a channel, or a provider, or name the one to wait for."))


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
    """A live web process; without a shared store there may be only one."""

    uid = models.UUIDField(_("id"), primary_key=True)
    host = models.CharField(_("host"), max_length=200)
    pid = models.PositiveIntegerField(_("process id"))
    data_folder = models.CharField(_("data folder"), max_length=500)
    started_at = models.DateTimeField(_("started at"), default=now)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), default=now)

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
