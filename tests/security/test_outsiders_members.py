"""The outsider matrix, members: no way out of what an admin has set, by editing a key or by making another one."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils.timezone import now

from billing.models import Budget, BudgetScope
from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import Membership, RouterKey, Tenant
from smartrouter.admin.member_keys import LIMITS, MEMBER_EDITS, MEMBER_FIELDS
from tests.admin.browser import form_of
from tests.security.test_outsiders_forms import change_url, operators_form
from tests.security.two_sides import Sides, body_of

ADD = reverse("admin:accounts_routerkey_add")
# Each field that a member chooses of a new key: what is there before, and what is posted.
CHOSEN: dict[str, tuple[Any, str]] = {
    "name": ("quokka-key", "renamed"),
    "default_model": ("gpt-4o-mini", "gpt-4o"),
    "labels": ({"team": "red"}, "team=blue"),
    "allowed_models": (["gpt-4o-mini"], ""),
    "denied_models": (["gpt-4*"], ""),
    "networks": (["10.0.0.0/8"], ""),
    "expires_at": (now() + timedelta(days=1), ""),
}
LASTING = {"name": "renamed", "default_model": "gpt-4o", "labels": {"team": "blue"}}


def test_the_table_has_every_field_of_members() -> None:
    assert set(CHOSEN) == set(MEMBER_FIELDS)
    assert set(LASTING) == set(MEMBER_EDITS)


@pytest.mark.parametrize("field", MEMBER_FIELDS)
def test_a_member_does_not_lift_what_restricts_an_own_key(field: str, sides: Sides) -> None:
    key, (before, posted) = sides.ours.key, CHOSEN[field]
    RouterKey.objects.filter(pk=key.pk).update(**{field: before})
    data = operators_form(sides, key)
    if field == "expires_at":
        data |= {"expires_at_0": "", "expires_at_1": ""}
    data[field] = posted

    answer = sides.browser("member").post(change_url(key), data)

    key.refresh_from_db()
    assert answer.status_code == 302
    assert getattr(key, field) == LASTING.get(field, before)


def new_key(sides: Sides, who: str = "member", **values: Any) -> tuple[RouterKey | None, str]:
    """The key that somebody makes, with what the page says."""
    browser = sides.browser(who)
    data = {**form_of(browser.get(ADD), "routerkey_form"), "name": "further", "tenant": sides.ours.top.pk, **values}
    answer = browser.post(ADD, data)
    return RouterKey.objects.filter(name="further").first(), body_of(answer)


def test_a_member_sets_what_narrows_a_new_key(sides: Sides) -> None:
    Budget.objects.filter(scope__router_key=sides.ours.key).delete()
    narrow = {"allowed_models": "gpt-4o-mini", "denied_models": "gpt-4*", "networks": "10.0.0.0/8"}

    key, _text = new_key(sides, **narrow)

    assert key
    assert (key.allowed_models, key.denied_models, key.networks) == (["gpt-4o-mini"], ["gpt-4*"], ["10.0.0.0/8"])


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("where", ["top", "team"])
def test_another_key_takes_the_tightest_limits_of_the_own_ones(limit: str, where: str, sides: Sides) -> None:
    ours, member = sides.ours, sides.ours.people["member"]
    Budget.objects.filter(scope__router_key=ours.key).delete()
    RouterKey.objects.filter(pk=ours.key.pk).update(**{"rpm": None, limit: 40})
    makes = {"tenant": ours.top, "owner": member, "hint": "rk_"}
    RouterKey.objects.create(name="revoked", digest=digest_of("a"), is_active=False, **makes, **{limit: 30})
    RouterKey.objects.create(name="free", digest=digest_of("b"), **makes)

    key, _text = new_key(sides, tenant=getattr(ours, where).pk, **{limit: "99999"})

    assert key
    assert {name: getattr(key, name) for name in LIMITS} == {**dict.fromkeys(LIMITS), limit: 30}


@pytest.mark.parametrize("where", ["top", "team"])
def test_who_has_a_key_with_a_budget_makes_no_further_one(where: str, sides: Sides) -> None:
    RouterKey.objects.filter(pk=sides.ours.key.pk).update(is_active=False)

    key, text = new_key(sides, tenant=getattr(sides.ours, where).pk)

    assert key is None
    assert "ask an admin of the tenant for a further key" in text


def test_admins_make_further_keys_and_other_trees_are_apart(sides: Sides) -> None:
    member = sides.ours.people["member"]
    other = Tenant.objects.create(name="third")
    Membership.objects.create(user=member, tenant=other, role="member")

    key, _text = new_key(sides, tenant=other.pk)

    assert key
    assert key.rpm is None
    key.delete()
    RouterKey.objects.filter(pk=sides.ours.team_key.pk).update(owner=sides.ours.people["admin"])
    BudgetScope.objects.create(kind="router_key", router_key=sides.ours.team_key).budgets.create(limit=1)
    assert new_key(sides, "admin")[0]


# Who may give which key a new secret, and end the one before.
TURNS = {
    ("viewer", "own"): False, ("viewer", "colleague"): False, ("viewer", "team"): False,
    ("member", "own"): True, ("member", "colleague"): False, ("member", "team"): False,
    ("admin", "own"): True, ("admin", "colleague"): True, ("admin", "team"): True,
    ("team_admin", "colleague"): False, ("team_admin", "team"): True,
}  # fmt: skip


def key_of(sides: Sides, role: str, whose: str) -> RouterKey:
    """The key of the upper tenant that the person owns, one of a colleague there, or one of the team."""
    key = sides.ours.team_key if whose == "team" else sides.ours.key
    owner = sides.ours.people[role if whose == "own" else "team_admin"]
    RouterKey.objects.filter(pk=key.pk).update(owner=owner)
    return key


@pytest.mark.parametrize(("role", "whose"), TURNS, ids=str)
def test_who_rotates_which_key(role: str, whose: str, sides: Sides) -> None:
    key, browser = key_of(sides, role, whose), sides.browser(role)
    where = reverse("admin:accounts_routerkey_rotate", args=[key.pk])
    data = form_of(sides.browser("operator").get(where), "rotation_form")

    answer = browser.post(where, data)

    is_theirs = TURNS[role, whose]
    assert answer.status_code == (200 if is_theirs else 404)
    assert ("rk_" in body_of(answer)) is is_theirs
    assert (RouterKey.objects.get(pk=key.pk).digest != key.digest) is is_theirs


@pytest.mark.parametrize(("role", "whose"), TURNS, ids=str)
def test_who_ends_the_previous_key(role: str, whose: str, sides: Sides) -> None:
    key, until = key_of(sides, role, whose), now() + timedelta(days=1)
    RouterKey.objects.filter(pk=key.pk).update(previous_digest=digest_of("previous"), previous_until=until)
    where = reverse("admin:accounts_routerkey_end_previous", args=[key.pk])

    answer = sides.browser(role).post(where)

    is_theirs = TURNS[role, whose]
    assert answer.status_code == (302 if is_theirs else 404)
    assert (RouterKey.objects.get(pk=key.pk).previous_until != until) is is_theirs
