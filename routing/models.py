"""Worker side. Groups, their members, strategies, time policies; and what routing.bookkeeping has."""

from datetime import time
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from billing.models import BudgetScope
from channels.models import Channel
from providers.models import Provider
from routing.bookkeeping import Change, Pulse, WebProcess
from routing.validators import (
    every_day,
    strategy_choices,
    validate_capabilities,
    validate_days,
    validate_group_name,
    validate_kinds,
    validate_layers,
    validate_regions,
    validate_rule_pattern,
    validate_strategy,
    validate_tags,
)
from smartrouter.accounts.models import validate_timezone
from smartrouter.lib.changes import TrackedModel, TrackedQuerySet

__all__ = ["Change", "GroupMember", "ModelGroup", "Pulse", "StrategyRule", "TimePolicy", "WebProcess"]

# What PostgreSQL's integers hold; SQLite's hold more.
LARGEST_INTEGER = 2**31 - 1


class StrategyFields(models.Model):
    """A preset or layers of one's own."""

    strategy = models.CharField(
        _("strategy"),
        max_length=40,
        blank=True,
        default="",
        db_default="",
        choices=strategy_choices,
        validators=[validate_strategy],
    )
    layers = models.JSONField(_("layers"), default=list, db_default=[], blank=True, validators=[validate_layers])

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        if self.strategy and self.layers:
            raise ValidationError({"strategy": _("Choose a strategy or give layers, not both.")})


class StrategyRule(TrackedModel, StrategyFields):
    """How candidates of a requested name are chosen, where no group says it; of all patterns that fit, the longest counts."""

    pattern = models.CharField(
        _("names"),
        max_length=200,
        unique=True,
        validators=[validate_rule_pattern],
        help_text=_("A name such as gpt-4o-mini, or the beginning of names such as gpt-*; * alone is the default."),
    )

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("strategy rule")
        verbose_name_plural = _("strategy rules")
        ordering = ["pattern"]

    def __str__(self) -> str:
        return self.pattern

    def clean(self) -> None:
        super().clean()
        if not self.strategy and not self.layers:
            raise ValidationError({"strategy": _("Choose a strategy, or give layers.")})


class ModelGroup(TrackedModel, StrategyFields):
    """A virtual model that clients name: explicit members, and with selects every offering that its tags and filters let in.

    The filters hold for explicit members as well. Amounts in USD.
    """

    name = models.CharField(_("name"), max_length=100, unique=True, validators=[validate_group_name])
    display_name = models.CharField(_("display name"), max_length=200, blank=True)
    description = models.TextField(_("description"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    selects = models.BooleanField(
        _("selects members"),
        default=False,
        db_default=False,
        help_text=_("Every offering that has the tags and meets the filters is a member, also one that comes later."),
    )
    tags = models.JSONField(
        _("tags"),
        default=list,
        db_default=[],
        blank=True,
        validators=[validate_tags],
        help_text=_(
            "What selected offerings must all have, such as qwen or free: parts of a model's name, or its own tags."
        ),
    )
    max_cost_per_1k = models.DecimalField(
        _("highest cost"),
        max_digits=20,
        decimal_places=9,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("USD for 1,000 tokens, input and output each; 0 is free only. Without a known price: not let in."),
    )
    min_context_length = models.PositiveIntegerField(
        _("least context length"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(LARGEST_INTEGER)],
        help_text=_("In tokens. An unknown length is let in."),
    )
    capabilities = models.JSONField(
        _("capabilities"),
        default=list,
        db_default=[],
        blank=True,
        validators=[validate_capabilities],
        help_text=_("All are needed."),
    )
    provider_kinds = models.JSONField(
        _("kinds of provider"),
        default=list,
        db_default=[],
        blank=True,
        validators=[validate_kinds],
        help_text=_("None: all."),
    )
    regions = models.JSONField(
        _("regions"), default=list, db_default=[], blank=True, validators=[validate_regions], help_text=_("None: all.")
    )
    fallback = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="fallback_of",
        verbose_name=_("fallback group"),
        help_text=_("Serves when none of this group's members can."),
    )

    max_cost_per_request_nusd = models.BigIntegerField(
        _("highest cost of a request"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("A request that may cost more is refused, or its answer made shorter. Empty: no limit."),
    )
    budget_scope = models.OneToOneField(
        BudgetScope, models.SET_NULL, null=True, blank=True, editable=False, related_name="model_group"
    )

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("model group")
        verbose_name_plural = _("model groups")
        ordering = ["name"]
        # Also where a fallback is set to null because its group is deleted, the change log hears of it.
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if self.tags and not self.selects:
            raise ValidationError({"tags": _("Tags select members: switch “selects members” on, or remove them.")})
        way, group = [self.name], self.fallback
        while group is not None:
            way.append(group.name)
            if group.name in way[:-1] or (self.pk and group.pk == self.pk):
                raise ValidationError({"fallback": _("The fallback groups go in a circle: %s.") % " → ".join(way)})
            group = group.fallback


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
    daily_limit = models.PositiveIntegerField(
        _("daily limit"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(LARGEST_INTEGER)],
        help_text=_("Requests a day that its channel may send for this model, in the channel's time zone."),
    )
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


class TimePolicy(TrackedModel, StrategyFields):
    """Another strategy for a group, or another group's members, at set hours. The first that holds counts."""

    group = models.ForeignKey(ModelGroup, models.CASCADE, related_name="time_policies", verbose_name=_("group"))
    position = models.PositiveIntegerField(_("position"), default=0)
    days = models.JSONField(_("weekdays"), default=every_day, validators=[validate_days])
    start = models.TimeField(_("from"), default=time(0, 0))
    end = models.TimeField(
        _("until"), default=time(0, 0), help_text=_("Not later than “from”: until that time on the next day.")
    )
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_timezone])
    members_of = models.ForeignKey(
        ModelGroup,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="stands_in_for",
        verbose_name=_("members of"),
        help_text=_("The group whose members serve at these hours. Empty: its own."),
    )
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("time policy")
        verbose_name_plural = _("time policies")
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return f"{self.start:%H:%M}–{self.end:%H:%M}"

    def clean(self) -> None:
        super().clean()
        if not self.strategy and not self.layers and self.members_of_id is None:
            raise ValidationError(_("A time policy changes the strategy, the layers or the members."))
        if self.members_of_id is not None and self.members_of_id == self.group_id:
            raise ValidationError({"members_of": _("Its own members serve anyway; leave this empty.")})
