"""Worker side. Our accounts at vendors: channels, their sealed keys, what they offer."""

import uuid
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from providers.models import DatedRates, Provider, ProviderModel, region_field
from providers.validators import validate_base_url, validate_model_name, validate_string_list
from smartrouter.accounts.models import Tenant, validate_timezone
from smartrouter.lib.changes import TrackedModel, TrackedQuerySet
from smartrouter.lib.outbound.urls import normalise_base_url
from smartrouter.lib.sealing import Sealed, SealedField, Secret

validate_channel_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", _("Use letters, digits, dots, hyphens and underscores."), code="name"
)
# Headers that the router itself sets; an extra header must not replace them or end the request early.
RESERVED_HEADERS = frozenset(
    (
        "authorization",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "content-type",
        "x-request-id",
        "accept-encoding",
    )
)


def validate_headers(headers: Any) -> None:
    """Raise ValidationError unless headers is a flat object of header names and one-line values."""
    if not isinstance(headers, dict):
        raise ValidationError(_("Give an object of header names and values."), code="headers")
    for name, value in headers.items():
        if (
            not isinstance(value, str)
            or not name
            or not all(c.isalnum() or c in "-_" for c in name)
            or not name.isascii()
        ):
            raise ValidationError(
                _("“%(name)s” is not a header with a text value."), params={"name": name}, code="header"
            )
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise ValidationError(
                _("The header “%(name)s” has a line break or control character."), params={"name": name}
            )
        if name.lower() in RESERVED_HEADERS:
            raise ValidationError(
                _("The header “%(name)s” is set by the router."), params={"name": name}, code="header"
            )


def validate_proxy_url(text: str) -> None:
    """Raise ValidationError unless text is an http:// address of a proxy, with or without a login."""
    try:
        parts = urlsplit(text)
        is_usable = (
            parts.scheme == "http" and bool(parts.hostname) and parts.path in ("", "/") and parts.port is not False
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValidationError(_("Use http://host:port or http://user:password@host:port."), code="proxy")


def validate_params(params: Any) -> None:
    """Raise ValidationError unless params is an object that leaves the router's own fields alone."""
    if not isinstance(params, dict):
        raise ValidationError(_("Give an object of request fields."), code="params")
    for name in ("model", "messages", "stream", "stream_options"):
        if name in params:
            raise ValidationError(_("“%(name)s” is set by the router."), params={"name": name}, code="params")


def validate_key_text(text: str) -> None:
    """Raise ValidationError unless text can be sent as a key: printable ASCII, no spaces."""
    if not text or not all("!" <= c <= "~" for c in text):
        raise ValidationError(_("A key has no spaces, line breaks or letters other than ASCII."), code="key")


# In seconds; nothing is waited for longer than an hour.
_TIMEOUT_VALIDATORS = [MinValueValidator(0.05), MaxValueValidator(3600.0)]


class Channel(TrackedModel):
    """Our account at a provider: its address, its keys, its terms."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True, validators=[validate_channel_name])
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="channels", verbose_name=_("provider"))
    owner = models.ForeignKey(
        Tenant,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="channels",
        verbose_name=_("owner"),
        help_text=_("Empty: the platform's, for every tenant. Else only for this tenant and those below it."),
    )
    base_url = models.CharField(
        _("base URL"), max_length=300, blank=True, validators=[validate_base_url], help_text=_("Empty: the provider's.")
    )
    is_active = models.BooleanField(_("active"), default=True)
    priority = models.PositiveIntegerField(
        _("priority"), default=1, validators=[MaxValueValidator(1_000_000)], help_text=_("1 is tried first.")
    )
    weight = models.FloatField(
        _("weight"),
        default=1.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1_000_000.0)],
        help_text=_("Share of the requests among equal priorities."),
    )
    region = region_field(_("Where its servers stand, such as eu or cn. Empty: the provider's."))
    timezone = models.CharField(
        _("time zone"),
        max_length=64,
        default="UTC",
        db_default="UTC",
        validators=[validate_timezone],
        help_text=_("Its day begins at midnight there, for daily limits."),
    )
    proxy_url = SealedField(_("outbound proxy"), null=True, blank=True)
    extra_headers = SealedField(_("extra headers"), null=True, blank=True)
    param_overrides = models.JSONField(
        _("parameter overrides"),
        default=dict,
        blank=True,
        validators=[validate_params],
        help_text=_('Fields set in every request, such as {"temperature": 0.2}; null removes a field.'),
    )
    connect_timeout_s = models.FloatField(
        _("connect timeout"), default=5, validators=_TIMEOUT_VALIDATORS, help_text=_("Seconds.")
    )
    first_byte_timeout_s = models.FloatField(
        _("first content timeout"),
        default=30,
        validators=_TIMEOUT_VALIDATORS,
        help_text=_("Seconds until the first content; then the next candidate is tried."),
    )
    idle_timeout_s = models.FloatField(
        _("idle timeout"),
        default=60,
        validators=_TIMEOUT_VALIDATORS,
        help_text=_("Seconds between two events of a stream."),
    )
    total_timeout_s = models.FloatField(
        _("total timeout"),
        default=600,
        validators=_TIMEOUT_VALIDATORS,
        help_text=_("Seconds for a whole answer."),
    )

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.base_url:
            try:
                self.base_url = normalise_base_url(self.base_url)
            except ValueError:
                return  # the field's validator says what is wrong

    def open_sealed(self, field: str) -> Secret | None:
        """The secret in proxy_url or extra_headers, None where there is none. Raises SealBroken."""
        value = getattr(self, field)
        return value.open(self.uid) if isinstance(value, Sealed) else value


class ChannelKey(TrackedModel):
    """One of a channel's keys at the vendor, sealed."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="keys", verbose_name=_("channel"))
    name = models.CharField(_("name"), max_length=100, default="default")
    secret = SealedField(_("key"))
    last_four = models.CharField(_("ends with"), max_length=4, blank=True, editable=False)
    env_name = models.CharField(_("environment variable"), max_length=100, blank=True, editable=False)
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("channel key")
        verbose_name_plural = _("channel keys")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["channel", "name"], name="channel_key_name_once_a_channel")]

    def __str__(self) -> str:
        return f"{self.channel}/{self.name}"

    def set_secret(self, key: str) -> None:
        """Take a new plain key: sealed at save, its last four kept for people to recognise it by."""
        self.secret = Secret(key)
        self.last_four = key[-4:] if len(key) >= 12 else ""

    def open_secret(self) -> Secret:
        """The key. Raises SealBroken."""
        secret: Sealed | Secret = self.secret  # type: ignore[assignment]  # the field's base says bytes
        return secret.open(self.uid) if isinstance(secret, Sealed) else secret


