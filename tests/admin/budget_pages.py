"""Budgets as the tests of the admin send and make them."""

from collections.abc import Callable
from datetime import date
from typing import Any

from django.test import Client
from django.urls import reverse

from billing.models import Budget, BudgetScope, ScopeUsage
from smartrouter.accounts.models import User
from tests.admin.browser import form_of
from tests.admin.conftest import World

LIST = reverse("admin:billing_budget_changelist")
# The owners: how to find one in the small configuration, and the kind of its scope.
OWNERS: dict[str, Callable[[World], Any]] = {
    "tenant": lambda world: world.tenant,
    "router_key": lambda world: world.router_key,
    "user": lambda world: User.objects.get(username="ivy"),
    "channel": lambda world: world.channel,
    "group": lambda world: world.group,
}


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def save(root: Client, row: Any, prefix: str = "budgets", *, lines: list[dict[str, Any]], **changed: Any) -> Any:
    """Send the row's page with these budgets added, and the fields of those that are there changed."""
    data = form_of(root.get(page_of(row)), f"{row._meta.model_name}_form")
    count = int(data[f"{prefix}-TOTAL_FORMS"])
    for number, line in enumerate(lines, start=count):
        line = {"unit": "usd", "window": "month", "limit": "", "soft_limit": "", **line}
        data |= {f"{prefix}-{number}-{name}": value for name, value in line.items()}
    data[f"{prefix}-TOTAL_FORMS"] = str(count + len(lines))
    return root.post(page_of(row), data | {f"{prefix}-{name}": value for name, value in changed.items()})


def rows() -> list[tuple[Any, ...]]:
    return list(Budget.objects.order_by("pk").values_list("unit", "window", "limit", "soft_limit"))


def add_usage(scope: str, day: date, **amounts: int) -> None:
    ScopeUsage.objects.create(scope=scope, day=day, **amounts)


def budget_for(scope: BudgetScope, **values: Any) -> Budget:
    return Budget.objects.create(**{"scope": scope, "window": "month", "limit": 100 * 10**9, **values})
