"""The starter configuration: what an empty database gets, and that nothing else does."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings

from channels.models import Channel, ChannelKey, Offering
from providers.models import Provider, ProviderModel
from routing.models import GroupMember, ModelGroup
from routing.selection import conditions_of, facts_of, passing
from smartrouter import starter
from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey, User
from smartrouter.configfile import apply_document
from smartrouter.configfile.reading import read_file
from smartrouter.starter.first import CONFIGURATION

SELECTING = [f"auto:{name}" for name in ("cheap", "chinese", "code", "fast", "free", "smart", "tools", "vision")]
ALL_NAMES = sorted(set(re.findall(r"env:(\w+_KEY)", CONFIGURATION.read_text())))


@pytest.fixture
def simulated(settings: LazySettings) -> None:
    settings.SIMULATOR = True
    settings.SIMULATOR_PORTS = [19001, 19002]


@pytest.mark.django_db
@pytest.mark.usefixtures("simulated")
def test_an_empty_database_gets_the_demo_a_key_and_an_administrator() -> None:
    steps = starter.set_up({})

    assert [c.base_url for c in Channel.objects.all()] == ["http://127.0.0.1:19001/v1", "http://127.0.0.1:19002/v1"]
    assert [p.name for p in Provider.objects.all()] == ["simulator"]
    assert [(m.channel.name, m.model, m.priority) for m in GroupMember.objects.select_related("channel")] == [
        ("demo-alpha", "sim-fast", 1),
        ("demo-beta", "sim-fast", 2),
    ]
    assert ProviderModel.objects.get(name="sim-free").is_free
    assert steps.model == "auto:demo"
    assert RouterKey.objects.get().digest == digest_of(steps.router_key.reveal())
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(steps.password.reveal())
    assert steps.password.reveal() not in repr(steps)
    assert steps.router_key.reveal() not in repr(steps)


@pytest.mark.django_db
@pytest.mark.usefixtures("simulated")
def test_a_database_with_a_tenant_is_left_alone() -> None:
    starter.set_up({})
    Provider.objects.filter(name="simulator").update(display_name="renamed")

    again = starter.set_up({"OPENAI_API_KEY": "sk-test-0123456789"})

    assert (again.password, again.router_key, again.model) == (None, None, None)
    assert Provider.objects.get().display_name == "renamed"


@pytest.mark.django_db
@pytest.mark.usefixtures("simulated")
def test_every_vendor_key_becomes_a_channel_with_models() -> None:
    env = {name: f"canary-{name.lower()}" for name in ALL_NAMES}

    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        starter.set_up(env)

    assert len(ALL_NAMES) == 12
    vendors = Channel.objects.exclude(provider__name="simulator")
    assert sorted(ChannelKey.objects.filter(channel__in=vendors).values_list("env_name", flat=True)) == ALL_NAMES
    assert all(Offering.objects.filter(channel=channel).count() >= 2 for channel in vendors)
    priced = ProviderModel.objects.exclude(provider__name="volcengine").filter(is_free=False)
    assert not [str(model) for model in priced if not model.prices.exclude(source="").exists()]
    assert all(str(key.open_secret().reveal()).startswith("canary-") for key in ChannelKey.objects.exclude(env_name=""))


@pytest.mark.django_db
@pytest.mark.usefixtures("simulated")
def test_each_group_has_somebody_in_the_demo_and_takes_in_what_comes_later() -> None:
    starter.set_up({})

    selected = {group.name: selected_by(group) for group in ModelGroup.objects.filter(selects=True)}

    everything = {"sim-fast", "sim-smart", "sim-vision", "sim-reasoner", "sim-free"}
    assert selected == {
        "auto:cheap": everything,
        "auto:chinese": {"sim-smart"},
        "auto:code": {"sim-smart"},
        "auto:fast": everything,
        "auto:free": {"sim-free"},
        "auto:smart": everything,
        "auto:tools": everything,
        "auto:vision": {"sim-fast", "sim-smart", "sim-vision"},
    }
    apply_document({
        "providers": [{"name": "later", "base_url": "https://later.example/v1"}],
        "models": [{"provider": "later", "model": "qwen-new", "tags": ["Chinese"], "capabilities": ["vision"], "free": True}],
        "channels": [{"name": "later", "provider": "later", "models": ["qwen-new"]}],
    })  # fmt: skip
    joined = {group.name for group in ModelGroup.objects.filter(selects=True) if "qwen-new" in selected_by(group)}
    assert sorted(selected.keys() - joined) == ["auto:code", "auto:tools"]


@pytest.mark.django_db
@pytest.mark.usefixtures("simulated")
def test_the_demo_gives_way_to_real_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test-0123456789")

    starter.set_up({"GROQ_API_KEY": "gsk-test-0123456789"})

    demo, real = (Channel.objects.filter(provider__name=name) for name in ("simulator", "groq"))
    assert max(each.weight for each in demo) * 50 < min(each.weight for each in real)
    assert min(each.priority for each in demo) > max(each.priority for each in real)


def test_every_starter_model_has_known_capabilities_and_its_family_tag() -> None:
    models = read_file(CONFIGURATION)[0]["models"]

    assert [each["model"] for each in models if not each.get("capabilities")] == []
    families = re.compile("qwen|glm|deepseek|kimi|doubao|minimax")
    missed = [
        each["model"]
        for each in models
        if each["provider"] != "simulator"
        and bool(families.search(each["model"].lower())) != ("chinese" in each.get("tags", ()))
    ]
    assert missed == []


@pytest.mark.django_db
def test_without_the_simulator_the_first_call_goes_to_the_vendor(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SIMULATOR = False
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test-0123456789")

    steps = starter.set_up({"GROQ_API_KEY": "gsk-test-0123456789", "OPENAI_API_KEY": " "})

    assert steps.model == "groq/llama-3.1-8b-instant"
    assert [channel.name for channel in Channel.objects.all()] == ["groq"]
    assert sorted(ModelGroup.objects.values_list("name", flat=True)) == SELECTING


def selected_by(group: ModelGroup) -> set[str]:
    """The names of the offerings that the group selects."""
    found = passing(facts_of(with_prices=True), conditions_of(group, with_tags=True))
    return set(Offering.objects.filter(pk__in=found.refs).values_list("name", flat=True))


def test_the_example_of_the_settings_names_every_vendor_key() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()

    assert [name for name in ALL_NAMES if f"\n#{name}=\n" not in example] == []
