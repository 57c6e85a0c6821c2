"""Worker side. Budgets as the document has them, by whom they are for."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from billing.models import Budget, BudgetScope
from billing.scopes import UNITS, WINDOWS
from smartrouter.configfile.export_fields import Fields, without_defaults
from smartrouter.configfile.schema import BudgetSpec, EndUserSpec
from smartrouter.lib.money import usd_of

# By kind, id and end user ("" for all but end users); of a group the id is that of its scope.
BudgetLists = dict[tuple[str, int | None, str], list[Fields]]


def budget_lists() -> BudgetLists:
    """Everybody's budgets: by the day first, in total last."""
    found: BudgetLists = defaultdict(list)
    rows = Budget.objects.select_related("scope").order_by("scope_id")
    for row in sorted(rows, key=lambda row: (WINDOWS.index(row.window), UNITS.index(row.unit))):
        found[_key_of(row.scope)].append(_budget(row))
    return dict(found)


def end_user_entries(budgets: BudgetLists, tenant: int) -> list[Fields]:
    """The tenant's end users with their budgets, * first."""
    named = {name: rows for (kind, ref, name), rows in budgets.items() if kind == "end_user" and ref == tenant}
    return [without_defaults(EndUserSpec, user=name, budgets=named[name]) for name in sorted(named)]


def usd_or_none(amount_nusd: int | None) -> Decimal | None:
    """The exact USD of an amount in nano-USD; None for none."""
    return None if amount_nusd is None else usd_of(amount_nusd)


def _key_of(scope: BudgetScope) -> tuple[str, int | None, str]:
    if scope.kind == BudgetScope.Kind.GROUP:
        return scope.kind, scope.pk, ""
    ref = scope.tenant_id or scope.router_key_id or scope.user_id or scope.channel_id
    return scope.kind, ref, scope.end_user


def _budget(row: Budget) -> Fields:
    limits = (row.limit, row.soft_limit)
    shown: Iterable[Decimal | int | None] = map(usd_or_none, limits) if row.unit == Budget.Unit.USD else limits
    amounts = dict(zip((f"limit_{row.unit}", f"soft_limit_{row.unit}"), shown, strict=True))
    return without_defaults(BudgetSpec, window=row.window, **amounts)
