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
from smartrouter.admin.keyset import SCANNED_ROWS_AT_MOST
from smartrouter.admin.labels import link_to, money, nowrap
from smartrouter.admin.layers import say_default
from smartrouter.admin.tenancy import Viewpoint, viewpoint_of
from smartrouter.admin.usage import show_plain_status, show_route, show_seconds, show_status, show_time, show_tokens
from smartrouter.admin.usage_tree import hours_of
from smartrouter.lib.money import show_usd

# Most requests have one attempt: so many rows hold the ten latest requests, unless nearly all fail over.
_ROWS_READ, _ROWS_SHOWN = 50, 10


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page's context. A fixed number of queries, none of which counts usage records."""
    view = viewpoint_of(request)
    latest = _latest(view)
    context.update(
        cards=_cards(view),
        latest=_table(latest, view),
        usage_url=reverse("admin:billing_usagerecord_changelist"),
    )
    if view.is_operator:
        context.update(
            steps=[] if latest else _steps(),
            default_strategy=say_default(default_rule()),
            rules_url=reverse("admin:routing_strategyrule_changelist"),
        )
    return context


def _latest(view: Viewpoint) -> list[UsageRecord]:
    """The latest requests that the viewpoint sees; of a tree, among the last rows of all."""
    rows = UsageRecord.objects.order_by("-pk")
    if view.is_operator:
        return [record for record in rows[:_ROWS_READ] if record.is_billable][:_ROWS_SHOWN]
    edge = next(iter(rows.values_list("pk", flat=True)[SCANNED_ROWS_AT_MOST : SCANNED_ROWS_AT_MOST + 1]), None)
    theirs = rows.filter(tenant_ref__in=view.tenants, is_billable=True)
    return list((theirs if edge is None else theirs.filter(pk__gte=edge))[:_ROWS_SHOWN])


def _cards(view: Viewpoint) -> list[dict[str, Any]]:
    """The sums of the last 24 hours, whole hours of UTC; what is ours alone to know, for operators."""
    since = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    names = ("requests", "failures", "prompt_tokens", "completion_tokens", "charge_nusd", "unpriced")
    rows = hours_of(view, UsageHour.objects.filter(hour__gte=since))
    sums = rows.aggregate(**{name: Sum(name) for name in names})
    day = {name: sums[name] or 0 for name in names}
    requests = {"title": _("Requests"), "value": f"{day['requests']:,}", "note": _("in the last 24 hours")}
    failed = {
        "title": _("Failed attempts"), "value": f"{day['failures']:,}", "note": _("failed over, cut off or refused")
    }  # fmt: skip
    tokens = {
        "title": _("Tokens"),
        "value": f"{day['prompt_tokens'] + day['completion_tokens']:,}",
        "note": _("%(prompt)s in, %(completion)s out")
        % {"prompt": f"{day['prompt_tokens']:,}", "completion": f"{day['completion_tokens']:,}"},
    }
    charge: dict[str, Any] = {"title": _("Charge"), "value": show_usd(day["charge_nusd"]), "note": _("to all tenants")}
    if not view.is_operator:
        return [requests, tokens, {**charge, "note": _("to your tenants")}]
    if day["unpriced"]:
        charge |= {"note": _("%s without a known price") % f"{day['unpriced']:,}", "is_warning": True}
    return [requests, failed, tokens, charge]


def _table(records: list[UsageRecord], view: Viewpoint) -> dict[str, Any]:
    """The requests as a table. Which channel served is a column for operators, and so is an error on hover."""
    headers = [_("time"), _("status"), _("tenant / key"), _("requested model"), _("channel · upstream model"),
               _("tokens in / out"), _("charge"), _("duration")]  # fmt: skip
    rows = [
        [
            nowrap(link_to(record, show_time(record))),
            show_status(record) if view.is_operator else show_plain_status(record),
            f"{record.tenant} / {record.router_key}",
            record.requested_model,
            show_route(record) if view.is_operator else record.offering,
            show_tokens(record),
            money(record.charge_nusd),
            show_seconds(record.duration_ms),
        ]
        for record in records
    ]
    if not view.is_operator:
        headers[4] = _("answered by")
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
