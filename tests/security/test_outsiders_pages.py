"""The outsider matrix, pages: who gets which address of the admin, and that nobody learns anything of another tenant."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from smartrouter.accounts.models import Membership, Tenant, User
from tests.security.two_sides import OURS, PLATFORM, ROLES, THEIRS, Sides, body_of, everything

VERBS = ("get", "head", "options", "put", "delete", "patch")
# What a viewer, a member and an admin get; of their own rows where the address names one. Of other rows: 404.
OPEN = {
    "index": (200, 200, 200),
    "search": (200, 200, 200),
    "jsi18n": (200, 200, 200),
    "password_change": (200, 200, 200),
    "password_change_done": (200, 200, 200),
    "accounts_tenant_changelist": (200, 200, 200),
    "accounts_tenant_add": (404, 404, 200),
    "accounts_tenant_change": (200, 200, 200),
    "accounts_tenant_history": (200, 200, 200),
    "accounts_routerkey_changelist": (200, 200, 200),
    "accounts_routerkey_add": (404, 200, 200),
    "accounts_routerkey_change": (200, 200, 200),
    "accounts_routerkey_history": (200, 200, 200),
    "accounts_routerkey_rotate": (404, 200, 200),
    "accounts_routerkey_end_previous": (405, 405, 405),  # a form only; see VERBS and test_outsiders_forms
    "channels_channel_changelist": (200, 200, 200),
    "channels_channel_add": (404, 404, 200),
    "channels_channel_change": (200, 200, 200),
    "channels_channel_history": (200, 200, 200),
    "billing_budget_changelist": (200, 200, 200),
    "billing_budget_change": (200, 200, 200),
    "billing_usagerecord_changelist": (200, 200, 200),
    "billing_usagerecord_change": (200, 200, 200),
    "billing_usagehour_changelist": (200, 200, 200),
    "billing_usagehour_change": (200, 200, 200),
}
_PAGES = ("changelist", "add", "change", "delete", "history")
_CLOSED_MODELS = [
    "accounts_user", "channels_offering", "providers_provider", "providers_providermodel", "providers_exchangerate",
    "routing_modelgroup", "routing_strategyrule", "routing_webprocess",
]  # fmt: skip
CLOSED = {
    *(f"{model}_{page}" for model in _CLOSED_MODELS for page in _PAGES),
    *(f"{model}_delete" for model in ("accounts_tenant", "accounts_routerkey", "channels_channel")),
    *(f"billing_{model}_{page}" for model in ("budget", "usagerecord", "usagehour") for page in ("add", "delete", "history")),
    "view_on_site", "auth_user_password_change", "routing_strategyrule_default", "why", "why_keys",
}  # fmt: skip
APPS = {"accounts": 200, "billing": 200, "channels": 200, "providers": 404, "routing": 404}
# Addresses with a meaning of their own.
APART = {"login", "logout", "app_list", "autocomplete"}  # the last: test_outsiders_choices
# Pages that operators themselves do not get, for the sake of the rows.
NOT_FOR_ANYBODY = {"add", "delete"}


def patterns(entries: Any) -> Iterator[URLPattern]:
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns)
        else:
            yield entry


PATTERNS = list(patterns(admin.site.urls[0]))
NAMES = {pattern.name for pattern in PATTERNS if pattern.name}


def needs(name: str) -> set[str]:
    """The arguments of the address."""
    return {key for pattern in PATTERNS if pattern.name == name for key in pattern.pattern.converters}


def row_for(name: str, rows: dict[str, Any]) -> Any:
    """The row of the model that the address is about; None where there is none of it among the rows."""
    if name == "auth_user_password_change":
        return rows.get("accounts.user")
    app, _line, rest = name.partition("_")
    return rows.get(f"{app}.{rest.partition('_')[0]}")


def address(name: str, rows: dict[str, Any]) -> str | None:
    """The address; None where it takes a row and there is none of its model among these."""
    if name == "view_on_site":
        return reverse("admin:view_on_site", args=[1, rows["accounts.user"].pk]) if "accounts.user" in rows else None
    wanted = needs(name)
    row = row_for(name, rows) if wanted else None
    if wanted and row is None:
        return None
    return reverse(f"admin:{name}", args=[row.pk] if wanted else [])


def check_silence(answer: Any, what: str) -> None:
    text = body_of(answer)
    assert THEIRS not in text, what
    assert PLATFORM not in text, what


def test_every_address_of_the_admin_is_in_the_matrix() -> None:
    listed = OPEN.keys() | CLOSED | APART

    assert not NAMES - listed, f"addresses that no row of the matrix is about: {sorted(NAMES - listed)}"
    assert not listed - NAMES, f"rows of the matrix for addresses that are no more: {sorted(listed - NAMES)}"


@pytest.mark.parametrize("role", ROLES)
def test_what_is_open_is_open_to_each_role_with_every_verb(role: str, sides: Sides) -> None:
    browser, column = sides.browser(role), ROLES.index(role)

    for name, expected in OPEN.items():
        for verb in VERBS:
            answer = getattr(browser, verb)(address(name, sides.ours.rows))

            is_refused = answer.status_code == 405 and verb in ("put", "delete", "patch")  # by the view itself
            assert is_refused or answer.status_code == expected[column], (name, verb)
            check_silence(answer, f"{verb} {name}")


@pytest.mark.parametrize("role", [*ROLES, "team_admin"])
def test_rows_of_others_and_closed_pages_do_not_exist_for_any_verb(role: str, sides: Sides) -> None:
    browser, before = sides.browser(role), everything()

    for name in sorted(OPEN.keys() | CLOSED):
        is_about_a_row = bool(needs(name))
        if name in OPEN and not is_about_a_row:
            continue
        for rows in (sides.theirs.rows, sides.platform, *([sides.ours.rows] if name in CLOSED else [])):
            where = address(name, rows)
            for verb in (*VERBS, "post") if where else ():
                answer = getattr(browser, verb)(where)

                is_form_only = name == "accounts_routerkey_end_previous" and verb != "post"
                assert answer.status_code == (405 if is_form_only else 404), (name, verb, where)
                check_silence(answer, f"{verb} {where}")

    assert everything() == before


def test_an_operator_gets_all_of_them(sides: Sides) -> None:
    browser = sides.browser("operator")

    for name in sorted(OPEN.keys() | CLOSED):
        if name in ("view_on_site", "accounts_routerkey_end_previous", "routing_strategyrule_default"):
            continue
        where = address(name, sides.theirs.rows) or address(name, sides.platform)
        answer = browser.get(str(where))

        is_for_nobody = name.rpartition("_")[2] in NOT_FOR_ANYBODY
        assert answer.status_code in ((200, 403) if is_for_nobody else (200,)), name
    assert THEIRS in body_of(browser.get(str(address("accounts_tenant_change", sides.theirs.rows))))


@pytest.mark.parametrize("role", ROLES)
def test_addresses_without_a_name_tell_nothing(role: str, sides: Sides) -> None:
    browser = sides.browser(role)
    unnamed = [pattern for pattern in PATTERNS if not pattern.name]

    for app, status in APPS.items():
        assert browser.get(f"/admin/{app}/").status_code == status
    for row in (*sides.theirs.rows.values(), *sides.ours.rows.values(), *sides.platform.values()):
        short = f"/admin/{row._meta.label_lower.replace('.', '/')}/{row.pk}/"
        assert browser.get(short).status_code == 404, short
    assert browser.get("/admin/nothing/at/all/").status_code == 404
    shapes = {str(pattern.pattern) for pattern in unnamed}
    assert shapes == {"<path:object_id>/", "(?P<url>.*)$"}


def test_somebody_of_the_lower_tenant_does_not_learn_of_the_upper_one(sides: Sides) -> None:
    browser = sides.browser("team_admin")
    LogEntry.objects.log_actions(
        sides.ours.people["admin"].pk, [sides.ours.team], 2, change_message="[]", single_object=True
    )

    upper = (f"{OURS}-top", f"{OURS}-key", f"{OURS}-channel", f"{OURS}-admin", f"{OURS}-offer", f"{OURS}-customer")
    lists = [reverse(f"admin:{name}") for name in OPEN if not needs(name)]
    team = [reverse(f"admin:accounts_tenant_{page}", args=[sides.ours.team.pk]) for page in ("change", "history")]
    for where in (*lists, *team):
        text = body_of(browser.get(where))

        assert not [word for word in upper if word in text], where
    assert f"{OURS}-team" in body_of(browser.get(team[0]))
    for name in sorted(OPEN):
        if needs(name) and name != "accounts_routerkey_end_previous":
            assert browser.get(str(address(name, sides.ours.rows))).status_code == 404, name


def test_the_history_does_not_name_those_outside(sides: Sides) -> None:
    root, rows = sides.platform["accounts.user"], [sides.ours.top, sides.ours.key, sides.ours.channel]
    for row in rows:
        for user in (root, sides.theirs.people["admin"], sides.ours.people["member"]):
            LogEntry.objects.log_actions(user.pk, [row], 2, change_message="[]", single_object=True)

    for row in rows:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}_history"
        page = sides.browser("admin").get(reverse(name, args=[row.pk]))

        check_silence(page, name)
        assert f"{OURS}-member" in body_of(page)


def test_whoever_has_no_active_tenant_does_not_enter(sides: Sides, client: Client) -> None:
    index, admin_of_team = reverse("admin:index"), sides.ours.people["team_admin"]
    admin_of_team.set_password("a-long-password-1")
    admin_of_team.save()
    client.force_login(admin_of_team)
    assert client.get(index).status_code == 200

    Tenant.objects.filter(pk=sides.ours.top.pk).update(is_active=False)  # the one above
    assert client.get(index)["Location"].startswith(reverse("admin:login"))
    page = Client().post(reverse("admin:login"), {"username": admin_of_team.username, "password": "a-long-password-1"})
    assert "Your account belongs to no active tenant" in body_of(page)

    Tenant.objects.filter(pk=sides.ours.top.pk).update(is_active=True)
    assert client.get(index).status_code == 200
    User.objects.filter(pk=admin_of_team.pk).update(is_staff=True)
    Membership.objects.filter(user=admin_of_team).delete()
    assert client.get(index).status_code == 302


def test_the_sidebar_and_the_home_page_have_what_is_theirs(sides: Sides) -> None:
    page = sides.browser("viewer").get(reverse("admin:index"))

    text = body_of(page)
    closed = [reverse(f"admin:{name}") for name in CLOSED if not needs(name) and name.endswith(("_changelist", "why"))]
    assert not [where for where in closed if f'"{where}"' in text]
    assert reverse("admin:accounts_tenant_changelist") in text
    assert f"{OURS}-key" in text
    assert "secretive" not in text
