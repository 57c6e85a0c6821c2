"""Budgets on the pages of those whom they are for."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils.timezone import now

from billing.models import Budget, BudgetScope
from billing.scopes import first_day
from routing.models import Change
from smartrouter.accounts.models import Tenant
from tests.admin.browser import form_of
from tests.admin.budget_pages import LIST, OWNERS, add_usage, page_of, rows, save
from tests.admin.conftest import World


@pytest.fixture
def world(world: World) -> World:
    """The small configuration, still without budgets."""
    BudgetScope.objects.all().delete()
    return world


@pytest.mark.parametrize("kind", OWNERS)
def test_budgets_are_added_changed_and_deleted_on_the_owners_page(kind: str, world: World, root: Client) -> None:
    owner = OWNERS[kind](world)

    answer = save(root, owner, lines=[
        {"limit": "12.000000001", "soft_limit": "10"}, {"unit": "tokens", "window": "day", "limit": "5000"}
    ])  # fmt: skip

    assert answer.status_code == 302, answer.content.decode()
    assert rows() == [("usd", "month", 12_000_000_001, 10_000_000_000), ("tokens", "day", 5000, None)]
    scope = BudgetScope.objects.get()
    assert scope.kind == kind
    if kind == "group":
        assert scope.model_group == owner
    else:
        assert getattr(scope, kind) == owner
    text = root.get(page_of(owner)).content.decode()
    assert "12.000000001" in text

    save(root, owner, lines=[], **{"0-DELETE": "on", "1-soft_limit": ""})

    assert Budget.objects.count() == 1
    assert BudgetScope.objects.count() == 1


def test_a_saved_budget_is_in_the_change_log(world: World, root: Client) -> None:
    Change.objects.all().delete()

    save(root, world.group, lines=[{"limit": "1"}])

    told = set(Change.objects.values_list("model", flat=True))
    assert {"billing.budget", "billing.budgetscope", "routing.modelgroup"} <= told


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({}, None),
        ({"window": "day"}, "Give a limit, a soft limit or both."),
        ({"limit": "5", "soft_limit": "6"}, "A soft limit lies below the limit."),
        ({"limit": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"limit": "0.0000000001"}, "no more than 9 decimal places"),
        ({"unit": "requests", "limit": "1.5"}, "Requests and tokens are whole numbers."),
        ({"limit": "9223372037"}, "The largest limit is 9,223,372,036."),
        ({"unit": "furlongs", "limit": "1"}, "Select a valid choice."),
        ({"limit": "many"}, "Enter a number."),
    ],
)
def test_a_wrong_budget_is_refused_with_a_sentence(
    line: dict[str, Any], sentence: str | None, world: World, root: Client
) -> None:
    answer = save(root, world.tenant, lines=[line])

    assert Budget.objects.count() == 0
    if sentence is None:  # an added line that was left as it was
        assert answer.status_code == 302
    else:
        assert sentence in answer.content.decode()


def test_one_unit_and_window_is_there_once(world: World, root: Client) -> None:
    sentence = "There is a budget in this unit for this window already."

    twice = save(root, world.tenant, lines=[{"limit": "5"}, {"limit": "6"}])
    save(root, world.tenant, lines=[{"limit": "5"}])
    again = save(root, world.tenant, lines=[{"limit": "6"}])
    other = save(root, world.tenant, lines=[{"limit": "6", "unit": "tokens"}])

    assert sentence in twice.content.decode()
    assert sentence in again.content.decode()
    assert other.status_code == 302
    assert [row[2] for row in rows()] == [5_000_000_000, 6]


def test_one_that_somebody_else_added_meanwhile_is_seen(world: World, root: Client) -> None:
    stale = form_of(root.get(page_of(world.tenant)), "tenant_form")
    save(root, world.tenant, lines=[{"limit": "5"}])

    answer = root.post(page_of(world.tenant), {
        **stale, "budgets-TOTAL_FORMS": "1", "budgets-0-unit": "usd", "budgets-0-window": "month", "budgets-0-limit": "6"
    })  # fmt: skip

    assert "There is a budget in this unit for this window already." in answer.content.decode()
    assert rows() == [("usd", "month", 5_000_000_000, None)]


def test_windows_may_change_places_in_one_go(world: World, root: Client) -> None:
    save(root, world.tenant, lines=[{"window": "day", "limit": "1"}, {"window": "month", "limit": "20"}])

    answer = save(root, world.tenant, lines=[], **{"0-window": "month", "1-window": "day"})

    assert answer.status_code == 302
    assert {(row[1], row[2]) for row in rows()} == {("month", 1_000_000_000), ("day", 20_000_000_000)}


def test_a_budget_takes_the_place_of_one_that_is_deleted_below_it(world: World, root: Client) -> None:
    save(root, world.tenant, lines=[{"window": "day", "limit": "1"}, {"window": "month", "limit": "20"}])

    answer = save(root, world.tenant, lines=[], **{"0-window": "month", "1-DELETE": "on"})

    assert answer.status_code == 302
    assert rows() == [("usd", "month", 1_000_000_000, None)]


def test_another_window_is_counted_from_now_and_another_limit_is_not(world: World, root: Client) -> None:
    save(root, world.tenant, lines=[{"limit": "5"}, {"limit": "7", "unit": "tokens"}])
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    Budget.objects.update(counted_from=long_ago)

    save(root, world.tenant, lines=[], **{"0-limit": "6", "1-window": "day"})

    counted = dict(Budget.objects.values_list("unit", "counted_from"))
    # The inline lists tokens before USD.
    assert Budget.objects.get(unit="usd").window == "day"
    assert counted["tokens"] == long_ago
    assert now() - counted["usd"] < timedelta(minutes=5)


def test_budgets_of_end_users_are_for_each_or_for_a_named_one(world: World, root: Client) -> None:
    answer = save(root, world.tenant, "end-user-budgets", lines=[
        {"end_user": "", "limit": "1"}, {"end_user": "alice", "limit": "2"}, {"end_user": "bob", "limit": "3"}
    ])  # fmt: skip

    assert answer.status_code == 302, answer.content.decode()
    found = {budget.scope.end_user: budget.limit for budget in Budget.objects.select_related("scope")}
    assert found == {"*": 1_000_000_000, "alice": 2_000_000_000, "bob": 3_000_000_000}
    assert set(BudgetScope.objects.values_list("kind", "tenant")) == {("end_user", world.tenant.pk)}
    assert 'budgets-0-unit"' not in root.get(page_of(world.tenant)).content.decode().replace("end-user-budgets", "")

    save(root, world.tenant, "end-user-budgets", lines=[], **{"1-end_user": "carol"})

    assert set(Budget.objects.values_list("scope__end_user", flat=True)) == {"*", "carol", "bob"}


def test_the_page_shows_what_is_used_in_the_window_that_is_now(world: World, root: Client) -> None:
    today = datetime.now(UTC).date()
    key = f"tenant:{world.tenant.pk}"
    month = first_day("month", today)
    add_usage(key, today, money_nusd=1_500_000_000, tokens=700, requests=3)
    add_usage(key, month - timedelta(days=1), money_nusd=77_000_000_000)
    add_usage(f"{key}1", today, money_nusd=99_000_000_000)
    save(root, world.tenant, lines=[{"limit": "3"}, {"unit": "tokens", "window": "total", "limit": "1000"}])

    text = root.get(page_of(world.tenant)).content.decode()

    assert "$1.50 of $3.00" in text
    assert "700 of 1,000" in text
    assert (month + timedelta(days=32)).replace(day=1).isoformat() in text


def test_the_window_is_the_one_of_the_scopes_zone(world: World, root: Client) -> None:
    far_east, far_west = "Pacific/Kiritimati", "Etc/GMT+12"  # never the same day
    save(root, world.tenant, lines=[{"window": "day", "limit": "10"}])
    at = now()
    days = {zone: at.astimezone(ZoneInfo(zone)).date() for zone in (far_east, far_west)}
    for amount, day in enumerate(days.values(), start=1):
        add_usage(f"tenant:{world.tenant.pk}", day, money_nusd=amount * 10**9)

    shown = {}
    for zone in days:
        Tenant.objects.filter(pk=world.tenant.pk).update(timezone=zone)
        shown[zone] = root.get(LIST).content.decode()

    assert days[far_east] != days[far_west]
    assert "$1.00 of $10.00" in shown[far_east]
    assert "$3.00 of $10.00" in shown[far_west]  # its day and, as the days before are over, the one after it
    assert far_east in shown[far_east]
