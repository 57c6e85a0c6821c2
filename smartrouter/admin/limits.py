"""Worker side. Limits and labels of tenants and router keys: form fields, parts of pages, and finding keys by label."""

import json
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet, TextField
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import TextFilter
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from smartrouter.accounts.models import RouterKey, validate_labels
from smartrouter.admin.fields import NamesField, PriceField
from smartrouter.admin.labels import hint, listed, nowrap, stack
from smartrouter.lib.money import nusd_of, usd_of

KEY_LIMITS = ["rpm", "tpm", "max_parallel", "networks", "labels"]
TENANT_LIMITS = [
    "rpm", "tpm", "max_parallel", "end_user_rpm", "end_user_tpm", "budget_status", "can_shorten_answers",
    "can_see_budgets",
]  # fmt: skip
KEY_LIMITS_FIELDSET = (gettext_lazy("Limits and labels"), {"fields": KEY_LIMITS})
TENANT_LIMITS_FIELDSET = (gettext_lazy("Limits"), {"fields": TENANT_LIMITS})


class UsdField(PriceField):
    """An amount typed in USD with up to nine decimals and kept in nano-USD, exactly."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 18, "decimal_places": 9, "min_value": 0, "required": False, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return super().prepare_value(usd_of(value) if isinstance(value, int) else value)

    def clean(self, value: Any) -> Any:
        amount: Decimal | None = super().clean(value)
        return None if amount is None else nusd_of(amount)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(super().has_changed(usd_of(initial) if isinstance(initial, int) else initial, data))


class LinesField(NamesField):
    """A list of texts, one on each line; commas part them too."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value


class LabelsField(forms.CharField):
    """Labels, typed as lines of name=value."""

    widget = UnfoldAdminExpandableTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        """The labels by name. Raises ValidationError for a line without a sign of equality, and for a name given twice."""
        if isinstance(value, dict):
            return value
        labels: dict[str, str] = {}
        for number, line in enumerate((super().to_python(value) or "").splitlines(), start=1):
            if not line.strip():
                continue
            name, sign, text = (part.strip() for part in line.partition("="))
            if not sign or not name:
                raise ValidationError(
                    _("Line %(number)d: write name=value."), params={"number": number}, code="label_line"
                )
            if name in labels:
                raise ValidationError(_("“%(name)s” is there twice."), params={"name": name}, code="label_twice")
            labels[name] = text
        return labels

    def clean(self, value: Any) -> Any:
        labels = self.to_python(value)
        validate_labels(labels)
        return labels

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or {}))
        except ValidationError:
            return True


def with_label(keys: QuerySet, typed: str) -> QuerySet:
    """The keys with the label: name=value, or a name alone with whatever value."""
    name, sign, text = (part.strip() for part in typed.partition("="))
    if not sign:
        found: QuerySet = keys.filter(labels__has_key=name)
    else:
        found = keys.alias(label_value=KeyTransform(name, "labels")).filter(label_value=text)
    return found


class LabelFilter(TextFilter):
    title, parameter_name = gettext_lazy("label (name or name=value)"), "label"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return with_label(queryset, self.value() or "") if (self.value() or "").strip() else queryset


class KeyLabelFilter(LabelFilter):
    """The usage of the keys that have a label now."""

    title, parameter_name = gettext_lazy("label of the key (name or name=value)"), "key_label"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        typed = (self.value() or "").strip()
        keys = with_label(RouterKey.objects.order_by(), typed).values("pk")
        return queryset.filter(router_key_ref__in=keys) if typed else queryset


class LabelSearch(ModelAdmin):
    """A list of router keys whose search looks into their labels as well."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        if not search_term.strip():
            return found, may_have_duplicates
        wanted = Q()
        for word in search_term.split():
            # As the databases keep it: one with characters beyond ASCII as they are, the other one escaped.
            escaped = json.dumps(word)[1:-1]
            wanted &= Q(labels_text__icontains=word) | Q(labels_text__icontains=escaped)
        if "=" in search_term:
            wanted |= Q(pk__in=with_label(queryset.order_by(), search_term).values("pk"))
        by_label = queryset.alias(labels_text=Cast("labels", TextField())).filter(wanted)
        return queryset.filter(Q(pk__in=found.order_by().values("pk")) | Q(pk__in=by_label.order_by().values("pk"))), (
            may_have_duplicates
        )


def show_labels(key: RouterKey) -> SafeString | str:
    """The first labels of a key, all of them on hover."""
    every = [f"{name}={text}" for name, text in key.labels.items()]
    if not every:
        return "-"
    more = _(" and %d more") % (len(every) - 2) if len(every) > 2 else ""
    return hint(listed(every[:2]) + more, listed(every))


def show_rates(row: Any) -> SafeString | str:
    """The limits of a key or tenant: "60/min", below it "100,000 tokens/min · 4 at once"."""
    parts = [
        _("%s/min") % f"{row.rpm:,}" if row.rpm else "",
        _("%s tokens/min") % f"{row.tpm:,}" if row.tpm else "",
        _("%s at once") % f"{row.max_parallel:,}" if row.max_parallel else "",
    ]
    first, *further = [part for part in parts if part] or ["-"]
    return stack(first, " · ".join(further)) if further else nowrap(first)
