"""Channels: secrets go in and never come out; offerings belong to the channel's provider."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from channels.models import Channel, ChannelKey, Offering
from routing.models import Change
from smartrouter.lib.sealing import Secret
from tests.admin.browser import form_of
from tests.admin.conftest import CHANNEL_KEY, HEADER_VALUE, PROXY_LOGIN, SECRETS, World

ADD = reverse("admin:channels_channel_add")
LIST = reverse("admin:channels_channel_changelist")
NEW_KEY, NEW_HEADER, NEW_LOGIN = "sk-brand-new-key-90ab12cd", "brand-new-header-value", "newperson:new-password-77"
NEW = (NEW_KEY, NEW_HEADER, NEW_LOGIN, "new-password-77")


def page_of(channel: Channel, what: str = "change") -> str:
    return reverse(f"admin:channels_channel_{what}", args=[channel.pk])


def change(root: Client, channel: Channel, **values: Any) -> Any:
    """Send the channel's form with some values changed."""
    data = {**form_of(root.get(page_of(channel)), "channel_form"), **values}
    return root.post(page_of(channel), data)


def every_page(root: Client, channel: Channel) -> str:
    """The text of all pages that could show something of the channel."""
    addresses = [
        LIST,
        ADD,
        *(page_of(channel, what) for what in ("change", "history", "delete")),
        reverse("admin:index"),
    ]
    return "".join(root.get(address).content.decode() for address in addresses)


def test_what_is_typed_into_a_new_channel_is_sealed_and_on_no_page(world: World, root: Client) -> None:
    data = form_of(root.get(ADD), "channel_form") | {
        "name": "second",
        "provider": str(world.provider.pk),
        "new_proxy": f"http://{NEW_LOGIN}@proxy.test:8080",
        "new_headers": f"X-Team: {NEW_HEADER}\n\nX-Other: 1",
        "param_overrides": '{"temperature": 0.2}',
        "keys-0-new_key": NEW_KEY,
    }

    answer = root.post(ADD, data)

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    channel = Channel.objects.get(name="second")
    assert channel.open_sealed("proxy_url") == Secret(f"http://{NEW_LOGIN}@proxy.test:8080")
    assert channel.open_sealed("extra_headers") == Secret({"X-Team": NEW_HEADER, "X-Other": "1"})
    assert channel.param_overrides == {"temperature": 0.2}
    assert channel.keys.get().open_secret() == Secret(NEW_KEY)
    text = every_page(root, channel)
    assert not [secret for secret in NEW if secret in text]
    for seen in ("…12cd", "proxy.test:8080", "X-Team, X-Other"):
        assert seen in text, seen
    assert not [entry for entry in LogEntry.objects.all() for secret in NEW if secret in entry.change_message]


def test_empty_inputs_keep_what_is_stored(world: World, root: Client) -> None:
    answer = change(root, world.channel, priority="3")

    assert answer.status_code == 302
    channel = Channel.objects.get(pk=world.channel.pk)
    assert channel.priority == 3
    assert channel.open_sealed("proxy_url") == Secret(f"http://{PROXY_LOGIN}@proxy.example:3128")
    assert channel.open_sealed("extra_headers") == Secret({"X-Team": HEADER_VALUE})
    key = channel.keys.get()
    assert (key.open_secret(), key.env_name) == (Secret(CHANNEL_KEY), "OPENAI_API_KEY")


def test_a_new_key_replaces_the_stored_one_and_no_longer_comes_from_the_environment(world: World, root: Client) -> None:
    answer = change(root, world.channel, **{"keys-0-new_key": NEW_KEY})

    assert answer.status_code == 302
    key = ChannelKey.objects.get(pk=world.key.pk)
    assert (key.open_secret(), key.last_four, key.env_name) == (Secret(NEW_KEY), "12cd", "")
    message = LogEntry.objects.latest("pk").change_message
    assert json.loads(message) == [
        {"changed": {"name": "channel key", "object": "openai-main/default", "fields": ["New key"]}}
    ]


def test_proxy_and_headers_are_removed_when_asked(world: World, root: Client) -> None:
    change(root, world.channel, clear_proxy="on", clear_headers="on")

    channel = Channel.objects.get(pk=world.channel.pk)
    assert (channel.proxy_url, channel.extra_headers) == (None, None)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"new_headers": f"Authorization: {NEW_HEADER}"}, "is set by the router"),
        ({"new_headers": f"no colon in {NEW_HEADER}"}, "Line 1 has no colon"),
        ({"new_headers": '{"X-Team": "' + NEW_HEADER}, "This is not valid JSON"),
        ({"new_headers": '{"X-Team": {"a": "' + NEW_HEADER + '"}}'}, "is not a header with a text value"),
        ({"new_proxy": f"socks5://{NEW_LOGIN}@proxy.test"}, "Use http://host:port"),
        ({"new_proxy": f"http://{NEW_LOGIN}@[proxy"}, "Use http://host:port"),
        ({"keys-0-new_key": f"{NEW_KEY} with spaces"}, "A key has no spaces"),
        ({"param_overrides": '{"model": "other"}'}, "is set by the router"),
        ({"param_overrides": "{"}, "Enter a valid JSON"),
        ({"base_url": "ftp://nowhere"}, "base_url"),
    ],
)
def test_a_wrong_value_is_refused_and_no_secret_comes_back(
    world: World, root: Client, values: dict[str, str], sentence: str
) -> None:
    answer = change(root, world.channel, **{"new_proxy": "", "keys-0-new_key": NEW_KEY, **values})

    assert answer.status_code == 200
    text = answer.content.decode()
    assert sentence in text
    assert "Not kept after an error; enter it again" in text
    assert not [secret for secret in (*NEW, *SECRETS) if secret in text]
    assert ChannelKey.objects.get(pk=world.key.pk).open_secret() == Secret(CHANNEL_KEY)


