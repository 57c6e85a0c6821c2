"""What an operator says about choosing on a group's page: strategy, layers, selection, filters, policies, fallback."""

import re
from datetime import time
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from channels.models import Offering
from routing.models import GroupMember, ModelGroup, StrategyRule, TimePolicy
from routing.strategies import FIELDS, PRESETS
from smartrouter.admin import selection
from tests.admin.browser import form_of
from tests.admin.conftest import World

LIST = reverse("admin:routing_modelgroup_changelist")
ADD = reverse("admin:routing_modelgroup_add")
POLICY = {
    "id": "", "start": "22:00", "end": "06:00", "timezone": "Asia/Shanghai", "strategy": "local_first",
    "is_active": "on", "position": "0",
}  # fmt: skip


def page_of(group: ModelGroup) -> str:
    return reverse("admin:routing_modelgroup_change", args=[group.pk])


def save(root: Client, group: ModelGroup, **values: Any) -> Any:
    """The answer to the group's form, sent with these values instead of what it shows."""
    data = {**form_of(root.get(page_of(group)), "modelgroup_form"), **values}
    return root.post(page_of(group), {name: value for name, value in data.items() if value is not None}, follow=True)


def add(root: Client, **values: Any) -> Any:
    return root.post(ADD, {**form_of(root.get(ADD), "modelgroup_form"), **values}, follow=True)


def text_of(page: Any) -> str:
    return " ".join(page.content.decode().split())


def with_policy(group: ModelGroup, **values: Any) -> dict[str, Any]:
    rows = {**POLICY, "group": group.pk, "days": ["0", "6"], **values}
    return {"time_policies-TOTAL_FORMS": "1", **{f"time_policies-0-{name}": value for name, value in rows.items()}}


def test_saving_a_group_unchanged_changes_nothing(world: World, root: Client) -> None:
    layers = [
        {"field": "speed_score", "order": "asc", "weight": 0.9},
        {"field": "priority", "order": "asc", "weight": 2.0},
    ]
    fallback = ModelGroup.objects.create(name="auto:last", is_active=False)
    ModelGroup.objects.filter(pk=world.group.pk).update(
        layers=layers, selects=True, tags=["mini"], max_cost_per_1k=Decimal("0.0005"), min_context_length=2000,
        capabilities=["vision"], provider_kinds=["official"], regions=["eu"], fallback=fallback,
    )  # fmt: skip
    TimePolicy.objects.create(group=world.group, start=time(8, 0, 30), members_of=fallback, days=[2])
    before = [
        list(rows.order_by("pk").values()) for rows in (ModelGroup.objects, GroupMember.objects, TimePolicy.objects)
    ]

    assert save(root, world.group).redirect_chain

    after = [
        list(rows.order_by("pk").values()) for rows in (ModelGroup.objects, GroupMember.objects, TimePolicy.objects)
    ]
    assert after == before


