"""--prune: what the files do not have is switched off, block by block, and nothing is deleted."""

import io
from pathlib import Path

import pytest
from django.core.management import call_command

from channels.models import Channel, ChannelKey, Offering, OfferingPrice
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
from routing.models import Change, GroupMember, ModelGroup
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from smartrouter.configfile import apply_files, export_document
from smartrouter.configfile.report import Action
from tests.configfile.applying import apply, lines, of
from tests.configfile.documents import everything_stored

pytestmark = pytest.mark.django_db

KEYS = "rk_prune_a_0123456789abcdef", "rk_prune_b_0123456789abcdef", "rk_prune_c_0123456789abcdef"
WHOLE = f"""\
providers:
  - {{name: p, base_url: "https://p.example/v1"}}
  - {{name: q, base_url: "https://q.example/v1"}}
models:
  - {{provider: p, model: m, price: {{input: 1, output: 2}}}}
  - {{provider: q, model: n, price: {{input: 1, output: 2}}}}
exchange_rates: [{{currency: CNY, usd: 0.14, effective_from: 2026-01-01}}]
tenants:
  - name: a
    router_keys: [{{name: one, key: {KEYS[0]}}}, {{name: two, key: {KEYS[1]}}}]
    users: [{{username: ann, role: admin}}, {{username: bob, role: viewer}}]
  - name: b
    router_keys: [{{name: three, key: {KEYS[2]}}}]
channels:
  - {{name: c, provider: p, keys: [key-of-c], models: [m]}}
  - {{name: d, provider: q, keys: [key-of-d], models: [{{name: n, model: n, price: {{input: 0, output: 0}}}}]}}
model_groups:
  - {{name: g, channels: [{{channel: c, model: m}}, {{channel: d, model: n}}]}}
  - {{name: h, channels: [{{provider: q, model: n}}]}}
"""
# The same without q, n, b, two, d and h.
PART = f"""\
providers: [{{name: p, base_url: "https://p.example/v1"}}]
models: [{{provider: p, model: m, price: {{input: 1, output: 2}}}}]
exchange_rates: []
tenants:
  - name: a
    router_keys: [{{name: one, key: {KEYS[0]}}}]
    users: [{{username: ann, role: admin}}, {{username: bob, role: viewer}}]
channels: [{{name: c, provider: p, keys: [key-of-c], models: [m]}}]
model_groups: [{{name: g, channels: [{{channel: c, model: m}}]}}]
"""
COUNTED = (
    Provider, ProviderModel, ModelPrice, ExchangeRate, Tenant, RouterKey, User, Membership,
    Channel, ChannelKey, Offering, OfferingPrice, ModelGroup,
)  # fmt: skip


def inactive() -> list[str]:
    """Every row that is off, as model:name."""
    kinds = (Provider, ProviderModel, Tenant, RouterKey, Channel, ChannelKey, Offering, ModelGroup)
    return [
        f"{kind._meta.model_name}:{row.name}" for kind in kinds for row in kind._default_manager.filter(is_active=False)
    ]


def counts() -> list[int]:
    return [kind._default_manager.count() for kind in COUNTED]


def test_what_the_file_does_not_have_is_switched_off_and_nothing_is_deleted() -> None:
    apply(WHOLE)
    before = counts()

    assert lines(apply(PART, dry_run=True)) == ([], [], ["group member g: d/n"])  # and that is all without --prune
    report = apply(PART, with_prune=True)

    off = ["provider:q", "providermodel:n", "tenant:b", "routerkey:two", "routerkey:three"]
    assert sorted(inactive()) == sorted([*off, "channel:d", "channelkey:default", "offering:n", "modelgroup:h"])
    assert counts() == before
    assert of(report, Action.SWITCHED_OFF) == [
        "provider q",
        "provider model q/n",
        "tenant b",
        "router key a/two",
        "router key b/three",
        "channel d",
        "channel key d/default",
        "offering d/n",
        "model group h",
    ]
    assert lines(report) == ([], [], ["group member g: d/n"])  # a listed group's members are the list, as ever
    assert report.warnings == []
    assert [m.group.name for m in GroupMember.objects.all()] == ["g", "h"]