def test_another_key_without_a_value_is_refused(world: World, root: Client) -> None:
    rows = {"keys-TOTAL_FORMS": "2", "keys-1-name": "second", "keys-1-channel": str(world.channel.pk), "keys-1-id": ""}

    refused = change(root, world.channel, **rows)
    taken = change(root, world.channel, **rows, **{"keys-1-new_key": NEW_KEY})

    assert "Enter the key." in refused.content.decode()
    assert taken.status_code == 302
    assert world.channel.keys.count() == 2


def test_a_key_that_cannot_be_opened_is_a_visible_warning(world: World, root: Client) -> None:
    other = Channel.objects.create(name="other", provider=world.provider)
    stranger = ChannelKey(channel=other)
    stranger.set_secret(NEW_KEY)
    stranger.save()
    ChannelKey.objects.filter(pk=world.key.pk).update(secret=stranger.secret)
    Channel.objects.filter(pk=world.channel.pk).update(proxy_url=stranger.secret, extra_headers=stranger.secret)

    for address, warnings in ((LIST, 1), (page_of(world.channel), 3)):
        page = root.get(address)
        assert page.status_code == 200
        assert page.content.decode().count("cannot be opened") == warnings
    assert change(root, world.channel, priority="4").status_code == 302


@pytest.mark.parametrize("is_new", [True, False])
def test_an_offering_of_another_providers_model_is_refused(world: World, root: Client, is_new: bool) -> None:
    number = 0 if is_new else 1
    rows = {
        "offerings-TOTAL_FORMS": str(number + 1),
        f"offerings-{number}-id": "",
        f"offerings-{number}-channel": "" if is_new else str(world.channel.pk),
        f"offerings-{number}-provider_model": str(world.other_model.pk),
        f"offerings-{number}-name": "",
        f"offerings-{number}-aliases": "",
    }
    address = ADD if is_new else page_of(world.channel)
    data = form_of(root.get(address), "channel_form") | rows
    if is_new:
        data |= {"name": "second", "provider": str(world.provider.pk), "keys-TOTAL_FORMS": "0"}

    refused = root.post(address, data)
    taken = root.post(
        address, data | {"provider": str(world.other_provider.pk), "offerings-0-DELETE": "" if is_new else "on"}
    )

    assert "belongs to another provider" in refused.content.decode()
    assert taken.status_code == 302
    assert Offering.objects.filter(provider_model=world.other_model, name=world.other_model.name).count() == 1


def test_the_models_to_choose_from_are_the_providers_own(world: World, root: Client) -> None:
    page = root.get(page_of(world.channel)).content.decode()
    address = f"{reverse('admin:autocomplete')}?of_provider={world.provider.pk}"
    ask = {"term": "", "app_label": "channels", "model_name": "offering", "field_name": "provider_model"}

    assert f'data-ajax--url="{address}"' in page
    found = root.get(address, {**ask, "of_provider": world.provider.pk}).json()["results"]
    assert [choice["text"] for choice in found] == ["openai/gpt-4o-mini"]
    assert len(root.get(reverse("admin:autocomplete"), ask).json()["results"]) == 2


def test_aliases_are_typed_with_commas(world: World, root: Client) -> None:
    change(root, world.channel, **{"offerings-0-aliases": " fast,  small\nfast "})

    world.offering.refresh_from_db()
    assert world.offering.aliases == ["fast", "small"]


def test_a_duplicate_has_everything_but_the_keys_and_is_inactive(world: World, root: Client) -> None:
    answer = root.post(LIST, {"action": "duplicate", "_selected_action": [world.channel.pk]}, follow=True)
    root.post(LIST, {"action": "duplicate", "_selected_action": [world.channel.pk]})

    copy = Channel.objects.get(name="openai-main-copy")
    assert Channel.objects.filter(name="openai-main-copy-2").exists()
    assert (copy.is_active, copy.owner, copy.provider) == (False, world.tenant, world.provider)
    assert copy.uid != world.channel.uid
    assert copy.open_sealed("proxy_url") == Secret(f"http://{PROXY_LOGIN}@proxy.example:3128")
    assert not copy.keys.exists()
    twin = copy.offerings.get()
    assert (twin.name, twin.aliases, twin.prices.get().input) == ("gpt-4o-mini", ["mini"], 0)
    assert not [secret for secret in SECRETS if secret in answer.content.decode()]


def test_what_the_admin_saves_is_in_the_change_log(world: World, root: Client) -> None:
    Change.objects.all().delete()

    change(root, world.channel, priority="7")
    assert Change.objects.filter(model="channels.channel", row=str(world.channel.pk)).exists()

    Change.objects.all().delete()
    root.post(LIST, {"action": "disable", "_selected_action": [world.channel.pk]})
    assert Change.objects.filter(model="channels.channel", row=str(world.channel.pk)).exists()
