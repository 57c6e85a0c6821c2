"""Worker side. What values of providers, models and prices may be."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from providers.adapters.registry import ADAPTERS
from providers.prices import check_tiers, check_windows
from smartrouter.lib.outbound.urls import normalise_base_url

validate_name = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]*\Z", _("Use lower-case letters, digits, dots, hyphens and underscores."), code="name"
)
validate_model_name = RegexValidator(
    r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?\Z",
    _("A model's name has no line breaks, and no spaces around it."),
    code="model_name",
)
validate_region = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]*\Z", _("Use a short word in lower case, such as eu, us-east or cn."), code="region"
)
validate_currency = RegexValidator(
    r"^[A-Z]{3}\Z", _("Use a three-letter currency code such as USD or CNY."), code="currency"
)


def validate_adapter(name: str) -> None:
    """Raise ValidationError unless an adapter of that name is registered."""
    if name not in ADAPTERS:
        raise ValidationError(
            _("Unknown adapter “%(name)s”; there are: %(known)s."),
            params={"name": name, "known": ", ".join(sorted(ADAPTERS))},
        )


def validate_base_url(text: str) -> None:
    """Raise ValidationError unless text is a usable base address."""
    try:
        normalise_base_url(text)
    except ValueError as e:
        raise ValidationError(str(e), code="base_url") from e


def validate_tiers(value: Any) -> None:
    """Raise ValidationError unless value is a list of price tiers (providers.prices)."""
    try:
        check_tiers(value)
    except ValueError as e:
        raise ValidationError(str(e), code="tiers") from e


def validate_windows(value: Any) -> None:
    """Raise ValidationError unless value is a list of price windows (providers.prices)."""
    try:
        check_windows(value)
    except ValueError as e:
        raise ValidationError(str(e), code="windows") from e


def validate_string_list(value: Any) -> None:
    """Raise ValidationError unless value is a list of non-empty strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValidationError(_("Give a list of names."), code="list")
