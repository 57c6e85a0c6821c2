"""Worker side. Prices as the lists show them: what is in force now, free, or not known."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext as _

from providers.models import DatedRates, ExchangeRate
from smartrouter.admin.labels import hint, label, nowrap
from smartrouter.lib.money import show_number


def begun_prices(model: type[DatedRates]) -> QuerySet:
    """The prices of the model that have begun, each with has_rate: whether its currency has an exchange rate."""
    moment = now()
    rates = ExchangeRate.objects.filter(currency=OuterRef("currency"), effective_from__lte=moment)
    return model._default_manager.filter(effective_from__lte=moment).annotate(has_rate=Exists(rates))


def latest(prices: Iterable[Any]) -> Any:
    """The price that began last; None for none."""
    return max(prices, key=lambda price: price.effective_from, default=None)


def show_price(price: Any, *, is_free: bool) -> SafeString | str:
    """The price of input and output per million tokens (a row of begun_prices), or a label for what is missing."""
    if price is None:
        return label(_("free"), "success") if is_free else label(_("no price"), "warning")
    if price.input is None or price.output is None:
        return label(_("no price"), "warning", _("The price of input or of output is missing."))
    if not (price.input or price.output or price.per_request):
        return label(_("free"), "success")
    if price.currency != "USD" and not price.has_rate:
        return label(
            _("no rate for %s") % price.currency,
            "warning",
            _("Add an exchange rate for this currency; until then the cost counts as unknown."),
        )
    shown = f"{price.currency} {show_number(price.input)} / {show_number(price.output)}"
    return hint(nowrap(shown), _("Input / output, per million tokens"))