def test_layers_are_typed_as_weights(world: World, root: Client) -> None:
    typed = {"layers_effective_cost_weight": "1", "layers_speed_score_weight": "0,5", "layers_local_weight": "0"}

    save(root, world.group, **typed, layers_speed_score_order="asc")

    world.group.refresh_from_db()
    assert world.group.layers == [
        {"field": "effective_cost", "order": "asc", "weight": 1.0},
        {"field": "speed_score", "order": "asc", "weight": 0.5},
        {"field": "local", "order": "desc", "weight": 0.0},
    ]
    shown = form_of(root.get(page_of(world.group)), "modelgroup_form")
    assert {shown[f"layers_{name}_weight"] for name in FIELDS} == {"1", "0.5", "0", ""}
    assert "Layers (cost 1, speed 0.5, local 0)" in text_of(root.get(page_of(world.group)))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"layers_speed_score_weight": "much"}, "The weight of “speed” is not a number."),
        ({"layers_speed_score_weight": "-1"}, "The weight of “speed” is a number from 0 to 1000."),
        ({"layers_speed_score_weight": "nan"}, "The weight of “speed” is a number from 0 to 1000."),
        ({"layers_speed_score_weight": "0"}, "At least one layer needs a weight above 0."),
        ({"layers_local_weight": "1", "layers_local_order": "up"}, "The order of “local” is asc"),
        ({"layers_local_weight": "1", "strategy": "hybrid"}, "Choose a strategy or give layers, not both."),
        ({"strategy": "roulette"}, "Select a valid choice. roulette is not one of the available choices."),
        ({"tags": "qwen"}, "Tags select members: switch “selects members” on, or remove them."),
        ({"tags": "qwen/qwen3", "selects": "on"}, "“qwen/qwen3” is not a tag"),
        ({"regions": "Europe (all)"}, "Use a short word in lower case"),
        ({"max_cost_per_1k": "-1"}, "greater than or equal to 0"),
        ({"capabilities": ["flying"]}, "flying is not one of the available choices"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_and_stays_typed(
    world: World, root: Client, typed: dict[str, Any], sentence: str
) -> None:
    before = ModelGroup.objects.values().get(pk=world.group.pk)

    page = save(root, world.group, **typed)

    assert sentence in text_of(page)
    assert ModelGroup.objects.values().get(pk=world.group.pk) == before
    name, value = next(iter(typed.items()))
    shown = form_of(page, "modelgroup_form").get(name)
    assert shown == value or name in ("strategy", "capabilities")


def test_an_empty_strategy_says_which_one_that_is(world: World, root: Client) -> None:
    first = 'option value="" selected>'

    def empty() -> str:
        return text_of(root.get(page_of(world.group))).split('name="strategy"')[1].split("</option>")[0]

    assert "As the default says, now: Automatic" in empty(), first
    StrategyRule.objects.create(pattern="*", strategy="cost_first")
    assert "As the default says, now: Cost first" in empty()
    StrategyRule.objects.create(pattern="auto:f*", layers=[{"field": "free", "weight": 2}])
    StrategyRule.objects.create(pattern="auto:*", strategy="hybrid")
    assert "As the rule auto:f* says: layers: free 2" in empty()
    StrategyRule.objects.create(pattern="auto:fast", strategy="fallback")
    assert "As the rule auto:fast says: Fallback" in empty()


def test_every_preset_can_be_chosen(world: World, root: Client) -> None:
    for name in PRESETS:
        save(root, world.group, strategy=name)
        world.group.refresh_from_db()
        assert world.group.strategy == name


def test_an_active_group_without_any_member_is_refused_and_told_what_to_do(world: World, root: Client) -> None:
    page = add(root, name="auto:none")

    assert "This group would have no members. Add one, or switch “selects members” on" in text_of(page)
    assert not ModelGroup.objects.filter(name="auto:none").exists()

    removed = save(root, world.group, **{"members-0-DELETE": "on"})
    assert "This group would have no members." in text_of(removed)
    assert world.group.members.count() == 1


@pytest.mark.parametrize(
    "values",
    [
        {"selects": "on"},
        {"is_active": None},
        {"members-TOTAL_FORMS": "1", "members-0-waiting_for": "groq", "members-0-model": "llama"},
    ],
    ids=["selects", "inactive", "waits"],
)
def test_a_group_that_selects_or_is_off_or_has_a_member_that_waits_is_saved(
    world: World, root: Client, values: dict[str, Any]
) -> None:
    data = {**form_of(root.get(ADD), "modelgroup_form"), "name": "auto:new", **values}

    page = root.post(ADD, {name: value for name, value in data.items() if value is not None})

    assert page.status_code == 302
    assert ModelGroup.objects.filter(name="auto:new").exists()


def test_what_a_group_selects_now_is_shown_with_a_link_to_the_rest(world: World, root: Client) -> None:
    ModelGroup.objects.filter(pk=world.group.pk).update(selects=True, tags=["mini", "free"])

    text = text_of(root.get(page_of(world.group)))

    assert "1 of 1 offering" in text
    assert "gpt-4o-mini (openai-main)" in text
    assert f'href="{reverse("admin:channels_offering_changelist")}?group={world.group.pk}"' in text


def test_tags_and_filters_that_nothing_meets_are_named_after_saving_with_counts(world: World, root: Client) -> None:
    text = text_of(save(root, world.group, selects="on", tags="mini, Mistral", regions="cn"))

    world.group.refresh_from_db()
    assert world.group.tags == ["mini", "mistral"]
    assert "No active offering has the tag “mistral”." in text
    assert "No active offering has the tag “mini”." not in text
    assert (
        "The group selects no offering now. Of 1, so many meet each: tag mini: 1; tag mistral: 0; region: cn: 0."
        in text
    )
    assert "The filters let in none of what its members offer. Of 1, so many meet each: region: cn: 0." in text


def test_a_group_whose_tags_and_filters_are_met_gets_no_warning(world: World, root: Client) -> None:
    text = text_of(save(root, world.group, selects="on", tags="mini", max_cost_per_1k="0", capabilities=["vision"]))

    world.group.refresh_from_db()
    assert (world.group.max_cost_per_1k, world.group.capabilities) == (Decimal(0), ["vision"])
    assert "No active offering" not in text
    assert "so many meet each" not in text


def test_a_member_that_the_filters_keep_out_says_so(world: World, root: Client) -> None:
    ModelGroup.objects.filter(pk=world.group.pk).update(capabilities=["audio"])

    text = text_of(root.get(page_of(world.group)))

    assert re.search(r">\s*filtered out\s*<", text)
    assert not re.search(r">\s*ready\s*<", text)


def test_a_members_daily_limit_is_saved(world: World, root: Client) -> None:
    save(root, world.group, **{"members-0-daily_limit": "1000"})

    assert world.group.members.get().daily_limit == 1000


def test_a_group_cannot_be_its_own_fallback_and_a_circle_is_refused(world: World, root: Client) -> None:
    other = ModelGroup.objects.create(name="auto:other", fallback=world.group)

    text = text_of(root.get(page_of(world.group))).split('name="fallback"')[1].split("</select>")[0]
    page = save(root, world.group, fallback=str(other.pk))

    assert f'value="{other.pk}"' in text
    assert f'value="{world.group.pk}"' not in text
    assert "The fallback groups go in a circle: auto:fast → auto:other → auto:fast." in text_of(page)


def test_time_policies_are_added_in_order_with_days_hours_and_zone(world: World, root: Client) -> None:
    TimePolicy.objects.create(group=world.group, strategy="hybrid", position=4)
    rows = with_policy(world.group)
    second = {name.replace("-0-", "-1-"): value for name, value in rows.items() if "-0-" in name}

    save(root, world.group, **second, **{"time_policies-TOTAL_FORMS": "2"})

    policy = world.group.time_policies.get(position=5)
    assert (policy.days, policy.start, policy.end) == ([0, 6], time(22), time(6))
    assert (policy.timezone, policy.strategy) == ("Asia/Shanghai", "local_first")
    text = text_of(root.get(page_of(world.group)))
    assert "Mon, Sun 22:00–06:00 Asia/Shanghai: Local first" in text
    assert "every day 00:00–00:00 UTC: Hybrid" in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"strategy": ""}, "A time policy changes the strategy, the layers or the members."),
        ({"days": []}, "This field is required."),
        ({"days": ["7"]}, "7 is not one of the available choices"),
        ({"timezone": "Mars/Base"}, "“Mars/Base” is not a time zone"),
        ({"start": "25:00"}, "Enter a valid time."),
        ({"members_of": "999999"}, "Select a valid choice."),
    ],
    ids=str,
)
def test_a_wrong_time_policy_is_refused(world: World, root: Client, values: dict[str, Any], sentence: str) -> None:
    page = save(root, world.group, **with_policy(world.group, **values))

    assert sentence in text_of(page)
    assert not TimePolicy.objects.exists()


