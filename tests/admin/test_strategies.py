"""Strategy rules, and the default that holds where nothing else is said: in the admin and by command."""

from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from routing.models import Change, StrategyRule
from routing.strategies import PRESETS
from tests.admin.browser import form_of
from tests.admin.conftest import World

LIST = reverse("admin:routing_strategyrule_changelist")
ADD = reverse("admin:routing_strategyrule_add")
SWITCH = reverse("admin:routing_strategyrule_default")
HOME = reverse("admin:index")


def text_of(page: Any) -> str:
    return " ".join(page.content.decode().split())


def add(root: Client, **values: Any) -> Any:
    return root.post(ADD, {**form_of(root.get(ADD), "strategyrule_form"), **values})


def default() -> StrategyRule | None:
    return StrategyRule.objects.filter(pattern="*").first()


def run(*args: str) -> str:
    out = StringIO()
    call_command("strategy", *args, stdout=out)
    return out.getvalue()


def test_a_rule_is_added_with_a_preset_or_with_layers(world: World, root: Client) -> None:
    assert add(root, pattern="qwen*", strategy="free_first").status_code == 302
    assert add(root, pattern="*", layers_local_weight="2").status_code == 302

    rules = {rule.pattern: (rule.strategy, rule.layers) for rule in StrategyRule.objects.all()}
    assert rules["qwen*"] == ("free_first", [])
    assert rules["*"] == ("", [{"field": "local", "order": "desc", "weight": 2.0}])
    text = text_of(root.get(LIST))
    assert "Free first" in text
    assert "layers: local 2" in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"pattern": "qwen*"}, "Choose a strategy, or give layers."),
        ({"pattern": "qwen*", "strategy": "hybrid", "layers_local_weight": "1"}, "not both"),
        ({"pattern": "q*en", "strategy": "hybrid"}, "the beginning of names with a * at its end"),
        ({"pattern": "gpt-*", "strategy": "hybrid"}, "already exists"),
        ({"pattern": "", "strategy": "hybrid"}, "This field is required."),
    ],
    ids=str,
)
def test_a_wrong_rule_is_refused(world: World, root: Client, values: dict[str, Any], sentence: str) -> None:
    assert sentence in text_of(add(root, **values))
    assert StrategyRule.objects.count() == 1


def test_a_page_that_is_saved_again_leaves_weights_as_they_are(world: World, root: Client) -> None:
    weights = {"speed_score": 0.1234567891234, "local": 1e-7, "free": 1000, "priority": 100.0, "connections": 0.5}
    layers = [{"field": field, "order": "desc", "weight": weight} for field, weight in weights.items()]
    rule = StrategyRule.objects.create(pattern="q*", layers=layers)
    url = reverse("admin:routing_strategyrule_change", args=[rule.pk])

    typed = form_of(root.get(url), "strategyrule_form")
    assert root.post(url, {**typed, "pattern": "qwen*", "layers_effective_cost_weight": "2"}).status_code == 302

    rule.refresh_from_db()
    saved = {layer["field"]: layer["weight"] for layer in rule.layers}
    assert saved == {**weights, "effective_cost": 2}
    shown = [typed[f"layers_{field}_weight"] for field in weights]
    assert shown == ["0.1234567891234", "0.0000001", "1000", "100", "0.5"]


def test_rules_are_found_by_strategy(world: World, root: Client) -> None:
    StrategyRule.objects.create(pattern="qwen*", strategy="hybrid")

    found = root.get(LIST, {"strategy__exact": "hybrid"}).context["cl"].result_list

    assert [rule.pattern for rule in found] == ["qwen*"]


def test_the_default_is_switched_on_the_list_and_told_to_running_processes(world: World, root: Client) -> None:
    page = root.get(LIST)
    assert form_of(page, "default_form")["strategy"] == "auto"
    assert "from LOAD_BALANCING_STRATEGY" in text_of(page)
    Change.objects.all().delete()

    for name in ("cost_first", "hybrid"):
        answer = root.post(SWITCH, {"strategy": name}, follow=True)

        rule = StrategyRule.objects.get(pattern="*")
        assert (rule.strategy, rule.layers) == (name, [])
        assert form_of(answer, "default_form")["strategy"] == name
    assert "The default strategy is Hybrid now." in text_of(answer)
    assert Change.objects.filter(model="routing.strategyrule", row=str(rule.pk)).count() == 2
    assert LogEntry.objects.filter(object_id=str(rule.pk)).count() == 2

    answer = root.post(SWITCH, {"strategy": ""}, follow=True)
    assert default() is None
    assert "The default strategy is Automatic again, as LOAD_BALANCING_STRATEGY says." in text_of(answer)
    assert Change.objects.filter(model="routing.strategyrule", row=str(rule.pk)).count() == 3


