"""What applying groups, strategies and time policies does to the rows."""

from datetime import time
from decimal import Decimal

import pytest

from providers.models import Provider, ProviderModel
from routing.models import GroupMember, ModelGroup, StrategyRule, TimePolicy
from smartrouter.accounts.models import RouterKey
from smartrouter.configfile import apply_document, export_document
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.report import Action
from tests.configfile.applying import apply, lines, of
from tests.configfile.documents import EVERYTHING, everything_stored

pytestmark = pytest.mark.django_db

# The example of the design, in the older form.
OLDER_FORM = """\
model_groups:
  "auto:free":
    display_name: "Free models"
    description: "Everything that costs nothing"
    routing_strategy:
      - {field: effective_cost, order: asc, weight: 1.0}
      - {field: speed_score, order: desc, weight: 0.9}
      - {field: quota_remaining, order: desc, weight: 0.7}
    filters: {max_cost_per_1k: 0.0, min_context_length: 4000}
    channels:
      - {provider: groq, model: llama-3.1-8b-instant, priority: 1, weight: 1.5, daily_limit: 1000}
      - {provider: openrouter, model: "meta-llama/llama-3.1-8b-instruct:free", priority: 2, weight: 1.0, daily_limit: 1000}
"""
NAMED = OLDER_FORM.replace('  "auto:free":\n', '  - name: "auto:free"\n')


@pytest.mark.parametrize("text", [OLDER_FORM, NAMED], ids=["mapping", "list"])
def test_the_designs_group_loads_in_both_forms_and_its_members_wait(text: str) -> None:
    report = apply(text)

    group = ModelGroup.objects.get()
    assert group.layers == [
        {"field": "effective_cost", "order": "asc", "weight": 1.0},
        {"field": "speed_score", "order": "desc", "weight": 0.9},
        {"field": "quota_remaining", "order": "desc", "weight": 0.7},
    ]
    assert (group.name, group.display_name, group.strategy, group.selects) == ("auto:free", "Free models", "", False)
    assert (group.max_cost_per_1k, group.min_context_length) == (Decimal(0), 4000)
    assert [(m.waiting_for, m.priority, m.weight, m.daily_limit) for m in GroupMember.objects.all()] == [
        ("groq", 1, 1.5, 1000),
        ("openrouter", 2, 1.0, 1000),
    ]
    assert ["the member waits for it" in warning for warning in report.warnings] == [True, True]
    assert apply(text).is_unchanged


def test_every_field_of_a_group_arrives() -> None:
    apply(EVERYTHING)

    some, every = ModelGroup.objects.get(name="auto:some"), ModelGroup.objects.get(name="auto:any")
    assert (some.strategy, some.layers, some.selects, some.tags) == ("cost_first", [], True, ["qwen", "30b"])
    assert (some.max_cost_per_1k, some.min_context_length) == (Decimal("0.000000001"), 4000)
    assert (some.capabilities, some.provider_kinds) == (["vision", "reasoning"], ["local", "reseller"])
    assert some.regions == ["eu", "us-east"]
    assert (every.strategy, every.selects, every.tags, every.max_cost_per_1k) == ("", True, [], None)
    whole = ModelGroup.objects.get(name="auto:all")
    assert whole.layers == [
        {"field": "effective_cost", "order": "desc", "weight": 0.5},
        {"field": "speed_score", "weight": 1.0},
        {"field": "local", "weight": 0.0},
    ]
    assert whole.fallback == some
    assert [m.daily_limit for m in GroupMember.objects.all()] == [50, None, None]
    day, night, always = TimePolicy.objects.all()
    assert (day.days, day.start, day.end, day.timezone) == ([0, 1, 6], time(8), time(18, 30, 15), "Asia/Shanghai")
    assert (day.strategy, day.members_of, day.is_active) == ("local_first", some, False)
    assert (night.days, night.start, night.end, night.timezone) == ([0, 1, 2, 3, 4, 5, 6], time(22), time(6), "UTC")
    assert (night.strategy, night.layers, night.is_active) == ("", [{"field": "free", "weight": 3.0}], True)
    assert always.members_of and (always.members_of.name, always.position) == ("auto:none", 2)


