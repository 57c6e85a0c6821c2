"""Worker side. The admin of the billing room: what was used, to read."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from billing.models import UsageHour, UsageRecord
from smartrouter.admin.keyset import KeysetChangeList
from smartrouter.admin.labels import label, money, stack
from smartrouter.admin.limits import KeyLabelFilter
from smartrouter.admin.tenancy import viewpoint_of
from smartrouter.admin.usage import (
    flag,
    moment,
    show_error,
    show_money,
    show_price_used,
    show_route,
    show_seconds,
    show_status,
    show_time,
    show_tokens,
)
from smartrouter.admin.usage_filters import BillableFilter, ChannelFilter, EndUserFilter, StatusFilter, TenantFilter
from smartrouter.admin.usage_trace import show_chosen
from smartrouter.admin.usage_tree import HourTree, RecordTree, UsageTenantFilter


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at."""

    actions = None
    list_filter_submit = True
    list_display_links: Any = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of a row, without a link to the history: nobody changes these rows."""
        context = {**(extra_context or {}), "show_history": False}
        page: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return page


@admin.register(UsageRecord)
class UsageRecordAdmin(RecordTree, ReadOnlyAdmin):
    list_display = [
        "when", "state", "caller", "models", "shown_tokens", "money", "times"
    ]  # fmt: skip
    list_display_links = ["when"]
    list_filter = [StatusFilter, TenantFilter, ChannelFilter, EndUserFilter, KeyLabelFilter, BillableFilter]
    tree_list_filter = [StatusFilter, UsageTenantFilter]
    indexed_filters = ("tenant", "channel")
    search_fields = ["request_id"]
    search_help_text = gettext_lazy("Request id, attempt id or session id")
    sortable_by = ()
    list_per_page = 50
    list_fullwidth = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_form_after_template = "admin/billing/usagerecord/attempts.html"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("request_id", "attempt_id"), ("state", "attempt", "billable"),
                    ("error_class", "http_status", "finish_reason"), "error",
                ]
            },
        ),
        (gettext_lazy("Who asked"), {"fields": [("tenant", "router_key"), ("end_user", "client_request_id"), "session_id"]}),
        (
            gettext_lazy("What was asked and who answered"),
            {
                "fields": [
                    ("requested_model", "group", "offering"), ("provider", "channel", "channel_key"),
                    ("upstream_model", "reported_model", "mismatch"), ("endpoint", "streamed"),
                ]
            },
        ),
        (gettext_lazy("When"), {"fields": [("admitted", "started"), ("duration", "first_content")]}),
        (
            gettext_lazy("Tokens"),
            {
                "fields": [
                    ("prompt_tokens", "cached_tokens", "cache_write_tokens"), ("completion_tokens", "reasoning_tokens"),
                    ("audio_input_tokens", "audio_output_tokens", "image_tokens"), "estimated",
                ]
            },
        ),
        (gettext_lazy("Money"), {"fields": [("cost", "charge", "reported"), "shown_price"]}),
    ]  # fmt: skip

    billable, streamed, mismatch = flag("is_billable"), flag("is_streamed"), flag("is_model_mismatch")
    estimated, reported = flag("is_estimated"), flag("is_cost_reported")
    admitted, started = moment("admitted_at"), moment("started_at")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only the filters above: any other would read the whole table."""
        if request is None or not viewpoint_of(request).is_operator:
            return lookup in self.tree_lookups
        return lookup in ("tenant", "channel", "status", "billable", "end_user", "key_label")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        if not search_term.strip():
            return queryset, False
        in_session = queryset.filter(session_id=search_term.strip())
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            return in_session, False
        return queryset.filter(Q(pk=wanted) | Q(request_id=wanted)) | in_session, False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not viewpoint_of(request).is_operator:
            context = {**(extra_context or {}), "title": _("Usage record")}
            plain: HttpResponse = super().change_view(request, object_id, form_url, context)
            return plain
        record = self.get_object(request, object_id)
        attempts = UsageRecord.objects.filter(request_id=record.request_id).order_by("attempt", "pk") if record else []
        table = [
            {
                "record": attempt, "is_this": attempt == record, "status": show_status(attempt),
                "route": show_route(attempt), "tokens": show_tokens(attempt), "cost": money(attempt.cost_nusd),
                "charge": money(attempt.charge_nusd), "error": show_error(attempt),
                "duration": show_seconds(attempt.duration_ms),
            }
            for attempt in attempts
        ]  # fmt: skip
        chosen = show_chosen(record) if record else None
        context = {**(extra_context or {}), "attempts": table, "chosen": chosen, "title": _("Usage record")}
        page: HttpResponse = super().change_view(request, object_id, form_url, context)
        return page

    @admin.display(description=gettext_lazy("time"))
    def when(self, record: UsageRecord) -> SafeString:
        return stack(*reversed(show_time(record).split()))

    @admin.display(description=gettext_lazy("status"))
    def state(self, record: UsageRecord) -> SafeString:
        return show_status(record)

    @admin.display(description=gettext_lazy("error"))
    def error(self, record: UsageRecord) -> str:
        return show_error(record) or "-"

    @admin.display(description=gettext_lazy("tenant / key · end user"))
    def caller(self, record: UsageRecord) -> SafeString:
        key = f"{record.router_key} · {record.end_user}" if record.end_user else record.router_key
        return stack(record.tenant, key)

    @admin.display(description=gettext_lazy("requested → channel · upstream model"))
    def models(self, record: UsageRecord) -> SafeString:
        return stack(record.requested_model, format_html("→ {}", show_route(record)))

    @admin.display(description=gettext_lazy("tokens in / out"))
    def shown_tokens(self, record: UsageRecord) -> SafeString:
        return show_tokens(record)

    @admin.display(description=gettext_lazy("cost"))
    def cost(self, record: UsageRecord) -> SafeString | str:
        return money(record.cost_nusd)

    @admin.display(description=gettext_lazy("charge"))
    def charge(self, record: UsageRecord) -> SafeString | str:
        return money(record.charge_nusd)

    @admin.display(description=gettext_lazy("duration"))
    def duration(self, record: UsageRecord) -> str:
        return show_seconds(record.duration_ms)

    @admin.display(description=gettext_lazy("charge, cost"))
    def money(self, record: UsageRecord) -> SafeString:
        return show_money(record.charge_nusd, record.cost_nusd)

    @admin.display(description=gettext_lazy("duration"))
    def times(self, record: UsageRecord) -> SafeString:
        first = _("first content %s") % show_seconds(record.first_content_ms) if record.first_content_ms else "-"
        return stack(show_seconds(record.duration_ms), first)

    @admin.display(description=gettext_lazy("first content"))
    def first_content(self, record: UsageRecord) -> str:
        return show_seconds(record.first_content_ms)

    @admin.display(description=gettext_lazy("price used"))
    def shown_price(self, record: UsageRecord) -> SafeString | str:
        return show_price_used(record.price)


