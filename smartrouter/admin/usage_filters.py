"""Worker side. The filters of usage records and hours, for operators."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from billing.models import UsageRecord


class NameFilter(TextFilter):
    """The rows of exactly one name, as an index finds them."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class TenantFilter(NameFilter):
    title, parameter_name = gettext_lazy("tenant"), "tenant"


class ChannelFilter(NameFilter):
    title, parameter_name = gettext_lazy("channel"), "channel"


class EndUserFilter(NameFilter):
    title, parameter_name = gettext_lazy("end user"), "end_user"


class StatusFilter(DropdownFilter):
    title, parameter_name = gettext_lazy("status"), "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Any:
        return UsageRecord.Status.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(status=self.value()) if self.value() else queryset


class BillableFilter(DropdownFilter):
    title, parameter_name = gettext_lazy("billable"), "billable"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Any:
        return [("yes", _("The attempt that counts")), ("no", _("Attempts that failed over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(is_billable=self.value() == "yes") if self.value() else queryset
