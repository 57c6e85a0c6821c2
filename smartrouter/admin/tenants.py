"""Worker side. The admin of tenants: who pays, in a tree, and who belongs to each."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.db.models import Case, F, Field, ForeignKey, IntegerField, QuerySet, Value, When
from django.db.models.functions import Concat
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, ChoicesDropdownFilter

from billing.models import UsageHour, UsageRecord
from smartrouter.accounts.models import Membership, RouterKey, Tenant
from smartrouter.admin.base import SwitchActions, ZonedAdmin, count_of
from smartrouter.admin.budgets import BudgetInline, EndUserBudgetInline
from smartrouter.admin.fields import ZoneInput
from smartrouter.admin.labels import link_to, nowrap
from smartrouter.admin.limits import TENANT_LIMITS_FIELDSET, show_rates
from smartrouter.admin.routerkeys import show_state
from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_forms import OTHER_NAME, TreeForm
from smartrouter.admin.tenancy_gate import id_of_page, users_of
from smartrouter.admin.tenancy_pages import TreeAdmin, TreeFilter, TreeInline, mapped


def _above(path: str) -> Case:
    """The name at the path with a slash, nothing where there is no such tenant."""
    return Case(When(**{f"{path}__isnull": False}, then=Concat(F(path), Value("/"))), default=Value(""))


# Sorts a tenant right below its parent, for three levels; deeper ones come below their great-grandparent.
_PATH = Concat(_above("parent__parent__name"), _above("parent__name"), F("name"), Value("/"))


class MembershipInline(TreeInline, TabularInline):
    """Who belongs to a tenant, or where a user belongs."""

    model = Membership
    fields = ["user", "tenant", "role"]
    autocomplete_fields = ["user", "tenant"]
    extra = 0
    hide_title = True

    def access_of(self, view: Viewpoint, parent: Any) -> Access:
        """Only a tenant's admins see and choose who belongs to it."""
        is_theirs = parent is None or (isinstance(parent, Tenant) and parent.pk in view.administered)
        return Access.CHANGE if is_theirs else Access.NONE

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).select_related("user", "tenant")
        return rows

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        """For a member: the users of the tenant's own tree."""
        field, view = super().formfield_for_foreignkey(db_field, request, **kwargs), viewpoint_of(request)
        tenant = id_of_page(request)
        if db_field.name == "user" and not view.is_operator and tenant in view.administered:
            field.queryset = users_of(view, tenant)
        return field


class RouterKeyInline(TreeInline, TabularInline):
    """A tenant's keys, to look at."""

    model = RouterKey
    fields = ["linked", "shown_hint", "shown_state", "expires_at"]
    readonly_fields = ["linked", "shown_hint", "shown_state", "expires_at"]
    extra = 0
    per_page = 50
    hide_title = True
    can_delete = False

    def access_of(self, view: Viewpoint, parent: Any) -> Access:
        return Access.VIEW

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("name"))
    def linked(self, key: RouterKey) -> SafeString | str:
        return link_to(key, key.name)

    @admin.display(description=gettext_lazy("key"))
    def shown_hint(self, key: RouterKey) -> SafeString:
        return nowrap(key.hint)

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, key: RouterKey) -> SafeString:
        return show_state(key)


class ParentFilter(TreeFilter):
    title, parameter_name, tenant_field = gettext_lazy("parent tenant"), "below", "parent_id"


class TenantForm(TreeForm):
    """A tenant; whoever is no operator may not take a name under which others' usage is kept, nor leave the tree."""

    class Meta:
        model = Tenant
        exclude: list[str] = []

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not self.view.is_operator and name != self.instance.name and is_used(name):
            raise ValidationError(OTHER_NAME, code="used")
        return name

    def clean_parent(self) -> Tenant | None:
        return self.stays_in_tree(self.instance.parent_id, self.cleaned_data["parent"])

    def clean_can_see_channels(self) -> bool:
        """What a tenant may not know, those below it do not learn either, unless an operator says so."""
        wants = bool(self.cleaned_data["can_see_channels"])
        parent = self.cleaned_data.get("parent") or self.instance.parent
        if wants and not self.view.is_operator and not (parent is not None and parent.can_see_channels):
            raise ValidationError(_("Only below a tenant that sees channels itself."), code="channels")
        return wants


