"""A small configuration with one row of each sort, its secrets known, and clients for each sort of person."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from billing.models import Budget, BudgetScope, UsageHour, UsageRecord
from channels.models import Channel, ChannelKey, Offering, OfferingPrice
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
from routing.models import GroupMember, ModelGroup, StrategyRule, WebProcess
from smartrouter.accounts.keys import digest_of, hint_of
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from smartrouter.lib.clock import mint_uuid7
from smartrouter.lib.sealing import Secret

CHANNEL_KEY = "sk-plain-channel-key-7f3a9c21d4e8"
PROXY_LOGIN = "proxyperson:proxy-password-51be"
HEADER_VALUE = "header-value-0c77aa19"
ROUTER_KEY = "rk_plain-router-key-5d1e8b7c6a4f3029aabbccddeeff"
SECRETS = (CHANNEL_KEY, PROXY_LOGIN, "proxy-password-51be", HEADER_VALUE, ROUTER_KEY)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@dataclass
class World:
    """The rows of the small configuration."""

    provider: Provider
    other_provider: Provider
    model: ProviderModel
    other_model: ProviderModel
    channel: Channel
    key: ChannelKey
    offering: Offering
    group: ModelGroup
    tenant: Tenant
    router_key: RouterKey
    record: UsageRecord
    rows: dict[str, Any]


def add_record(number: int, **values: Any) -> UsageRecord:
    """A usage record, number seconds after noon."""
    admitted = NOON + timedelta(seconds=number)
    attempt = mint_uuid7(int(admitted.timestamp() * 1000))
    fields: dict[str, Any] = {
        "attempt_id": attempt,
        "request_id": UUID(int=attempt.int ^ 1),
        "attempt": 1,
        "is_billable": True,
        "status": "ok",
        "endpoint": "chat.completions",
        "is_streamed": False,
        "admitted_at": admitted,
        "started_at": admitted,
        "duration_ms": 1200,
        "tenant": "acme",
        "tenant_ref": 1,
        "router_key": "ci",
        "router_key_ref": 1,
        "requested_model": "auto:fast",
        "offering": "gpt-4o-mini",
        "provider": "openai",
        "channel": "openai-main",
        "upstream_model": "gpt-4o-mini",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_nusd": 4500,
        "charge_nusd": 4500,
        "price": {"currency": "USD", "input": "0.15", "output": "0.6"},
    }
    return UsageRecord.objects.create(**{**fields, **values})


@pytest.fixture
def world(db: None) -> World:
    provider = Provider.objects.create(name="openai", base_url="https://api.openai.com/v1")
    other = Provider.objects.create(name="siliconflow", base_url="https://api.siliconflow.cn/v1")
    model = ProviderModel.objects.create(provider=provider, name="gpt-4o-mini", capabilities=["vision"])
    other_model = ProviderModel.objects.create(provider=other, name="Qwen/Qwen2.5-7B-Instruct")
    ModelPrice.objects.create(provider_model=model, input=Decimal("0.15"), output=Decimal("0.6"), effective_from=NOON)
    rate = ExchangeRate.objects.create(currency="CNY", usd=Decimal("0.14"), effective_from=NOON)
    tenant = Tenant.objects.create(name="acme")
    channel = Channel(name="openai-main", provider=provider, owner=tenant)
    channel.proxy_url = Secret(f"http://{PROXY_LOGIN}@proxy.example:3128")
    channel.extra_headers = Secret({"X-Team": HEADER_VALUE})
    channel.save()
    key = ChannelKey(channel=channel, name="default", env_name="OPENAI_API_KEY")
    key.set_secret(CHANNEL_KEY)
    key.save()
    offering = Offering.objects.create(channel=channel, provider_model=model, aliases=["mini"])
    OfferingPrice.objects.create(offering=offering, input=Decimal(0), output=Decimal(0), effective_from=NOON)
    group = ModelGroup.objects.create(name="auto:fast")
    GroupMember.objects.create(group=group, channel=channel, model="mini", position=0)
    router_key = RouterKey.objects.create(
        tenant=tenant, name="ci", digest=digest_of(ROUTER_KEY), hint=hint_of(ROUTER_KEY), allowed_models=["auto:*"]
    )
    user = User.objects.create_user("ivy", "ivy@acme.example")
    Membership.objects.create(user=user, tenant=tenant)
    record = add_record(0)
    hour = UsageHour.objects.create(
        hour=NOON, tenant="acme", router_key="ci", offering="gpt-4o-mini", provider="openai", channel="openai-main"
    )
    process = WebProcess.objects.create(uid=UUID(int=7), host="web-1", pid=7, data_folder="/data")
    rule = StrategyRule.objects.create(pattern="gpt-*", strategy="cost_first")
    scope = BudgetScope.objects.create(kind=BudgetScope.Kind.ROUTER_KEY, router_key=router_key)
    budget = Budget.objects.create(scope=scope, unit=Budget.Unit.REQUESTS, window=Budget.Window.TOTAL, limit=1000)
    rows = [
        provider, model, rate, tenant, channel, offering, group, rule, router_key, user, record, hour, process, budget
    ]  # fmt: skip
    return World(
        provider, other, model, other_model, channel, key, offering, group, tenant, router_key, record,
        {row._meta.label_lower: row for row in rows},
    )  # fmt: skip


@pytest.fixture
def root(client: Client, db: None) -> Client:
    """A superuser's browser."""
    client.force_login(User.objects.create_superuser("root", "root@example.com"))
    return client


@pytest.fixture(params=["anonymous", "staff", "ordinary"])
def outsider(request: pytest.FixtureRequest, db: None) -> Client:
    """The browser of somebody who may not enter."""
    browser = Client()
    if request.param != "anonymous":
        is_staff = request.param == "staff"
        browser.force_login(User.objects.create_user(request.param, is_staff=is_staff))
    return browser
