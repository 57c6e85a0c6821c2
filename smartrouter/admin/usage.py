"""Worker side. Parts of a usage record as pages show them."""

from typing import Any

from django.contrib import admin
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from billing.models import UsageRecord
from providers.models import DatedRates
from providers.prices import SORTS
from smartrouter.admin.fields import text_of
from smartrouter.admin.labels import hint, label, money, stack
from smartrouter.lib.language import in_active_language
from smartrouter.lib.money import show_usd

_STATUS_KINDS = {
    UsageRecord.Status.OK: "success",
    UsageRecord.Status.FAILED: "danger",
    UsageRecord.Status.CUT: "danger",
    UsageRecord.Status.CLIENT_GONE: "warning",
    UsageRecord.Status.DRAINED: "warning",
    UsageRecord.Status.ABANDONED: "warning",
}


def show_error(record: UsageRecord) -> str:
    """What went wrong, in the reader's language where the words are ours."""
    return in_active_language(record.error_message)


def show_status(record: UsageRecord) -> SafeString:
    """The status as a coloured label, the error on hover."""
    return label(
        record.get_status_display(), _STATUS_KINDS.get(UsageRecord.Status(record.status), ""), show_error(record)
    )


def show_plain_status(record: UsageRecord) -> SafeString:
    """The status as a coloured label."""
    return label(record.get_status_display(), _STATUS_KINDS.get(UsageRecord.Status(record.status), ""))


def show_seconds(duration_ms: int | None) -> str:
    """The duration in seconds; milliseconds below one."""
    if duration_ms is None:
        return "-"
    return f"{duration_ms} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def show_tokens(record: UsageRecord) -> SafeString:
    """Prompt and completion tokens; cached, reasoning and estimated on hover."""
    details = _("cached: %(cached)s, reasoning: %(reasoning)s") % {
        "cached": f"{record.cached_tokens:,}",
        "reasoning": f"{record.reasoning_tokens:,}",
    }
    mark = "≈ " if record.is_estimated else ""
    if record.is_estimated:
        details = _("%s, estimated") % details
    return hint(f"{mark}{record.prompt_tokens:,} / {record.completion_tokens:,}", details)


def show_route(record: UsageRecord) -> SafeString:
    """Channel and upstream model, with a label where another model answered."""
    other = label(_("another model"), "warning", record.reported_model) if record.is_model_mismatch else ""
    return format_html("{} · {} {}", record.channel, record.upstream_model, other)


def show_time(record: UsageRecord) -> str:
    """The local time of admission, to the second."""
    return date_format(localtime(record.admitted_at), "Y-m-d H:i:s")


def show_money(charge_nusd: int | None, cost_nusd: int | None) -> SafeString:
    """The charge, and below it the cost."""
    return stack(money(charge_nusd), format_html("{} {}", _("cost"), show_usd(cost_nusd)))


def flag(field: str) -> Any:
    """A display method that says yes or no, where a red cross would look like a failure."""

    @admin.display(description=text_of(UsageRecord, field)["label"])
    def shown(self: Any, record: UsageRecord) -> str:
        return _("yes") if getattr(record, field) else _("no")

    return shown


def moment(field: str) -> Any:
    """A display method for a time, to the millisecond."""

    @admin.display(description=text_of(UsageRecord, field)["label"])
    def shown(self: Any, record: UsageRecord) -> str:
        return localtime(getattr(record, field)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    return shown


def show_price_used(price: dict[str, Any] | None) -> SafeString | str:
    """The price that a record keeps, one sort of tokens a line."""
    if not price:
        return "-"
    currency = price.get("currency", "USD")
    lines = [(text_of(DatedRates, sort)["label"], f"{price[sort]} {currency}") for sort in SORTS if sort in price]
    if price.get("source"):
        lines.append((_("Source"), price["source"]))
    texts = [_("%(name)s: %(value)s") % {"name": name, "value": value} for name, value in lines]
    if "usd_per_unit" in price:
        texts.append(f"1 {currency} = {price['usd_per_unit']} USD")
    shown = format_html_join("", "<div>{}</div>", ((text,) for text in texts))
    return format_html("{}<div>{}</div>", shown, _("Per million tokens; “per request” for each request."))
