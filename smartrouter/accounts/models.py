"""Worker side. Who is calling: users, tenants, memberships, router keys."""

import ipaddress
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from smartrouter.lib.changes import TrackedModel, TrackedQuerySet
from smartrouter.lib.zones import zone_names

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

# What PostgreSQL's integers hold; SQLite's hold more.
LARGEST_INTEGER = 2**31 - 1


def validate_timezone(name: str) -> None:
    """Raise ValidationError unless name is an IANA time zone."""
    if name not in zone_names():
        raise ValidationError(
            _("“%(name)s” is not a time zone; use a name such as UTC, Europe/Berlin or Asia/Shanghai."),
            params={"name": name},
            code="timezone",
        )


def validate_model_patterns(patterns: Any) -> None:
    """Raise ValidationError unless patterns is a list of non-empty strings with at most one *, at the end."""
    if not isinstance(patterns, list) or not all(isinstance(p, str) and p for p in patterns):
        raise ValidationError(_("Give a list of model names."), code="patterns")
    for pattern in patterns:
        if "*" in pattern[:-1]:
            raise ValidationError(
                _("“%(pattern)s”: a * may stand only at the end, as in auto:*."),
                params={"pattern": pattern},
                code="pattern",
            )


def validate_networks(networks: Any) -> None:
    """Raise ValidationError unless networks is a list of IP addresses and networks, such as 10.0.0.0/8."""
    if not isinstance(networks, list):
        raise ValidationError(_("Give a list of networks."), code="networks")
    for text in networks:
        try:
            ipaddress.ip_network(text if isinstance(text, str) else "")
        except ValueError:
            raise ValidationError(
                _("“%(text)s” is not an address or a network; write 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32."),
                params={"text": text},
                code="network",
            ) from None


def validate_labels(labels: Any) -> None:
    """Raise ValidationError unless labels is a flat object of short names and texts."""
    if not isinstance(labels, dict):
        raise ValidationError(_("Give an object of labels and their values."), code="labels")
    for name, value in labels.items():
        if not name or len(name) > 60 or not isinstance(value, str) or len(value) > 200:
            raise ValidationError(
                _("“%(name)s”: a label has a name of at most 60 characters and a text of at most 200."),
                params={"name": name},
                code="label",
            )


def _limit_field(
    name: "StrPromise", help_text: "StrPromise | str" = ""
) -> "models.PositiveIntegerField[int | None, int | None]":
    """A field for a limit of at least 1; empty: no limit."""
    return models.PositiveIntegerField(
        name,
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LARGEST_INTEGER)],
        help_text=help_text,
    )


class RateFields(models.Model):
    """How much may be asked for at once. Nothing: no limit."""

    rpm = _limit_field(_("requests a minute"), _("In any 60 seconds, over all web processes. Empty: no limit."))
    tpm = _limit_field(
        _("tokens a minute"), _("Prompt and answer; what a request may need is reserved until its answer is there.")
    )
    max_parallel = _limit_field(_("parallel requests"), _("Requests that may be under way at the same time."))

    class Meta:
        abstract = True


class User(AbstractUser):
    """A person who signs in."""

    class Meta(AbstractUser.Meta):
        verbose_name = _("user")  # type: ignore[assignment]  # AbstractUser.Meta says str; a lazy text is right
        verbose_name_plural = _("users")  # type: ignore[assignment]


