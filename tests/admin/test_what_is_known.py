"""What models can do, where channels stand, what keys may ask for: the fields that choosing goes by."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from channels.models import Channel
from providers.models import Provider, ProviderModel
from smartrouter.accounts.models import RouterKey
from tests.admin.browser import form_of
from tests.admin.conftest import World

MODELS = reverse("admin:providers_providermodel_changelist")
NONE = "-"


def text_of(page: Any) -> str:
    return " ".join(page.content.decode().split())


def save(root: Client, row: Any, **values: Any) -> Any:
    """The answer to the row's form, sent with these values instead of what it shows; None: not sent."""
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    data = {**form_of(root.get(address), f"{row._meta.model_name}_form"), **values}
    answer = root.post(address, {name: value for name, value in data.items() if value is not None}, follow=True)
    row.refresh_from_db()
    return answer


def row_of(root: Client, address: str, name: str) -> str:
    """The list's row for this name."""
    return text_of(root.get(address, {"q": name})).split("<tbody")[1]


@pytest.mark.parametrize(
    ("typed", "stored", "shown"),
    [
        (None, None, "not known"),
        ([NONE], [], "none"),
        (["vision", "audio"], ["vision", "audio"], "Audio"),
    ],
    ids=["not known", "none of these", "some"],
)
def test_capabilities_have_three_states(
    world: World, root: Client, typed: list[str] | None, stored: list[str] | None, shown: str
) -> None:
    save(root, world.model, capabilities=typed)

    assert world.model.capabilities == stored
    assert shown in row_of(root, MODELS, "gpt-4o-mini")

    save(root, world.model, display_name="The same")
    assert (world.model.capabilities, world.model.display_name) == (stored, "The same")


def test_none_of_these_and_another_are_refused_together(world: World, root: Client) -> None:
    page = save(root, world.model, capabilities=[NONE, "audio"])

    assert "“None of these” stands alone" in text_of(page)
    assert world.model.capabilities == ["vision"]


def test_models_are_found_by_what_is_known_of_them(world: World, root: Client) -> None:
    unable = ProviderModel.objects.create(provider=world.provider, name="unable", capabilities=[])

    found = {
        value: list(root.get(MODELS, {"capability": value}).context["cl"].result_list)
        for value in ("vision", "none", "not-known")
    }

    assert found == {"vision": [world.model], "none": [unable], "not-known": [world.other_model]}


def test_tags_are_stored_in_lower_case_and_shown(world: World, root: Client) -> None:
    save(root, world.model, tags="Chinese, in-house,chinese")

    assert world.model.tags == ["chinese", "in-house"]
    assert "in-house" in row_of(root, MODELS, "gpt-4o-mini")


@pytest.mark.parametrize(
    ("name", "quality", "context"), [("llama-3.1-8b-128k", "0.38", "128,000"), ("gpt-4o-mini", "0.45", None)]
)
def test_what_is_guessed_from_the_name_is_shown_where_nothing_better_is_known(
    world: World, root: Client, name: str, quality: str, context: str | None
) -> None:
    ProviderModel.objects.filter(pk=world.model.pk).update(name=name)
    address = reverse("admin:providers_providermodel_change", args=[world.model.pk])

    text = text_of(root.get(address))
    assert f"Empty: {quality}, guessed from the name." in text
    assert f'placeholder="{quality}"' in text
    assert (f"Empty: {context}, as the name says." in text) is (context is not None)
    assert f"≈ {quality}" in row_of(root, MODELS, name)
    assert (f"≈ {context}" in row_of(root, MODELS, name)) is (context is not None)

    save(root, world.model, quality_score="0.9", context_length="64000")
    assert (world.model.quality_score, world.model.context_length) == (0.9, 64_000)
    assert "≈" not in row_of(root, MODELS, name)


def test_a_channel_has_a_region_and_a_time_zone(world: World, root: Client) -> None:
    page = save(root, world.channel, region="us-east", timezone="America/New_York")

    assert (world.channel.region, world.channel.timezone) == ("us-east", "America/New_York")
    address = reverse("admin:channels_channel_change", args=[world.channel.pk])
    assert '<option value="Asia/Shanghai">' in text_of(root.get(address)), page
    assert "“Mars/Base” is not a time zone" in text_of(save(root, world.channel, timezone="Mars/Base"))
    assert "Use a short word in lower case" in text_of(save(root, world.channel, region="The US"))
    assert Channel.objects.get(pk=world.channel.pk).timezone == "America/New_York"


def test_a_provider_has_a_region(world: World, root: Client) -> None:
    save(root, world.provider, region="eu")

    assert Provider.objects.get(pk=world.provider.pk).region == "eu"
    assert ">eu<" in row_of(root, reverse("admin:providers_provider_changelist"), "openai").replace(" ", "")


def test_a_key_denies_models_has_a_default_and_may_choose(world: World, root: Client) -> None:
    values = {"denied_models": "gpt-4*, openai/*", "default_model": "auto:fast", "can_choose_strategy": "on"}

    save(root, world.router_key, **values)

    key = RouterKey.objects.get(pk=world.router_key.pk)
    assert (key.denied_models, key.default_model, key.can_choose_strategy) == (
        ["gpt-4*", "openai/*"],
        "auto:fast",
        True,
    )
    assert key.digest == world.router_key.digest
    assert "not: gpt-4*, openai/*" in row_of(root, reverse("admin:accounts_routerkey_changelist"), "ci")


def test_a_star_in_the_middle_of_a_denied_model_is_refused(world: World, root: Client) -> None:
    page = save(root, world.router_key, denied_models="gpt-*-mini")

    assert "a * may stand only at the end" in text_of(page)
    assert world.router_key.denied_models == []