def test_a_second_prune_changes_nothing_and_writes_nothing() -> None:
    apply(WHOLE)
    apply(PART, with_prune=True)
    before = everything_stored()

    report = apply(PART, with_prune=True)

    assert report.is_unchanged
    assert everything_stored() == before


def test_what_comes_back_is_active_again() -> None:
    apply(WHOLE)
    apply(PART, with_prune=True)

    report = apply(WHOLE, with_prune=True)

    assert inactive() == []
    assert {str(change) for line in report.of(Action.CHANGED) for change in line.fields} == {"active: false -> true"}
    assert len(report.of(Action.CHANGED)) == 9
    assert of(report, Action.ADDED) == ["group member g: d/n"]


def test_diff_says_what_prune_does_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text(PART)
    apply(WHOLE)
    before = everything_stored()

    def config(*arguments: str) -> str:
        out = io.StringIO()
        call_command("config", *arguments, str(path), stdout=out)
        return out.getvalue()

    said = config("diff", "--prune")

    assert everything_stored() == before
    assert said.endswith("\n9 switched off, 1 removed.\n")
    assert "tenants:\n  switched off: tenant b\n  switched off: router key a/two\n" in said
    assert "switched off" not in config("diff")
    assert config("apply", "--prune") == said


def test_each_switch_is_in_the_change_log() -> None:
    apply(WHOLE)
    Change.objects.all().delete()

    apply("providers: [{name: p, base_url: 'https://p.example/v1'}]", with_prune=True)

    assert [str(change) for change in Change.objects.all()] == [
        f"providers.provider:{Provider.objects.get(name='q').pk}"
    ]


@pytest.mark.parametrize(
    ("text", "off"),
    [
        ("providers: [{name: p, base_url: 'https://p.example/v1'}]", ["provider:q"]),
        ("models: [{provider: p, model: m}]", ["providermodel:n"]),
        ("tenants: [{name: a}]", ["tenant:b", "routerkey:three"]),
        ("tenants: [{name: a, router_keys: []}, {name: b}]", ["routerkey:one", "routerkey:two"]),
        ("channels: [{name: c, provider: p}]", ["channel:d", "channelkey:default", "offering:n"]),
        ("model_groups: {g: }", ["modelgroup:h"]),
        ("exchange_rates: []", []),
        ("providers:\nmodels:\ntenants: null\nchannels: ~\nmodel_groups:\n", []),
        ("{}", []),
    ],
)
def test_only_blocks_that_the_file_has_are_pruned(text: str, off: list[str]) -> None:
    apply(WHOLE)

    apply(text, with_prune=True)

    assert sorted(inactive()) == sorted(off)


@pytest.mark.parametrize("block", ["providers", "models", "tenants", "channels", "model_groups"])
def test_an_empty_list_switches_everything_off_and_says_so(block: str) -> None:
    apply(WHOLE)

    report = apply(f"{block}: []", with_prune=True)

    assert len(inactive()) >= 2
    assert report.warnings == [
        f"f.yml: {block}: The files have no entry in {block}: everything in it is switched off (2 rows)."
    ]
    assert apply(f"{block}: []", with_prune=True).warnings == []


