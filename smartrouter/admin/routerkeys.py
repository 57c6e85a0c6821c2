"""Worker side. The admin of router keys, which are shown in full exactly once."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.db.models import ForeignKey, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter

from smartrouter.accounts.keys import digest_of, hint_of, mint_key
from smartrouter.accounts.models import RouterKey, User
from smartrouter.admin.budgets import BudgetInline
from smartrouter.admin.fields import NamesField, text_of
from smartrouter.admin.labels import hint, label, nowrap, stack
from smartrouter.admin.limits import (
    KEY_LIMITS_FIELDSET,
    LabelFilter,
    LabelSearch,
    LabelsField,
    LinesField,
    show_labels,
    show_rates,
)
from smartrouter.admin.member_keys import (
    MEMBER_EDITS,
    MEMBER_FIELDS,
    has_budgets,
    is_for_member,
    is_own,
    keep_to_member,
)
from smartrouter.admin.rotation import RotatedAdmin
from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_forms import TreeForm
from smartrouter.admin.tenancy_gate import id_of_page, users_of
from smartrouter.admin.tenancy_pages import TreeAdmin, TreeFilter, mapped
from smartrouter.lib.sealing import Secret


def show_state(key: RouterKey) -> SafeString:
    """Whether the key is accepted now."""
    if not key.is_active:
        return label(_("revoked"), "danger")
    if key.expires_at and key.expires_at <= now():
        return label(_("expired"), "warning")
    return label(_("active"), "success")


def _few(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = _(" and %d more") % (len(names) - 3) if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class RouterKeyForm(TreeForm):
    """A router key; the key itself is minted when the row is added."""

    allowed_models = NamesField(required=False, **text_of(RouterKey, "allowed_models"))
    denied_models = NamesField(required=False, **text_of(RouterKey, "denied_models"))
    networks = LinesField(required=False, **text_of(RouterKey, "networks"))
    labels = LabelsField(required=False, **text_of(RouterKey, "labels"))

    class Meta:
        model = RouterKey
        exclude: list[str] = []

    def clean(self) -> dict[str, Any]:
        """The data. Tenants' people keep to the tree of the key's tenant, and members to one key where it has budgets."""
        data = super().clean() or self.cleaned_data
        tenant = data.get("tenant") or (self.instance.tenant if self.instance.pk else None)
        if self.view.is_operator or tenant is None:
            return data
        owner = data.get("owner")
        if is_for_member(self.view, tenant.pk):
            if self.instance.pk is None and has_budgets(self.view, tenant.pk):
                text = _("One of your router keys has a budget: ask an admin of the tenant for a further key.")
                raise ValidationError(text, code="budgets")
            return data
        if owner is None or owner.pk == self.instance.owner_id:
            return data
        if not users_of(self.view, tenant.pk).filter(pk=owner.pk).exists():
            self.add_error("owner", ValidationError(_("Choose a user of the tenant's own tree."), code="tree"))
        return data


class KeyTenantFilter(TreeFilter):
    title, parameter_name, tenant_field = gettext_lazy("tenant"), "tenant", "tenant_id"


@admin.register(RouterKey)
class RouterKeyAdmin(RotatedAdmin, LabelSearch, TreeAdmin):
    list_display = [
        "name",
        "tenant",
        "shown_hint",
        "shown_models",
        "limits",
        "shown_labels",
        "owner",
        "expires_at",
        "state",
    ]
    list_display_links = ["name"]
    list_filter = [("tenant", AutocompleteSelectFilter), LabelFilter, ("is_active", BooleanRadioFilter)]
    search_fields = ["name", "tenant__name"]
    list_select_related = ["tenant", "owner"]
    autocomplete_fields = ["tenant", "owner"]
    fieldsets = [
        (None, {"fields": ["tenant", "name", "hint", "owner", "is_active"]}),
        (
            gettext_lazy("What it may do"),
            {
                "fields": [
                    "allowed_models",
                    "denied_models",
                    "default_model",
                    "can_choose_strategy",
                    "expires_at",
                    "created_at",
                ]
            },
        ),
        KEY_LIMITS_FIELDSET,
    ]
    inlines = [BudgetInline]
    add_fieldsets = [
        (
            None,
            {
                "fields": [
                    "tenant",
                    "name",
                    "owner",
                    "allowed_models",
                    "denied_models",
                    "default_model",
                    "can_choose_strategy",
                    "expires_at",
                ],
                "description": gettext_lazy("The key is made when you save, and shown once, on the next page."),
            },
        ),
        KEY_LIMITS_FIELDSET,
    ]
    list_filter_submit = True
    actions = ["revoke"]
    form = RouterKeyForm
    tree_list_display = list_display
    tree_list_filter = [KeyTenantFilter, LabelFilter, ("is_active", BooleanRadioFilter)]
    tree_search_fields = ["name", "tenant__name"]
    tree_actions = ("revoke",)
    tree_lookups = frozenset(["tenant", "label", "is_active__exact"])

    def access_of(self, view: Viewpoint, row: Any) -> Access:
        if row is None:
            return Access.CHANGE if view.managed else Access.VIEW
        return Access.CHANGE if row.tenant_id in view.administered or is_own(view, row) else Access.VIEW

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        return rows.filter(tenant__in=view.tenants)

    def may_add(self, view: Viewpoint) -> bool:
        return bool(view.managed)

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        """What operators see; a member who adds a key is asked for what is theirs to choose."""
        if row is None:
            shown = ("tenant", *MEMBER_FIELDS)
            return mapped(self.add_fieldsets, lambda name: name if view.administered or name in shown else None)
        if row.tenant_id in view.administered:
            return self.fieldsets
        return mapped(self.fieldsets, lambda name: "owner_name" if name == "owner" else name)

    def get_tree_readonly(self, view: Viewpoint, row: Any) -> list[str]:
        if row is None:
            return []
        if row.tenant_id in view.administered:
            return ["hint", "tenant", "created_at"]
        names = flatten_fieldsets(self.get_tree_fieldsets(view, row))
        return [name for name in names if name not in MEMBER_EDITS]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if not viewpoint_of(request).is_operator:
            return list(super().get_readonly_fields(request, obj))
        return ["hint", "tenant", "created_at"] if obj else []

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        """For an owner from outside of the tree: who owns a key of the tree may stay so."""
        field, view = super().formfield_for_foreignkey(db_field, request, **kwargs), viewpoint_of(request)
        key = id_of_page(request)
        if db_field.name == "owner" and not view.is_operator and key is not None:
            theirs = RouterKey.objects.filter(pk=key, tenant__in=view.administered).values("owner")
            field.queryset = User.objects.filter(Q(pk__in=field.queryset.values("pk")) | Q(pk__in=theirs))
        return field

    @admin.display(description=gettext_lazy("owner"))
    def owner_name(self, key: RouterKey) -> str:
        return str(key.owner) if key.owner else "-"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        view = viewpoint_of(request)
        if not change and is_for_member(view, obj.tenant_id):
            keep_to_member(obj, view)
        if not change:
            token = mint_key()
            obj.digest, obj.hint = digest_of(token), hint_of(token)
            obj.minted = Secret(token)  # for the page that answers this request, in memory only
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The page that shows the key, the answer to the form itself: nothing keeps the key for a second look."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Router key created"),
            "opts": self.opts,
            "key": obj,
            "token": obj.minted.reveal(),
            "is_shown_once": True,
            "list_url": reverse("admin:accounts_routerkey_changelist"),
            "add_url": reverse("admin:accounts_routerkey_add"),
        }
        response = TemplateResponse(request, "admin/accounts/routerkey/minted.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.display(description=gettext_lazy("key"), ordering="hint")
    def shown_hint(self, key: RouterKey) -> SafeString:
        return nowrap(key.hint)

    @admin.display(description=gettext_lazy("allowed models"))
    def shown_models(self, key: RouterKey) -> SafeString | str:
        allowed = hint(_few(key.allowed_models) or _("all"), ", ".join(key.allowed_models))
        if not key.denied_models:
            return allowed
        return stack(allowed, hint(_("not: %s") % _few(key.denied_models), ", ".join(key.denied_models)))

    @admin.display(description=gettext_lazy("limits"))
    def limits(self, key: RouterKey) -> SafeString | str:
        return show_rates(key)

    @admin.display(description=gettext_lazy("labels"))
    def shown_labels(self, key: RouterKey) -> SafeString | str:
        return show_labels(key)

    @admin.display(description=gettext_lazy("state"))
    def state(self, key: RouterKey) -> SafeString:
        return show_state(key)

    @admin.action(description=gettext_lazy("Revoke the selected router keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        rows = list(self.switchable(request, queryset).filter(is_active=True))
        RouterKey.objects.filter(pk__in=[row.pk for row in rows]).update(is_active=False)
        for row in rows:
            self.log_change(request, row, [{"changed": {"fields": ["is_active"]}}])
        message = ngettext("%d router key was revoked.", "%d router keys were revoked.", len(rows)) % len(rows)
        self.message_user(request, message, messages.SUCCESS)
