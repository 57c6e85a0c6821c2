"""Groups as clients meet them: the design's auto:free, fallback groups, strict capabilities, longer contexts, strategies."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stack import KEY, OTHER_KEY, Stack, running_stack
from tests.stores import IS_SERVER

LLAMA, LLAMA_FREE = "llama-3.1-8b-instant", "meta-llama/llama-3.1-8b-instruct:free"
BROKEN, TOO_SHORT, DEAR = "sim-fast!500", "sim-smart!context", "sim-vision!ok:chunks=3"
LIMITED = "rk_limited_" + "l" * 40


def auto_free(limit: int) -> dict[str, Any]:
    """The example of the design, in its older form."""
    return {
        "auto:free": {
            "display_name": "Free models",
            "description": "Everything that costs nothing",
            "routing_strategy": [
                {"field": "effective_cost", "order": "asc", "weight": 1.0},
                {"field": "speed_score", "order": "desc", "weight": 0.9},
                {"field": "quota_remaining", "order": "desc", "weight": 0.7},
            ],
            "filters": {"max_cost_per_1k": 0.0, "min_context_length": 4000},
            "channels": [
                {"provider": "groq", "model": "sim-free", "priority": 1, "weight": 1.5, "daily_limit": limit},
                {"provider": "openrouter", "model": "sim-free", "priority": 2, "weight": 1.0, "daily_limit": 1000},
            ],
        }
    }


def member(channel: str, model: str, **more: Any) -> dict[str, Any]:
    return {"channel": channel, "model": model, **more}


def group(name: str, *members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "channels": list(members), **more}


DOCUMENT: dict[str, Any] = {
    "providers": [
        {"name": "groq", "base_url": "ALPHA", "adapter": "openai", "region": "us"},
        {"name": "openrouter", "base_url": "BETA", "adapter": "openai", "kind": "aggregator"},
    ],
    "models": [
        {"provider": "groq", "model": "sim-free", "price": {"input": 0.05, "output": 0.08}, "context_length": 131072},
        {"provider": "openrouter", "model": "sim-free", "free": True, "context_length": 131072},
        {"provider": "groq", "model": BROKEN, "price": {"input": 1, "output": 1}, "capabilities": ["function_calling"]},
        {"provider": "openrouter", "model": "sim-fast", "price": {"input": 1, "output": 1}, "capabilities": []},
        {"provider": "openrouter", "model": "sim-smart", "price": {"input": 1, "output": 1},
         "capabilities": ["function_calling", "json_schema"]},
        {"provider": "groq", "model": TOO_SHORT, "price": {"input": 1, "output": 1}, "context_length": 200000},
        {"provider": "groq", "model": "sim-reasoner", "price": {"input": 1, "output": 1}, "context_length": 200000},
        {"provider": "openrouter", "model": "sim-reasoner", "price": {"input": 9, "output": 9}, "context_length": 1000000},
        {"provider": "groq", "model": DEAR, "price": {"input": 9, "output": 9}},
        {"provider": "openrouter", "model": "sim-vision", "price": {"input": 1, "output": 1}},
    ],
    "channels": [
        {"name": "a", "provider": "groq", "keys": ["sim-key-alpha-0001"],
         "models": [{"name": LLAMA, "model": "sim-free", "price": {"input": 0, "output": 0}},
                    BROKEN, TOO_SHORT, "sim-reasoner", DEAR]},
        {"name": "b", "provider": "openrouter", "keys": ["sim-key-beta-0002"],
         "models": [{"name": LLAMA_FREE, "model": "sim-free"}, "sim-fast", "sim-smart", "sim-reasoner", "sim-vision"]},
    ],
    "model_groups": [
        group("g:first", member("a", BROKEN), fallback="g:second"),
        group("g:second", member("b", "sim-fast", priority=2), fallback="g:third"),
        group("g:third", member("b", "sim-vision")),
        group("g:tools", member("a", BROKEN), member("b", "sim-fast", priority=2), member("b", "sim-smart", priority=3)),
        group("g:long", member("a", TOO_SHORT), member("a", "sim-reasoner", priority=2),
              member("b", "sim-reasoner", priority=3)),
        group("g:short", member("a", TOO_SHORT), member("a", "sim-reasoner", priority=2)),
        group("g:switch", member("a", DEAR), member("b", "sim-vision", priority=2)),
    ],
    "tenants": [
        {"name": "acme", "can_see_channels": True, "router_keys": [
            {"name": "main", "key": KEY, "can_choose_strategy": True},
            {"name": "limited", "key": LIMITED, "models": ["g:first"], "denied_models": ["sim-fast", "g:third"]},
        ]},
        {"name": "other", "router_keys": [{"name": "main", "key": OTHER_KEY}]},
    ],
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(DOCUMENT) as made:
        yield made


@pytest.fixture
def ask(stack: Stack) -> Callable[..., tuple[int, dict[str, str], Any]]:
    """Status, headers and body of a call."""

    def call(model: str | None, key: str = KEY, headers: dict[str, str] | None = None, **more: Any) -> Any:
        body = {"messages": [{"role": "user", "content": "Hi"}], **({"model": model} if model else {}), **more}
        status, found, answer = stack.post(body, key, headers=headers)
        return status, found, json.loads(answer)

    return call


Ask = Callable[..., tuple[int, dict[str, str], Any]]


def test_the_free_group_of_the_design_goes_on_when_a_daily_limit_is_used_up(stack: Stack, ask: Ask) -> None:
    limit = 5
    document = {name: block for name, block in DOCUMENT.items() if name != "model_groups"}
    stack.apply(document | {"model_groups": auto_free(limit)})

    served: list[str] = []
    until = time.monotonic() + 30
    while served.count("b") < 3 and time.monotonic() < until:
        status, headers, answer = ask("auto:free")
        if status == 404:  # not live yet
            time.sleep(0.05)
            continue
        assert status == 200, answer
        served.append(headers["x-smartrouter-channel"])
        assert headers["x-smartrouter-cost-usd"] == "0"

    # Two processes know of each other's requests a moment later.
    slack = 5 if IS_SERVER else 0
    assert served[:limit] == ["a"] * limit
    assert limit <= served.count("a") <= limit + slack
    assert served[-1] == "b"


def test_a_fallback_group_serves_when_the_members_fail(ask: Ask) -> None:
    status, headers, _answer = ask("g:first")

    assert (status, headers["x-smartrouter-model"], headers["x-smartrouter-attempts"]) == (200, "sim-fast", "2")
    assert headers["x-smartrouter-group"] == "g:second"


def test_a_fallback_group_serves_when_no_member_may(ask: Ask) -> None:
    status, headers, _answer = ask("g:second", tools=TOOLS)

    assert (status, headers["x-smartrouter-model"], headers["x-smartrouter-attempts"]) == (200, "sim-vision", "1")


def test_what_is_denied_is_not_reached_through_a_fallback(ask: Ask) -> None:
    """g:second has only the denied model, g:third is denied as a group: what is left is the member that fails."""
    status, _headers, answer = ask("g:first", LIMITED)
    direct, _headers, _answer = ask("sim-fast", LIMITED)

    assert (status, answer["error"]["code"]) == (502, "upstream_error")
    assert direct == 403


def test_a_request_with_tools_reaches_nobody_who_lacks_them_not_even_after_a_failure(stack: Stack, ask: Ask) -> None:
    status, headers, _answer = ask("g:tools", tools=TOOLS)
    plain, plain_headers, _answer = ask("g:tools")

    assert (status, headers["x-smartrouter-model"], headers["x-smartrouter-attempts"]) == (200, "sim-smart", "2")
    assert (plain, plain_headers["x-smartrouter-model"]) == (200, "sim-fast")


def test_where_nobody_can_do_it_the_error_says_what_is_lacking(ask: Ask) -> None:
    status, headers, answer = ask("sim-fast", tools=TOOLS)

    assert (status, answer["error"]["code"]) == (400, "capability_not_supported")
    assert "function_calling" in answer["error"]["message"]
    assert headers["x-should-retry"] == "false"


def test_a_refusal_for_length_moves_on_to_a_longer_context_only(ask: Ask) -> None:
    status, headers, _answer = ask("g:long")
    refused, _headers, answer = ask("g:short")

    assert (status, headers["x-smartrouter-model"], headers["x-smartrouter-attempts"]) == (200, "sim-reasoner", "2")
    assert (refused, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_more_tokens_than_any_context_reach_nobody(ask: Ask) -> None:
    status, headers, _answer = ask("g:long", max_tokens=900_000)
    too_long, _headers, error = ask("g:long", max_tokens=2_000_000)

    assert (status, headers["x-smartrouter-model"], headers["x-smartrouter-attempts"]) == (200, "sim-reasoner", "1")
    assert (too_long, error["error"]["code"]) == (400, "context_length_exceeded")


def test_a_request_may_choose_the_strategy_where_its_key_permits_it(ask: Ask) -> None:
    def chosen(strategy: str, key: str = KEY) -> Any:
        status, headers, answer = ask("g:switch", key, {"x-smartrouter-strategy": strategy})
        return headers.get("x-smartrouter-model") or (status, answer["error"]["code"])

    assert chosen("auto") == DEAR
    assert chosen("cost_first") == "sim-vision"
    assert chosen("nonsense") == (400, "invalid_request")
    assert chosen("cost_first", OTHER_KEY) == (403, "strategy_not_allowed")


def test_the_default_strategy_is_switched_within_a_second(stack: Stack, ask: Ask) -> None:
    def served() -> Counter[str]:
        return Counter(ask("g:switch")[1]["x-smartrouter-model"] for _turn in range(6))

    def switched_to(expected: str) -> bool:
        """Every process within a second; on a slow machine a moment more is no fault of the router's."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if served() == Counter({expected: 6}):
                return True
        return False

    before = served()
    stack.manage("strategy", "cost_first")
    is_cheap = switched_to("sim-vision")
    stack.manage("strategy", "--reset")

    assert before == Counter({DEAR: 6})
    assert is_cheap and switched_to(DEAR)


def test_a_list_of_names_is_tried_in_its_order(stack: Stack, ask: Ask) -> None:
    status, headers, _answer = ask(BROKEN, models=["sim-fast", "sim-vision"])
    only, only_headers, _answer = ask(None, models=["sim-vision", "sim-fast"])

    assert (status, headers["x-smartrouter-model"]) == (200, "sim-fast")
    assert (only, only_headers["x-smartrouter-model"]) == (200, "sim-vision")
    sent = stack.beta.journal(f"{headers['x-request-id']}-2")
    assert len(sent) == 1