class Tenant(TrackedModel, RateFields):
    """Who pays: an organisation, a team or a person, in a tree."""

    class Kind(models.TextChoices):
        ORGANISATION = "organisation", _("Organisation")
        TEAM = "team", _("Team")
        PERSON = "person", _("Person")

    name = models.CharField(
        _("name"),
        max_length=100,
        unique=True,
        help_text=_("The tenant's identity in the configuration file and reports."),
    )
    display_name = models.CharField(_("display name"), max_length=200, blank=True)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.ORGANISATION)
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children", verbose_name=_("parent tenant")
    )
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_timezone])
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("The keys of an inactive tenant, and of all below it, are refused.")
    )
    can_see_channels = models.BooleanField(
        _("sees channels"),
        default=False,
        help_text=_("Whether answers name the channel that served them (header x-smartrouter-channel)."),
    )
    can_shorten_answers = models.BooleanField(
        _("shortens answers"),
        default=False,
        db_default=False,
        help_text=_("Where less is left than a request may cost, its answer is made shorter instead of refused."),
    )
    can_see_budgets = models.BooleanField(
        _("shows amounts"),
        default=False,
        db_default=False,
        help_text=_("Whether its keys are told the amounts of this tenant's budgets, not only of their own."),
    )
    budget_status = models.PositiveSmallIntegerField(
        _("status of a spent budget"),
        choices=[(402, _("402 Payment Required")), (429, _("429 Too Many Requests"))],
        default=402,
        db_default=402,
        help_text=_("What a request is answered with that a budget does not allow."),
    )
    end_user_rpm = _limit_field(
        _("requests a minute of an end user"), _("For each value of the field “user” of requests.")
    )
    end_user_tpm = _limit_field(_("tokens a minute of an end user"))
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        above, seen = self.parent, {self.pk} if self.pk else set()
        while above is not None:
            if above.pk in seen:
                raise ValidationError({"parent": _("A tenant cannot be below itself.")})
            seen.add(above.pk)
            above = above.parent


class Membership(models.Model):
    """A user's role in a tenant."""

    class Role(models.TextChoices):
        VIEWER = "viewer", _("Viewer")
        MEMBER = "member", _("Member")
        ADMIN = "admin", _("Admin")

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships", verbose_name=_("tenant"))
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.VIEWER)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [models.UniqueConstraint(fields=["user", "tenant"], name="membership_once_a_tenant")]

    def __str__(self) -> str:
        return f"{self.user} @ {self.tenant} ({self.get_role_display()})"


class RouterKey(TrackedModel, RateFields):
    """A key that a client sends us; only its keyed digest is stored."""

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="router_keys", verbose_name=_("tenant"))
    name = models.CharField(_("name"), max_length=100)
    owner = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="router_keys", verbose_name=_("owner")
    )
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    hint = models.CharField(_("key"), max_length=20, editable=False, help_text=_("Its first and last characters."))
    env_name = models.CharField(_("environment variable"), max_length=100, blank=True, editable=False)
    allowed_models = models.JSONField(
        _("allowed models"),
        default=list,
        blank=True,
        validators=[validate_model_patterns],
        help_text=_("Names that this key may ask for, such as auto:* or openai/gpt-4o-mini. Empty: all."),
    )
    denied_models = models.JSONField(
        _("denied models"),
        default=list,
        db_default=[],
        blank=True,
        validators=[validate_model_patterns],
        help_text=_("Models that never serve this key, whatever name it asks for, such as gpt-4* or openai/*."),
    )
    default_model = models.CharField(
        _("default model"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("What a request without a model gets."),
    )
    can_choose_strategy = models.BooleanField(
        _("may choose the strategy"),
        default=False,
        db_default=False,
        help_text=_("Whether requests may choose how their channel is chosen (header x-smartrouter-strategy)."),
    )
    networks = models.JSONField(
        _("networks"),
        default=list,
        db_default=[],
        blank=True,
        validators=[validate_networks],
        help_text=_("Addresses from which this key may be used, such as 203.0.113.7 or 10.0.0.0/8. Empty: all."),
    )
    labels = models.JSONField(
        _("labels"),
        default=dict,
        db_default={},
        blank=True,
        validators=[validate_labels],
        help_text=_("Names and values of your own, for finding keys again."),
    )
    previous_digest = models.CharField(
        _("previous digest"), max_length=64, null=True, blank=True, unique=True, editable=False
    )
    previous_until = models.DateTimeField(
        _("previous key until"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Until then the key that was replaced is accepted beside the new one."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("router key")
        verbose_name_plural = _("router keys")
        ordering = ["tenant__name", "name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="router_key_name_once_a_tenant")]

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"
