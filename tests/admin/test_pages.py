"""Every page of every registered model: who gets it, and that it stands on its own."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from channels.models import Channel, ChannelKey, Offering
from providers.models import ModelPrice, Provider, ProviderModel
from routing.models import GroupMember, ModelGroup, StrategyRule
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from tests.admin.conftest import SECRETS, World

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)
PLAIN_PAGES = ["index", "password_change", "jsi18n"]
# An address on another host, in an attribute or a style sheet.
ELSEWHERE = re.compile(
    r"""(?:\b(?:src|href|action|srcset|data-ajax--url)\s*=\s*["']?|url\(\s*["']?)\s*(?:https?:)?//"""
)


def pages_of(model: Any, row: Any) -> Iterator[tuple[str, str]]:
    """(what, address) of each page of a model."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    yield "list", reverse(f"{name}_changelist")
    yield "add", reverse(f"{name}_add")
    for what in ("change", "history", "delete"):
        yield what, reverse(f"{name}_{what}", args=[row.pk])


def label_of(model: Any) -> str:
    return str(model._meta.label_lower)


@pytest.mark.parametrize("model", MODELS, ids=label_of)
def test_a_superuser_gets_every_page_that_the_admin_offers(model: Any, world: World, root: Client) -> None:
    site_admin = admin.site._registry[model]
    request = root.get(reverse("admin:index")).wsgi_request
    row = world.rows[label_of(model)]

    for what, address in pages_of(model, row):
        page = root.get(address)

        is_offered = {
            "add": site_admin.has_add_permission(request),
            "delete": site_admin.has_delete_permission(request),
        }
        assert page.status_code == (200 if is_offered.get(what, True) else 403), address
        if page.status_code == 200:
            text = page.content.decode()
            assert not ELSEWHERE.search(text), (address, ELSEWHERE.findall(text))
            assert not [secret for secret in SECRETS if secret in text], address


@pytest.mark.parametrize("model", MODELS, ids=label_of)
def test_nobody_else_gets_any_page(model: Any, world: World, outsider: Client) -> None:
    for _what, address in pages_of(model, world.rows[label_of(model)]):
        page = outsider.get(address)

        assert page.status_code == 302, address
        assert page["Location"].startswith(reverse("admin:login")), address


@pytest.mark.parametrize("name", PLAIN_PAGES)
def test_the_other_pages_are_for_superusers_too(name: str, world: World, root: Client) -> None:
    page = root.get(reverse(f"admin:{name}"))

    assert page.status_code == 200
    assert not ELSEWHERE.search(page.content.decode())


@pytest.mark.parametrize("name", ["index", "autocomplete", "search", "password_change"])
def test_the_other_pages_refuse_everybody_else(name: str, outsider: Client) -> None:
    assert outsider.get(reverse(f"admin:{name}")).status_code == 302


def add_twins(world: World, number: int) -> None:
    """One more of each sort of row that a list shows with others joined to it."""
    provider = Provider.objects.create(name=f"p{number}", base_url="https://p.example/v1")
    model = ProviderModel.objects.create(provider=provider, name="m", capabilities=["vision", "audio"])
    ModelPrice.objects.create(provider_model=model, currency="CNY", input=Decimal(1), output=Decimal(1))
    tenant = Tenant.objects.create(name=f"t{number}", parent=world.tenant)
    channel = Channel.objects.create(name=f"c{number}", provider=provider, owner=tenant)
    key = ChannelKey(channel=channel)
    key.set_secret(f"sk-{number}-0123456789")
    key.save()
    Offering.objects.create(channel=channel, provider_model=model)
    group = ModelGroup.objects.create(name=f"g{number}", selects=True, max_cost_per_1k=1, fallback=world.group)
    StrategyRule.objects.create(pattern=f"p{number}-*", layers=[{"field": "speed_score", "weight": 1}])
    GroupMember.objects.create(group=group, channel=channel, model="m")
    user = User.objects.create_user(f"u{number}")
    Membership.objects.create(user=user, tenant=tenant)
    RouterKey.objects.create(tenant=tenant, name="k", digest=str(number), hint="rk", owner=user)


def test_no_list_takes_more_queries_for_more_rows(world: World, root: Client) -> None:
    addresses = [next(pages_of(model, world.rows[label_of(model)]))[1] for model in MODELS]

    counts: list[dict[str, int]] = []
    for start, stop in ((0, 2), (2, 12)):
        for number in range(start, stop):
            add_twins(world, number)
        counts.append({})
        for address in addresses:
            with CaptureQueriesContext(connection) as queries:
                root.get(address)
            counts[-1][address] = len(queries)

    assert counts[0] == counts[1]


def test_internal_models_and_djangos_groups_have_no_page() -> None:
    registered = {label_of(model) for model in MODELS}

    assert not registered & {"routing.change", "routing.pulse", "auth.group"}
    assert {"providers.provider", "channels.channel", "routing.modelgroup", "billing.usagerecord"} <= registered


def test_the_sidebar_leads_to_every_registered_model(world: World, root: Client) -> None:
    text = root.get(reverse("admin:index")).content.decode()

    for model in MODELS:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert f'href="{address}"' in text, address


def test_the_sign_in_form_tells_staff_why_they_may_not_enter(client: Client, db: None) -> None:
    User.objects.create_user("sam", password="a-long-password-1", is_staff=True)

    page = client.post(reverse("admin:login"), {"username": "sam", "password": "a-long-password-1"})

    assert page.status_code == 200
    assert "Your account belongs to no active tenant." in page.content.decode()
    assert "_auth_user_id" not in client.session


def test_signing_in_leads_to_the_first_page(client: Client, db: None) -> None:
    User.objects.create_superuser("root", password="root-password-1")

    page = client.post(reverse("admin:login"), {"username": "root", "password": "root-password-1"})

    assert page.status_code == 302
    assert page["Location"] == reverse("admin:index")


@pytest.mark.parametrize("model", ["providers.provider", "channels.channel", "accounts.tenant", "routing.modelgroup"])
def test_rows_are_switched_off_and_on_with_a_note_in_their_history(model: str, world: World, root: Client) -> None:
    row = world.rows[model]
    address = reverse(f"admin:{model.replace('.', '_')}_changelist")

    for action, is_active in (("disable", False), ("enable", True)):
        answer = root.post(address, {"action": action, "_selected_action": [row.pk]}, follow=True)

        row.refresh_from_db()
        assert row.is_active is is_active
        assert "1 row was" in answer.content.decode()
    assert LogEntry.objects.filter(object_id=str(row.pk)).count() == 2
