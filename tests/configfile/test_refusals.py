"""Each kind of wrong input: refused with its file, line and field, and nothing is written."""

from pathlib import Path

import pytest

from routing.models import Change
from smartrouter.accounts.keys import digest_of
from smartrouter.configfile import ConfigError, apply_document, apply_files
from smartrouter.configfile.later import LATER
from tests.configfile.applying import refusal_of
from tests.configfile.documents import EVERYTHING, EXAMPLE, WITH_LATER_FIELDS, everything_stored

pytestmark = pytest.mark.django_db

P = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
GOOD_KEY = "rk_0123456789012345678901234"


FORM = [
    ("- a\n- b\n", "f.yml:1: The document must be a mapping of blocks: providers, models, "),
    ("text", "f.yml:1: The document must be a mapping of blocks: "),
    ("provider: []\n", "f.yml:1: provider: There is no such field; did you mean “providers”? There are: providers, models, "),
    ("\nproviders: 5\n", "f.yml:2: providers: Write a list here."),
    ("providers: {name: x}\n", "f.yml:1: providers: Write a list here."),
    ("providers:\n  - x\n", "f.yml:2: providers[0]: Expected a mapping, found text."),
    ("providers:\n  - name: x\n", "f.yml:2: providers[0].base_url: “base_url” is missing."),
    ("providers:\n  - name: x\n    base_url: 5\n",
     "f.yml:3: providers[0].base_url: Expected text, found a whole number."),
    ("providers:\n  - name: x\n    base_url: http://y\n    base_ur: y\n",
     "f.yml:4: providers[0].base_ur: There is no such field; did you mean “base_url”? There are: name, "),
    ("tenants: [{name: t, active: yes}]", "f.yml:1: tenants[0].active: Expected true or false, found text."),
    ("models: [{provider: p, model: m, context_length: 1.5}]",
     "f.yml:1: models[0].context_length: Expected a whole number"),
    ("models: [{provider: p, model: m, price: {input: x}}]", "f.yml:1: models[0].price.input: "),
    ("channels:\n- name: c\n  provider: p\n  keys:\n  - 5\n",
     "f.yml:5: channels[0].keys[0]: Expected text or a mapping, found a whole number."),
    ("channels: [{name: c, provider: p, timeouts: {idle: 5}}]",
     "f.yml:1: channels[0].timeouts.idle: There is no such field; "
     "did you mean “idle_s”? There are: connect_s, first_content_s, idle_s, total_s."),
    ("channels: [{name: c, provider: p, models: [{model: m, price: {inpt: 5}}]}]",
     "f.yml:1: channels[0].models[0].price.inpt: "
     "There is no such field; did you mean “input”? There are: effective_from, currency, input, "),
    ("tenants: [{name: t, router_keys: [{name: k, expires_at: soon}]}]",
     "f.yml:1: tenants[0].router_keys[0].expires_at: Write "),
    ("channels: [{name: c, provider: p, extra_headers: {X-A: 5}}]",
     "f.yml:1: channels[0].extra_headers.X-A: Write this as text"),
    ("model_groups:\n  g:\n    channels: 5\n",
     "f.yml:3: model_groups.g.channels: Expected a list, found a whole number."),
    ("model_groups:\n  g: 5\n", "f.yml:2: model_groups.g: Expected a mapping, found a whole number."),
    (P + P.replace("providers", "tenants").replace("base_url", "timezone"), "f.yml:2: tenants[0].timezone: “https://p.example/v1"),
]  # fmt: skip

