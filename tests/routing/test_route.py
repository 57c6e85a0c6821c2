"""POST /v1/route: the same choice as the request's, told and not made."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.routing import choosing as c
from tests.routing import wire
from tests.routing.test_bad_input import BODIES, expect_error
from tests.routing.test_bad_requests import padded
from tests.stack import KEY, Stack
from tests.stores import IS_SERVER

USER = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
MIB = 1024 * 1024
Dry = Callable[..., dict[str, Any]]


@pytest.fixture
def dry(choosing: Stack) -> Dry:
    """The account of a request that is not made."""

    def ask(key: str = KEY, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        status, _headers, answer = choosing.post({"messages": [USER], **body}, key, path="/v1/route", headers=headers)
        assert status == 200, answer
        account: dict[str, Any] = orjson.loads(answer)
        assert account["object"] == "route"
        return account

    return ask


def told(account: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["provider"], each["upstream_model"]) for each in account["candidates"]]


def test_candidates_stand_in_the_order_in_which_they_are_tried(choosing: Stack, dry: Dry) -> None:
    body = {"model": "broken", "models": ["auto:nobody", "dear", "cheap"]}
    wish = {"x-smartrouter-strategy": "cost_first"}

    account = dry(headers=wish, **body)
    _status, headers, _answer = choosing.post({"messages": [USER], **body}, headers=wish)

    # Its own flat price makes sim-b the dearer one for a short prompt.
    assert told(account) == [
        ("sim-a", "sim-fast!500"), ("sim-a", "sim-smart"), ("sim-b", "sim-smart"), ("sim-a", "sim-fast"),
    ]  # fmt: skip
    assert [each["rank"] for each in account["candidates"]] == [1, 2, 3, 4]
    assert [(stage["model"], stage["strategy"]) for stage in account["stages"]] == [
        (name, "cost_first") for name in ("broken", "auto:nobody", "dear", "cheap")
    ]
    assert [(each["reason"], each["stage"]) for each in account["excluded"]] == [("max_cost_per_1k", 1)]
    assert account["error"] is None
    assert (headers["x-smartrouter-provider"], headers["x-smartrouter-model"]) == told(account)[1]


def test_the_size_of_the_prompt_may_be_stated_instead_of_messages(choosing: Stack, dry: Dry) -> None:
    cheap, dear = (
        {
            each["provider"]: each["estimated_charge_usd"]
            for each in dry(model="dear", messages=None, **size)["candidates"]
        }
        for size in ({"prompt_tokens": 1000, "max_tokens": 100}, {"prompt_tokens": 99_000, "max_tokens": 1000})
    )

    # 1000 x 5 + 100 x 15 and 1000 x 4 + 100 x 20 + 10,000 for the request, in millionths
    assert cheap == {"sim-a": "0.0065", "sim-b": "0.016"}
    assert dear == {"sim-a": "0.51", "sim-b": "0.426"}
    assert dry(model="dear", prompt_tokens=7)["asked"]["prompt_tokens"] == 7
    assert told(dry(model="dear", prompt_tokens=150_000)) == [("sim-a", "sim-smart")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "dear"}, "messages"),
        ({"model": "dear", "messages": []}, "messages"),
        ({"model": "dear", "prompt_tokens": 5, "messages": []}, "messages"),
        ({"model": "dear", "prompt_tokens": 5, "messages": "hi"}, "messages"),
        ({"model": "dear", "prompt_tokens": 0}, "prompt_tokens"),
        ({"model": "dear", "prompt_tokens": -1}, "prompt_tokens"),
        ({"model": "dear", "prompt_tokens": "5"}, "prompt_tokens"),
        ({"model": "dear", "prompt_tokens": True}, "prompt_tokens"),
        ({"model": "dear", "prompt_tokens": 1e30}, "prompt_tokens"),
        ({"model": "dear", "prompt_tokens": 5, "max_tokens": 0}, "max_tokens"),
        ({"model": "dear", "prompt_tokens": 5, "plugins": [{"id": "web"}]}, "plugins"),
    ],
)
def test_a_wrong_size_or_none_is_refused(choosing: Stack, body: dict[str, Any], param: str) -> None:
    expect_error(choosing.post(body, path="/v1/route"), 400, "invalid_request", param)


@pytest.mark.parametrize(("body", "code", "param"), [each for each in BODIES if each[2] != "model"])
def test_a_wrong_body_gets_the_error_of_the_request_itself(
    choosing: Stack, body: Any, code: str, param: str | None
) -> None:
    if isinstance(body, dict) and body.get("model") == "m":
        body = body | {"model": "cheap"}

    expect_error(choosing.post(body, c.PLAIN_KEY, path="/v1/route"), 400, code, param)


def test_a_body_may_be_as_large_as_a_chats(stack: Stack) -> None:
    assert wire.request(stack, "POST", "/v1/route", padded(2 * MIB), key=KEY)[0] == 200
    found = wire.request(stack, "POST", "/v1/route", padded(2 * MIB + 1), key=KEY)
    expect_error(found, 413, "request_too_large")


@pytest.mark.parametrize(
    ("body", "status", "code", "reasons"),
    [
        ({"model": "auto:nobody"}, 503, "no_available_channel", {"max_cost_per_1k"}),
        ({"model": "auto:empty"}, 503, "no_available_channel", set()),
        ({"model": "gone"}, 503, "no_available_channel", {"inactive"}),
        ({"model": "cheap", "tools": TOOLS}, 400, "capability_not_supported", {"lacks_capability"}),
        ({"model": "cheap", "max_tokens": 9000}, 400, "context_length_exceeded", {"context_too_small"}),
        ({"model": "auto:nobody", "models": ["gone"]}, 503, "no_available_channel", {"max_cost_per_1k", "inactive"}),
    ],
)
def test_where_nobody_may_serve_the_account_has_the_reasons_and_the_error(
    choosing: Stack, dry: Dry, body: dict[str, Any], status: int, code: str, reasons: set[str]
) -> None:
    account = dry(**body)

    assert account["candidates"] == []
    assert {each["reason"] for each in account["excluded"]} == reasons
    found = choosing.post({"messages": [USER], **body})
    assert found[0] == status
    assert account["error"] == {**orjson.loads(found[2])["error"], "status": status}
    assert account["error"]["code"] == code


def test_nothing_is_sent_and_nothing_recorded(choosing: Stack, dry: Dry) -> None:
    def seen() -> tuple[int, int, int]:
        choosing.ingest()
        return len(choosing.alpha.journal()), len(choosing.beta.journal()), len(choosing.rows())

    before = seen()

    for _turn in range(5):
        assert dry(model="auto:turns", stream=True)["candidates"]

    assert seen() == before


def test_no_daily_limit_is_counted(choosing: Stack, dry: Dry) -> None:
    for _turn in range(5):
        assert dry(model="auto:once")["candidates"]

    assert choosing.post({"model": "auto:once", "messages": [USER]})[0] == 200


@pytest.mark.skipif(IS_SERVER, reason="each of two processes has its own turns")
def test_no_turn_is_used_up_and_the_next_one_is_told(choosing: Stack, dry: Dry) -> None:
    providers = set()
    for _turn in range(8):
        dry(model="auto:turns")
        (expected, _model), *_rest = told(dry(model="auto:turns"))
        served = choosing.post({"model": "auto:turns", "messages": [USER]})[1]["x-smartrouter-provider"]
        assert served == expected
        providers.add(served)

    assert providers == {"sim-a", "sim-b"}


def test_channels_are_told_to_those_who_may_see_them(dry: Dry) -> None:
    shown, hidden = dry(model="dear"), dry(c.PLAIN_KEY, model="dear", models=["auto:nobody"])

    assert {each["channel"] for each in shown["candidates"]} == {"a", "b"}
    assert hidden["candidates"] and hidden["excluded"]
    assert not [each for each in hidden["candidates"] + hidden["excluded"] if "channel" in each]


def test_it_needs_a_key_and_post(choosing: Stack) -> None:
    expect_error(choosing.post({"model": "dear"}, None, path="/v1/route"), 401, "invalid_api_key")
