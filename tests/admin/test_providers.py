"""Provider models and their prices."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from channels.models import OfferingPrice
from providers.models import ModelPrice, Provider, ProviderModel
from smartrouter.accounts.models import Tenant
from tests.admin.browser import form_of
from tests.admin.conftest import World

MODELS = reverse("admin:providers_providermodel_changelist")


def price_shown(root: Client, model: ProviderModel) -> str:
    """The price column of the model's row."""
    page = root.get(MODELS, {"q": model.name}).content.decode()
    start = page.index('class="field-price') if 'class="field-price' in page else page.index("field-price")
    return " ".join(page[start : page.index("</td>", start)].split())


def change(root: Client, model: ProviderModel, **values: Any) -> Any:
    address = reverse("admin:providers_providermodel_change", args=[model.pk])
    return root.post(address, form_of(root.get(address), "providermodel_form") | values)


@pytest.mark.parametrize(
    ("price", "is_free", "shown"),
    [
        (None, False, "no price"),
        (None, True, "free"),
        ({"input": Decimal(0), "output": Decimal(0)}, False, "free"),
        ({"input": Decimal(1)}, True, "no price"),
        ({"input": Decimal("0.150"), "output": Decimal(2)}, False, "USD 0.15 / 2"),
        ({"input": Decimal(1), "output": Decimal(2), "currency": "CNY"}, False, "CNY 1 / 2"),
        ({"input": Decimal(1), "output": Decimal(2), "currency": "EUR"}, False, "no rate for EUR"),
        ({"input": Decimal(1), "output": Decimal(2), "effective_from": now() + timedelta(days=1)}, False, "no price"),
    ],
)
def test_the_price_in_force_is_shown_or_what_is_missing(
    world: World, root: Client, price: dict[str, Any] | None, is_free: bool, shown: str
) -> None:
    model = ProviderModel.objects.create(provider=world.other_provider, name="test-model", is_free=is_free)
    if price is not None:
        ModelPrice.objects.create(provider_model=model, **price)

    assert shown in price_shown(root, model)


def test_an_offerings_own_price_goes_before_the_list_price(world: World, root: Client) -> None:
    address = reverse("admin:channels_offering_changelist")
    assert "The offering&#x27;s own price" in root.get(address).content.decode()

    OfferingPrice.objects.all().delete()
    assert "USD 0.15 / 0.6" in root.get(address).content.decode()


def test_models_are_found_by_capability(world: World, root: Client) -> None:
    found = [list(root.get(MODELS, {"capability": c}).context["cl"].result_list) for c in ("vision", "audio")]

    assert found == [[world.model], []]


def test_capabilities_and_tags_are_saved_as_lists(world: World, root: Client) -> None:
    answer = change(root, world.model, capabilities=["audio", "vision"], tags="qwen, free,\nqwen")

    world.model.refresh_from_db()
    assert answer.status_code == 302
    assert (sorted(world.model.capabilities or []), world.model.tags) == (["audio", "vision"], ["qwen", "free"])


def test_a_price_is_added_with_its_empty_lists(world: World, root: Client) -> None:
    row = {
        "input": "1.5",
        "output": "0",
        "currency": "USD",
        "effective_from_0": "2026-06-01",
        "effective_from_1": "00:00",
    }
    rows = {f"prices-1-{name}": value for name, value in row.items()} | {
        "prices-TOTAL_FORMS": "2", "prices-1-id": "", "prices-1-provider_model": str(world.model.pk),
    }  # fmt: skip

    answer = change(root, world.model, **rows)

    assert answer.status_code == 302
    price = world.model.prices.get(effective_from=datetime(2026, 6, 1, tzinfo=UTC))
    assert (price.input, price.output, price.tiers, price.windows) == (Decimal("1.5"), 0, [], [])


def test_saving_a_model_unchanged_changes_no_price(world: World, root: Client) -> None:
    before = list(ModelPrice.objects.values())

    assert change(root, world.model).status_code == 302
    assert list(ModelPrice.objects.values()) == before


@pytest.mark.parametrize(("tiers", "sentence"), [("[{}]", "needs min_prompt_tokens"), ("[", "Enter a valid JSON")])
def test_wrong_tiers_are_refused(world: World, root: Client, tiers: str, sentence: str) -> None:
    answer = change(root, world.model, **{"prices-0-tiers": tiers})

    assert sentence in answer.content.decode()


def test_the_adapter_is_chosen_and_a_retired_one_is_shown_and_refused(world: World, root: Client) -> None:
    Provider.objects.filter(pk=world.provider.pk).update(adapter="retired")
    address = reverse("admin:providers_provider_change", args=[world.provider.pk])
    page = root.get(address)

    data = form_of(page, "provider_form")
    assert data["adapter"] == "retired"
    assert "Unknown adapter" in root.post(address, data).content.decode()
    assert root.post(address, data | {"adapter": "openrouter"}).status_code == 302


def test_tenants_stand_below_their_parents(world: World, root: Client) -> None:
    research = Tenant.objects.create(name="a-research", parent=world.tenant)
    Tenant.objects.create(name="abc")
    Tenant.objects.create(name="ivy", parent=research)
    Tenant.objects.create(name="zoo")

    found = root.get(reverse("admin:accounts_tenant_changelist")).context["cl"].result_list

    assert [tenant.name for tenant in found] == ["abc", "acme", "a-research", "ivy", "zoo"]
