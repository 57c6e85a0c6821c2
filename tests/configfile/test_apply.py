"""What applying a configuration does to the rows."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from channels.models import Channel, ChannelKey, Offering, OfferingPrice
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
from routing.models import Change, GroupMember, ModelGroup
from smartrouter.accounts.keys import digest_of, hint_of
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from smartrouter.configfile import ConfigError, apply_document, apply_files
from smartrouter.configfile.report import Action
from smartrouter.lib.sealing import Secret
from tests.configfile.applying import apply, lines, of
from tests.configfile.documents import (
    CI_KEY,
    EVERYTHING,
    EXAMPLE,
    HEADER,
    OPENAI_KEY,
    PROXY,
    ROOT,
    SECRETS,
    everything_stored,
)

pytestmark = pytest.mark.django_db


def test_the_designs_example_becomes_rows(tmp_path: Path) -> None:
    path = tmp_path / "example.yml"
    path.write_text(EXAMPLE)

    report = apply_files([path])

    waits = "There is no provider or channel “%s” yet; the member waits for it."
    key = ChannelKey.objects.get()
    assert (key.channel.name, key.name, key.env_name, key.last_four) == (
        "openai-main",
        "default",
        "OPENAI_API_KEY",
        "ghij",
    )
    assert key.open_secret().reveal() == OPENAI_KEY
    router_key = RouterKey.objects.get()
    assert (router_key.digest, router_key.hint) == (digest_of(CI_KEY), hint_of(CI_KEY))
    assert router_key.allowed_models == ["auto:*", "openai/gpt-4o-mini"]
    assert Tenant.objects.get().timezone == "Asia/Shanghai"
    membership = Membership.objects.get()
    assert (membership.user.username, membership.role) == ("acme-admin", "admin")
    assert not membership.user.has_usable_password()
    assert not membership.user.is_superuser and not membership.user.is_staff
    price = ModelPrice.objects.get()
    assert (price.input, price.output, price.cache_read) == (Decimal("0.15"), Decimal("0.60"), Decimal("0.075"))
    assert [o.name for o in Offering.objects.all()] == ["fast", "gpt-4o-mini"]
    assert OfferingPrice.objects.get().output == 0
    assert [m.waiting_for for m in GroupMember.objects.all()] == ["groq", "openrouter"]
    assert report.warnings == [
        f"{path}:21: model_groups[0].channels[0]: {waits % 'groq'}",
        f"{path}:22: model_groups[0].channels[1]: {waits % 'openrouter'}",
    ]


def test_every_field_arrives() -> None:
    apply(EVERYTHING)

    main = Channel.objects.get(name="main")
    proxy, headers = main.open_sealed("proxy_url"), main.open_sealed("extra_headers")
    assert proxy is not None and proxy.reveal() == PROXY
    assert headers is not None and headers.reveal() == {"X-Team": HEADER, "X-Also": OPENAI_KEY}
    assert main.param_overrides == {
        "temperature": 0.2, "top_p": 1.0, "seed": 7, "stop": None, "nested": {"b": [True, "x"], "a": 1e-7},
    }  # fmt: skip
    assert (main.connect_timeout_s, main.first_byte_timeout_s, main.idle_timeout_s, main.total_timeout_s) == (
        1.5,
        2,
        3,
        4,
    )
    assert (main.owner and main.owner.name, main.priority, main.weight, main.is_active) == ("root", 3, 0.25, False)
    assert [(k.name, k.is_active) for k in main.keys.all()] == [("default", True), ("key-2", True), ("spare", False)]
    fast = Offering.objects.get(name="fast")
    assert (fast.provider_model.name, fast.aliases, fast.is_active) == ("gpt-new", ["quick", "007"], False)
    model = ProviderModel.objects.get(name="gpt-4o-mini")
    assert (model.display_name, model.tags, model.is_free) == ("yes", ["1e5", "10:00", "on", "~", "qwen"], True)
    old, later = ModelPrice.objects.order_by("effective_from")
    assert (old.currency, old.input, old.output) == ("CNY", Decimal("0.150000001"), Decimal("100000.000000009"))
    assert old.tiers == [{"min_prompt_tokens": 200000, "input": "2.50"}]
    assert old.windows == [{"days": [0, 6], "start": "01:00", "end": "10:30", "tz": "Asia/Shanghai", "output": "0.1"}]
    assert later.effective_from == datetime(2027, 3, 4, 3, 6, 7, 89, tzinfo=UTC)
    assert ExchangeRate.objects.get().usd == Decimal("0.1400000001")
    leaf = Tenant.objects.get(name="leaf")
    assert leaf.parent and leaf.parent.name == "root"
    ci = RouterKey.objects.get(name="ci")
    assert (ci.owner and ci.owner.username, ci.is_active, ci.env_name) == ("nobody-yet", False, "ACME_CI_KEY")
    ann = User.objects.get(username="ann")
    assert (ann.email, ann.first_name, ann.last_name) == ("ann@example.com", "Ann", "李")
    members = [(m.target_name, m.model, m.priority, m.weight, m.is_active) for m in GroupMember.objects.all()]
    assert members == [
        ("main", "fast", 2, 0.5, False),
        ("openai", "gpt-4o-mini", 1, 1.0, True),
        ("not-here-yet", "some-model", 1, 1.0, True),
    ]


@pytest.mark.parametrize("text", [EXAMPLE, EVERYTHING], ids=["example", "everything"])
def test_a_second_apply_writes_nothing(text: str) -> None:
    apply(text)
    before = everything_stored()

    report = apply(text)

    assert lines(report) == ([], [], []) and report.is_unchanged
    assert everything_stored() == before


def test_a_dry_run_reports_the_same_and_writes_nothing() -> None:
    before = everything_stored()

    dry = apply(EVERYTHING, dry_run=True)

    assert everything_stored() == before
    assert lines(dry)[0] and not dry.is_unchanged
    assert dry == apply(EVERYTHING)


def test_a_change_is_named_by_its_fields_and_logged() -> None:
    apply(EXAMPLE)
    Change.objects.all().delete()

    report = apply(EXAMPLE.replace("weight: 1.0,\n", "weight: 2.5, timeouts: {idle_s: 7},\n"))

    assert lines(report) == ([], ["channel openai-main (weight, timeouts.idle_s)"], [])
    assert [str(c) for c in Change.objects.all()] == [f"channels.channel:{Channel.objects.get().pk}"]


def test_a_field_that_is_left_out_returns_to_its_default_and_a_list_left_out_stays() -> None:
    apply(EVERYTHING)

    apply("channels: [{name: main, provider: openai}]")

    main = Channel.objects.get(name="main")
    assert (main.priority, main.weight, main.is_active, main.owner, main.base_url) == (1, 1.0, True, None, "")
    assert (main.proxy_url, main.extra_headers, main.param_overrides) == (None, None, {})
    assert main.keys.count() == 3 and main.offerings.count() == 2


def test_rows_that_the_file_does_not_have_stay_untouched() -> None:
    apply(EVERYTHING)
    before = everything_stored()

    report = apply("tenants: [{name: new, router_keys: [{name: k, key: rk_aaaaaaaaaaaaaaaaaaaaaaaa}]}]")

    assert lines(report) == (["tenant new", "router key new/k"], [], [])
    after = everything_stored()
    assert all(row in after[label] for label, rows in before.items() for row in rows)


def test_a_rename_keeps_the_row_and_can_be_applied_again() -> None:
    apply(EVERYTHING)
    pks = [
        m.objects.get(name=n).pk
        for m, n in ((Provider, "openai"), (Channel, "main"), (Tenant, "root"), (ModelGroup, "auto:all"))
    ]
    renamed = """
