"""Worker side. The admin of budgets: set on the page of whom they are for, and one page that shows how all of them stand."""

from collections.abc import Collection
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.checks import InlineModelAdminChecks
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.forms.models import modelformset_factory
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.views import ChangeList

from billing.models import Budget
from channels.models import Channel
from smartrouter.accounts.models import RouterKey, Tenant
from smartrouter.admin.billing import ReadOnlyAdmin
from smartrouter.admin.budgets_form import BudgetForm, BudgetFormSet, EndUserBudgetForm, EndUserBudgetFormSet
from smartrouter.admin.budgets_shown import (
    show_amount,
    show_bar,
    show_left,
    show_limits,
    show_owner,
    show_resets,
    show_used,
)
from smartrouter.admin.budgets_standing import add_highest, where_standing, with_standing
from smartrouter.admin.labels import stack
from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_pages import TreeAdmin, TreeInline

_OWNERS = ["scope__tenant", "scope__router_key__tenant", "scope__user", "scope__channel", "scope__model_group"]
_OWNER_NAME = Coalesce(
    "scope__tenant__name", "scope__router_key__tenant__name", "scope__channel__name", "scope__model_group__name",
    "scope__user__username",
)  # fmt: skip
_BY_WINDOW = Case(
    *(When(window=window, then=Value(place)) for place, window in enumerate(Budget.Window.values)),
    output_field=IntegerField(),
)


def access_to_budgets(view: Viewpoint, owner: Any) -> Access:
    """What somebody of a tenant may do with the budgets of a tenant, router key, channel, user or group that he sees: a
    tenant's are set from above it only, those of keys and channels by the admins of their tenant."""
    match owner:
        case Tenant():
            return Access.CHANGE if owner.pk in view.governed else Access.VIEW
        case RouterKey():
            return Access.CHANGE if owner.tenant_id in view.administered else Access.VIEW
        case Channel():
            return Access.CHANGE if owner.owner_id in view.administered else Access.VIEW
    return Access.NONE


def budgets_of_tenants(budgets: QuerySet, tenant_ids: Collection[int]) -> QuerySet:
    """Those of the budgets that are for these tenants, their end users, router keys and own channels. Not those of groups and
    of owners of keys, which are the platform's."""
    return budgets.filter(
        Q(scope__tenant__in=tenant_ids)
        | Q(scope__router_key__tenant__in=tenant_ids)
        | Q(scope__channel__owner__in=tenant_ids)
    )


class BudgetInlineChecks(InlineModelAdminChecks):
    """Django's checks of an inline, without those of its foreign key: there is none."""

    def _check_exclude_of_parent_model(self, obj: Any, parent_model: Any) -> list[Any]:
        return []

    def _check_relation(self, obj: Any, parent_model: Any) -> list[Any]:
        return []


