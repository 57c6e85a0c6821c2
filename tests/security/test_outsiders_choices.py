"""The outsider matrix, questions: autocompletion, actions, search, filters and order never reach another tenant's rows."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import ForeignKey
from django.urls import reverse

from smartrouter.accounts.models import RouterKey, Tenant
from tests.security.two_sides import PLATFORM, ROLES, THEIRS, Sides, body_of, everything

AUTOCOMPLETE = reverse("admin:autocomplete")
KEYS = [
    field
    for model in apps.get_models()
    for field in model._meta.get_fields()
    if isinstance(field, ForeignKey)
]  # fmt: skip
# What a viewer, a member and an admin may choose from; every other foreign key does not exist for them.
CHOOSABLE = {
    "accounts.tenant.parent", "accounts.membership.user", "accounts.routerkey.tenant", "accounts.routerkey.owner",
    "channels.channel.owner", "channels.channel.provider", "channels.offering.provider_model",
}  # fmt: skip
LISTS = [
    "accounts_tenant", "accounts_routerkey", "channels_channel", "billing_budget", "billing_usagerecord",
    "billing_usagehour",
]  # fmt: skip
# The parameters that a list takes from them; with anything else it answers as to a mistyped address.
TAKEN = {"below", "tenant", "owner", "label", "status", "standing", "kind__exact", "is_active__exact",
         "scope__kind__exact", "unit__exact", "window__exact"}  # fmt: skip


def label_of(field: Any) -> str:
    return f"{field.model._meta.label_lower}.{field.name}"


def ask(browser: Any, field: Any, term: str) -> Any:
    asked = {"app_label": field.model._meta.app_label, "model_name": field.model._meta.model_name}
    return browser.get(AUTOCOMPLETE, {**asked, "field_name": field.name, "term": term})


@pytest.mark.parametrize("role", [*ROLES, "team_admin"])
def test_autocompletion_offers_what_they_may_choose_and_nothing_else(role: str, sides: Sides) -> None:
    browser = sides.browser(role)

    for field in KEYS:
        for term in ("", "e", THEIRS, PLATFORM, "example.com"):
            answer = ask(browser, field, term)

            if label_of(field) not in CHOOSABLE:
                assert answer.status_code == 404, label_of(field)
                continue
            assert THEIRS not in body_of(answer)
            assert PLATFORM not in body_of(answer)
            if term == "example.com":
                assert answer.json()["results"] == [], "people are not found by their e-mail address"


def test_an_operator_finds_theirs_and_an_admin_their_own(sides: Sides) -> None:
    field: Any = RouterKey._meta.get_field("tenant")

    found = ask(sides.browser("operator"), field, THEIRS).json()["results"]
    own = ask(sides.browser("admin"), field, "").json()["results"]

    assert {each["text"] for each in found} == {f"{THEIRS}-top", f"{THEIRS}-team"}
    assert {each["text"] for each in own} == {"quokka-top", "quokka-team"}


def actions() -> list[tuple[str, str]]:
    """Each action of each model that an operator has."""
    found = []
    for model, page in admin.site._registry.items():
        names = {str(getattr(each, "__name__", each)) for each in page.actions or []}
        found += [(model._meta.label_lower, name) for name in sorted({*names, "delete_selected"})]
    return found


@pytest.mark.parametrize("role", [*ROLES, "team_admin"])
def test_no_action_reaches_rows_of_others(role: str, sides: Sides) -> None:
    browser, before = sides.browser(role), everything()

    for label, action in actions():
        where = reverse(f"admin:{label.replace('.', '_')}_changelist")
        rows = [rows[label].pk for rows in (sides.theirs.rows, sides.platform) if label in rows]
        for more in ({}, {"select_across": "1", "index": "0"}, {"post": "yes"}):
            if "select_across" in more and label in sides.ours.rows:
                continue  # all that they see, which are their own rows: below
            answer = browser.post(where, {"action": action, "_selected_action": rows or ["1"], **more})

            assert answer.status_code in (302, 404, 200), (label, action)
            assert THEIRS not in body_of(answer)
    assert everything() == before


def test_actions_on_all_that_is_seen_keep_to_what_may_be_changed(sides: Sides) -> None:
    ours, before = sides.ours, everything()

    for role in ("viewer", "member", "admin"):
        for label, action in (
            ("accounts.tenant", "disable"),
            ("accounts.routerkey", "revoke"),
            ("channels.channel", "disable"),
        ):
            where = reverse(f"admin:{label.replace('.', '_')}_changelist")
            rows = [row.pk for row in (ours.top, ours.team)] if label == "accounts.tenant" else [ours.rows[label].pk]
            data = {"action": action, "_selected_action": rows, "select_across": "1", "index": "0"}
            sides.browser(role).post(where, data)
        if role == "viewer":
            assert everything() == before
        if role == "member":
            for changed in (ours.key, ours.team_key, ours.channel):
                changed.refresh_from_db()
            assert (ours.key.is_active, ours.team_key.is_active, ours.channel.is_active) == (False, True, True)

    for row in (
        ours.top,
        ours.team,
        ours.team_key,
        ours.channel,
        sides.theirs.top,
        sides.theirs.key,
        sides.theirs.channel,
    ):
        row.refresh_from_db()
    assert (ours.top.is_active, ours.team.is_active) == (True, False)  # their own top is not theirs to switch
    assert (ours.team_key.is_active, ours.channel.is_active) == (False, False)
    assert (sides.theirs.top.is_active, sides.theirs.key.is_active, sides.theirs.channel.is_active) == (
        True,
        True,
        True,
    )


def test_an_operators_actions_do_reach_them(sides: Sides) -> None:
    data = {"action": "disable", "_selected_action": [sides.theirs.top.pk]}
    sides.browser("operator").post(reverse("admin:accounts_tenant_changelist"), data)

    assert not Tenant.objects.get(pk=sides.theirs.top.pk).is_active


@pytest.mark.parametrize("role", [*ROLES, "team_admin"])
def test_search_and_filters_find_nothing_of_others(role: str, sides: Sides) -> None:
    browser, theirs = sides.browser(role), sides.theirs

    for name in LISTS:
        where = reverse(f"admin:{name}_changelist")
        for term in (THEIRS, PLATFORM, f"{THEIRS}-top", str(theirs.rows["billing.usagerecord"].request_id)):
            page = browser.get(where, {"q": term})
            if page.context["cl"].search_fields:
                assert not list(page.context["cl"].result_list), (name, term)
        filters = {"below": theirs.top.pk, "tenant": theirs.top.pk, "owner": theirs.top.pk}
        for parameter, value in filters.items():
            page = browser.get(where, {parameter: value})
            assert page.status_code in (200, 400)
            if page.status_code == 200:
                assert not list(page.context["cl"].result_list), (name, parameter)
                assert THEIRS not in body_of(page)
        for odd in ({"o": "1.-2.3"}, {"o": "99"}, {"p": "1"}, {"p": "before.x"}, {"all": ""}, {"e": "1"}, {"_facets": "True"},
                    {"_popup": "1"}, {"_to_field": "id"}):  # fmt: skip
            assert THEIRS not in body_of(browser.get(where, odd)), (name, odd)


@pytest.mark.parametrize("role", ROLES)
def test_lookups_through_relations_are_refused_whether_they_would_hit_or_not(role: str, sides: Sides) -> None:
    browser = sides.browser(role)
    asked = [
        "tenant__name__startswith", "tenant__parent__name", "tenant__id__exact", "tenant__parent__id__exact",
        "parent__name__startswith", "parent__id__exact", "parent__parent__rpm__gt", "children__name",
        "memberships__user__email",
        "router_keys__digest__startswith", "digest__startswith", "router_key__name__startswith", "owner__name__startswith",
        "owner__password__startswith", "owner__id__exact", "provider__base_url__startswith", "provider__id__exact",
        "keys__last_four", "keys__secret__startswith", "base_url__startswith", "channel", "channel__startswith",
        "cost_nusd__gt",
        "error_message__contains", "tenant_ref", "scope__tenant__name__startswith", "scope__router_key__digest__startswith",
        "billable", "end_user", "key_label",
    ]  # fmt: skip

    for name in LISTS:
        where = reverse(f"admin:{name}_changelist")
        for parameter in asked:
            for value in (THEIRS, "1", "quokka"):
                assert browser.get(where, {parameter: value}).status_code == 400, (name, parameter)
    assert not TAKEN & set(asked)


def test_a_filter_lists_only_tenants_of_the_tree(sides: Sides) -> None:
    for name in LISTS:
        text = body_of(sides.browser("admin").get(reverse(f"admin:{name}_changelist")))

        assert THEIRS not in text, name
        assert PLATFORM not in text, name
    text = body_of(sides.browser("admin").get(reverse("admin:accounts_routerkey_changelist")))
    assert "quokka-team" in text


def test_usage_of_tenants_has_no_cost_and_no_channel(sides: Sides) -> None:
    record = sides.ours.rows["billing.usagerecord"]
    type(record).objects.filter(pk=record.pk).update(cost_nusd=7_770_000_000, charge_nusd=1_110_000_000)
    where = [
        reverse("admin:billing_usagerecord_changelist"),
        reverse("admin:billing_usagerecord_change", args=[record.pk]),
        reverse("admin:index"),
    ]  # fmt: skip

    for address in where:
        for role in ROLES:
            text = body_of(sides.browser(role).get(address))

            assert "7.77" not in text
            assert "quokka-way" not in text
            assert "secretive" not in text
        assert "1.11" in text, address
    assert "7.77" in body_of(sides.browser("operator").get(where[1]))
    assert "secretive" in body_of(sides.browser("operator").get(where[1]))
