"""What a group's tags and filters select, as the admin counts it: the same as requests get."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from channels.models import Channel, Offering, OfferingPrice
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
from routing.loading import load_all
from routing.members import active_offerings
from routing.models import ModelGroup
from routing.selection import conditions_of, facts_of, passing
from routing.table import RoutingTable

CAPABLE = ["function_calling", "vision"]
# (model, its values, its price for input and output, the offering's own price)
MODELS: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("qwen/qwen3-30b-a3b:free", {"capabilities": None}, (0, 0), None),
    ("qwen/qwen3-32b", {"capabilities": CAPABLE, "tags": ["chinese"]}, (Decimal("0.29"), Decimal("0.59")), None),
    ("qwen3-32k", {"capabilities": []}, None, None),
    ("llama-3.1-8b", {"capabilities": ["vision"], "context_length": 8000}, (1, 1), (0, 0)),
    ("free-to-ask", {"context_length": 128_000, "is_free": True}, None, None),
    ("called-free", {"context_length": 2000}, (2, 2), None),
]
CURRENCIES = {"called-free": "CNY"}
GROUPS: list[dict[str, Any]] = [
    {},
    {"tags": ["qwen"]},
    {"tags": ["qwen", "free"]},
    {"tags": ["free"]},
    {"tags": ["chinese"]},
    {"tags": ["a3b", "30b"]},
    {"tags": ["mistral"]},
    {"max_cost_per_1k": Decimal(0)},
    {"max_cost_per_1k": Decimal("0.00059")},
    {"max_cost_per_1k": Decimal("0.000589999")},
    {"max_cost_per_1k": Decimal(5)},
    {"min_context_length": 8000},
    {"min_context_length": 32_001, "tags": ["free"]},
    {"capabilities": ["vision"]},
    {"capabilities": CAPABLE},
    {"provider_kinds": ["local"]},
    {"provider_kinds": ["official", "aggregator"]},
    {"regions": ["cn"]},
    {"regions": ["eu", "us"], "capabilities": ["vision"]},
]


@pytest.fixture
def models(db: None) -> None:
    """Every model on three channels: in different places, at different kinds of provider, one of them switched off."""
    ExchangeRate.objects.create(currency="CNY", usd=Decimal("0.14"), effective_from=now() - timedelta(days=9))
    ExchangeRate.objects.create(currency="CNY", usd=Decimal(9), effective_from=now() + timedelta(days=9))
    for number, (kind, region) in enumerate((("official", "eu"), ("local", ""), ("aggregator", "us"))):
        address = f"https://p{number}.example/v1"
        provider = Provider.objects.create(name=f"p{number}", base_url=address, kind=kind, region=region)
        own = "cn" if number == 1 else ""
        channel = Channel.objects.create(name=f"c{number}", provider=provider, region=own, is_active=number != 2)
        for name, values, listed, price in MODELS:
            model = ProviderModel.objects.create(provider=provider, name=name, **values)
            offering = Offering.objects.create(
                channel=channel, provider_model=model, aliases=[f"mine/{number}x-{name}"]
            )
            if listed is not None:
                rates = {"input": listed[0], "output": listed[1], "currency": CURRENCIES.get(name, "USD")}
                ModelPrice.objects.create(provider_model=model, **rates)
                later = {**rates, "input": 900, "effective_from": now() + timedelta(days=1)}
                ModelPrice.objects.create(provider_model=model, **later)
            if price is not None:
                OfferingPrice.objects.create(offering=offering, input=price[0], output=price[1])


@pytest.mark.parametrize("values", GROUPS, ids=str)
def test_the_admin_selects_what_requests_get(models: None, values: dict[str, Any]) -> None:
    group = ModelGroup.objects.create(name="auto:test", selects=True, **values)
    table = RoutingTable()
    table.put_many(list(load_all()))
    usable = set(active_offerings().values_list("pk", flat=True))

    found = passing(facts_of(with_prices=True), conditions_of(group, with_tags=True))

    assert set(found.refs) == {c.ref for c in table.pool_of(table.groups_by_name["auto:test"])} & usable
    assert found.looked_at == len(usable) == 12
    assert all(len(found.refs) <= count <= 12 for count in found.met.values())


def test_each_condition_is_counted_by_itself(models: None) -> None:
    group = ModelGroup(selects=True, tags=["qwen", "mistral"], min_context_length=32_001, capabilities=["vision"])

    found = passing(facts_of(with_prices=False), conditions_of(group, with_tags=True))

    assert found.refs == ()
    assert found.met == {"tag:qwen": 4, "tag:mistral": 0, "min_context_length": 6, "capabilities": 4}


def test_the_queries_do_not_grow_with_the_offerings(models: None) -> None:
    counts = []
    for more in (0, 30):
        channel, model = (
            Channel.objects.get(name="c0"),
            ProviderModel.objects.get(name="qwen3-32k", provider__name="p0"),
        )
        for number in range(more):
            Offering.objects.create(channel=channel, provider_model=model, name=f"more-{number}")
        with CaptureQueriesContext(connection) as queries:
            facts_of(with_prices=True)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 7