def test_several_files_are_pruned_by_together(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yml", tmp_path / "two.yml"
    one.write_text("tenants: [{name: a}]\nproviders: []\n")
    two.write_text("tenants: [{name: b}]\nproviders: [{name: p, base_url: 'https://p.example/v1'}]\n")
    apply(WHOLE)

    report = apply_files([one, two], with_prune=True)

    assert inactive() == ["provider:q"]
    assert report.warnings == []


def test_a_renamed_row_is_not_pruned() -> None:
    apply(WHOLE)

    report = apply("tenants: [{name: a}, {name: bee, was: b}]", with_prune=True)

    assert inactive() == []
    assert [(line.name, line.was) for line in report.lines] == [("bee", "b")]


def test_a_model_that_only_a_channel_of_the_file_names_belongs_to_the_file() -> None:
    head = 'providers: [{name: p, base_url: "https://p.example/v1"}]\nmodels: []\n'
    both = head + "channels: [{name: c, provider: p, models: [m, n]}]"
    apply(both, with_prune=True)

    again = apply(both, with_prune=True)
    without = apply(head + "channels: [{name: c, provider: p, models: [m]}]", with_prune=True)
    back = apply(both, with_prune=True)

    assert again.is_unchanged
    assert of(without, Action.SWITCHED_OFF) == ["offering c/n", "provider model p/n"]
    assert lines(back)[1] == ["offering c/n (active)", "provider model p/n (active)"]
    assert inactive() == []


def test_an_offering_of_a_switched_off_model_is_warned_of() -> None:
    apply('providers: [{name: p, base_url: "https://p.example/v1"}]\nchannels: [{name: c, provider: p, models: [m]}]')
    ProviderModel.objects.update(is_active=False)

    report = apply("channels: [{name: c, provider: p, models: [m]}]")

    assert report.is_unchanged
    assert report.warnings == [
        "f.yml: channels[0].models[0]: The model “p/m” is switched off in the catalogue; "
        "nothing is served by this offering."
    ]


def test_users_and_memberships_stay_and_a_member_beside_the_list_is_named() -> None:
    apply(WHOLE)

    report = apply("tenants: [{name: a, users: [{username: ann, role: admin}]}, {name: b}]", with_prune=True)

    assert report.is_unchanged
    assert [str(m.user) for m in Membership.objects.order_by("pk")] == ["ann", "bob"]
    assert User.objects.filter(is_active=True).count() == 2
    assert report.warnings == [
        "f.yml: tenants[0].users: “bob” is a member and not in this list; memberships are not switched off."
    ]


def test_what_the_files_name_but_do_not_have_is_warned_of() -> None:
    apply(WHOLE)

    report = apply(
        "providers: [{name: p, base_url: 'https://p.example/v1'}]\n"
        "tenants: [{name: a, parent: b}]\n"
        "channels: [{name: d, provider: q, owner: b}]\n"
        "model_groups: [{name: g, channels: [{channel: c, model: m}, {provider: q, model: n}]}]",
        with_prune=True,
    )

    said = "The files name “%s” here but have no such entry in %s: it is switched off."
    assert [warning for warning in report.warnings if "The files name" in warning] == [
        f"f.yml: tenants[0].parent: {said % ('b', 'tenants')}",
        f"f.yml: channels[0].provider: {said % ('q', 'providers')}",
        f"f.yml: channels[0].owner: {said % ('b', 'tenants')}",
        f"f.yml: model_groups[0].channels[0].channel: {said % ('c', 'channels')}",
        f"f.yml: model_groups[0].channels[1].provider: {said % ('q', 'providers')}",
    ]


def test_a_row_that_breaks_a_newer_rule_can_still_be_switched_off() -> None:
    apply(WHOLE)
    Provider.objects.filter(name="q").update(base_url="no address", kind="none of them")

    apply("providers: [{name: p, base_url: 'https://p.example/v1'}]", with_prune=True)

    row = Provider.objects.get(name="q")
    assert (row.is_active, row.base_url, row.kind) == (False, "no address", "none of them")


def test_empty_blocks_everywhere_delete_nothing() -> None:
    apply(WHOLE)
    before = counts()

    apply("tenants: []\nchannels: []\nproviders: []\nmodels: []\nexchange_rates: []\nmodel_groups: []", with_prune=True)

    assert counts() == before
    assert not RouterKey.objects.filter(is_active=True).exists()


def test_ones_own_export_prunes_nothing_even_after_a_prune(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    apply(WHOLE)
    apply(PART, with_prune=True)
    path.write_text(export_document())

    assert apply_files([path], with_prune=True).is_unchanged
