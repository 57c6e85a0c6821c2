"""Each kind of wrong group, strategy and time policy: refused with its file, line and field, and nothing is written."""

from pathlib import Path

import pytest

from routing.models import ModelGroup
from routing.strategies import FIELDS, PRESETS
from smartrouter.configfile import apply_document
from tests.configfile.applying import apply, assert_refused, refusal_of

pytestmark = pytest.mark.django_db

P = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
KEY = "rk_groups_0123456789012345678"
G = "model_groups:\n- name: g\n  select: true\n"
L = G + "  routing_strategy:\n  - {field: local}\n"
POLICY = G + "  time_policies:\n  - routing_strategy: auto\n"
FALLBACK = "3: model_groups[%d].fallback: The fallback groups go in a circle: %s."
DAYS = "Write weekdays as mon, tue, wed, thu, fri, sat, sun, or as numbers from 0 (Monday) to 6 (Sunday)."
EMPTY = "This group is active, has no members and selects none"
NOT_HERE = "Nothing would enforce this field here."
LIMIT = "This limit or budget is not known to this version yet"

# A document, and the beginnings of all messages, in their order.
TABLE: list[tuple[str, list[str]]] = [
    # presets and layers
    (G + "  routing_strategy: cheapest\n",
     ["4: model_groups[0].routing_strategy: Use one of: auto, specified_provider, fallback, weighted_round_robin, "]),
    (G + "  routing_strategy: 5\n",
     ["4: model_groups[0].routing_strategy: Expected text or a list, found a whole number."]),
    (G + "  routing_strategy: {field: local}\n",
     ["4: model_groups[0].routing_strategy: Expected text or a list, found a mapping."]),
    (G + "  routing_strategy: [balanced]\n", ["4: model_groups[0].routing_strategy[0]: Expected a mapping, found text."]),
    (L + "  - {field: price}\n",
     ["6: model_groups[0].routing_strategy[1].field: “price” is not a field that layers can weigh; there are: "]),
    (L + "  - field: free\n    order: up\n",
     ["7: model_groups[0].routing_strategy[1].order: The order of “free” is asc (small is good) or desc (large is good)."]),
    (L + "  - field: free\n    weight: -1\n    order: up\n",
     ["7: model_groups[0].routing_strategy[1].weight: The weight of “free” is a number from 0 to 1000.",
      "8: model_groups[0].routing_strategy[1].order: The order of “free”"]),
    (L + "  - {field: free, weight: 1001}\n", ["6: model_groups[0].routing_strategy[1].weight: The weight of"]),
    (L + "  - {field: free, weight: heavy}\n",
     ["6: model_groups[0].routing_strategy[1].weight: Expected a number, found text."]),
    (L + "  - {field: free, wieght: 1}\n",
     ["6: model_groups[0].routing_strategy[1].wieght: There is no such field; did you mean “weight”? There are: field, "]),
    (L + "  - {weight: 1}\n", ["6: model_groups[0].routing_strategy[1].field: “field” is missing."]),
    (L + "  - {field: free}\n  - {field: local}\n",
     ["7: model_groups[0].routing_strategy[2].field: The field “local” is there twice; once is enough."]),
    (G + "  routing_strategy:\n  - {field: free, weight: 0}\n",
     ["4: model_groups[0].routing_strategy: At least one layer needs a weight above 0."]),
    (G + "  strategy: balanced\n",
     ["4: model_groups[0].strategy: There is no such field; did you mean “routing_strategy”?"]),
    # tags and filters
    ("model_groups:\n- name: g\n  tags: ['']\n",
     ["3: model_groups[0].tags: Give a list of tags; an empty one matches nothing."]),
    ("model_groups:\n- name: g\n  tags: [Qwen]\n", ["3: model_groups[0].tags: “Qwen” is not a tag"]),
    ("model_groups:\n- name: g\n  tags: [qwen3-8b]\n", ["3: model_groups[0].tags: “qwen3-8b” is not a tag"]),
    ("model_groups:\n- name: g\n  tags: qwen\n", ["3: model_groups[0].tags: Expected a list, found text."]),
    ("model_groups:\n- name: g\n  select: false\n  tags: [qwen]\n", ["4: model_groups[0].tags: Tags select members"]),
    (G + "  filters:\n    max_cost_per_1k: -1\n    min_context_length: -1\n    capabilities: [fly]\n"
     "    provider_kinds: [cloud]\n    regions: [EU West]\n",
     ["5: model_groups[0].filters.max_cost_per_1k: Ensure", "6: model_groups[0].filters.min_context_length: Ensure",
      "7: model_groups[0].filters.capabilities: “fly” is not known here; there are: function_calling, vision, ",
      "8: model_groups[0].filters.provider_kinds: “cloud” is not known here; there are: official, ",
      "9: model_groups[0].filters.regions: Use a short word in lower case"]),
    (G + "  filters:\n    max_cost_per_1k: 0.0000000001\n", ["5: model_groups[0].filters.max_cost_per_1k: Ensure that"]),
    (G + "  filters:\n    kinds: [local]\n",
     ["5: model_groups[0].filters.kinds: There is no such field; there are: max_cost_per_1k, "]),
    (G + "  filters: [vision]\n", ["4: model_groups[0].filters: Expected a mapping, found a list."]),
    # members
    ("model_groups:\n- name: g\n  channels:\n  - {provider: x, model: m, daily_limit: -1}\n",
     ["4: model_groups[0].channels[0].daily_limit: Ensure"]),
    ("model_groups:\n- name: g\n", [f"2: model_groups[0]: {EMPTY}"]),
    ("model_groups:\n- name: g\n  filters: {min_context_length: 1}\n  channels: []\n",
     [f"4: model_groups[0].channels: {EMPTY}"]),
    ("model_groups:\n  g:\n", [f"2: model_groups.g: {EMPTY}"]),
    # fallbacks
    (G + "  fallback: h\n", ["4: model_groups[0].fallback: There is no “h” in model_groups."]),
    ("model_groups:\n- {name: auto:a, select: true}\n- {name: b, select: true,\n   fallback: auto:b}\n",
     ["4: model_groups[1].fallback: There is no “auto:b” in model_groups; did you mean “auto:a”?"]),
    (G + "  fallback: g\n", ["4: model_groups[0].fallback: The fallback groups go in a circle: g → g."]),
    ("model_groups:\n- {name: a, select: true, fallback: b}\n- {name: b, select: true, fallback: c}\n"
     "- {name: c, select: true, fallback: a}\n- {name: d, select: true, fallback: a}\n",
     ["2: model_groups[0].fallback: The fallback groups go in a circle: a → b → c → a.",
      "3: model_groups[1].fallback: The fallback groups go in a circle: b → c → a → b.",
      "4: model_groups[2].fallback: The fallback groups go in a circle: c → a → b → c."]),
    ("model_groups:\n- {name: a b, select: true}\n- {name: c, select: true, fallback: a b}\n",
     ["2: model_groups[0].name: A group's name has no spaces"]),
    # time policies
    (POLICY + "    days: [mon, someday, 7, true]\n",
     [f"6: model_groups[0].time_policies[0].days[{index}]: {DAYS}" for index in (1, 2, 3)]),
    (POLICY + "    days: []\n", ["6: model_groups[0].time_policies[0].days: Give at least one weekday"]),
    (POLICY + "    days: mon\n", ["6: model_groups[0].time_policies[0].days: Expected a list, found text."]),
    (POLICY + "    from: noon\n    to: '25:00'\n",
     ["6: model_groups[0].time_policies[0].from: Write a time of day such as 08:00 or 17:30.",
      "7: model_groups[0].time_policies[0].to: Write a time of day"]),
    (POLICY + "    from: '24:00'\n", ["6: model_groups[0].time_policies[0].from: Write a time of day"]),
    (POLICY + "    from: 8\n", ["6: model_groups[0].time_policies[0].from: Expected text, found a whole number."]),
    (POLICY + "    start: 08:00\n",
     ["6: model_groups[0].time_policies[0].start: There is no such field; there are: days, from, to, timezone, "]),
    (POLICY + "    timezone: Mars/Base\n",
     ["6: model_groups[0].time_policies[0].timezone: “Mars/Base” is not a time zone"]),
    (POLICY + "    members_of: nobody\n",
     ["6: model_groups[0].time_policies[0].members_of: There is no “nobody” in model_groups."]),
    (POLICY + "    members_of: g\n", ["6: model_groups[0].time_policies[0].members_of: Its own members serve anyway"]),
    (G + "  time_policies:\n  - {from: 08:00}\n",
     ["5: model_groups[0].time_policies[0]: A time policy changes the strategy, the layers or the members."]),
    (G + "  time_policies:\n  - routing_strategy: best\n",
     ["5: model_groups[0].time_policies[0].routing_strategy: Use one of: auto"]),
    (G + "  time_policies:\n  - routing_strategy:\n    - {field: x}\n",
     ["6: model_groups[0].time_policies[0].routing_strategy[0].field: “x” is not a field"]),
    (G + "  time_policies:\n  - members_of: nobody\n",
     ["5: model_groups[0].time_policies[0].members_of: There is no “nobody” in model_groups."]),
    # rules
    ("strategies:\n- names: '*'\n  routing_strategy: [{field: x}]\n",
     ["3: strategies[0].routing_strategy[0].field: “x” is not"]),
    ("strategies:\n- names: '*'\n", ["2: strategies[0].routing_strategy: “routing_strategy” is missing."]),
    ("strategies:\n- names: '*'\n  routing_strategy:\n",
     ["3: strategies[0].routing_strategy: Expected text or a list, found nothing."]),
    ("strategies:\n- names: '*'\n  routing_strategy: ''\n",
     ["3: strategies[0].routing_strategy: Choose a strategy, or give layers."]),
    ("strategies:\n- names: '*'\n  routing_strategy: []\n",
     ["3: strategies[0].routing_strategy: Choose a strategy, or give layers."]),
    ("strategies:\n- names: g*t\n  routing_strategy: best\n",
     ["2: strategies[0].names: Use a name, the beginning of names", "3: strategies[0].routing_strategy: Use one of: auto"]),
    ("strategies:\n- {names: x, routing_strategy: auto}\n- {names: x, routing_strategy: auto}\n",
     ["3: strategies[1]: “x” is there twice; first at f.yml:2: strategies[0]."]),
    ("strategies: {'*': auto}\n", ["1: strategies: Write a list here."]),
    # regions, zones, keys
    ("providers:\n- {name: p, base_url: 'http://x',\n   region: EU}\n",
     ["3: providers[0].region: Use a short word in lower case"]),
    (P + "channels:\n- name: c\n  provider: p\n  region: eu west\n  timezone: Nowhere\n",
     ["5: channels[0].region: Use a short word", "6: channels[0].timezone: “Nowhere” is not a time zone"]),
    (f"tenants:\n- name: t\n  router_keys:\n  - name: k\n    key: {KEY}\n    denied_models: ['a*b']\n    default_model: 5\n",
     ["7: tenants[0].router_keys[0].default_model: Expected text, found a whole number."]),
    (f"tenants:\n- name: t\n  router_keys:\n  - name: k\n    key: {KEY}\n    denied_models: ['a*b']\n",
     ["6: tenants[0].router_keys[0].denied_models: “a*b”: a * may stand only at the end"]),
    # where nothing would enforce it
    (G + "  daily_limit: 5\n", [f"4: model_groups[0].daily_limit: {NOT_HERE} Tenants, router keys, users, "]),
    (G + "  rpm: 5\n", [f"4: model_groups[0].rpm: {NOT_HERE} Tenants and router_keys have rpm"]),
    (G + "  max_cost_per_request: 5\n",
     ["4: model_groups[0].max_cost_per_request: There is no such field; did you mean “max_cost_per_request_usd”?"]),
    (G + "  max_cost_per_request_usd: 0.0000000001\n  budgets: [{window: day, limit_usd: -1}]\n",
     ["4: model_groups[0].max_cost_per_request_usd: Write at most nine digits after the point"]),
    (G + "  max_cost_per_request_usd: -1\n", ["4: model_groups[0].max_cost_per_request_usd: Ensure"]),
    (G + "  channels:\n  - {provider: p, model: m, budgets: []}\n",
     [f"5: model_groups[0].channels[0].budgets: {NOT_HERE} Tenants, router keys, users, "]),
    (P + "channels:\n- name: c\n  provider: p\n  daily_limit: 5\n", [f"5: channels[0].daily_limit: {LIMIT}"]),
    ("tenants:\n- name: t\n  denied_models: [x]\n", ["3: tenants[0].denied_models: There is no such field; there are: "]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[str(number) for number in range(len(TABLE))])
def test_each_problem_names_its_line_and_field(text: str, expected: list[str], tmp_path: Path) -> None:
    assert_refused(text, expected, tmp_path)


def test_a_circle_through_groups_that_are_only_in_the_database_is_refused(tmp_path: Path) -> None:
    apply(
        "model_groups: [{name: a, select: true}, {name: b, select: true, fallback: c}, {name: c, select: true, fallback: a}]"
    )

    found = refusal_of("model_groups:\n- name: a\n  select: true\n  fallback: b\n", tmp_path)

    assert found == ["f.yml:4: model_groups[0].fallback: The fallback groups go in a circle: a → b → c → a."]


def test_a_circle_that_a_rename_would_close_is_refused(tmp_path: Path) -> None:
    apply("model_groups: [{name: a, select: true}, {name: b, select: true, fallback: a}]")

    found = refusal_of("model_groups:\n- {name: z, was: a, select: true,\n   fallback: b}\n", tmp_path)

    assert found == ["f.yml:3: model_groups[0].fallback: The fallback groups go in a circle: z → b → z."]


def test_the_old_name_of_a_group_that_is_renamed_is_no_fallback(tmp_path: Path) -> None:
    apply("model_groups: [{name: old, select: true}]")

    found = refusal_of(
        "model_groups:\n- {name: a, select: true, fallback: old}\n- {name: new, was: old, select: true}\n", tmp_path
    )

    assert found == ["f.yml:2: model_groups[0].fallback: There is no “old” in model_groups."]


def test_the_last_members_of_an_active_group_cannot_be_taken_away(tmp_path: Path) -> None:
    apply("model_groups: [{name: g, channels: [{provider: x, model: m}]}]")

    assert refusal_of("model_groups:\n- name: g\n  channels: []\n", tmp_path)[0].startswith(
        f"f.yml:3: model_groups[0].channels: {EMPTY}"
    )
    assert apply("model_groups: [{name: g, active: false, channels: []}]").warnings == []
    assert refusal_of("model_groups: [{name: g}]", tmp_path)[0].startswith(f"f.yml:1: model_groups[0]: {EMPTY}")


def test_a_group_that_was_empty_before_may_stay_so_with_a_warning() -> None:
    ModelGroup.objects.create(name="g")

    report = apply("model_groups: [{name: g, display_name: Empty}]")

    assert [warning.startswith(f"f.yml: model_groups[0]: {EMPTY}") for warning in report.warnings] == [True]
    assert ModelGroup.objects.get().display_name == "Empty"


def test_every_preset_and_every_field_is_accepted() -> None:
    rules = [{"names": name, "routing_strategy": name} for name in PRESETS]
    layers = [{"field": name, "order": order} for name in FIELDS for order in ("asc", "desc")]
    rules += [
        {"names": f"{layer['field']}-{layer['order']}", "routing_strategy": [layer]}  # type: ignore[dict-item]
        for layer in layers
    ]

    report = apply_document({"strategies": rules})

    assert len(report.lines) == len(PRESETS) + 2 * len(FIELDS)
    assert apply_document({"strategies": rules}).is_unchanged
