"""Worker side. Usage as tenants' people see it: of their tree, one row a request, with the charge and without our cost.

Which provider and channel served is shown only of tenants that may know it; what went wrong there, what it cost us, which
prices were used and who else was weighed is never shown.
"""

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Case, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from billing.models import UsageHour, UsageRecord
from smartrouter.admin.labels import stack
from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_pages import TreeAdmin, TreeFilter
from smartrouter.admin.usage import show_plain_status


class UsageTenantFilter(TreeFilter):
    """The usage of one tenant of the tree, by its name: indexes know it so."""

    title, parameter_name = gettext_lazy("tenant"), "tenant"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        names = viewpoint_of(request).names
        name = {str(pk): name for pk, name in names.items()}.get(str(self.value()))
        return queryset.none() if name is None else queryset.filter(tenant=name)


class UsageTree(TreeAdmin):
    """What the pages of records and hours have in common."""

    def access_of(self, view: Viewpoint, row: Any) -> Access:
        return Access.VIEW

    @admin.display(description=gettext_lazy("status"))
    def plain_state(self, record: UsageRecord) -> SafeString:
        return show_plain_status(record)

    @admin.display(description=gettext_lazy("requested → answered by"))
    def answered_by(self, row: Any) -> SafeString:
        asked = row.requested_model if isinstance(row, UsageRecord) else row.group or row.offering
        where = [row.offering, *([row.provider, row.channel] if row.names_channel else [])]
        return stack(asked, "→ " + " · ".join(where))


def _noting(rows: QuerySet, **tenants: Any) -> QuerySet:
    """The rows with names_channel: whether the tenant may know which channel served it."""
    noted = Case(When(**tenants, then=Value(True)), default=Value(False), output_field=BooleanField())
    found: QuerySet = rows.annotate(names_channel=noted)
    return found


class RecordTree(UsageTree):
    """Usage records: the attempt that counts of each request."""

    tree_list_display = ["when", "plain_state", "caller", "answered_by", "shown_tokens", "charge", "times"]
    tree_search_fields = ["request_id"]
    tree_lookups = frozenset(["tenant", "status"])

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        theirs = rows.filter(tenant_ref__in=view.tenants, is_billable=True)
        return _noting(theirs, tenant_ref__in=view.naming_channels)

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        served = [("provider", "channel")] if row is not None and row.tenant_ref in view.naming_channels else []
        return [
            (None, {"fields": ["request_id", ("plain_state", "finish_reason")]}),
            (
                gettext_lazy("Who asked"),
                {"fields": [("tenant", "router_key"), ("end_user", "client_request_id"), "session_id"]},
            ),
            (
                gettext_lazy("What was asked and who answered"),
                {"fields": [("requested_model", "group", "offering"), *served, ("endpoint", "streamed")]},
            ),
            (gettext_lazy("When"), {"fields": [("admitted", "duration", "first_content")]}),
            (
                gettext_lazy("Tokens"),
                {
                    "fields": [
                        ("prompt_tokens", "cached_tokens", "cache_write_tokens"),
                        ("completion_tokens", "reasoning_tokens"),
                        ("audio_input_tokens", "audio_output_tokens", "image_tokens"),
                        "estimated",
                    ]
                },
            ),
            (gettext_lazy("Money"), {"fields": ["charge"]}),
        ]


class HourTree(UsageTree):
    """Hourly sums, which know tenants by name."""

    tree_list_display = ["when", "caller", "answered_by", "requests", "shown_tokens", "charge"]
    tree_list_filter = [UsageTenantFilter]
    tree_lookups = frozenset(["tenant"])

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        naming = [name for pk, name in view.names.items() if pk in view.naming_channels]
        return _noting(hours_of(view, rows), tenant__in=naming)

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        served = [("provider", "channel")] if row is not None and row.names_channel else []
        sums = ["requests", ("prompt_tokens", "completion_tokens", "cached_tokens"), "charge"]
        return [
            (None, {"fields": ["hour", ("tenant", "router_key"), ("group", "offering"), *served]}),
            (gettext_lazy("Sums"), {"fields": sums}),
        ]


def hours_of(view: Viewpoint, rows: QuerySet[UsageHour]) -> QuerySet[UsageHour]:
    """Those of the hourly sums that the viewpoint sees."""
    return rows if view.is_operator else rows.filter(tenant__in=list(view.names.values()))