@admin.register(UsageHour)
class UsageHourAdmin(HourTree, ReadOnlyAdmin):
    list_display = ["when", "caller", "models", "requests", "failures", "shown_tokens", "money"]
    list_display_links = ["when"]
    list_filter = [TenantFilter, ChannelFilter]
    ordering = ["-hour", "tenant", "router_key", "group", "offering", "provider", "channel"]
    sortable_by = ()
    paginator = InfinitePaginator
    list_fullwidth = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = [
        (None, {"fields": ["hour", ("tenant", "router_key"), ("group", "offering"), ("provider", "channel")]}),
        (
            gettext_lazy("Sums"),
            {
                "fields": [
                    ("requests", "attempts", "failures"), ("prompt_tokens", "completion_tokens", "cached_tokens"),
                    ("cost", "charge", "unpriced"),
                ]
            },
        ),
    ]  # fmt: skip

    @admin.display(description=gettext_lazy("hour"))
    def when(self, hour: UsageHour) -> SafeString:
        return stack(date_format(localtime(hour.hour), "H:i"), date_format(localtime(hour.hour), "Y-m-d"))

    @admin.display(description=gettext_lazy("tenant / key"))
    def caller(self, hour: UsageHour) -> SafeString:
        return stack(hour.tenant, hour.router_key)

    @admin.display(description=gettext_lazy("group or model → channel · model"))
    def models(self, hour: UsageHour) -> SafeString:
        return stack(hour.group or hour.offering, f"→ {hour.channel} · {hour.offering}")

    @admin.display(description=gettext_lazy("tokens in / out"))
    def shown_tokens(self, hour: UsageHour) -> str:
        return f"{hour.prompt_tokens:,} / {hour.completion_tokens:,}"

    @admin.display(description=gettext_lazy("charge, cost"))
    def money(self, hour: UsageHour) -> SafeString:
        note = label(_("%d without a price") % hour.unpriced, "warning") if hour.unpriced else ""
        return format_html("{} {}", show_money(hour.charge_nusd, hour.cost_nusd), note)

    @admin.display(description=gettext_lazy("cost"))
    def cost(self, hour: UsageHour) -> SafeString | str:
        return money(hour.cost_nusd)

    @admin.display(description=gettext_lazy("charge"))
    def charge(self, hour: UsageHour) -> SafeString | str:
        return money(hour.charge_nusd)
