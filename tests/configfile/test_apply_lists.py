"""Lists inside an entry, and histories: keys, offerings, members, prices, rates."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now

from channels.models import ChannelKey, Offering
from providers.models import ExchangeRate, ModelPrice
from routing.models import GroupMember, ModelGroup
from smartrouter.configfile.report import Action
from tests.configfile.applying import apply, lines, of

pytestmark = pytest.mark.django_db


def test_keys_and_offerings_that_a_channels_lists_do_not_have_are_switched_off() -> None:
    apply("""
providers: [{name: p, base_url: "https://p.example/v1"}]
channels: [{name: c, provider: p, keys: [aaaa-1, bbbb-2], models: [m1, m2]}]
""")

    report = apply("channels: [{name: c, provider: p, keys: [aaaa-1], models: [m2]}]")

    assert lines(report) == ([], [], [])
    assert of(report, Action.SWITCHED_OFF) == ["channel key c/key-2", "offering c/m1"]
    assert [(k.name, k.is_active) for k in ChannelKey.objects.all()] == [("default", True), ("key-2", False)]
    assert [(o.name, o.is_active) for o in Offering.objects.all()] == [("m1", False), ("m2", True)]


def test_the_members_become_the_files_list_and_equal_rows_are_kept() -> None:
    head = 'providers: [{name: p, base_url: "https://p.example/v1"}, {name: q, base_url: "https://q.example/v1"}]\n'
    apply(
        head
        + "model_groups: [{name: g, channels:"
        + " [{provider: p, model: a}, {provider: p, model: b}, {provider: q, model: a}]}]"
    )
    kept = {(m.target_name, m.model): m.pk for m in GroupMember.objects.all()}

    report = apply(
        head
        + "model_groups: [{name: g, channels:"
        + " [{provider: q, model: a}, {provider: p, model: c}, {provider: p, model: a}]}]"
    )

    assert lines(report) == (
        ["group member g: p/c"],
        ["group member g: q/a (position)", "group member g: p/a (position)"],
        ["group member g: p/b"],
    )
    members = [(m.target_name, m.model, m.pk) for m in GroupMember.objects.all()]
    assert [m[:2] for m in members] == [("q", "a"), ("p", "c"), ("p", "a")]
    assert members[0][2] == kept["q", "a"] and members[2][2] == kept["p", "a"]


def test_the_older_form_of_groups_names_channels_under_provider() -> None:
    report = apply("""
providers: [{name: p, base_url: "https://p.example/v1"}]
channels: [{name: c, provider: p, keys: [x], models: [m]}]
model_groups:
  "auto:old":
    display_name: Old
    channels: [{provider: p, model: m}, {provider: c, model: m}, {provider: nowhere, model: m}]
  "auto:bare": {active: false}
""")

    assert [(g.name, g.display_name) for g in ModelGroup.objects.all()] == [("auto:bare", ""), ("auto:old", "Old")]
    provider, channel, waiting = GroupMember.objects.all()
    assert provider.provider and channel.channel and channel.channel.name == "c"
    assert waiting.waiting_for == "nowhere"
    assert [w for w in report.warnings if "nowhere" in w] == report.warnings


def test_a_waiting_member_joins_when_its_provider_appears() -> None:
    apply("model_groups: [{name: g, channels: [{provider: groq, model: m}]}]")

    report = apply('providers: [{name: groq, base_url: "https://groq.example/v1"}]')

    member = GroupMember.objects.get()
    assert member.provider and member.provider.name == "groq" and member.waiting_for == ""
    assert lines(report)[1] == ["group member g: groq/m (provider, waiting_for)"]


def test_an_undated_price_adds_to_the_history_only_when_it_differs() -> None:
    head = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
    tiers = "tiers: [{min_prompt_tokens: 9, input: 1.0}]"
    model = f"models: [{{provider: p, model: m, price: {{input: %s, output: 0.60, {tiers}}}}}]"
    apply(head + model % "0.15")
    first = ModelPrice.objects.get()

    same = apply(head + model % "0.150")
    other = apply(head + model % "0.16")

    assert same.is_unchanged and of(other, Action.ADDED) == ["model price p/m from now"]
    newest, oldest = ModelPrice.objects.all()
    assert (oldest.pk, oldest.input, newest.input) == (first.pk, Decimal("0.15"), Decimal("0.16"))
    assert newest.effective_from > oldest.effective_from


def test_a_price_of_the_future_is_not_the_one_in_force() -> None:
    soon = (now() + timedelta(days=3)).isoformat()
    head = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
    apply(head + f"models: [{{provider: p, model: m, prices: [{{effective_from: '{soon}', input: 5, output: 5}}]}}]")

    apply(head + "models: [{provider: p, model: m, price: {input: 5, output: 5}}]")

    assert ModelPrice.objects.count() == 2


def test_a_dated_price_is_corrected_in_place() -> None:
    head = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
    apply(head + "models: [{provider: p, model: m, prices: [{effective_from: 2026-01-01, input: 1, output: 2}]}]")

    report = apply(
        head + "models: [{provider: p, model: m, prices: [{effective_from: 2026-01-01, input: 1, output: 3}]}]"
    )

    assert [(str(line), *map(str, line.fields)) for line in report.lines] == [
        ("model price p/m from 2026-01-01 00:00 (output)", "output: 2 -> 3")
    ]
    assert ModelPrice.objects.get().output == 3


def test_an_undated_exchange_rate_adds_only_when_it_differs() -> None:
    for usd in ("0.14", "0.140", "0.15"):
        apply(f"exchange_rates: [{{currency: CNY, usd: {usd}}}]")

    assert [rate.usd for rate in ExchangeRate.objects.all()] == [Decimal("0.15"), Decimal("0.14")]
