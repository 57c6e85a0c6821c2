"""GET /v1/key: what a key may use, what is left, until when; and nothing of what others have."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.routing import callers as c
from tests.routing.callers import get
from tests.stack import KEY, OTHER_KEY, Stack, running_stack

CHILD_KEY = "rk_child_" + "c" * 40
PLAIN_KEY = "rk_plain_" + "p" * 40


def document() -> dict[str, Any]:
    """acme with budgets for itself, its child, its keys and its end users; other with some that its keys may not see."""
    found = c.callers_document()
    found["tenants"] = [
        {"name": "acme", "can_see_budgets": True, "timezone": "Asia/Shanghai",
         "budgets": [{"window": "month", "limit_usd": 100, "soft_limit_usd": 80}],
         "end_users": [{"user": "*", "budgets": [{"window": "day", "limit_usd": 2}]},
                       {"user": "vip", "budgets": [{"window": "week", "limit_requests": 7}]}],
         "router_keys": [
             {"name": "main", "key": KEY, "models": ["m", "auto:*"], "denied_models": ["gpt-4*"], "default_model": "m",
              "rpm": 60, "tpm": 1000, "max_parallel": 3, "labels": {"team": "blue"},
              "networks": ["127.0.0.0/8"], "expires_at": "2091-05-06T07:08:09Z",
              "budgets": [{"window": "day", "limit_usd": "0.000013"}, {"window": "total", "soft_limit_tokens": 5000}],
              "previous": {"key": c.OLD_KEY, "until": c.ENDS}},
             {"name": "plain", "key": PLAIN_KEY}]},
        {"name": "child", "parent": "acme", "can_see_budgets": True,
         "budgets": [{"window": "day", "limit_requests": 50}],
         "router_keys": [{"name": "child", "key": CHILD_KEY}]},
        {"name": "other", "budgets": [{"window": "day", "limit_usd": 55}],
         "router_keys": [{"name": "main", "key": OTHER_KEY, "budgets": [{"window": "day", "limit_usd": 3}]}]},
    ]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(document()) as made:
        yield made
        assert "Traceback" not in made.log


def account(stack: Stack, key: str, query: str = "") -> dict[str, Any]:
    """The answer, once all its budgets are known; amounts as they stand in the text."""
    until = time.monotonic() + 60
    while True:
        status, _headers, answer = get(stack, f"/v1/key{query}", key)
        assert status == 200, answer
        if all(budget.get("used", 0) is not None for budget in answer["budgets"]):
            return dict(answer)
        assert time.monotonic() < until, answer
        time.sleep(0.1)


def budgets(answer: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(each["scope"], each["unit"], each["window"]): each for each in answer["budgets"]}


def test_it_tells_what_the_key_may_use_and_until_when(stack: Stack) -> None:
    found = account(stack, KEY)
    old = account(stack, c.OLD_KEY)

    shown = {name: value for name, value in found.items() if name not in ("budgets", "limit_remaining_usd")}
    assert shown == {
        "object": "key",
        "name": "main",
        "tenant": {"name": "acme"},
        "labels": {"team": "blue"},
        "allowed_models": ["m", "auto:*"],
        "denied_models": ["gpt-4*"],
        "default_model": "m",
        "expires_at": "2091-05-06T07:08:09Z",
        "networks": ["127.0.0.0/8"],
        "rate_limits": {"requests_per_minute": 60, "tokens_per_minute": 1000, "parallel_requests": 3},
    }
    assert old == found | {"expires_at": c.ENDS, "budgets": old["budgets"]}


def test_a_key_without_anything_has_all_fields_all_the_same(stack: Stack) -> None:
    found = account(stack, PLAIN_KEY)

    assert found.keys() == account(stack, KEY).keys()
    assert (found["expires_at"], found["default_model"], found["networks"], found["labels"]) == (None, None, [], {})
    assert set(found["rate_limits"].values()) == {None}
    assert [each["scope"] for each in found["budgets"]] == ["tenant"]
    assert found["limit_remaining_usd"] == 100


def test_budgets_tell_what_is_left_and_when_they_begin_anew(stack: Stack) -> None:
    found = account(stack, KEY)
    each = budgets(found)

    day = each["router_key", "usd", "day"]
    assert (day["name"], day["limit"], day["soft_limit"], day["used"], day["remaining"]) == (
        "main", 0.000013, None, 0, 0.000013
    )  # fmt: skip
    assert day["resets_at"].endswith("T16:00:00Z")  # midnight in Shanghai
    month = each["tenant", "usd", "month"]
    assert (month["limit"], month["soft_limit"]) == (100, 80)
    total = each["router_key", "tokens", "total"]
    assert (total["limit"], total["soft_limit"], total["remaining"], total["resets_at"]) == (None, 5000, None, None)
    assert found["limit_remaining_usd"] == 0.000013


def test_amounts_are_written_as_plain_decimals(stack: Stack) -> None:
    import urllib.request

    request = urllib.request.Request(f"{stack.url}/v1/key", headers={"Authorization": f"Bearer {KEY}"})
    text = urllib.request.urlopen(request, timeout=30).read()

    limits = {each["limit"] for each in json.loads(text, parse_float=Decimal)["budgets"]}
    assert b'"limit":0.000013,' in text
    assert Decimal("0.000013") in limits


def test_what_was_used_is_told(stack: Stack) -> None:
    before = budgets(account(stack, CHILD_KEY))["tenant", "requests", "day"]

    status, _headers, _body = stack.post({"model": "m", "messages": [{"role": "user", "content": "hi"}]}, CHILD_KEY)
    assert status == 200
    until = time.monotonic() + 60
    used = before["used"] + 1
    # What a process has set aside for further requests it gives back within seconds.
    while True:
        after = budgets(account(stack, CHILD_KEY))["tenant", "requests", "day"]
        if (after["used"], after["remaining"], after["limit"]) == (used, 50 - used, 50):
            break
        assert after["remaining"] <= 50 - after["used"] and time.monotonic() < until, after
        time.sleep(0.1)


def test_of_budgets_of_others_only_the_window_is_told(stack: Stack) -> None:
    child, other = account(stack, CHILD_KEY), account(stack, OTHER_KEY)

    hidden = budgets(child)["tenant", "usd", "month"]
    assert set(hidden) == {"scope", "unit", "window", "resets_at"}  # of acme, above the child
    assert child["limit_remaining_usd"] is None
    assert set(budgets(other)["tenant", "usd", "day"]) == {"scope", "unit", "window", "resets_at"}
    assert budgets(other)["router_key", "usd", "day"]["limit"] == 3
    assert other["limit_remaining_usd"] == 3
    text = json.dumps(child)
    assert "acme" not in text and "100" not in text
    assert "55" not in json.dumps(other["budgets"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", set()),
        ("?user=alice", {("end_user", "usd", "day")}),
        ("?user=vip", {("end_user", "requests", "week")}),
    ],
)
def test_an_end_users_budgets_are_told_when_asked_for(
    stack: Stack, query: str, expected: set[tuple[str, str, str]]
) -> None:
    found = {key: each for key, each in budgets(account(stack, KEY, query)).items() if key[0] == "end_user"}

    assert set(found) == expected
    assert {each["name"] for each in found.values()} == ({query.partition("=")[2]} if expected else set())


def test_without_a_key_or_with_a_wrong_one_nothing_is_told(stack: Stack) -> None:
    for key in (None, "rk_wrong_" + "w" * 40):
        status, _headers, answer = get(stack, "/v1/key", key)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
