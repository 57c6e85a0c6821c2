"""Worker side. The admin of channels: settings, sealed keys, proxy and headers, what they offer."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldBooleanSwitchWidget

from channels.copies import copy_channel
from channels.models import Channel, Offering, validate_headers, validate_params, validate_proxy_url
from smartrouter.accounts.models import Tenant
from smartrouter.admin.base import SwitchActions, ZonedAdmin, count_of
from smartrouter.admin.budgets import BudgetInline
from smartrouter.admin.fields import JsonField, SecretField, SecretTextarea, ZoneInput, read_headers, text_of
from smartrouter.admin.keys import (
    ChannelKeyInline,
    apply_secret,
    broken_label,
    is_broken,
    show_headers,
    show_proxy,
)
from smartrouter.admin.labels import label, link_to
from smartrouter.admin.offerings import OfferingInline
from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_forms import TreeForm
from smartrouter.admin.tenancy_pages import TreeAdmin, TreeFilter, mapped
from smartrouter.lib.sealing import SealBroken


class ChannelForm(TreeForm):
    """A channel; its proxy and headers are only written here."""

    new_proxy = SecretField(label=gettext_lazy("New outbound proxy"))
    clear_proxy = forms.BooleanField(
        label=gettext_lazy("Remove the proxy"), required=False, widget=UnfoldBooleanSwitchWidget
    )
    new_headers = SecretField(label=gettext_lazy("New extra headers"), widget=SecretTextarea(attrs={"rows": 3}))
    clear_headers = forms.BooleanField(
        label=gettext_lazy("Remove the headers"), required=False, widget=UnfoldBooleanSwitchWidget
    )
    param_overrides = JsonField(
        **text_of(Channel, "param_overrides"),
        empty={},
        validators=[validate_params],
    )

    class Meta:
        model = Channel
        exclude: list[str] = []
        widgets = {"timezone": ZoneInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        helps = {
            "new_proxy": (show_proxy(self.instance), _("http://user:password@host:port; empty keeps what is set.")),
            "new_headers": (
                show_headers(self.instance),
                _("Lines of Name: value, or a JSON object. They replace all that are set; empty keeps them."),
            ),
        }
        for name, (state, how) in helps.items():
            if name in self.fields:
                self.fields[name].help_text = format_html("{}<br>{}", state, how)

    def clean_owner(self) -> Tenant | None:
        return self.stays_in_tree(self.instance.owner_id, self.cleaned_data["owner"])

    def clean_new_proxy(self) -> str:
        text = str(self.cleaned_data["new_proxy"])
        if text:
            validate_proxy_url(text)
        return text

    def clean_new_headers(self) -> Any:
        text = str(self.cleaned_data["new_headers"])
        if not text:
            return None
        headers = read_headers(text)
        validate_headers(headers)
        return headers

    def save(self, commit: bool = True) -> Any:
        data = self.cleaned_data
        apply_secret(self.instance, "proxy_url", data.get("new_proxy"), is_cleared=bool(data.get("clear_proxy")))
        apply_secret(
            self.instance, "extra_headers", data.get("new_headers"), is_cleared=bool(data.get("clear_headers"))
        )
        return super().save(commit)


class OwnerFilter(TreeFilter):
    title, parameter_name, tenant_field = gettext_lazy("owner"), "owner", "owner_id"


# What a tenant sets of its own channel. Where it leads, and what is sent and charged beside its key, is for operators.
_FOR_TENANTS = frozenset(
    [
        "name", "provider", "owner", "priority", "weight", "is_active", "region", "timezone",
        "connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "total_timeout_s",
    ]
)  # fmt: skip


@admin.register(Channel)
class ChannelAdmin(TreeAdmin, ZonedAdmin, SwitchActions):
    list_display = [
        "name", "provider", "shown_owner", "shown_keys", "offerings_count", "priority", "weight", "is_active"
    ]  # fmt: skip
    list_filter = [
        ("provider", RelatedDropdownFilter),
        ("owner", AutocompleteSelectFilter),
        ("is_active", BooleanRadioFilter),
    ]
    search_fields = ["name", "provider__name"]
    list_select_related = ["provider", "owner"]
    autocomplete_fields = ["provider", "owner"]
    fieldsets = [
        (None, {"fields": ["name", "provider", "owner", "base_url", "priority", "weight", "is_active"]}),
        (gettext_lazy("Place and time"), {"fields": ["region", "timezone"]}),
        (
            gettext_lazy("Outbound proxy and extra headers"),
            {"classes": ["collapse"], "fields": ["new_proxy", "clear_proxy", "new_headers", "clear_headers"]},
        ),
        (gettext_lazy("Parameter overrides"), {"classes": ["collapse"], "fields": ["param_overrides"]}),
        (
            gettext_lazy("Timeouts"),
            {
                "classes": ["collapse"],
                "fields": ["connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "total_timeout_s"],
            },
        ),
    ]
    inlines = [ChannelKeyInline, OfferingInline, BudgetInline]
    actions = ["enable", "disable", "duplicate"]
    form = ChannelForm
    tree_list_display = ["name", "provider", "owner", "offerings_count", "priority", "weight", "is_active"]
    tree_list_filter = [OwnerFilter, ("is_active", BooleanRadioFilter)]
    tree_search_fields = ["name", "provider__name"]
    tree_actions = ("enable", "disable")
    tree_lookups = frozenset(["owner", "is_active__exact"])
    tree_required = frozenset(["owner"])

    def access_of(self, view: Viewpoint, row: Any) -> Access:
        is_theirs = row.owner_id in view.administered if row is not None else bool(view.administered)
        return Access.CHANGE if is_theirs else Access.VIEW

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        return rows.filter(owner__in=view.tenants)

    def may_add(self, view: Viewpoint) -> bool:
        return bool(view.administered)

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        """Without what is for operators; the provider is chosen once, and then shown by name."""
        shown = {"provider": "provider_name"} if row is not None else {}
        return mapped(self.fieldsets, lambda name: shown.get(name, name) if name in _FOR_TENANTS else None)

    def get_tree_readonly(self, view: Viewpoint, row: Any) -> list[str]:
        return ["provider_name"] if row is not None else []

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "owner" and not viewpoint_of(request).is_operator:
            field.help_text = _("Only this tenant and those below it use the channel.")
        return field

    @admin.display(description=gettext_lazy("provider"))
    def provider_name(self, channel: Channel) -> str:
        return str(channel.provider)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).prefetch_related("keys")
        rows = rows.annotate(offerings_n=count_of(Offering, "channel"))
        return rows

    @admin.display(description=gettext_lazy("owner"), ordering="owner__name")
    def shown_owner(self, channel: Channel) -> SafeString | str:
        return link_to(channel.owner) if channel.owner else _("platform")

    @admin.display(description=gettext_lazy("keys"))
    def shown_keys(self, channel: Channel) -> SafeString | str:
        keys = [key for key in channel.keys.all() if key.is_active]
        if not keys:
            return label(_("no key"))
        tails = format_html_join(" ", "{}", ((f"…{key.last_four}" if key.last_four else _("set"),) for key in keys[:4]))
        warning = broken_label() if any(is_broken(key) for key in keys) else ""
        return format_html("{} · {} {}", _("%d active") % len(keys), tails, warning)

    @admin.display(description=gettext_lazy("offerings"), ordering="offerings_n")
    def offerings_count(self, channel: Any) -> int:
        return int(channel.offerings_n)

    @admin.action(description=gettext_lazy("Duplicate the selected channels, without their keys"), permissions=["add"])
    def duplicate(self, request: HttpRequest, queryset: QuerySet) -> None:
        for channel in queryset:
            try:
                copy = copy_channel(channel)
            except SealBroken:
                self.message_user(
                    request,
                    _("%s was not duplicated: its proxy or headers cannot be opened.") % channel,
                    messages.ERROR,
                )
                continue
            self.log_addition(request, copy, [{"added": {}}])
            self.message_user(
                request,
                format_html(_("{} was made; it is inactive and needs a key."), link_to(copy)),
                messages.SUCCESS,
            )
