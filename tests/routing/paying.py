"""A configuration with budgets of every kind, and what a test asks of it."""

import json
from dataclasses import dataclass
from typing import Any

from tests.stack import Stack

# Each test has a key of its own, so that no test spends another's budget.
ANSWER_TOKENS = 40


def key_of(name: str) -> str:
    return f"rk_{name}_" + "p" * 40


def budget(window: str = "day", **amounts: Any) -> dict[str, Any]:
    return {"window": window, **amounts}


def router_key(name: str, *budgets: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "key": key_of(name), **({"budgets": list(budgets)} if budgets else {}), **more}


def paying_document() -> dict[str, Any]:
    """`m` costs 1 and 2 USD per million tokens on both channels; `n` has no price; `spent` is on a channel without money."""
    return {
        "providers": [
            {"name": "sim-a", "kind": "local", "base_url": "ALPHA"},
            {"name": "sim-b", "kind": "local", "base_url": "BETA"},
        ],
        "models": [
            {"provider": "sim-a", "model": "sim-fast", "price": {"input": 1, "output": 2}, "context_length": 128000},
            {"provider": "sim-a", "model": "sim-fast!500", "price": {"input": 1, "output": 2}},
            {"provider": "sim-a", "model": "sim-smart"},
            {"provider": "sim-a", "model": "sim-free", "free": True},
            {"provider": "sim-a", "model": "sim-fast!context", "price": {"input": 1, "output": 2}, "context_length": 1600},
            {"provider": "sim-b", "model": "sim-fast", "price": {"input": 1, "output": 2}},
        ],
        "channels": [
            {"name": "alpha", "provider": "sim-a", "keys": ["sim-key-alpha-0001"], "priority": 2,
             "models": [{"name": "m", "model": "sim-fast"}, {"name": "n", "model": "sim-smart"},
                        {"name": "broken", "model": "sim-fast!500"}, {"name": "gratis", "model": "sim-free"},
                        {"name": "narrow", "model": "sim-fast!context"}]},
            *[{"name": f"many{n}", "provider": "sim-a", "keys": [f"sim-key-many-{n:04}"],
               "models": [{"name": "many", "model": "sim-fast"}]} for n in range(24)],
            {"name": "poor", "provider": "sim-b", "keys": ["sim-key-beta-0002"], "priority": 1,
             "budgets": [budget(limit_usd="0.000001")],
             "models": [{"name": "m", "model": "sim-fast"}, {"name": "spent", "model": "sim-fast"}]},
        ],
        "model_groups": [
            {"name": "auto:cheap", "max_cost_per_request_usd": "0.0003", "channels": [{"channel": "alpha", "model": "m"}]},
            {"name": "auto:mixed", "channels": [{"channel": "alpha", "model": "m"}, {"channel": "alpha", "model": "gratis"}]},
            {"name": "auto:longer", "channels": [{"channel": "alpha", "model": "narrow", "priority": 1},
                                                 {"channel": "alpha", "model": "m", "priority": 2}]},
            {"name": "auto:many", "channels": [{"channel": f"many{n}", "model": "many"} for n in range(24)]},
            {"name": "moved", "channels": [{"channel": "alpha", "model": "broken", "priority": 1},
                                           {"channel": "many0", "model": "many", "priority": 2}]},
            {"name": "auto:limited", "budgets": [budget(limit_usd="0.0005")],
             "channels": [{"channel": "alpha", "model": "m"}]},
        ],
        "tenants": [
            {"name": "acme", "can_see_channels": True, "router_keys": [
                router_key("free"),
                router_key("small", budget(limit_usd="0.001")),
                router_key("counted", budget("month", limit_usd=5, soft_limit_usd=1)),
                router_key("once", budget(limit_requests=1)),
                router_key("nothing", budget(limit_usd=0)),
                router_key("two", budget(limit_requests=2)),
                router_key("words", budget("week", limit_tokens=600)),
                router_key("soft", budget(soft_limit_usd="0.000001")),
                router_key("tokens", tpm=1000),
                router_key("minute", rpm=3, tpm=100000, max_parallel=2),
            ]},
            {"name": "short", "can_shorten_answers": True,
             "router_keys": [router_key("shortened", budget(limit_usd="0.0005")), router_key("shortcheap"),
                             router_key("rich", budget(limit_usd=100))]},
            {"name": "above", "budgets": [budget("month", limit_usd="0.001")], "budget_status": 429},
            {"name": "below", "parent": "above", "budget_status": 429, "router_keys": [router_key("child")]},
            {"name": "shown", "can_see_budgets": True, "budgets": [budget("total", limit_usd="0.001")],
             "router_keys": [router_key("shown")]},
            {"name": "users", "end_users": [{"user": "*", "budgets": [budget(limit_requests=1)]}],
             "router_keys": [router_key("shared")]},
        ],
    }  # fmt: skip


@dataclass(frozen=True)
class Got:
    """One answer."""

    status: int
    headers: dict[str, str]
    doc: Any

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.doc["error"]
        return found


def ask(stack: Stack, name: str, model: str = "m", **more: Any) -> Got:
    """A plain request with the key of that name."""
    body = {"model": model, "messages": [{"role": "user", "content": "Tell me something"}], **more}
    status, headers, text = stack.post(body, key_of(name))
    return Got(status, headers, json.loads(text))


def key_info(stack: Stack, name: str) -> dict[str, Any]:
    """What /v1/key says."""
    import urllib.request

    request = urllib.request.Request(f"{stack.url}/v1/key", headers={"Authorization": f"Bearer {key_of(name)}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        found: dict[str, Any] = json.load(response)
        return found
