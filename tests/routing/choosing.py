"""The configuration that the tests of names, rules and choices ask: the secret is what some keys may not reach."""

from typing import Any

from tests.routing.configuration import channel
from tests.stack import KEY, OTHER_KEY

# The rest of acme's keys; each may choose strategies, and its default model is the secret.
BY_NAME_KEY = "rk_byname_" + "n" * 40
BY_UPSTREAM_KEY = "rk_byupstream_" + "u" * 40
BY_PROVIDER_KEY = "rk_byprovider_" + "p" * 40
ONLY_CHEAP_KEY = "rk_onlycheap_" + "c" * 40
RULES_KEY = "rk_rules_" + "r" * 40
PLAIN_KEY = "rk_plain_" + "p" * 40
SECRET = "sim-reasoner"  # as its providers call it
CHEAP = {"input": 0.15, "output": 0.6}


def a(model: str, **more: Any) -> dict[str, Any]:
    """A group's member on the channel a."""
    return {"channel": "a", "model": model, **more}


def b(model: str, **more: Any) -> dict[str, Any]:
    """A group's member on the channel b."""
    return {"channel": "b", "model": model, **more}


def choosing_document() -> dict[str, Any]:
    """The whole configuration."""
    rules = {"can_choose_strategy": True, "default_model": "secret"}
    return {
        "providers": [
            {"name": "sim-a", "kind": "local", "base_url": "ALPHA"},
            {"name": "sim-b", "kind": "aggregator", "base_url": "BETA"},
        ],
        "models": [
            {"provider": "sim-a", "model": "sim-fast", "price": CHEAP, "context_length": 8000, "capabilities": []},
            {"provider": "sim-a", "model": "sim-smart", "price": {"input": 5, "output": 15, "tiers": [
                {"min_prompt_tokens": 100_000, "input": 10, "output": 15}]},
             "context_length": 200_000, "capabilities": ["function_calling", "vision", "json_schema"], "tags": ["house"]},
            {"provider": "sim-a", "model": SECRET, "price": {"input": 1, "output": 1}, "quality_score": 1.0},
            {"provider": "sim-a", "model": "sim-free", "price": {"input": 1, "output": 1}, "capabilities": []},
            {"provider": "sim-a", "model": "sim-fast!500", "price": {"input": 1, "output": 1}},
            {"provider": "sim-b", "model": "sim-smart", "price": {"input": 4, "output": 20, "per_request": 0.01},
             "context_length": 100_000, "capabilities": ["function_calling"]},
            {"provider": "sim-b", "model": "sim-free", "free": True, "capabilities": []},
            {"provider": "sim-b", "model": SECRET, "price": {"input": 1, "output": 1}, "quality_score": 1.0},
            {"provider": "sim-b", "model": "sim-vision"},  # nothing is known of it
            {"provider": "sim-b", "model": "sim-fast", "free": True, "tags": ["house"]},
        ],
        "channels": [
            channel("a", "sim-a", [
                {"name": "cheap", "model": "sim-fast"}, {"name": "dear", "model": "sim-smart"},
                {"name": "secret", "model": SECRET, "aliases": ["hush", "vendor/secret"]},
                {"name": "broken", "model": "sim-fast!500"}]),
            channel("b", "sim-b", [
                {"name": "dear", "model": "sim-smart"}, {"name": "secret", "model": SECRET},
                {"name": "gift", "model": "sim-free", "aliases": ["qwen/qwen3-8b:free"]},
                {"name": "unknown", "model": "sim-vision"}]),
            # What others must not notice: a free one under a name that everybody has, and a name of its own.
            channel("theirs", "sim-b", [{"name": "dear", "model": "sim-fast"}, {"name": "hidden", "model": "sim-free"}],
                    owner="other"),
            channel("once", "sim-a", [{"name": "rare", "model": "sim-free"}]),
            channel("away", "sim-a", [{"name": "gone", "model": "sim-smart"}], active=False),
        ],
        "model_groups": [
            {"name": "auto:cheap", "channels": [a("broken"), a("secret", priority=2)], "fallback": "auto:secret"},
            {"name": "auto:first", "channels": [a("broken")], "fallback": "auto:secret"},
            {"name": "auto:secret", "channels": [a("secret"), b("secret")]},
            {"name": "auto:night", "channels": [a("cheap")], "time_policies": [{"members_of": "auto:secret"}]},
            {"name": "auto:mixed", "channels": [a("cheap"), a("secret")]},
            {"name": "auto:spread", "channels": [a("cheap"), b("secret", priority=2)]},
            {"name": "auto:selected", "tags": ["reasoner"]},
            {"name": "auto:house", "tags": ["house"]},
            {"name": "auto:turns", "routing_strategy": "weighted_round_robin", "channels": [a("dear"), b("dear")]},
            {"name": "auto:once", "channels": [{"channel": "once", "model": "rare", "daily_limit": 1}]},
            {"name": "auto:nobody", "channels": [a("cheap")], "filters": {"max_cost_per_1k": 0}},
            {"name": "auto:empty", "channels": [{"provider": "not-there-yet", "model": "x"}]},
            {"name": "auto:off", "active": False, "channels": [a("cheap")]},
        ],
        "tenants": [
            {"name": "acme", "can_see_channels": True, "router_keys": [
                {"name": "main", "key": KEY, **rules},
                {"name": "by-name", "key": BY_NAME_KEY, "denied_models": ["secret", "auto:secret"], **rules},
                {"name": "by-upstream", "key": BY_UPSTREAM_KEY, "denied_models": [SECRET], **rules},
                {"name": "by-provider", "key": BY_PROVIDER_KEY, "denied_models": ["sim-a/sec*", "sim-b/sim-rea*"], **rules},
                {"name": "only-cheap", "key": ONLY_CHEAP_KEY, "models": ["auto:cheap"], "denied_models": ["secret"],
                 "can_choose_strategy": True, "default_model": "auto:cheap"},
                {"name": "rules", "key": RULES_KEY, "models": [
                    "auto:h*", "sim-a/*", "sim-b/sim-smart", "tag:house", "tag:nothing", "nobody/*", "gone"]}]},
            {"name": "plain", "router_keys": [{"name": "main", "key": PLAIN_KEY}]},
            {"name": "other", "can_see_channels": True, "router_keys": [{"name": "main", "key": OTHER_KEY}]},
        ],
    }  # fmt: skip
