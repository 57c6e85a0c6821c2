"""The outsider matrix, forms: who may raise what, and rows of others in posted data. An operator tries the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models import Model
from django.urls import reverse

from billing.models import Budget
from smartrouter.accounts.models import Membership, RouterKey, Tenant
from tests.admin.browser import form_of
from tests.security.two_sides import THEIRS, Sides, body_of, everything


@dataclass(frozen=True)
class Attempt:
    """Somebody posts what an operator would: a page's whole form with some of it changed. column: what must not change."""

    who: str
    what: str
    row: Callable[[Sides], Any]
    column: str
    value: Any  # what is posted; None: nothing, as for a box that is not ticked; a function of both sides for an id

    def __str__(self) -> str:
        return f"{self.who}-{self.what}-{self.column}"


def top(sides: Sides) -> Tenant:
    return sides.ours.top


TENANT_COLUMNS: dict[str, Any] = {
    "rpm": "99999", "tpm": "99999", "max_parallel": "99", "end_user_rpm": "999", "end_user_tpm": "999",
    "budget_status": "429", "can_shorten_answers": "on", "can_see_budgets": "on", "can_see_channels": "on",
    "is_active": None, "timezone": "Asia/Shanghai", "kind": "person", "name": "renamed",
    "parent": lambda sides: Tenant.objects.get_or_create(name="elsewhere")[0].pk,
}  # fmt: skip
KEY_COLUMNS: dict[str, Any] = {
    "rpm": "99999", "tpm": "99999", "max_parallel": "99", "can_choose_strategy": "on", "is_active": None,
    "allowed_models": "gpt-4o", "denied_models": "gpt-4*", "networks": "10.0.0.0/8",
    "expires_at": ("expires_at_0", "2030-01-01"),
    "owner": lambda sides: sides.ours.people["viewer"].pk,
}  # fmt: skip
# Columns that no form has, and those that somebody who is not an operator may edit there.
UNTOUCHED: dict[type[Model], set[str]] = {
    Tenant: {"id", "created_at", "display_name"},
    RouterKey: {
        "id", "created_at", "tenant", "digest", "hint", "env_name", "previous_digest", "previous_until",
        "name", "default_model", "labels",
    },
}  # fmt: skip
CHANNEL_COLUMNS: dict[str, Any] = {
    "base_url": "https://elsewhere.example/v1", "param_overrides": '{"temperature": 1}',
    "proxy_url": ("new_proxy", "http://elsewhere.example:3128"), "extra_headers": ("new_headers", "X-Team: other"),
}  # fmt: skip
USER_COLUMNS: dict[str, Any] = {
    "email": "other@example.com", "is_superuser": "on", "is_active": None, "username": "other", "first_name": "Other",
}  # fmt: skip
ATTEMPTS = [
    *(Attempt("admin", "own tenant", top, column, value) for column, value in TENANT_COLUMNS.items()),
    *(Attempt("member", "own tenant", top, column, value) for column, value in TENANT_COLUMNS.items()),
    *(Attempt("team_admin", "own tenant", lambda s: s.ours.team, c, v) for c, v in TENANT_COLUMNS.items()),
    *(Attempt("team_admin", "tenant above", top, column, value) for column, value in TENANT_COLUMNS.items()),
    *(Attempt("member", "own key", lambda s: s.ours.key, column, value) for column, value in KEY_COLUMNS.items()),
    *(Attempt("member", "key of another", lambda s: s.ours.team_key, c, v) for c, v in KEY_COLUMNS.items() if c != "owner"),
    *(Attempt("viewer", "key", lambda s: s.ours.key, column, value) for column, value in KEY_COLUMNS.items()),
    *(Attempt("admin", "own channel", lambda s: s.ours.channel, c, v) for c, v in CHANNEL_COLUMNS.items()),
    *(Attempt("member", "channel", lambda s: s.ours.channel, c, v) for c, v in [("priority", "9"), ("weight", "0.5")]),
    *(Attempt("admin", "channel", lambda s: s.ours.channel, "provider", lambda s: s.sleeping_provider.pk) for _ in [0]),
    *(Attempt("admin", "user", lambda s: s.ours.people["viewer"], c, v) for c, v in USER_COLUMNS.items()),
    *(Attempt("admin", "themselves", lambda s: s.ours.people["admin"], c, v) for c, v in USER_COLUMNS.items()),
    *(Attempt(who, "budget", lambda s: s.ours.budgets["top"], "limit", "999") for who in ("viewer", "member", "admin")),
    Attempt("team_admin", "budget of own tenant", lambda s: s.ours.budgets["team"], "limit", "999"),
    Attempt("admin", "budget of end users", lambda s: s.ours.budgets["end_user"], "limit", "999"),
    Attempt("member", "budget of own key", lambda s: s.ours.budgets["key"], "limit", "999"),
    Attempt("member", "budget of a channel", lambda s: s.ours.budgets["channel"], "limit", "999"),
    Attempt("member", "role", lambda s: s.ours.people["member"].memberships.get(), "role", "admin"),
    Attempt("team_admin", "role above", lambda s: s.ours.people["viewer"].memberships.get(), "role", "admin"),
]  # fmt: skip


def page_of(row: Any) -> Any:
    """The row whose page the row is edited on."""
    if isinstance(row, Membership):
        return row.tenant
    if isinstance(row, Budget):
        return row.scope.tenant or row.scope.router_key or row.scope.channel
    return row


