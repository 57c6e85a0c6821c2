"""Worker side. The admin of accounts: tenants, users, and router keys, which are shown in full exactly once."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Case, F, Field, QuerySet, Value, When
from django.db.models.functions import Concat
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, ChoicesDropdownFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from smartrouter.accounts.keys import digest_of, hint_of, mint_key
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from smartrouter.admin.base import SwitchActions, ZonedAdmin, count_of
from smartrouter.admin.fields import NamesField, ZoneInput, text_of
from smartrouter.admin.labels import hint, label, link_to, stack
from smartrouter.lib.sealing import Secret


def _above(path: str) -> Case:
    """The name at the path with a slash, nothing where there is no such tenant."""
    return Case(When(**{f"{path}__isnull": False}, then=Concat(F(path), Value("/"))), default=Value(""))


# Sorts a tenant right below its parent, for three levels; deeper ones come below their great-grandparent.
_PATH = Concat(_above("parent__parent__name"), _above("parent__name"), F("name"), Value("/"))


class MembershipInline(TabularInline):
    """Who belongs to a tenant, or where a user belongs."""

    model = Membership
    fields = ["user", "tenant", "role"]
    autocomplete_fields = ["user", "tenant"]
    extra = 0
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).select_related("user", "tenant")
        return rows


class RouterKeyInline(TabularInline):
    """A tenant's keys, to look at."""

    model = RouterKey
    fields = readonly_fields = ["linked", "hint", "shown_state", "expires_at"]
    extra = 0
    per_page = 50
    hide_title = True
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("name"))
    def linked(self, key: RouterKey) -> SafeString | str:
        return link_to(key, key.name)

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, key: RouterKey) -> SafeString:
        return show_state(key)


def show_state(key: RouterKey) -> SafeString:
    """Whether the key is accepted now."""
    if not key.is_active:
        return label(_("revoked"), "danger")
    if key.expires_at and key.expires_at <= now():
        return label(_("expired"), "warning")
    return label(_("active"), "success")


@admin.register(Tenant)
class TenantAdmin(ZonedAdmin, SwitchActions):
    list_display = ["tree_name", "display_name", "kind", "parent", "keys_count", "is_active"]
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
    ]
    inlines = [MembershipInline, RouterKeyInline]

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
        depth, above = 0, tenant.parent
        while above is not None and depth < 3:
            depth, above = depth + 1, above.parent
        return format_html(
            '<span style="padding-left: {}em">{}{}</span>', 1.25 * depth, "└ " if depth else "", tenant.name
        )

    @admin.display(description=gettext_lazy("keys"), ordering="keys_n")
    def keys_count(self, tenant: Any) -> int:
        return int(tenant.keys_n)


def _few(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = _(" and %d more") % (len(names) - 3) if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class RouterKeyForm(forms.ModelForm):
    """A router key; the key itself is minted when the row is added."""

    allowed_models = NamesField(required=False, **text_of(RouterKey, "allowed_models"))
    denied_models = NamesField(required=False, **text_of(RouterKey, "denied_models"))

    class Meta:
        model = RouterKey
        exclude: list[str] = []


@admin.register(RouterKey)
class RouterKeyAdmin(ModelAdmin):
    list_display = ["name", "tenant", "hint", "shown_models", "owner", "expires_at", "state"]
    list_display_links = ["name"]
    list_filter = [("tenant", AutocompleteSelectFilter), ("is_active", BooleanRadioFilter)]
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
    ]
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
        )
    ]
    list_filter_submit = True
    actions = ["revoke"]
    form = RouterKeyForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["hint", "tenant", "created_at"] if obj else []

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
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

    @admin.display(description=gettext_lazy("allowed models"))
    def shown_models(self, key: RouterKey) -> SafeString | str:
        allowed = hint(_few(key.allowed_models) or _("all"), ", ".join(key.allowed_models))
        if not key.denied_models:
            return allowed
        return stack(allowed, hint(_("not: %s") % _few(key.denied_models), ", ".join(key.denied_models)))

    @admin.display(description=gettext_lazy("state"))
    def state(self, key: RouterKey) -> SafeString:
        return show_state(key)

    @admin.action(description=gettext_lazy("Revoke the selected router keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        rows = list(queryset.filter(is_active=True))
        RouterKey.objects.filter(pk__in=[row.pk for row in rows]).update(is_active=False)
        for row in rows:
            self.log_change(request, row, [{"changed": {"fields": ["is_active"]}}])
        message = ngettext("%d router key was revoked.", "%d router keys were revoked.", len(rows)) % len(rows)
        self.message_user(request, message, messages.SUCCESS)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    list_display = ["username", "email", "full_name", "shown_tenants", "is_superuser", "is_active", "last_login"]
    list_filter = [("is_superuser", BooleanRadioFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["username", "email", "first_name", "last_name"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (gettext_lazy("Personal details"), {"fields": ["first_name", "last_name", "email"]}),
        (
            gettext_lazy("Access"),
            {
                "fields": ["is_active", "is_superuser"],
                "description": gettext_lazy("Only active superusers can sign in here for now."),
            },
        ),
        (gettext_lazy("Dates"), {"classes": ["collapse"], "fields": ["last_login", "date_joined"]}),
    ]
    # Without Django's choice to have no password: nobody could sign in by another way.
    add_fieldsets = [(None, {"fields": ["username", "password1", "password2"]})]
    inlines = [MembershipInline]
    list_filter_submit = True
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).prefetch_related("memberships__tenant")
        return rows

    @admin.display(description=gettext_lazy("name"))
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "-"

    @admin.display(description=gettext_lazy("tenants"))
    def shown_tenants(self, user: User) -> str:
        return ", ".join(str(membership.tenant) for membership in user.memberships.all()) or "-"