class Offering(TrackedModel):
    """What a channel offers: a public name for one of its provider's models."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="offerings", verbose_name=_("channel"))
    provider_model = models.ForeignKey(
        ProviderModel, models.PROTECT, related_name="offerings", verbose_name=_("provider model")
    )
    name = models.CharField(
        _("public name"),
        max_length=200,
        blank=True,
        validators=[validate_model_name],
        help_text=_("What clients ask for. Empty: the model's own name."),
    )
    aliases = models.JSONField(
        _("aliases"),
        default=list,
        blank=True,
        validators=[validate_string_list],
        help_text=_("Other names for the same."),
    )
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("offering")
        verbose_name_plural = _("offerings")
        ordering = ["channel__name", "name"]
        constraints = [models.UniqueConstraint(fields=["channel", "name"], name="offering_name_once_a_channel")]

    def __str__(self) -> str:
        return f"{self.name} ({self.channel})"

    def clean(self) -> None:
        channel = getattr(self, "channel", None)  # also one that is not saved yet
        if self.provider_model_id and channel and self.provider_model.provider_id != channel.provider_id:
            raise ValidationError({"provider_model": _("This model belongs to another provider than the channel.")})
        if not self.name and self.provider_model_id:
            self.name = self.provider_model.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.name:
            self.name = self.provider_model.name
        super().save(*args, **kwargs)


class OfferingPrice(TrackedModel, DatedRates):
    """A channel's own price for an offering from a moment on; it goes before the list price. 0 is the free tier."""

    offering = models.ForeignKey(Offering, models.CASCADE, related_name="prices", verbose_name=_("offering"))

    objects = TrackedQuerySet.as_manager()

    class Meta(DatedRates.Meta):
        verbose_name = _("offering price")
        verbose_name_plural = _("offering prices")
        constraints = [
            models.UniqueConstraint(fields=["offering", "effective_from"], name="offering_price_once_a_moment")
        ]