def change_url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def operators_form(sides: Sides, row: Any) -> dict[str, Any]:
    """What an operator's browser would post for the row's page, unchanged."""
    return form_of(sides.browser("operator").get(change_url(row)), f"{row._meta.model_name}_form")


def name_in(data: dict[str, Any], row: Any, column: str) -> str:
    """The name of the row's column among the data: with its inline's prefix where it stands in one."""
    if page_of(row) == row:
        return column
    model = "budget" if isinstance(row, Budget) else "membership"
    found = [key for key, value in data.items() if key.endswith("-id") and str(value) == str(row.pk) and model in key]
    assert len(found) == 1, (found, sorted(data))
    return found[0].removesuffix("-id") + f"-{column}"


def with_change(attempt: Attempt, sides: Sides, row: Any) -> dict[str, Any]:
    data = operators_form(sides, page_of(row))
    field, value = attempt.value if isinstance(attempt.value, tuple) else (attempt.column, attempt.value)
    data.pop(name := name_in(data, row, field), None)
    if attempt.column == "expires_at":
        data["expires_at_1"] = "12:00:00"
    if value is not None:
        data[name] = value(sides) if callable(value) else value
    return data


@pytest.mark.parametrize(("model", "columns"), [(Tenant, TENANT_COLUMNS), (RouterKey, KEY_COLUMNS)])
def test_every_column_is_in_the_matrix(model: type[Model], columns: dict[str, Any]) -> None:
    assert {field.name for field in model._meta.concrete_fields} == columns.keys() | UNTOUCHED[model]
    assert not columns.keys() & UNTOUCHED[model]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_only_an_operator_may(attempt: Attempt, sides: Sides) -> None:
    row = attempt.row(sides)
    data, where = with_change(attempt, sides, row), change_url(page_of(row))
    before = type(row)._default_manager.values().get(pk=row.pk)

    answer = sides.browser(attempt.who).post(where, data)

    after = type(row)._default_manager.values().get(pk=row.pk)
    column = next(name for name in (attempt.column, f"{attempt.column}_id") if name in before)
    assert after[column] == before[column], (answer.status_code, attempt)
    assert THEIRS not in body_of(answer)
    if attempt.column == "provider":
        return  # an operator is told that the offerings belong to another one
    sides.browser("operator").post(where, data)
    assert type(row)._default_manager.values().get(pk=row.pk)[column] != before[column], "an operator may not either"


@dataclass(frozen=True)
class Planted:
    """An id of another side's row in a form of ours: refused as no choice at all."""

    page: str  # a URL name, of the page that adds, or of our row's
    field: str
    value: Callable[[Sides], Any]

    def __str__(self) -> str:
        return f"{self.page}-{self.field}"


PLANTED = [
    Planted("accounts_tenant_add", "parent", lambda s: s.theirs.top.pk),
    Planted("accounts_routerkey_add", "tenant", lambda s: s.theirs.top.pk),
    Planted("accounts_routerkey_add", "owner", lambda s: s.theirs.people["admin"].pk),
    Planted("accounts_routerkey_change", "owner", lambda s: s.theirs.people["admin"].pk),
    Planted("channels_channel_add", "owner", lambda s: s.theirs.top.pk),
    Planted("channels_channel_add", "provider", lambda s: s.sleeping_provider.pk),
    Planted("channels_channel_change", "owner", lambda s: s.theirs.top.pk),
    Planted("accounts_tenant_change", "memberships-0-user", lambda s: s.theirs.people["viewer"].pk),
    Planted("accounts_tenant_change", "memberships-0-tenant", lambda s: s.theirs.top.pk),
    Planted("accounts_tenant_change", "memberships-0-id", lambda s: s.theirs.people["viewer"].memberships.get().pk),
    Planted("channels_channel_change", "keys-0-id", lambda s: s.theirs.channel.keys.get().pk),
    Planted("channels_channel_change", "offerings-0-id", lambda s: s.theirs.channel.offerings.get().pk),
    Planted("channels_channel_change", "offerings-0-channel", lambda s: s.theirs.channel.pk),
]  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_ids_of_others_are_no_choice(planted: Planted, sides: Sides) -> None:
    browser = sides.browser("admin")
    app, model, page = planted.page.split("_")
    row = sides.ours.rows[f"{app}.{model}"]
    where = reverse(f"admin:{planted.page}", args=[row.pk] if page == "change" else [])
    data = {"name": "planted", **form_of(browser.get(where), f"{model}_form")}
    required = {"parent": sides.ours.top.pk, "tenant": sides.ours.top.pk, "owner": sides.ours.top.pk}
    if page == "add":
        data |= {"name": "planted", **({} if model == "routerkey" else {"owner": sides.ours.top.pk})}
        data |= {name: data.get(name) or value for name, value in required.items() if name != "owner"}
        data |= {"provider": sides.provider.pk, "keys-0-name": "default", "keys-0-new_key": "sk-of-our-own-vendor"}
    data[planted.field] = planted.value(sides)
    before = everything()

    answer = browser.post(where, data)

    # Django passes over the row of an inline whose id is not among the page's own; all else is no choice.
    assert answer.status_code == 200 or planted.field.endswith("-id"), body_of(answer)[:300]
    assert everything() == before
    assert THEIRS not in body_of(answer)
    assert "platypus" not in body_of(answer)
