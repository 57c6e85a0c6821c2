"""How a usage record says how its candidate was chosen."""

from typing import Any

from django.test import Client
from django.urls import reverse

from tests.admin.conftest import World, add_record

TRACE: dict[str, Any] = {
    "place": 2,
    "strategy": "cost_first",
    "fields": ["effective_cost", "reliability_score"],
    "candidates": 7,
    "first": [
        ["alpha", "fast", 1.167, [0.967, 1.0], 1, 1.0],
        ["<i>beta</i>", "fast", 1.003, [0.801, 1.0], 2, 1.5],
    ],
    "excluded": {"daily_limit": 2, "denied": 1},
    "named": [["gamma", "fast", "daily_limit"]],
}


def shown(root: Client, trace: Any) -> Any:
    record = add_record(3, trace=trace)
    page = root.get(reverse("admin:billing_usagerecord_change", args=[record.pk]))
    assert page.status_code == 200
    return page


def test_the_record_shows_strategy_candidates_and_whom_it_was(world: World, root: Client) -> None:
    page = shown(root, TRACE)

    text, chosen = page.content.decode(), page.context["chosen"]
    assert "How it was chosen" in text and "Cost first" in text
    assert chosen["headers"] == ["cost", "reliability"]
    assert [(row["name"], row["is_this"]) for row in chosen["rows"]] == [
        ("alpha · fast", False), ("<i>beta</i> · fast", True),
    ]  # fmt: skip
    assert text.count("this attempt") == 1
    assert "1.167" in text and "0.801" in text
    assert "There were 7 candidates." in text
    assert "2 excluded: its daily limit is used up (gamma · fast)" in text
    assert "1 excluded: denied to this key" in text
    assert "<i>beta</i>" not in text and "&lt;i&gt;beta" in text


def test_one_behind_those_that_are_shown_is_told_by_its_number(world: World, root: Client) -> None:
    text = shown(root, {**TRACE, "place": 6}).content.decode()

    assert "This attempt went to number 6." in text
    assert "this attempt" not in text


def test_one_of_a_long_list_and_of_a_fallback_group_says_so(world: World, root: Client) -> None:
    trace = {name: value for name, value in TRACE.items() if name != "place"}
    text = shown(root, {**trace, "group": "auto:spare", "has_more": True, "candidates": 70}).content.decode()

    assert "fallback group auto:spare" in text
    assert "The best 70 of many were weighed." in text
    assert "one that came behind them" in text


def test_a_record_without_a_trace_says_what_that_may_mean(world: World, root: Client) -> None:
    text = shown(root, None).content.decode()

    assert "there was nothing to choose between, or the record was written by a version that did not note it" in text


def test_words_of_another_version_stay_as_they_are(world: World, root: Client) -> None:
    trace = {**TRACE, "strategy": "luck", "fields": ["charm", "cost"], "excluded": {"bad_hair": 1}, "named": []}
    text = shown(root, trace).content.decode()

    assert "luck" in text and "Charm" in text and "1 excluded: bad_hair" in text
