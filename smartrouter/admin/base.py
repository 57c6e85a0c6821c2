"""Worker side. What several admin pages share: switching rows on and off, counting children, prices."""

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin, StackedInline
from unfold.forms import PaginationInlineFormSet

from providers.validators import validate_tiers, validate_windows
from smartrouter.admin.fields import JsonField, PriceField
from smartrouter.lib.money import show_number
from smartrouter.lib.zones import zone_names


class SwitchActions(ModelAdmin):
    """Actions that set is_active on the selected rows, each noted in the row's history."""

    actions = ["enable", "disable"]
    list_filter_submit = True

    @admin.action(description=_("Enable the selected rows"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet) -> None:
        self.switch(request, queryset, is_active=True)

    @admin.action(description=_("Disable the selected rows"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet) -> None:
        self.switch(request, queryset, is_active=False)

    def switchable(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Those of the selected rows that the user may switch."""
        return queryset

    def switch(self, request: HttpRequest, queryset: QuerySet, *, is_active: bool) -> None:
        """Set is_active where it differs, and say on how many rows."""
        rows = list(self.switchable(request, queryset).exclude(is_active=is_active))
        self.model._default_manager.filter(pk__in=[row.pk for row in rows]).update(is_active=is_active)
        for row in rows:
            self.log_change(request, row, [{"changed": {"fields": ["is_active"]}}])
        message = (
            ngettext("%(count)d row was enabled.", "%(count)d rows were enabled.", len(rows))
            if is_active
            else ngettext("%(count)d row was disabled.", "%(count)d rows were disabled.", len(rows))
        )
        self.message_user(request, message % {"count": len(rows)}, messages.SUCCESS)


class ZonedAdmin(ModelAdmin):
    """A page with a field for a time zone, which the browser completes (fields.ZoneInput)."""

    change_form_before_template = "admin/time_zones.html"

    @property
    def time_zones(self) -> list[str]:
        """The names of all places, and UTC."""
        return ["UTC", *sorted(name for name in zone_names() if "/" in name and not name.startswith("Etc/"))]


def count_of(model: type[models.Model], key: str) -> Coalesce:
    """An annotation: how many rows of the model point at this one through the foreign key named key."""
    counted = (
        model._default_manager.filter(**{key: OuterRef("pk")})
        .order_by()
        .values(key)
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=models.IntegerField()), 0)


class PriceFormSet(PaginationInlineFormSet):
    """Dated prices, each titled with what it says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for form in self.initial_forms:
            price = form.instance
            form.instance.get_inline_title = _("%(currency)s %(input)s / %(output)s from %(moment)s") % {
                "currency": price.currency,
                "input": show_number(price.input),
                "output": show_number(price.output),
                "moment": date_format(localtime(price.effective_from), "Y-m-d H:i"),
            }


class PriceInline(StackedInline):
    """The dated prices of a model or an offering, newest first."""

    formset = PriceFormSet
    extra = 0
    collapsible = True
    fieldsets = [
        (None, {"fields": [("input", "output"), ("cache_read", "currency"), "effective_from"]}),
        (
            _("Other sorts of tokens"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("cache_write", "cache_write_1h", "reasoning"),
                    ("audio_input", "audio_output", "image_input"),
                    ("per_request", "source"),
                ],
            },
        ),
        (_("By prompt size and time of day"), {"classes": ["collapse"], "fields": ["tiers", "windows"]}),
    ]

    def formfield_for_dbfield(self, db_field: models.Field, request: HttpRequest, **kwargs: Any) -> Any:
        text: dict[str, Any] = {"label": capfirst(db_field.verbose_name), "help_text": db_field.help_text}
        if isinstance(db_field, models.DecimalField):
            return PriceField(
                **text, required=False, max_digits=db_field.max_digits, decimal_places=db_field.decimal_places
            )
        if db_field.name == "tiers":
            return JsonField(**text, empty=[], validators=[validate_tiers])
        if db_field.name == "windows":
            return JsonField(**text, empty=[], validators=[validate_windows])
        return super().formfield_for_dbfield(db_field, request, **kwargs)