providers: [{name: open-ai, was: openai, base_url: "https://api.openai.com/v1"}]
models: [{provider: open-ai, model: mini, was: gpt-4o-mini}]
tenants: [{name: root2, was: root, router_keys: [{name: ci2, was: ci}]}]
channels: [{name: main2, was: main, provider: open-ai}]
model_groups: [{name: "auto:every", was: "auto:all"}]
"""

    report = apply(renamed)

    found = [
        m.objects.get(name=n).pk
        for m, n in ((Provider, "open-ai"), (Channel, "main2"), (Tenant, "root2"), (ModelGroup, "auto:every"))
    ]
    assert found == pks and not of(report, Action.ADDED)
    assert RouterKey.objects.get(name="ci2").digest == digest_of(CI_KEY)
    assert ProviderModel.objects.filter(name="mini").exists()
    assert apply(renamed).is_unchanged


def test_a_variables_new_value_comes_with_the_next_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    apply(EXAMPLE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-next-one-000000wxyz")

    report = apply(EXAMPLE)

    assert lines(report)[1] == ["channel key openai-main/default (key)"]
    key = ChannelKey.objects.get()
    assert (key.open_secret().reveal(), key.last_four) == ("sk-the-next-one-000000wxyz", "wxyz")


def test_an_existing_key_without_a_key_keeps_its_own() -> None:
    apply(EXAMPLE)

    apply("""
