"""Worker side. The admin's first page: the last day in numbers, the latest requests, what is still to be set up."""

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.models import UsageHour, UsageRecord
from channels.models import Channel, Offering
from providers.models import Provider, ProviderModel
from routing.defaults import default_rule
from smartrouter.accounts.models import RouterKey, Tenant
from smartrouter.admin.labels import link_to, money, nowrap
from smartrouter.admin.layers import say_default
from smartrouter.admin.usage import show_route, show_seconds, show_status, show_time, show_tokens
from smartrouter.lib.money import show_usd

# Most requests have one attempt: so many rows hold the ten latest requests, unless nearly all fail over.
_ROWS_READ, _ROWS_SHOWN = 50, 10


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page's context. A fixed number of queries, none of which counts usage records."""
    latest = list(UsageRecord.objects.order_by("-pk")[:_ROWS_READ])
    context.update(
        cards=_cards(),
        latest=_table([record for record in latest if record.is_billable][:_ROWS_SHOWN]),
        steps=[] if latest else _steps(),
        usage_url=reverse("admin:billing_usagerecord_changelist"),
        default_strategy=say_default(default_rule()),
        rules_url=reverse("admin:routing_strategyrule_changelist"),
    )
    return context


def _cards() -> list[dict[str, Any]]:
    """The sums of the last 24 hours, whole hours of UTC."""
    since = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    names = ("requests", "failures", "prompt_tokens", "completion_tokens", "charge_nusd", "unpriced")
    sums = UsageHour.objects.filter(hour__gte=since).aggregate(**{name: Sum(name) for name in names})
    day = {name: sums[name] or 0 for name in names}
    return [
        {"title": _("Requests"), "value": f"{day['requests']:,}", "note": _("in the last 24 hours")},
        {"title": _("Failed attempts"), "value": f"{day['failures']:,}", "note": _("failed over, cut off or refused")},
        {
            "title": _("Tokens"),
            "value": f"{day['prompt_tokens'] + day['completion_tokens']:,}",
            "note": _("%(prompt)s in, %(completion)s out")
            % {"prompt": f"{day['prompt_tokens']:,}", "completion": f"{day['completion_tokens']:,}"},
        },
        {
            "title": _("Charge"),
            "value": show_usd(day["charge_nusd"]),
            "note": _("%s without a known price") % f"{day['unpriced']:,}" if day["unpriced"] else _("to all tenants"),
            "is_warning": bool(day["unpriced"]),
        },
    ]


def _table(records: list[UsageRecord]) -> dict[str, Any]:
    headers = [
        _("time"), _("status"), _("tenant / key"), _("requested model"), _("channel · upstream model"),
        _("tokens in / out"), _("charge"), _("duration"),
    ]  # fmt: skip
    rows = [
        [
            nowrap(link_to(record, show_time(record))),
            show_status(record),
            f"{record.tenant} / {record.router_key}",
            record.requested_model,
            show_route(record),
            show_tokens(record),
            money(record.charge_nusd),
            show_seconds(record.duration_ms),
        ]
        for record in records
    ]
    return {"headers": headers, "rows": rows}


def _steps() -> list[dict[str, Any]]:
    """What a new installation needs before its first request, in order, each with whether it is done."""
    add = "admin:%s_add"
    steps = [
        (
            _("Add a provider"),
            _("The vendor or server that answers: its adapter and base URL."),
            "providers_provider",
            Provider.objects.filter(is_active=True),
        ),
        (
            _("Add its models"),
            _("Each model under the provider's own name, with its price, or marked as free."),
            "providers_providermodel",
            ProviderModel.objects.filter(is_active=True),
        ),
        (
            _("Add a channel"),
            _("Your account at the provider: its key, and the models that it offers."),
            "channels_channel",
            Channel.objects.filter(is_active=True, pk__in=Offering.objects.filter(is_active=True).values("channel")),
        ),
        (
            _("Add a tenant"),
            _("Who uses the router, and pays for it."),
            "accounts_tenant",
            Tenant.objects.filter(is_active=True),
        ),
        (
            _("Create a router key"),
            _("What a client sends as its API key. It is shown once, when you create it."),
            "accounts_routerkey",
            RouterKey.objects.filter(is_active=True),
        ),
    ]
    shown = [
        {"title": title, "text": text, "url": reverse(add % page), "is_done": rows.exists()}
        for title, text, page, rows in steps
    ]
    last = _("Point any OpenAI client at this address with /v1 after it, and use the router key. It appears here.")
    return [*shown, {"title": _("Send a first request"), "text": last, "url": "", "is_done": False}]
