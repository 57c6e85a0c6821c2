"""Limits and labels of tenants, router keys and groups."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from smartrouter.accounts.models import RouterKey
from tests.admin.browser import form_of
from tests.admin.conftest import World, add_record

KEYS = reverse("admin:accounts_routerkey_changelist")
RECORDS = reverse("admin:billing_usagerecord_changelist")


def change(root: Client, row: Any, **values: Any) -> Any:
    page = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    answer = root.post(page, {**form_of(root.get(page), f"{row._meta.model_name}_form"), **values})
    row.refresh_from_db()
    return answer


def test_the_limits_of_a_key_are_set_on_its_page(world: World, root: Client) -> None:
    answer = change(
        root, world.router_key, rpm="60", tpm="100000", max_parallel="4",
        networks="10.0.0.0/8\n2001:db8::/32", labels="team = search\ncost centre=4711=a\n",
    )  # fmt: skip

    key = world.router_key
    assert answer.status_code == 302, answer.content.decode()
    assert (key.rpm, key.tpm, key.max_parallel) == (60, 100_000, 4)
    assert key.networks == ["10.0.0.0/8", "2001:db8::/32"]
    assert key.labels == {"team": "search", "cost centre": "4711=a"}
    assert (
        "team=search\ncost centre=4711=a"
        in root.get(reverse("admin:accounts_routerkey_change", args=[key.pk])).content.decode()
    )
    text = root.get(KEYS).content.decode()
    assert ">60/min<" in text
    assert "100,000 tokens/min · 4 at once" in text
    assert "team=search" in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"networks": "10.0.0.0/8\nhome"}, "“home” is not an address or a network"),
        ({"labels": "team"}, "Line 1: write name=value."),
        ({"labels": "a=1\n=2"}, "Line 2: write name=value."),
        ({"labels": "a=1\na=2"}, "“a” is there twice."),
        ({"labels": "a" * 61 + "=1"}, "at most 60 characters"),
        ({"rpm": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_limit_is_refused_with_a_sentence(
    values: dict[str, str], sentence: str, world: World, root: Client
) -> None:
    answer = change(root, world.router_key, **values)

    assert sentence in answer.content.decode()
    assert (world.router_key.networks, world.router_key.labels, world.router_key.rpm) == ([], {}, None)


def test_the_limits_of_a_tenant_are_set_on_its_page(world: World, root: Client) -> None:
    change(
        root, world.tenant, rpm="600", end_user_rpm="6", end_user_tpm="5000", budget_status="429",
        can_shorten_answers="on", can_see_budgets="on",
    )  # fmt: skip

    tenant = world.tenant
    assert (tenant.rpm, tenant.end_user_rpm, tenant.end_user_tpm, tenant.budget_status) == (600, 6, 5000, 429)
    assert tenant.can_shorten_answers
    assert tenant.can_see_budgets


@pytest.mark.parametrize(("typed", "stored"), [("0.000000001", 1), ("2.5", 2_500_000_000), ("0", 0), ("", None)])
def test_the_highest_cost_of_a_request_is_typed_in_usd(
    typed: str, stored: int | None, world: World, root: Client
) -> None:
    change(root, world.group, max_cost_per_request_nusd=typed)

    assert world.group.max_cost_per_request_nusd == stored
    page = root.get(reverse("admin:routing_modelgroup_change", args=[world.group.pk]))
    assert form_of(page, "modelgroup_form")["max_cost_per_request_nusd"] == typed


@pytest.fixture
def labelled(world: World) -> list[RouterKey]:
    """Three keys with labels, one of them beyond ASCII."""
    every = [{"team": "search", "env": "prod"}, {"team": "research"}, {"团队": "搜索"}]
    return [
        RouterKey.objects.create(tenant=world.tenant, name=f"k{n}", digest=f"d{n}", hint="rk", labels=labels)
        for n, labels in enumerate(every)
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "team=search"}, {"k0"}),
        ({"q": "SEARCH"}, {"k0", "k1"}),
        ({"q": "搜索"}, {"k2"}),
        ({"q": "k1"}, {"k1"}),
        ({"label": "team=search"}, {"k0"}),
        ({"label": "team"}, {"k0", "k1"}),
        ({"label": "团队=搜索"}, {"k2"}),
        ({"label": "team=sea"}, set()),
    ],
)
def test_keys_are_found_by_label(
    query: dict[str, str], names: set[str], labelled: list[RouterKey], root: Client
) -> None:
    page: Any = root.get(KEYS, query)

    assert {key.name for key in page.context_data["cl"].result_list} == names


def test_usage_is_found_by_end_user_and_by_label_of_the_key(labelled: list[RouterKey], root: Client) -> None:
    add_record(1, end_user="alice", router_key_ref=labelled[0].pk)
    add_record(2, end_user="alice b", router_key_ref=labelled[1].pk)

    of_alice: Any = root.get(RECORDS, {"end_user": "alice"})
    of_team: Any = root.get(RECORDS, {"key_label": "team=research"})

    assert [record.end_user for record in of_alice.context_data["cl"].result_list] == ["alice"]
    assert [record.end_user for record in of_team.context_data["cl"].result_list] == ["alice b"]
    assert "ci · alice" in of_alice.content.decode()
