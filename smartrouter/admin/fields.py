"""Worker side. Form fields of the admin: lists of names, JSON, prices, and secrets that are only ever written."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.template.loader import render_to_string
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminExpandableTextareaWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from smartrouter.lib.money import show_number


def text_of(model: type[Model], field: str) -> dict[str, Any]:
    """The label and help text that a model's field would give its form field."""
    found: Any = model._meta.get_field(field)
    return {"label": capfirst(found.verbose_name), "help_text": found.help_text}


class NamesField(forms.CharField):
    """A list of names, typed with commas or line breaks between them."""

    widget = UnfoldAdminExpandableTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        """The names in the order typed, each once."""
        if isinstance(value, list):
            return value
        parts = (super().to_python(value) or "").replace("\n", ",").split(",")
        return list(dict.fromkeys(part.strip() for part in parts if part.strip()))

    def clean(self, value: Any) -> Any:
        names = self.to_python(value)
        if self.required and not names:
            raise ValidationError(self.error_messages["required"], code="required")
        return names

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != list(initial or []))


class ChoicesField(forms.MultipleChoiceField):
    """Some of a fixed set, as checkboxes over a JSON list; a stored value outside the set stays visible and is kept."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def keep(self, stored: Iterable[str]) -> None:
        """Offer also what is stored already."""
        known = {str(value): label for value, label in self.widget.choices}
        self.choices = [*known.items(), *((value, value) for value in stored if value not in known)]


class TagsField(NamesField):
    """A list of tags: names in lower case."""

    def to_python(self, value: Any) -> Any:
        return list(dict.fromkeys(str(name).lower() for name in super().to_python(value)))


class KnownField(ChoicesField):
    """What of a fixed set is there: None while nothing is ticked, for nothing is known; an empty list for “none of these”."""

    NONE = "-"

    def __init__(self, *args: Any, choices: Iterable[Any], **kwargs: Any) -> None:
        none = (self.NONE, _("None of these"))
        super().__init__(*args, choices=[*choices, none], required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return [self.NONE] if value == [] else value

    def clean(self, value: Any) -> Any:
        """The names, an empty list, or None."""
        found = super().clean(value)
        if self.NONE in found and len(found) > 1:
            raise ValidationError(_("“None of these” stands alone: untick it, or all others."), code="none")
        return [] if found == [self.NONE] else found or None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return set(data or []) != set(self.prepare_value(initial) or [])


class ZoneInput(UnfoldAdminTextInputWidget):
    """A time zone, completed by the browser from the page's list of them (templates/admin/time_zones.html)."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({**(attrs or {}), "list": "time-zones", "autocomplete": "off", "spellcheck": "false"})


class CheckboxRow(UnfoldAdminCheckboxSelectMultipleWidget):
    """Checkboxes side by side, as many as fit."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        return render_to_string("admin/checkbox_row.html", self.get_context(name, value, attrs))


class DaysField(forms.TypedMultipleChoiceField):
    """Weekdays as checkboxes, Monday 0 to Sunday 6."""

    widget = CheckboxRow

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(coerce=int, choices=list(WEEKDAYS_ABBR.items()), **kwargs)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return {str(day) for day in initial or []} != {str(day) for day in data or []}


class JsonField(forms.JSONField):
    """A JSON document in a text area; an empty one stands for empty, given at construction: {} or []."""

    widget = UnfoldAdminTextareaWidget

    def __init__(self, *args: Any, empty: Any, **kwargs: Any) -> None:
        self.empty = empty
        super().__init__(*args, required=False, **kwargs)
        self.widget.attrs["rows"] = 4

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        if value in (None, self.empty, ""):
            return ""
        return json.dumps(value, ensure_ascii=False, indent=2)

    def to_python(self, value: Any) -> Any:
        parsed = super().to_python(value)
        return type(self.empty)() if parsed is None else parsed

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or self.empty))
        except ValidationError:
            return True


class PriceField(forms.DecimalField):
    """A price without the trailing zeros of its column."""

    widget = UnfoldAdminDecimalFieldWidget

    def prepare_value(self, value: Any) -> Any:
        return show_number(value) if isinstance(value, Decimal) else value


class _Unshown:
    """A widget that never renders what it holds, and says so after an error elsewhere in the form."""

    attrs: dict[str, Any]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        shown: dict[str, Any] = {**(attrs or {}), "autocomplete": "off"}
        if value:
            shown["placeholder"] = _("Not kept after an error; enter it again")
        return super().get_context(name, None, shown)  # type: ignore[misc,no-any-return]

    def format_value(self, value: Any) -> None:
        return None


class SecretInput(_Unshown, UnfoldAdminPasswordWidget):
    """A one-line secret."""


class SecretTextarea(_Unshown, UnfoldAdminTextareaWidget):
    """A secret of several lines."""


class SecretField(forms.CharField):
    """A secret to write; empty means: keep what is stored."""

    widget = SecretInput

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=10_000, **kwargs)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data))


def read_headers(text: str) -> Any:
    """The headers typed as JSON or as lines of "Name: value". Raises ValidationError, which never quotes the text."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as e:
            raise ValidationError(_("This is not valid JSON."), code="json") from e
    headers: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise ValidationError(
                _("Line %(number)d has no colon; write Name: value."), params={"number": number}, code="line"
            )
        headers[name.strip()] = value.strip()
    return headers
