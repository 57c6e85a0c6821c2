"""“Why this one?” in Chinese, with every sort of answer, and the switch of the default strategy."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from channels.models import Channel, Offering
from routing.models import ModelGroup, StrategyRule
from smartrouter.accounts.models import RouterKey
from tests.admin.conftest import World
from tests.languages.test_pages import check, chinese, expect_none, full

__all__ = ["chinese", "full"]
QUESTIONS: list[dict[str, Any]] = [
    {"models": "auto:fast"},
    {"models": "gpt-4o-mini\ntag:mini\nauto:fast", "strategy": "hybrid", "streamed": "on"},
    {"models": "gpt-4o-mini", "needs": ["audio", "function_calling"]},
    {"models": "gpt-4o-mini", "prompt_tokens": "90000000", "output_tokens": "5"},
    {"models": "gpt-4o-mini", "strategy": "weighted_round_robin"},
    {"models": "Qwen/Qwen2.5-7B-Instruct"},
    {"models": "no-such-model"},
    {"models": "tag:a,,b"},
    {"models": "tag:none-of-this"},
    {"models": ""},
    {"models": "\n".join(f"m{number}" for number in range(40))},
    {"models": "m" * 300, "prompt_tokens": "-1", "output_tokens": "x", "strategy": "?", "needs": ["?"], "key": "?"},
]


@pytest.mark.parametrize("has_key", [False, True], ids=["platform", "key"])
def test_why_this_one_is_chinese(full: World, chinese: Client, has_key: bool) -> None:
    address, asked = reverse("admin:why"), {"prompt_tokens": "10"}
    if has_key:
        asked["key"] = str(full.router_key.pk)
    found = check(chinese.get(address), "the form")

    for question in QUESTIONS:
        found += check(chinese.get(address, {**asked, **question}), f"{question}"[:80])
    ModelGroup.objects.filter(pk=full.group.pk).update(
        max_cost_per_1k=None, min_context_length=None, capabilities=[], provider_kinds=[], regions=[]
    )
    found += check(chinese.get(address, {**asked, "models": "auto:fast"}), "without filters")
    RouterKey.objects.filter(pk=full.router_key.pk).update(is_active=False, allowed_models=[], denied_models=[])
    found += check(chinese.get(address, {**asked, "models": "gpt-4o-mini"}), "revoked")
    Offering.objects.update(is_active=False)
    found += check(chinese.get(address, {**asked, "models": "auto:fast"}), "without offerings")
    Channel.objects.update(is_active=False)
    found += check(chinese.get(address, {**asked, "models": "gpt-4o-mini"}), "without channels")

    expect_none(found)


def test_the_switch_of_the_default_strategy_answers_in_chinese(full: World, chinese: Client) -> None:
    address = reverse("admin:routing_strategyrule_default")

    found = check(chinese.post(address, {"strategy": "balanced"}, follow=True), "switched")
    found += check(chinese.post(address, {"strategy": "no-such-strategy"}, follow=True), "unknown")
    found += check(chinese.post(address, {"strategy": ""}, follow=True), "reset")

    expect_none(found)
    assert not StrategyRule.objects.filter(pattern="*").exists()