def test_rules_regions_key_rules_and_unknown_capabilities_arrive() -> None:
    apply(EVERYTHING)

    one, star = StrategyRule.objects.get(pattern="gpt-*"), StrategyRule.objects.get(pattern="*")
    assert (star.strategy, star.layers, one.strategy) == ("balanced", [], "")
    assert one.layers == [
        {"field": "quality_score", "weight": 2.5},
        {"field": "response_time", "order": "asc", "weight": 1},
    ]
    assert [p.region for p in Provider.objects.all()] == ["", "us-east"]
    channel = Provider.objects.get(name="openai").channels.get()
    assert (channel.region, channel.timezone) == ("eu", "Europe/Berlin")
    known = {m.name: m.capabilities for m in ProviderModel.objects.all()}
    assert known == {"gpt-4o-mini": ["vision", "function_calling"], "gpt-new": None, "gpt-plain": []}
    key = RouterKey.objects.get(name="ci")
    assert (key.denied_models, key.default_model, key.can_choose_strategy) == (["gpt-4*", "local/*"], "auto:all", True)


def test_what_is_left_out_returns_to_its_default_but_lists_stay() -> None:
    apply(EVERYTHING)

    apply(
        "model_groups: [{name: auto:all}, {name: auto:some, select: true}]\nproviders: [{name: openai, base_url: http://x}]"
    )

    whole, some = ModelGroup.objects.get(name="auto:all"), ModelGroup.objects.get(name="auto:some")
    assert (whole.strategy, whole.layers, whole.fallback, whole.is_active) == ("", [], None, True)
    assert (whole.members.count(), whole.time_policies.count()) == (3, 3)
    assert (some.strategy, some.selects, some.tags, some.max_cost_per_1k) == ("", True, [], None)
    assert (some.capabilities, some.provider_kinds, some.regions) == ([], [], [])
    assert Provider.objects.get(name="openai").region == ""


def test_groups_may_name_groups_that_stand_further_down() -> None:
    text = """\
model_groups:
  - {name: a, select: true, fallback: b, time_policies: [{members_of: c}]}
  - {name: b, select: true, fallback: c}
  - {name: c, select: true}
"""

    report = apply(text)

    a = ModelGroup.objects.get(name="a")
    assert a.fallback and a.fallback.fallback and a.fallback.fallback.name == "c"
    assert of(report, Action.ADDED)[:3] == ["model group c", "model group b", "model group a"]
    assert lines(report)[1] == []
    assert apply(text).is_unchanged


def test_fallbacks_may_be_turned_around_in_one_go() -> None:
    apply(
        "model_groups: [{name: a, select: true, fallback: b}, {name: b, select: true, fallback: c}, {name: c, select: true}]"
    )

    apply(
        "model_groups: [{name: c, select: true, fallback: b}, {name: b, select: true, fallback: a}, {name: a, select: true}]"
    )

    found = {group.name: group.fallback and group.fallback.name for group in ModelGroup.objects.all()}
    assert found == {"a": None, "b": "a", "c": "b"}


def test_a_fallback_may_be_named_by_its_new_name() -> None:
    apply("model_groups: [{name: a, select: true, fallback: old}, {name: old, select: true}]")

    report = apply("model_groups: [{name: a, select: true, fallback: new}, {name: new, was: old, select: true}]")

    assert [str(line) for line in report.lines] == ["model group new"]
    assert ModelGroup.objects.get(name="a").fallback == ModelGroup.objects.get(name="new")