RULES = [
    ('providers:\n  - name: x\n    kind: oficial\n    base_url: "https://x.example"\n',
     "f.yml:3: providers[0].kind: Use one of: official, aggregator, reseller, local."),
    ('providers:\n- {name: X Y, base_url: "https://x.example"}\n',
     "f.yml:2: providers[0].name: Use lower-case letters"),
    ("providers:\n- {name: x, base_url: x.example}\n",
     "f.yml:2: providers[0].base_url: Start the address with https://"),
    ('providers:\n- {name: x, adapter: none, base_url: "https://x"}\n',
     "f.yml:2: providers[0].adapter: Unknown adapter"),
    (P + "models: [{provider: q, model: m}]", "f.yml:2: models[0].provider: There is no “q” in providers."),
    (P + "models: [{provider: p, model: m, quality_score: 2}]",
     "f.yml:2: models[0].quality_score: The quality score goes from 0 to 1."),
    (P + "models: [{provider: p, model: m, capabilities: [x]}]",
     "f.yml:2: models[0].capabilities: Unknown capability: x"),
    (P + "models: [{provider: p, model: m, price: {input: -1}}]",
     "f.yml:2: models[0].price.input: Ensure this value"),
    (P + "models: [{provider: p, model: m, price: {input: 0.0000000001}}]",
     "f.yml:2: models[0].price.input: Ensure that"),
    (P + "models: [{provider: p, model: m, price: {input: 1234567.890123456}}]",
     "f.yml:2: models[0].price.input: This number "
     "has more than 15 digits."),
    (P + "models: [{provider: p, model: m, price: {input: 1e999999}}]", "f.yml:2: models[0].price.input: "),
    (P + "models: [{provider: p, model: m, price: {input: 'NaN'}}]", "f.yml:2: models[0].price.input: "),
    (P + "models: [{provider: p, model: m, price: {tiers: [{input: 1}]}}]",
     "f.yml:2: models[0].price.tiers[0]: Each tier needs"),
    (P + "models: [{provider: p, model: m, price: {currency: usd}}]",
     "f.yml:2: models[0].price.currency: Use a three-letter"),
    (P + "models: [{provider: p, model: m, prices: [{input: 1}]}]",
     "f.yml:2: models[0].prices[0].effective_from: “effective_from” is missing."),
    (P + "models: [{provider: p, model: m, price: {input: 1}, prices: []}]",
     "f.yml:2: models[0].price: Give either price or"),
    (P + "models: [{provider: p, model: m, prices: [{effective_from: 2026-01-01}, {effective_from: 2026-01-01T00:00:00Z}]}]",
     "f.yml:2: models[0].prices[1]: “2026-01-01T00:00:00Z” is there twice"),
    ("exchange_rates: [{currency: CNY, usd: 0}]", "f.yml:1: exchange_rates[0].usd: Ensure this value is greater"),
    ("tenants: [{name: t, timezone: Mars/Base}]", "f.yml:1: tenants[0].timezone: “Mars/Base” is not a time zone"),
    ("tenants: [{name: t, parent: nobody}]", "f.yml:1: tenants[0].parent: There is no “nobody” in tenants."),
    ("tenants: [{name: t, users: [{username: u, role: boss}]}]",
     "f.yml:1: tenants[0].users[0].role: Use one of: viewer"),
    ("tenants: [{name: t, users: [{username: u u, role: admin}]}]",
     "f.yml:1: tenants[0].users[0].username: Enter a valid"),
    ("tenants: [{name: t, users: [{username: u, role: admin, email: x}]}]",
     "f.yml:1: tenants[0].users[0].email: Enter a valid"),
    ("tenants:\n- {name: t, users: [{username: u, role: admin, email: a@b.cd}]}\n- {name: s, users: [{username: u, role: "
     "admin, email: c@b.cd}]}", "f.yml:3: tenants[1].users[0].email: Another tenant's entry says something else"),
    ("tenants: [{name: t, router_keys: [{name: k}]}]",
     "f.yml:1: tenants[0].router_keys[0].key: A new router key needs its key"),
    ("tenants: [{name: t, router_keys: [{name: k, key: short}]}]",
     "f.yml:1: tenants[0].router_keys[0].key: A router key has 20"),
    ("tenants: [{name: t, router_keys: [{name: k, key: 'env:NOT_THERE'}]}]",
     "f.yml:1: tenants[0].router_keys[0].key: The "
     "environment variable NOT_THERE is not set."),
    ("tenants: [{name: t, router_keys: [{name: k, key: 'digest:abc'}]}]",
     "f.yml:1: tenants[0].router_keys[0].key: A digest has"),
    (f"tenants: [{{name: t, router_keys: [{{name: k, key: {GOOD_KEY}}}, {{name: l, key: {GOOD_KEY}}}]}}]",
     "f.yml:1: tenants[0].router_keys[1].key: This key is there twice; first at f.yml:1: tenants[0].router_keys[0]."),
    (f"tenants: [{{name: t, router_keys: [{{name: k, key: {GOOD_KEY}, models: ['a*b']}}]}}]",
     "f.yml:1: tenants[0].router_keys[0]"
     ".models: “a*b”: a * may stand only at the end"),
    (P + "channels:\n- name: c\n  provider: p\n  keys:\n  - ok\n  - env:NOT_THERE\n",
     "f.yml:7: channels[0].keys[1].key: The "
     "environment variable NOT_THERE is not set."),
    (P + "channels: [{name: c, provider: p, keys: ['env:']}]",
     "f.yml:2: channels[0].keys[0].key: After env: comes the name"),
    (P + f"channels: [{{name: c, provider: p, keys: ['digest:{'a' * 64}']}}]",
     "f.yml:2: channels[0].keys[0].key: A digest cannot"),
    (P + "channels: [{name: c, provider: p, keys: ['sealed:???']}]",
     "f.yml:2: channels[0].keys[0].key: This sealed value is"),
    (P + "channels: [{name: c, provider: p, keys: ['sealed:AAAA']}]",
     "f.yml:2: channels[0].keys[0].key: None of ENCRYPTION_KEYS"),
    (P + "channels: [{name: c, provider: p, keys: ['']}]", "f.yml:2: channels[0].keys[0].key: This key is empty"),
    (P + "channels: [{name: c, provider: p, keys: ['two words']}]",
     "f.yml:2: channels[0].keys[0].key: A key has no spaces"),
    (P + "channels: [{name: c, provider: p, keys: [{name: k}]}]",
     "f.yml:2: channels[0].keys[0].key: A new channel key needs its key"),
    (P + "channels: [{name: c, provider: p, keys: [{name: key-2, key: a}, b]}]",
     "f.yml:2: channels[0].keys[1]: “key-2” is there"),
    (P + "channels: [{name: c, provider: p, models: [m, m]}]",
     "f.yml:2: channels[0].models[1]: “m” is there twice; first at"),
    (P + "channels: [{name: c, provider: p, owner: t}]", "f.yml:2: channels[0].owner: There is no “t” in tenants."),
    (P + "channels: [{name: c, provider: p, weight: -1}]",
     "f.yml:2: channels[0].weight: Ensure this value is greater"),
    (P + "channels: [{name: c, provider: p, weight: 1e999}]",
     "f.yml:2: channels[0].weight: This number is too large."),
    (P + "channels: [{name: c, provider: p, priority: -1}]",
     "f.yml:2: channels[0].priority: Ensure this value is greater"),
    (P + f"channels: [{{name: c, provider: p, priority: {'9' * 30}}}]", "f.yml:2: channels[0].priority: "),
    (P + "channels:\n- name: c\n  provider: p\n  timeouts:\n    idle_s: 0\n",
     "f.yml:6: channels[0].timeouts.idle_s: Ensure"),
    (P + 'channels: [{name: c, provider: p, proxy_url: "socks5://x:1"}]',
     "f.yml:2: channels[0].proxy_url: Use http://host:port"),
    (P + "channels: [{name: c, provider: p, extra_headers: {Host: x}}]",
     "f.yml:2: channels[0].extra_headers: The header “Host”"),
    (P + "channels: [{name: c, provider: p, param_overrides: {model: x}}]",
     "f.yml:2: channels[0].param_overrides: “model” is"),
    (P + "channels: [{name: c, provider: p, param_overrides: {a: {b: 1e999}}}]",
     "f.yml:2: channels[0].param_overrides.a.b: This"),
    ("model_groups: [{name: 'a b'}]", "f.yml:1: model_groups[0].name: A group's name has no spaces"),
    ("model_groups: [{name: g, channels: [{model: m}]}]",
     "f.yml:1: model_groups[0].channels[0]: Give either channel or provider."),
    ("model_groups: [{name: g, channels: [{channel: c, provider: p, model: m}]}]",
     "f.yml:1: model_groups[0].channels[0]: Give"),
    ("tenants:\n- {name: a}\n- {name: a}\n", "f.yml:3: tenants[1]: “a” is there twice; first at "),
    (P + "models: [{provider: p, model: m}, {provider: p, model: m}]",
     "f.yml:2: models[1]: “p/m” is there twice; first at"),
    ("tenants: [{name: a, was: b}, {name: b}]",
     "f.yml:1: tenants[0].was: “b” is also an entry of its own; choose one."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FORM + RULES)
def test_wrong_input_is_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    found = refusal_of(text, tmp_path)

    assert len(found) == 1
    assert found[0].startswith(message)


def test_what_nothing_would_enforce_is_refused_and_told_where_it_belongs(tmp_path: Path) -> None:
    found = refusal_of(WITH_LATER_FIELDS, tmp_path)

    said = {message.split(": ")[1]: message.split(": ", 2)[2] for message in found}
    later, here = "This limit or budget is not known to this version yet", "Nothing would enforce this field here. "
    budgets, rates = here + "Tenants, router keys, users", here + "Tenants and router_keys have rpm"
    expected = {
        "providers[0].budgets": budgets,
        "models[0].tpm": rates,
        "models[0].budgets": budgets,
        "channels[0].daily_limit": later,
        "channels[0].rpm": later,
        "channels[0].models[0].budgets": budgets,
        "channels[0].max_parallel": later,
        "model_groups[0].daily_limit": budgets,
        "model_groups[0].sticky": "Sticky routing",
        "model_groups[0].channels[0].rpm": rates,
        "model_groups[0].channels[0].budgets": budgets,
        "tenants[0].networks": here + "Each of router_keys",
        "tenants[0].max_cost_per_request_usd": here + "Each of model_groups",
        "tenants[0].limit_usd": budgets,
        "tenants[0].users[0].tpm": rates,
        "tenants[0].end_users[0].rpm": rates,
        "tenants[0].router_keys[0].allowed_ips": here + "Each of router_keys",
        "tenants[0].router_keys[0].quota": budgets,
        "tenants[0].router_keys[0].end_user_rpm": rates,
    }
    assert list(said) == list(expected)
    assert [place for place, beginning in expected.items() if not said[place].startswith(beginning)] == []


def test_a_block_of_a_later_version_is_refused(tmp_path: Path) -> None:
    assert refusal_of("pricing_policies: []", tmp_path) == [f"f.yml:1: pricing_policies: {LATER['pricing_policies']}"]


def test_errors_in_several_entries_come_together(tmp_path: Path) -> None:
    found = refusal_of(
        """\
providers:
  - {name: a, kind: x, base_url: "https://a.example"}
  - {name: b, base_url: nothing}
tenants:
  - {name: t, timezone: Nowhere}
channels:
  - {name: c, provider: a, keys: [x]}
""",
        tmp_path,
    )

    # the channel of the refused provider is not one more error
    assert [message.split(": ")[1] for message in found] == [
        "providers[0].kind",
        "providers[1].base_url",
        "tenants[0].timezone",
    ]


def test_a_wrong_last_block_takes_back_everything_before_it(tmp_path: Path) -> None:
    found = refusal_of(EVERYTHING + "  - {names: 'a b', routing_strategy: auto}\n", tmp_path)

    assert len(found) == 1 and "strategies[2].names" in found[0]
    assert not Change.objects.exists()


def test_a_wrong_file_beside_a_right_one_takes_back_both(tmp_path: Path) -> None:
    (tmp_path / "right.yml").write_text(EXAMPLE)
    (tmp_path / "wrong.yml").write_text("tenants: [{name: t, kind: x}]")
    before = everything_stored()

    with pytest.raises(ConfigError, match=r"wrong\.yml:1: tenants\[0\]\.kind: "):
        apply_files([tmp_path / "right.yml", tmp_path / "wrong.yml"])

    assert everything_stored() == before


def test_both_names_of_a_rename_in_the_database_are_refused(tmp_path: Path) -> None:
    apply_document({"tenants": [{"name": "a"}, {"name": "b"}]})

    found = refusal_of("tenants: [{name: a, was: b}]", tmp_path)

    assert found == ["f.yml:1: tenants[0].was: The old and the new name both exist; remove “was” or one of them."]


def test_tenants_in_a_circle_are_refused(tmp_path: Path) -> None:
    assert refusal_of("tenants: [{name: a, parent: b}, {name: b, parent: a}, {name: c}]", tmp_path) == [
        "f.yml:1: tenants[0].parent: A tenant cannot be below itself.",
        "f.yml:1: tenants[1].parent: A tenant cannot be below itself.",
    ]


def test_a_tenant_cannot_come_below_one_of_its_own_that_the_file_does_not_have(tmp_path: Path) -> None:
    apply_document({"tenants": [{"name": "a"}, {"name": "b", "parent": "a"}]})

    assert refusal_of("tenants: [{name: a, parent: b}]", tmp_path) == [
        "f.yml:1: tenants[0].parent: A tenant cannot be below itself."
    ]


def test_another_tenants_key_cannot_be_taken_over(tmp_path: Path) -> None:
    apply_document({"tenants": [{"name": "a", "router_keys": [{"name": "k", "key": GOOD_KEY}]}]})

    text = f"tenants: [{{name: b, router_keys: [{{name: k, key: 'digest:{digest_of(GOOD_KEY)}'}}]}}]"

    assert refusal_of(text, tmp_path) == [
        "f.yml:1: tenants[0].router_keys[0].key: This key is there already, as the router key “a/k”."
    ]


def test_no_refusal_shows_a_secret(tmp_path: Path) -> None:
    secret = "ssecret-0123456789 with a space"
    for text in (
        f"{{channels: [{{name: c, provider: p, keys: [{{key:{secret}}}]}}]}}",
        f"{P}channels: [{{name: c, provider: p, keys: [{secret}]}}]",
        f"{P}channels: [{{name: c, provider: p, extra_headers: {{X-A: 'sealed:{secret}'}}}}]",
        f'{P}channels: [{{name: c, provider: p, extra_headers: {{X-A: "{secret}\\n"}}}}]',
        f'{P}channels: [{{name: c, provider: p, proxy_url: "http://u:{secret}@host:99999"}}]',
        f"tenants: [{{name: t, router_keys: [{{name: k, key: {secret}}}]}}]",
        f"tenants: [{{name: t, router_keys: [{{name: k, key: 'digest:{secret}'}}]}}]",
        f"tenants: [{{name: t, router_keys: [{{name: k, key: 'env:{secret}'}}]}}]",
        f"tenants: [{{name: t, router_keys: [{{name: k, key: [{secret}]}}]}}]",
    ):
        assert "ssecret" not in "\n".join(refusal_of(text, tmp_path)), text


def test_a_document_that_is_no_file_has_places_without_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        apply_document({"tenants": [{"name": "t", "kind": "x"}]}, source="starter")

    assert caught.value.messages == ["starter: tenants[0].kind: Use one of: organisation, team, person."]