tenants: [{name: acme, timezone: Asia/Shanghai, router_keys: [{name: ci, active: false}]}]
channels: [{name: openai-main, provider: openai, keys: [{name: default, active: false}]}]
""")

    router_key, key = RouterKey.objects.get(), ChannelKey.objects.get()
    assert (router_key.digest, router_key.env_name, router_key.is_active) == (digest_of(CI_KEY), "ACME_CI_KEY", False)
    assert (key.open_secret().reveal(), key.env_name, key.is_active) == (OPENAI_KEY, "OPENAI_API_KEY", False)


def test_a_digest_is_taken_as_it_is() -> None:
    apply(f"tenants: [{{name: t, router_keys: [{{name: k, key: 'digest:{digest_of(CI_KEY)}', hint: rk_ci…mnop}}]}}]")

    key = RouterKey.objects.get()
    assert (key.digest, key.hint, key.env_name) == (digest_of(CI_KEY), "rk_ci…mnop", "")


def test_a_tenants_parent_may_come_later_and_may_be_turned_round() -> None:
    apply("tenants: [{name: c, parent: b}, {name: b, parent: a}, {name: a}]")

    apply("tenants: [{name: a, parent: c}, {name: b, parent: a}, {name: c}]")

    assert {t.name: t.parent and t.parent.name for t in Tenant.objects.all()} == {"a": "c", "b": "a", "c": None}


def test_an_existing_user_keeps_what_the_file_does_not_say() -> None:
    user = User.objects.create_superuser("boss", "boss@example.com", "a-good-password-1")

    apply("tenants: [{name: t, users: [{username: boss, role: admin, first_name: Bo}]}]")

    user.refresh_from_db()
    assert (user.email, user.first_name, user.is_superuser) == ("boss@example.com", "Bo", True)
    assert user.check_password("a-good-password-1")


def test_several_files_are_one_configuration(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yml", tmp_path / "two.yml"
    one.write_text("channels: [{name: c, provider: p, keys: [x]}]\n")
    two.write_text('\nproviders: [{name: p, base_url: "https://p.example/v1"}]\n')

    apply_files([one, two])

    assert Channel.objects.get().provider.name == "p"
    two.write_text('\nproviders: [{name: p, base_url: "https://p.example/v1"}]\nchannels: [{name: c, provider: p}]\n')
    with pytest.raises(ConfigError) as caught:
        apply_files([one, two])
    assert caught.value.messages == [f"{two}:3: channels[0]: “c” is there twice; first at {one}:1: channels[0]."]


def test_a_secret_that_nobody_can_open_any_more_is_replaced(settings: object) -> None:
    apply(EXAMPLE)
    settings.ENCRYPTION_KEYS = ["a-new-key-without-the-old-one"]  # type: ignore[attr-defined]

    apply(EXAMPLE)

    assert ChannelKey.objects.get().open_secret().reveal() == OPENAI_KEY


def test_a_program_may_hand_over_secrets_as_objects() -> None:
    apply_document({"tenants": [{"name": "t", "router_keys": [{"name": "k", "key": Secret(CI_KEY)}]}]})

    assert RouterKey.objects.get().digest == digest_of(CI_KEY)


def test_no_report_shows_a_secret() -> None:
    shown = repr(apply(EVERYTHING)) + repr(apply(EVERYTHING.replace("weight: 0.25", "weight: 0.5")))

    assert not [secret for secret in SECRETS if secret in shown]


def test_the_example_of_the_documentation_can_be_applied() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()

    report = apply(page.split("```yaml\n")[1].split("```")[0])

    assert report.warnings == []
    assert (Channel.objects.count(), ModelGroup.objects.count()) == (2, 2)