def test_time_policies_become_the_files_list_and_those_of_the_same_hours_are_kept() -> None:
    head = "model_groups: [{name: g, select: true, time_policies: [%s]}]"
    apply(head % "{days: [sat, sun], routing_strategy: auto}, {from: '22:00', to: '06:00', routing_strategy: auto}")
    weekend, night = TimePolicy.objects.all()

    report = apply(
        head
        % "{from: '22:00', to: '6:00', routing_strategy: balanced}, {from: '12:00', to: '24:00', routing_strategy: auto}"
    )

    assert lines(report) == (
        ["time policy g: every day 12:00-00:00 UTC"],
        ["time policy g: every day 22:00-06:00 UTC (position, routing_strategy)"],
        ["time policy g: sat, sun 00:00-00:00 UTC"],
    )
    assert TimePolicy.objects.all()[0].pk == night.pk
    assert not TimePolicy.objects.filter(pk=weekend.pk).exists()
    apply("model_groups: [{name: g, select: true, time_policies: []}]")
    assert not TimePolicy.objects.exists()


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("", [0, 1, 2, 3, 4, 5, 6]),
        ("days: [sun, mon], ", [0, 6]),
        ("days: [6, 0, 0, Monday, SUN], ", [0, 6]),
        ("days: [tue, wed, thu, fri, sat], ", [1, 2, 3, 4, 5]),
    ],
)
def test_weekdays_are_names_or_numbers(written: str, numbers: list[int]) -> None:
    text = f"model_groups: [{{name: g, select: true, time_policies: [{{{written}routing_strategy: auto}}]}}]"

    apply(text)

    assert TimePolicy.objects.get().days == numbers
    assert apply(text).is_unchanged
    assert apply_document(read_text(export_document(), "e.yml")[0]).is_unchanged


def test_rows_as_the_admin_writes_them_come_back_from_an_export_unchanged() -> None:
    group = ModelGroup.objects.create(
        name="g", layers=[{"field": "free"}, {"field": "local", "order": "desc", "weight": 2}]
    )
    TimePolicy.objects.create(group=group, days=[6, 0, 6], start=time(1, 2, 3, 45), strategy="auto")
    TimePolicy.objects.create(group=group, layers=[{"field": "priority", "order": "asc"}], position=1)
    StrategyRule.objects.create(pattern="x", layers=[{"weight": 1, "field": "connections"}])
    before = everything_stored()

    report = apply_document(read_text(export_document(), "e.yml")[0])

    assert report.is_unchanged and everything_stored() == before
    assert report.warnings == [
        "document: model_groups[0].channels: This group is active, has no members and selects none: "
        "give it channels, or tags, or “select: true”."
    ]


@pytest.mark.parametrize(
    ("written", "selects", "tags"),
    [("tags: [qwen]", True, ["qwen"]), ("select: true", True, []), ("select: true, tags: [free]", True, ["free"])],
)
def test_tags_select(written: str, selects: bool, tags: list[str]) -> None:
    apply(f"model_groups: [{{name: g, {written}}}]")

    group = ModelGroup.objects.get()
    assert (group.selects, group.tags) == (selects, tags)


OFFERED = """\
providers: [{name: p, kind: local, region: eu, base_url: "https://p.example/v1"}]
models:
  - {provider: p, model: qwen3-8b, context_length: 8000, capabilities: [vision], price: {input: 1, output: 3}}
  - {provider: p, model: other-32k, capabilities: [], price: {input: 0, output: 0}}
channels: [{name: c, provider: p, models: [qwen3-8b, other-32k]}]
"""
UNMET = "No active offering meets this filter."
WARNED = [
    ("tags: [qwen3, nowhere]", ["tags[1]: No active offering has the tag “nowhere”."]),
    ("tags: [qwen3, free]", [": The group selects no offering now."]),
    ("select: true, filters: {max_cost_per_1k: 0}", []),
    ("tags: [qwen3], filters: {max_cost_per_1k: 0.003}", []),
    ("tags: [qwen3], filters: {max_cost_per_1k: 0.002}", [": The group selects no offering now."]),
    ("select: true, filters: {min_context_length: 32001}", [f"filters.min_context_length: {UNMET}"]),
    ("select: true, filters: {capabilities: [vision, audio], regions: [us], provider_kinds: [official]}",
     [f"filters.capabilities: {UNMET}", f"filters.provider_kinds: {UNMET}", f"filters.regions: {UNMET}"]),
    ("channels: [{provider: p, model: qwen3-8b}], filters: {max_cost_per_1k: 0}",
     ["filters: The filters let in none of what its members offer."]),
    ("channels: [{provider: p, model: other-32k}], filters: {max_cost_per_1k: 0, min_context_length: 32000}", []),
    ("active: false, tags: [nowhere]", []),
]  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), WARNED)
def test_what_nothing_meets_now_is_warned_of_with_its_place(written: str, expected: list[str]) -> None:
    report = apply(OFFERED + f"model_groups: [{{name: g, {written}}}]")

    assert report.warnings == [
        "f.yml: model_groups[0]" + (said if said.startswith(":") else f".{said}") for said in expected
    ]