class BudgetInline(TreeInline, TabularInline):
    """The budgets of the tenant, router key, user, channel or group that the page is about."""

    model = Budget
    form = BudgetForm
    formset: Any = BudgetFormSet
    checks_class = BudgetInlineChecks
    fields = ["unit", "window", "limit", "soft_limit", "shown_used", "shown_resets"]
    readonly_fields = ["shown_used", "shown_resets"]
    extra = 0
    per_page = 50
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = with_standing(super().get_queryset(request).select_related(*_OWNERS), now())
        return rows.order_by("scope__end_user", "unit", _BY_WINDOW)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """The formset class. The form does not believe data that its sender may not set."""
        may_add, may_change = self.has_add_permission(request, obj), self.has_change_permission(request, obj)

        class GuardedForm(self.form):  # type: ignore[name-defined]  # as Django's own inlines do it
            def has_changed(self) -> bool:
                may_set = may_add if self.instance._state.adding else may_change
                return may_set and bool(super().has_changed())

        options: dict[str, Any] = {
            "form": GuardedForm,
            "formset": self.formset,
            "fields": [name for name in self.fields or [] if name not in self.readonly_fields],
            "formfield_callback": partial(self.formfield_for_dbfield, request=request),
            "extra": self.get_extra(request, obj),
            "can_delete": self.has_delete_permission(request, obj),
            **self.bounds_of(request, obj),
        }
        return modelformset_factory(Budget, **{**options, **kwargs, "fields": options["fields"]})

    def count_rows(self, parent: Any) -> int:
        return int(self.formset.those_of(parent, Budget.objects.order_by()).count())

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """The columns; for those who may look and not change with the amounts in words."""
        names: list[Any] = list(self.fields or [])
        if self.has_change_permission(request, obj):
            return names
        in_words = {"limit": "shown_limit", "soft_limit": "shown_soft_limit"}
        return [in_words.get(name, name) for name in names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names: list[Any] = list(self.readonly_fields)
        return names if self.has_change_permission(request, obj) else [*names, "shown_limit", "shown_soft_limit"]

    def access_of(self, view: Viewpoint, parent: Any) -> Access:
        return access_to_budgets(view, parent)

    @admin.display(description=_("used now"))
    def shown_used(self, budget: Any) -> SafeString | str:
        return stack(show_used(budget), show_bar(budget)) if budget.pk else "-"

    @admin.display(description=_("begins anew"))
    def shown_resets(self, budget: Any) -> SafeString | str:
        return show_resets(budget) if budget.pk else "-"

    @admin.display(description=_("limit"))
    def shown_limit(self, budget: Budget) -> str:
        return show_amount(budget.unit, budget.limit)

    @admin.display(description=_("soft limit"))
    def shown_soft_limit(self, budget: Budget) -> str:
        return show_amount(budget.unit, budget.soft_limit)


class EndUserBudgetInline(BudgetInline):
    """The budgets of a tenant's end users."""

    form = EndUserBudgetForm
    formset = EndUserBudgetFormSet
    fields = ["end_user", *BudgetInline.fields]
    verbose_name, verbose_name_plural = _("budget of end users"), _("budgets of end users")

    @admin.display(description=_("end user"))
    def end_user(self, budget: Budget) -> str:
        return budget.scope.end_user


class StandingFilter(DropdownFilter):
    title, parameter_name = _("how it stands"), "standing"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Any:
        return [("near", _("Near the limit or over it")), ("over", _("Used up"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in ("near", "over"):
            return queryset
        return where_standing(queryset, is_over=self.value() == "over")


class BudgetChangeList(ChangeList):
    """A page of budgets, with what each end user has used."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        add_highest(rows)
        self.result_list = rows


@admin.register(Budget)
class BudgetAdmin(TreeAdmin, ReadOnlyAdmin):
    list_display = ["owner", "window_unit", "limits", "shown_used", "left", "bar", "resets"]
    list_filter = [
        StandingFilter,
        ("scope__kind", ChoicesDropdownFilter),
        ("unit", ChoicesDropdownFilter),
        ("window", ChoicesDropdownFilter),
    ]
    search_fields = [
        "scope__tenant__name", "scope__router_key__name", "scope__router_key__tenant__name", "scope__user__username",
        "scope__channel__name", "scope__model_group__name", "scope__end_user",
    ]  # fmt: skip
    search_help_text = _("Name of a tenant, router key, user, channel, model group or end user")
    list_select_related = _OWNERS
    list_per_page = 50
    list_fullwidth = True
    sortable_by = ()
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": ["owner", "window_unit", "limits", "shown_used", "left", "bar", "resets", "counted_from"]})
    ]

    tree_list_display = list_display
    tree_list_filter = list_filter
    tree_search_fields = search_fields[:3]
    tree_search_help_text = _("Name of a tenant or router key")
    tree_lookups = frozenset(["standing", "scope__kind__exact", "unit__exact", "window__exact"])

    def access_of(self, view: Viewpoint, row: Any) -> Access:
        return Access.VIEW

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Else nothing that has a budget could be deleted by anybody.
        return viewpoint_of(request).is_operator

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        return budgets_of_tenants(rows, view.tenants)

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        return self.fieldsets

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = with_standing(super().get_queryset(request).select_related(*_OWNERS), now())
        return rows

    def get_ordering(self, request: HttpRequest) -> Any:
        return [_OWNER_NAME, "scope_id", "unit", _BY_WINDOW]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BudgetChangeList]:
        return BudgetChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        add_highest([found] if found else [])
        return found

    @admin.display(description=_("for"))
    def owner(self, budget: Budget) -> SafeString | str:
        return show_owner(budget.scope)

    @admin.display(description=_("window, unit"))
    def window_unit(self, budget: Budget) -> SafeString:
        return stack(budget.get_window_display(), budget.get_unit_display())

    @admin.display(description=_("limit"))
    def limits(self, budget: Budget) -> SafeString | str:
        return show_limits(budget)

    @admin.display(description=_("used now"))
    def shown_used(self, budget: Budget) -> SafeString | str:
        return show_used(budget)

    @admin.display(description=_("left"))
    def left(self, budget: Budget) -> SafeString | str:
        return show_left(budget)

    @admin.display(description=_("of the limit"))
    def bar(self, budget: Budget) -> SafeString:
        return show_bar(budget)

    @admin.display(description=_("begins anew"))
    def resets(self, budget: Budget) -> SafeString | str:
        return show_resets(budget)