def test_the_page_takes_the_same_queries_for_more_policies_and_groups(world: World, root: Client) -> None:
    counts = []
    for more in (1, 12):
        for number in range(more):
            other = ModelGroup.objects.create(name=f"g{more}-{number}", is_active=False)
            TimePolicy.objects.create(group=world.group, members_of=other)
        with CaptureQueriesContext(connection) as queries:
            root.get(page_of(world.group))
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_the_list_shows_strategy_members_and_fallback(world: World, root: Client) -> None:
    cheap = ModelGroup.objects.create(name="auto:cheap", strategy="cost_first", selects=True, tags=["mini"])
    ModelGroup.objects.filter(pk=world.group.pk).update(fallback=cheap, layers=[{"field": "local", "weight": 3}])
    ModelGroup.objects.create(name="auto:vain", selects=True, tags=["mistral"])

    text = text_of(root.get(LIST))

    assert "Cost first" in text
    assert "layers: local 3" in text
    assert "1 selected" in text
    assert "0 selected" in text
    assert "1 member" in text


def test_the_list_does_not_count_what_takes_long(world: World, root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ModelGroup.objects.create(name="auto:many", selects=True)
    assert "1 selected" in text_of(root.get(LIST))

    monkeypatch.setattr(selection, "COUNTED_AT_MOST", 0)

    text = text_of(root.get(LIST))
    assert "1 selected" not in text
    assert re.search(r">\s*selected\s*<", text)


def test_groups_are_found_by_strategy_and_by_whether_they_select(world: World, root: Client) -> None:
    cheap = ModelGroup.objects.create(name="auto:cheap", strategy="cost_first", selects=True)

    for query in ({"strategy__exact": "cost_first"}, {"selects__exact": "1"}):
        assert list(root.get(LIST, query).context["cl"].result_list) == [cheap], query


def test_offerings_are_found_by_the_group_that_they_serve(world: World, root: Client) -> None:
    address = reverse("admin:channels_offering_changelist")
    other = Offering.objects.create(channel=world.channel, provider_model=world.model, name="gpt-5-large")
    selecting = ModelGroup.objects.create(name="auto:large", selects=True, tags=["large"])
    filtered = ModelGroup.objects.create(name="auto:audio", selects=True, capabilities=["audio"])

    found = {
        group.name: set(root.get(address, {"group": group.pk}).context["cl"].result_list)
        for group in (world.group, selecting, filtered)
    }

    assert found == {"auto:fast": {world.offering}, "auto:large": {other}, "auto:audio": set()}
    assert root.get(address, {"group": "nonsense"}).status_code == 200
