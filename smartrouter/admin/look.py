"""Worker side. How the admin looks: its sidebar and colours, as the UNFOLD setting names them."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.settings import CONFIG_DEFAULTS

from smartrouter.admin.tenancy import viewpoint_of
from smartrouter.admin.tenancy_gate import OPEN_PAGES

_PRIMARY = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}


def colors(request: HttpRequest) -> dict[str, dict[str, str]]:
    """Unfold's colours with a blue in place of its purple."""
    return {name: dict(weights) for name, weights in CONFIG_DEFAULTS["COLORS"].items()} | {"primary": dict(_PRIMARY)}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar: groups in the order in which an operator thinks; for tenants' people what is open to them."""
    groups = _groups()
    if viewpoint_of(request).is_operator:
        return groups
    for group in groups:
        group["items"] = [item for item in group["items"] if item["view"] in OPEN_PAGES]
    return [group for group in groups if group["items"]]


def _groups() -> list[dict[str, Any]]:
    return [
        {"items": [_item(_("Overview"), "dashboard", "index")]},
        {
            "title": _("Traffic"),
            "items": [
                _item(_("Usage records"), "receipt_long", "billing_usagerecord_changelist"),
                _item(_("Hourly usage"), "bar_chart", "billing_usagehour_changelist"),
                _item(_("Why this one?"), "help", "why"),
            ],
        },
        {
            "title": _("Routing"),
            "items": [
                _item(_("Model groups"), "alt_route", "routing_modelgroup_changelist"),
                _item(_("Strategy rules"), "rule", "routing_strategyrule_changelist"),
            ],
        },
        {
            "title": _("Upstreams"),
            "items": [
                _item(_("Providers"), "cloud", "providers_provider_changelist"),
                _item(_("Provider models"), "neurology", "providers_providermodel_changelist"),
                _item(_("Channels"), "cable", "channels_channel_changelist"),
                _item(_("Offerings"), "sell", "channels_offering_changelist"),
                _item(_("Exchange rates"), "currency_exchange", "providers_exchangerate_changelist"),
            ],
        },
        {
            "title": _("Tenants"),
            "items": [
                _item(_("Tenants"), "apartment", "accounts_tenant_changelist"),
                _item(_("Router keys"), "key", "accounts_routerkey_changelist"),
                _item(_("Budgets"), "savings", "billing_budget_changelist"),
                _item(_("Users"), "group", "accounts_user_changelist"),
            ],
        },
        {
            "title": _("System"),
            "items": [_item(_("Web processes"), "dns", "routing_webprocess_changelist")],
        },
    ]


def _item(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{view}"), "view": view}
