"""Worker side. Budgets as pages show them: amounts in their unit's terms, a bar, and when a window begins anew."""

from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from billing.models import Budget, BudgetScope
from billing.scopes import EACH
from smartrouter.admin.budgets_standing import Standing, standing_of
from smartrouter.admin.labels import label, link_to, stack
from smartrouter.lib.money import show_usd, usd_of

_GREEN, _AMBER, _RED = "#16a34a", "#d97706", "#dc2626"


def show_amount(unit: str, amount: int | None) -> str:
    """The amount with its unit's sign; "-" for none."""
    if amount is None:
        return "-"
    return show_usd(amount) if unit == Budget.Unit.USD else f"{amount:,}"


def in_terms(unit: str, amount: int | None) -> Decimal | None:
    """A stored amount as people type it."""
    if amount is None:
        return None
    return usd_of(amount) if unit == Budget.Unit.USD else Decimal(amount)


def show_owner(scope: BudgetScope) -> SafeString | str:
    """Whom the budget is for, with a link to the page where it is changed; below it the kind."""
    if scope.kind == BudgetScope.Kind.END_USER:
        name = _("each end user") if scope.end_user == EACH else scope.end_user
        return stack(link_to(scope.tenant, f"{scope.tenant} · {name}"), scope.get_kind_display())
    owner = scope.tenant or scope.router_key or scope.user or scope.channel or getattr(scope, "model_group", None)
    return stack(link_to(owner), scope.get_kind_display())


def show_used(budget: Any) -> SafeString | str:
    """What is used in the present window, and by whom where each end user has the budget for himself."""
    standing = standing_of(budget)
    used = show_amount(budget.unit, standing.used)
    return stack(used, _("the most: %s") % standing.who) if standing.who else used


def show_left(budget: Any) -> SafeString | str:
    """What is left, as a label where it is nothing."""
    standing = standing_of(budget)
    return label(_("used up"), "danger") if standing.is_over else show_amount(budget.unit, standing.left)


def show_limits(budget: Budget) -> SafeString | str:
    """The limit, and below it the soft one."""
    if budget.soft_limit is None:
        return show_amount(budget.unit, budget.limit)
    soft = _("warns at %s") % show_amount(budget.unit, budget.soft_limit)
    return stack(_("none") if budget.limit is None else show_amount(budget.unit, budget.limit), soft)


def show_bar(budget: Any) -> SafeString:
    """How much of the limit is used: green, amber near it, red beyond."""
    standing = standing_of(budget)
    colour = _RED if standing.is_over else _AMBER if standing.is_near else _GREEN
    context = {"percent": standing.percent, "width": min(standing.percent, 100), "colour": colour}
    return render_to_string("admin/billing/budget/bar.html", {**context, "title": _in_words(budget, standing)})


def _in_words(budget: Budget, standing: Standing) -> str:
    bound = budget.soft_limit if budget.limit is None else budget.limit
    return _("%(used)s of %(limit)s") % {
        "used": show_amount(budget.unit, standing.used),
        "limit": show_amount(budget.unit, bound),
    }


def show_resets(budget: Any) -> SafeString | str:
    """When the window begins anew, and in which zone that is midnight."""
    resets_at = standing_of(budget).resets_at
    if resets_at is None:
        return _("never")
    return stack(date_format(resets_at, "Y-m-d H:i"), format_html("{}", budget.zone))
