"""Worker side. What exists and what it costs: providers, their models, dated prices, exchange rates."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import TextChoices
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from providers.adapters.registry import ADAPTERS
from providers.capabilities import (
    AUDIO,
    CODE_GENERATION,
    FUNCTION_CALLING,
    JSON_SCHEMA,
    REASONING,
    VISION,
)
from providers.fields import CapabilitiesField
from providers.validators import (
    validate_adapter,
    validate_base_url,
    validate_currency,
    validate_model_name,
    validate_name,
    validate_region,
    validate_string_list,
    validate_tiers,
    validate_windows,
)
from smartrouter.lib.changes import TrackedModel, TrackedQuerySet
from smartrouter.lib.money import show_number
from smartrouter.lib.outbound.urls import normalise_base_url


def adapter_choices() -> list[tuple[str, str]]:
    """Every registered adapter as (name, label)."""
    return [(name, adapter.label) for name, adapter in sorted(ADAPTERS.items())]


def region_field(help_text: Any) -> models.CharField:
    """Where servers stand: a free word that groups can filter by."""
    return models.CharField(
        _("region"),
        max_length=40,
        blank=True,
        default="",
        db_default="",
        validators=[validate_region],
        help_text=help_text,
    )


class Provider(TrackedModel):
    """A vendor, an aggregator, a reseller or a server of our own."""

    class Kind(TextChoices):
        OFFICIAL = "official", _("Official")
        AGGREGATOR = "aggregator", _("Aggregator")
        RESELLER = "reseller", _("Reseller")
        LOCAL = "local", _("Local")

    name = models.CharField(
        _("name"),
        max_length=60,
        unique=True,
        validators=[validate_name],
        help_text=_("Also the prefix by which clients may name its models: openai/gpt-4o-mini."),
    )
    display_name = models.CharField(_("display name"), max_length=100, blank=True)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.OFFICIAL)
    adapter = models.CharField(
        _("adapter"),
        max_length=40,
        default="openai",
        validators=[validate_adapter],
        help_text=_("How the provider is spoken to; openai fits every OpenAI-compatible one."),
    )
    base_url = models.CharField(
        _("base URL"),
        max_length=300,
        validators=[validate_base_url],
        help_text=_("With its version, without /chat/completions: https://api.openai.com/v1."),
    )
    region = region_field(_("Where its servers stand, such as eu or cn; a channel may say otherwise."))
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.base_url:
            try:
                self.base_url = normalise_base_url(self.base_url)
            except ValueError:
                return  # the field's validator says what is wrong


class ProviderModel(TrackedModel):
    """One model that a provider sells, under the provider's own name for it."""

    class Capability(models.TextChoices):
        FUNCTION_CALLING = FUNCTION_CALLING, _("Function calling")
        VISION = VISION, _("Vision")
        CODE_GENERATION = CODE_GENERATION, _("Code generation")
        JSON_SCHEMA = JSON_SCHEMA, _("JSON schema")
        REASONING = REASONING, _("Reasoning")
        AUDIO = AUDIO, _("Audio")

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="models", verbose_name=_("provider"))
    name = models.CharField(
        _("model name"),
        max_length=200,
        validators=[validate_model_name],
        help_text=_("Exactly as the provider calls it."),
    )
    display_name = models.CharField(_("display name"), max_length=200, blank=True)
    context_length = models.PositiveIntegerField(_("context length"), null=True, blank=True, help_text=_("In tokens."))
    default_output_tokens = models.PositiveIntegerField(
        _("default output tokens"),
        null=True,
        blank=True,
        help_text=_("What the model writes at most when nothing is asked."),
    )
    capabilities = CapabilitiesField(
        _("capabilities"),
        null=True,
        default=None,
        blank=True,
        validators=[validate_string_list],
        help_text=_(
            "Requests with tools, images, audio or a JSON schema go only to models that can do it. While nothing is known "
            "of a model, it serves them where no other can."
        ),
    )
    tags = models.JSONField(_("tags"), default=list, blank=True, validators=[validate_string_list])
    quality_score = models.FloatField(_("quality score"), null=True, blank=True, help_text=_("From 0 to 1."))
    is_free = models.BooleanField(
        _("free"),
        default=False,
        help_text=_("Costs nothing; without this mark or a price, its cost counts as unknown."),
    )
    is_active = models.BooleanField(_("active"), default=True)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider model")
        verbose_name_plural = _("provider models")
        ordering = ["provider__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="model_name_once_a_provider"),
            models.CheckConstraint(
                condition=models.Q(quality_score__isnull=True) | models.Q(quality_score__range=(0, 1)),
                name="quality_score_from_0_to_1",
                violation_error_message=_("The quality score goes from 0 to 1."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"

    def clean(self) -> None:
        unknown = set(self.capabilities or []) - set(self.Capability.values)
        if unknown:
            raise ValidationError({"capabilities": _("Unknown capability: %s.") % ", ".join(sorted(map(str, unknown)))})


def price_field(label: Any, **kwargs: Any) -> models.DecimalField:
    """A price per million tokens; empty means: no price of its own."""
    return models.DecimalField(
        label,
        max_digits=20,
        decimal_places=9,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        **kwargs,
    )


class DatedRates(models.Model):
    """What a million tokens of each sort cost from a moment on. Where a sort has no price, its parent sort's applies."""

    currency = models.CharField(_("currency"), max_length=3, default="USD", validators=[validate_currency])
    input = price_field(_("input"), help_text=_("Per million tokens, like all prices here."))
    output = price_field(_("output"))
    cache_read = price_field(_("cached input"), help_text=_("Empty: as input."))
    cache_write = price_field(_("cache write"), help_text=_("Empty: as input."))
    cache_write_1h = price_field(_("cache write, 1 hour"), help_text=_("Empty: as cache write."))
    reasoning = price_field(_("reasoning"), help_text=_("Empty: as output."))
    audio_input = price_field(_("audio input"), help_text=_("Empty: as input."))
    audio_output = price_field(_("audio output"), help_text=_("Empty: as output."))
    image_input = price_field(_("image input"), help_text=_("Empty: as input."))
    per_request = price_field(_("per request"), help_text=_("For each request, not per million."))
    tiers = models.JSONField(
        _("tiers"),
        default=list,
        blank=True,
        validators=[validate_tiers],
        help_text=_('By prompt size, the largest that fits: [{"min_prompt_tokens": 200000, "input": "2.50"}].'),
    )
    windows = models.JSONField(
        _("windows"),
        default=list,
        blank=True,
        validators=[validate_windows],
        help_text=_(
            'By time of day: [{"days": [0, 1, 2, 3, 4], "start": "01:00", "end": "04:00", "tz": "UTC", '
            '"input": "0.10"}]; Monday is 0.'
        ),
    )
    effective_from = models.DateTimeField(_("effective from"), default=now)
    source = models.CharField(_("source"), max_length=200, blank=True, help_text=_("Where the price was read."))

    class Meta:
        abstract = True
        ordering = ["-effective_from"]

    def __str__(self) -> str:
        return f"{self.currency} {show_number(self.input)} / {show_number(self.output)}"


class ModelPrice(TrackedModel, DatedRates):
    """A provider model's list price from a moment on."""

    provider_model = models.ForeignKey(
        ProviderModel, models.CASCADE, related_name="prices", verbose_name=_("provider model")
    )

    objects = TrackedQuerySet.as_manager()

    class Meta(DatedRates.Meta):
        verbose_name = _("model price")
        verbose_name_plural = _("model prices")
        constraints = [
            models.UniqueConstraint(fields=["provider_model", "effective_from"], name="model_price_once_a_moment")
        ]


class ExchangeRate(TrackedModel):
    """What one unit of a currency is worth in USD from a moment on."""

    currency = models.CharField(_("currency"), max_length=3, validators=[validate_currency])
    usd = models.DecimalField(
        _("USD for one unit"), max_digits=20, decimal_places=10, validators=[MinValueValidator(Decimal("0.0000000001"))]
    )
    effective_from = models.DateTimeField(_("effective from"), default=now)

    objects = TrackedQuerySet.as_manager()

    class Meta:
        verbose_name = _("exchange rate")
        verbose_name_plural = _("exchange rates")
        ordering = ["currency", "-effective_from"]
        constraints = [
            models.UniqueConstraint(fields=["currency", "effective_from"], name="exchange_rate_once_a_moment")
        ]

    def __str__(self) -> str:
        return f"1 {self.currency} = {show_number(self.usd)} USD"
