"""Worker side. What values of groups, strategies and time policies may be."""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from providers.capabilities import CAPABILITIES
from providers.models import Provider
from providers.naming import tags_of
from providers.validators import validate_region
from routing.strategies import PRESET_LABELS, check_preset, read_layers

validate_group_name = RegexValidator(
    r"^[^\s,*\x00-\x1f\x7f]+\Z",
    _("A group's name has no spaces, commas or asterisks; auto:fast is a good one."),
    code="name",
)
validate_rule_pattern = RegexValidator(
    r"^(\*|[^\s,*\x00-\x1f\x7f]+\*?)\Z",
    _("Use a name, the beginning of names with a * at its end, or * alone."),
    code="pattern",
)


def every_day() -> list[int]:
    """All weekdays."""
    return [0, 1, 2, 3, 4, 5, 6]


def _validate_words(value: Any, known: Collection[str]) -> None:
    if not isinstance(value, list):
        raise ValidationError(_("Give a list of names."), code="list")
    for name in value:
        if name not in known:
            params = {"name": name, "known": ", ".join(known)}
            raise ValidationError(
                _("“%(name)s” is not known here; there are: %(known)s."), params=params, code="choice"
            )


def validate_capabilities(value: Any) -> None:
    """Raise ValidationError unless value is a list of capabilities."""
    _validate_words(value, CAPABILITIES)


def validate_kinds(value: Any) -> None:
    """Raise ValidationError unless value is a list of kinds of provider."""
    _validate_words(value, Provider.Kind.values)


def strategy_choices() -> list[tuple[str, Any]]:
    """Every preset as (name, label)."""
    return list(PRESET_LABELS.items())


def validate_strategy(name: str) -> None:
    """Raise ValidationError unless a preset has this name."""
    try:
        check_preset(name)
    except ValueError as e:
        raise ValidationError(str(e), code="strategy") from e


def validate_layers(value: Any) -> None:
    """Raise ValidationError unless value is a list of layers (routing.strategies)."""
    try:
        read_layers(value)
    except ValueError as e:
        raise ValidationError(str(e), code="layers") from e


def validate_tags(value: Any) -> None:
    """Raise ValidationError unless value is a list of tags: words without the characters that names are split at."""
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag for tag in value):
        raise ValidationError(_("Give a list of tags; an empty one matches nothing."), code="tags")
    for tag in value:
        if len(tags_of(tag)) != 1 or tag != tag.lower():
            raise ValidationError(
                _("“%(tag)s” is not a tag: use one word in lower case, such as qwen or free."),
                params={"tag": tag},
                code="tags",
            )


def validate_regions(value: Any) -> None:
    """Raise ValidationError unless value is a list of regions."""
    if not isinstance(value, list):
        raise ValidationError(_("Give a list of regions."), code="regions")
    for region in value:
        validate_region(region)


def validate_days(value: Any) -> None:
    """Raise ValidationError unless value is a list of weekdays, Monday 0 to Sunday 6."""
    if not isinstance(value, list) or not value or not all(type(day) is int and 0 <= day <= 6 for day in value):
        raise ValidationError(_("Give the weekdays as numbers from 0 (Monday) to 6 (Sunday)."), code="days")