def test_an_unknown_default_is_refused_with_the_list(world: World, root: Client) -> None:
    text = text_of(root.post(SWITCH, {"strategy": "roulette"}, follow=True))

    assert "“roulette” is not a strategy; there are: auto, specified_provider" in text
    assert default() is None


def test_only_a_form_switches_the_default_and_only_for_those_who_may_enter(world: World, outsider: Client) -> None:
    for answer in (outsider.get(SWITCH), outsider.post(SWITCH, {"strategy": "hybrid"})):
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("admin:login"))
    assert default() is None


def test_a_link_alone_switches_nothing(world: World, root: Client) -> None:
    assert root.get(SWITCH, {"strategy": "hybrid"}).status_code == 405
    assert default() is None


@pytest.mark.django_db
def test_the_switch_needs_the_forms_token(world: World, root: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = root.cookies

    assert strict.post(SWITCH, {"strategy": "hybrid"}).status_code == 403
    assert default() is None


def test_an_action_makes_one_rules_strategy_the_default(world: World, root: Client) -> None:
    layered = StrategyRule.objects.create(pattern="qwen*", layers=[{"field": "free", "weight": 1}])
    preset = StrategyRule.objects.get(pattern="gpt-*")

    for chosen, expected in (([preset], ("cost_first", [])), ([layered], ("", layered.layers))):
        data = {"action": "make_default", "_selected_action": [rule.pk for rule in chosen]}
        text = text_of(root.post(LIST, data, follow=True))

        rule = default()
        assert rule is not None
        assert (rule.strategy, rule.layers) == expected
        assert "The default strategy is" in text

    data = {"action": "make_default", "_selected_action": [preset.pk, layered.pk]}
    assert "Select one rule: there is one default." in text_of(root.post(LIST, data, follow=True))
    assert StrategyRule.objects.get(pattern="*").layers == layered.layers


def test_the_first_page_says_the_default_and_leads_to_the_switch(world: World, root: Client) -> None:
    assert "Default strategy: Automatic" in text_of(root.get(HOME))

    StrategyRule.objects.create(pattern="*", strategy="quality_optimized")

    text = text_of(root.get(HOME))
    assert "Default strategy: Quality optimised" in text
    assert f'href="{LIST}"' in text.split("Default strategy")[1]


def test_the_command_shows_the_default_where_it_comes_from_and_all_presets(db: None, settings: LazySettings) -> None:
    settings.LOAD_BALANCING_STRATEGY = "fallback"
    shown = run()
    assert shown.startswith("The default strategy is fallback, from the setting LOAD_BALANCING_STRATEGY.\n")
    assert [line.split()[0] for line in shown.splitlines()[1:]] == list(PRESETS)
    assert "Least connections" in shown

    StrategyRule.objects.create(pattern="*", strategy="hybrid")
    assert run().startswith("The default strategy is hybrid, from the strategy rule *.\n")

    StrategyRule.objects.update(strategy="", layers=[{"field": "free", "weight": 1}])
    assert run().startswith("The default is the layers of the strategy rule *.\n")


def test_the_command_switches_the_default_and_goes_back(db: None) -> None:
    assert run("cost_first") == "The default strategy is cost_first now.\n"
    assert run("cost_first") == "The default strategy is cost_first already.\n"
    rule = StrategyRule.objects.get()
    assert (rule.pattern, rule.strategy) == ("*", "cost_first")
    assert Change.objects.filter(model="routing.strategyrule", row=str(rule.pk)).count() == 1

    assert run("--reset").startswith("The strategy rule * is gone; the default strategy is auto,")
    assert run("--reset").startswith("The default strategy is auto already,")
    assert not StrategyRule.objects.exists()
    assert Change.objects.filter(model="routing.strategyrule", row=str(rule.pk)).count() == 2


def test_the_command_replaces_layers_of_the_default(db: None) -> None:
    StrategyRule.objects.create(pattern="*", layers=[{"field": "free", "weight": 1}])

    run("auto")

    rule = StrategyRule.objects.get()
    assert (rule.strategy, rule.layers) == ("auto", [])


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("roulette",), "“roulette” is not a strategy; there are: auto, specified_provider"),
        (("auto", "--reset"), "Give a name or --reset, not both."),
    ],
)
def test_the_command_refuses_what_makes_no_sense(db: None, args: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence[:20]) as caught:
        run(*args)

    assert sentence in str(caught.value)
    assert not StrategyRule.objects.exists()