def is_used(name: str) -> bool:
    """Whether usage is kept under the tenant's name: hours know tenants by nothing else."""
    rows = (UsageRecord.objects.filter(tenant=name), UsageHour.objects.filter(tenant=name))
    return any(found.exists() for found in rows)


@admin.register(Tenant)
class TenantAdmin(TreeAdmin, ZonedAdmin, SwitchActions):
    list_display = ["tree_name", "display_name", "kind", "parent", "keys_count", "limits", "is_active"]
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("parent", AutocompleteSelectFilter),
        ("is_active", BooleanRadioFilter),
    ]
    search_fields = ["name", "display_name"]
    list_select_related = ["parent__parent__parent"]
    autocomplete_fields = ["parent"]
    fieldsets = [
        (None, {"fields": ["name", "display_name", "kind", "parent", "is_active"]}),
        (gettext_lazy("Settings"), {"fields": ["timezone", "can_see_channels"]}),
        TENANT_LIMITS_FIELDSET,
    ]
    inlines = [BudgetInline, EndUserBudgetInline, MembershipInline, RouterKeyInline]
    form = TenantForm
    tree_list_display = ["tree_name", "display_name", "kind", "keys_count", "is_active"]
    tree_list_filter = [("kind", ChoicesDropdownFilter), ParentFilter, ("is_active", BooleanRadioFilter)]
    tree_search_fields = ["name", "display_name"]
    tree_actions = ("enable", "disable")
    tree_lookups = frozenset(["kind__exact", "below", "is_active__exact"])
    tree_required = frozenset(["parent"])

    def access_of(self, view: Viewpoint, row: Any) -> Access:
        is_theirs = row.pk in view.administered if row is not None else bool(view.administered)
        return Access.CHANGE if is_theirs else Access.VIEW

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        depths: dict[int, list[int]] = {}
        for pk, depth in view.depths.items():
            depths.setdefault(depth, []).append(pk)
        cases = [When(pk__in=pks, then=Value(depth)) for depth, pks in depths.items()]
        shown_at = Case(*cases, default=Value(0), output_field=IntegerField())
        seen: QuerySet = rows.filter(pk__in=view.tenants).annotate(seen_depth=shown_at)
        return seen

    def may_add(self, view: Viewpoint) -> bool:
        return bool(view.administered)

    def may_switch(self, view: Viewpoint, row: Any) -> bool:
        return row.pk in view.governed

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        """What operators see, without a parent that is not in the tree; with a word on why much of it is only read."""
        found = self.fieldsets
        if row is not None and row.parent_id not in view.tenants:
            found = mapped(found, lambda name: None if name == "parent" else name)
        if row is None or row.pk in view.governed:
            return found
        why = {"description": _("Limits are set by whoever is above this tenant.")}
        *others, (title, limits) = found
        return [*others, (title, {**limits, **why})]

    def get_tree_readonly(self, view: Viewpoint, row: Any) -> list[str]:
        """Of a tenant that is not below one of theirs, its admins edit only what it is shown as."""
        if row is None or row.pk in view.governed:
            return []
        return [name for name in flatten_fieldsets(self.get_tree_fieldsets(view, row)) if name != "display_name"]

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "timezone":
            kwargs["widget"] = ZoneInput
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).annotate(keys_n=count_of(RouterKey, "tenant"))
        return rows

    def get_ordering(self, request: HttpRequest) -> Any:
        return [_PATH.asc()]

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def tree_name(self, tenant: Tenant) -> SafeString:
        depth, above = getattr(tenant, "seen_depth", None), tenant.parent
        if depth is None:
            depth = 0
            while above is not None and depth < 3:
                depth, above = depth + 1, above.parent
        return format_html(
            '<span style="padding-left: {}em">{}{}</span>', 1.25 * depth, "└ " if depth else "", tenant.name
        )

    @admin.display(description=gettext_lazy("limits"))
    def limits(self, tenant: Tenant) -> SafeString | str:
        return show_rates(tenant)

    @admin.display(description=gettext_lazy("keys"), ordering="keys_n")
    def keys_count(self, tenant: Any) -> int:
        return int(tenant.keys_n)
