"""The page of all budgets: whom each is for and how it stands."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import Budget, BudgetScope
from smartrouter.accounts.models import RouterKey, Tenant
from tests.admin.budget_pages import LIST, OWNERS, add_usage, budget_for, page_of, rows, save
from tests.admin.conftest import World


@pytest.fixture
def world(world: World) -> World:
    """The small configuration, still without budgets."""
    BudgetScope.objects.all().delete()
    return world


def test_the_list_shows_whom_each_budget_is_for_and_how_it_stands(world: World, root: Client) -> None:
    today = datetime.now(UTC).date()
    for kind, find in OWNERS.items():
        save(root, find(world), lines=[{"limit": "10", "window": "total"}])
        ref = find(world).pk
        add_usage(f"{kind}:{ref}", today, money_nusd=2_500_000_000)
    save(root, world.tenant, "end-user-budgets", lines=[{"limit": "10"}, {"end_user": "alice", "limit": "10"}])
    for name, used in (("alice", 9), ("bob", 3), ("carol", 4)):
        add_usage(f"end_user:{world.tenant.pk}:{name}", today, money_nusd=used * 10**9)
    add_usage(f"end_user:{world.tenant.pk}1:dave", today, money_nusd=99 * 10**9)

    text = root.get(LIST).content.decode()

    assert text.count("$2.50 of $10.00") == len(OWNERS)
    assert "$7.50" in text
    assert "the most: carol" in text
    assert "$4.00 of $10.00" in text
    assert "$9.00 of $10.00" in text
    for find in OWNERS.values():
        assert f'href="{page_of(find(world))}"' in text
    for budget in Budget.objects.all():
        page = root.get(reverse("admin:billing_budget_change", args=[budget.pk]))
        assert page.status_code == 200
        assert " of $10.00" in page.content.decode()


def test_budgets_near_their_limit_are_found(world: World, root: Client) -> None:
    today = datetime.now(UTC).date()
    teams: list[tuple[int, dict[str, Any]]] = [
        (79, {}), (80, {}), (100, {}), (50, {"soft_limit": 50 * 10**9}), (90, {"limit": None, "soft_limit": 10**11})
    ]  # fmt: skip
    for number, (used, limits) in enumerate(teams):
        tenant = Tenant.objects.create(name=f"team-{number}")
        budget_for(BudgetScope.objects.create(kind="tenant", tenant=tenant), **limits)
        add_usage(f"tenant:{tenant.pk}", today, money_nusd=used * 10**9)
    each = BudgetScope.objects.create(kind="end_user", tenant=world.tenant, end_user="*")
    budget_for(each, limit=10**9)
    add_usage(f"end_user:{world.tenant.pk}:zed", today, money_nusd=10**9)

    near = root.get(LIST, {"standing": "near"}).content.decode()
    over = root.get(LIST, {"standing": "over"}).content.decode()

    names = ["team-0", "team-1", "team-2", "team-3", "team-4", "zed"]
    assert [name for name in names if name in near] == names[1:]
    assert [name for name in names if name in over] == ["team-2", "zed"]


def test_budgets_are_searched_by_name_and_filtered_by_what_they_are(world: World, root: Client) -> None:
    for find in OWNERS.values():
        save(root, find(world), lines=[{"limit": "10"}])
    save(root, world.router_key, lines=[{"limit": "10", "unit": "tokens", "window": "day"}])

    queries = [
        {"q": "ivy"}, {"q": "acme"}, {"q": "auto:fast"}, {"scope__kind__exact": "router_key"}, {"unit__exact": "tokens"},
        {"window__exact": "day"}, {"q": "nobody"},
    ]  # fmt: skip
    pages: list[Any] = [root.get(LIST, query) for query in queries]

    assert [page.context_data["cl"].result_count for page in pages] == [1, 3, 1, 2, 1, 1, 0]


def test_a_long_list_takes_no_more_queries(world: World, root: Client) -> None:
    counts = []
    for start, stop in ((0, 2), (2, 60)):
        for number in range(start, stop):
            tenant = Tenant.objects.create(name=f"many-{number:02}")
            key = RouterKey.objects.create(tenant=tenant, name="k", digest=f"many{number}", hint="rk")
            budget_for(BudgetScope.objects.create(kind="tenant", tenant=tenant))
            budget_for(BudgetScope.objects.create(kind="router_key", router_key=key))
            budget_for(BudgetScope.objects.create(kind="end_user", tenant=tenant, end_user="*"))
        with CaptureQueriesContext(connection) as queries:
            assert root.get(LIST).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_nobody_who_is_not_signed_in_as_an_operator_sees_or_sets_budgets(world: World, outsider: Client) -> None:
    budget = budget_for(BudgetScope.objects.create(kind="tenant", tenant=world.tenant))

    pages = [outsider.get(LIST), outsider.get(reverse("admin:billing_budget_change", args=[budget.pk]))]
    pages.append(outsider.post(page_of(world.tenant), {"budgets-0-limit": "1"}))

    for page in pages:
        assert page.status_code == 302
        assert page["Location"].startswith(reverse("admin:login"))
    assert rows() == [("usd", "month", 100 * 10**9, None)]
