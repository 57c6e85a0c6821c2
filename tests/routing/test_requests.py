"""How a request says what it wants: several names, a default model, a strategy, a provider; and what of it goes upstream."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.routing import choosing as c
from tests.routing.test_bad_input import expect_error
from tests.stack import KEY, Stack

USER = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
Sent = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def sent(choosing: Stack) -> Sent:
    """What the simulators got of a request, attempt by attempt."""

    def find(request_id: str) -> list[dict[str, Any]]:
        tags = [f"{request_id}-{attempt}" for attempt in (1, 2, 3)]
        return [entry for tag in tags for entry in choosing.alpha.journal(tag) + choosing.beta.journal(tag)]

    return find


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": [USER], **more}


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({"models": ["cheap"]}, ["sim-fast"]),
        ({"models": ["gift", "cheap"]}, ["sim-free"]),
        ({"model": "cheap", "models": ["gift"]}, ["sim-fast"]),
        ({"model": "broken", "models": ["gift", "cheap"]}, ["sim-fast!500", "sim-free"]),
        ({"model": "", "models": ["cheap"]}, ["sim-fast"]),
        ({"model": None, "models": ["cheap"]}, ["sim-fast"]),
        ({"models": ["broken", "broken", "cheap", "cheap"]}, ["sim-fast!500", "sim-fast"]),
        ({"model": "auto:nobody", "models": ["tag:free,qwen"]}, ["sim-free"]),
        ({"model": "gone", "models": ["sim-a/sim-fast"]}, ["sim-fast"]),
        ({"model": "cheap", "models": None}, ["sim-fast"]),
        ({"model": "cheap", "models": []}, ["sim-fast"]),
        ({"model": "tag:CHEAP"}, ["sim-fast"]),
        ({}, [c.SECRET]),
        ({"model": ""}, [c.SECRET]),
        ({"model": None, "models": []}, [c.SECRET]),
        ({"model": "cheap", "models": ["dear"], "tools": TOOLS}, ["sim-smart"]),
        ({"model": "cheap", "models": ["auto:first"], "max_tokens": 9000}, ["sim-fast!500", c.SECRET]),
        # n answers need their space one by one, not all in one context
        ({"model": "cheap", "max_tokens": 7000, "n": 4}, ["sim-fast"]),
    ],
)
def test_names_are_tried_in_their_order(choosing: Stack, sent: Sent, body: dict[str, Any], models: list[str]) -> None:
    status, headers, answer = choosing.post(chat(**body))

    assert status == 200, answer
    entries = sent(headers["x-request-id"])
    assert [entry["body"]["model"] for entry in entries] == models
    assert headers["x-smartrouter-model"] == models[-1]


def test_of_what_is_ours_nothing_goes_upstream(choosing: Stack, sent: Sent) -> None:
    ours = {"x-smartrouter-strategy": "cost_first", "x-smartrouter-provider": "sim-a"}

    _status, headers, _body = choosing.post(chat(model="cheap", models=["dear"], seed=7), headers=ours)

    (entry,) = sent(headers["x-request-id"])
    assert entry["body"] == {"model": "sim-fast", "messages": [USER], "seed": 7}
    assert not [name for name in entry["headers"] if name.startswith("x-smartrouter")]


def test_the_first_name_is_recorded_and_the_group_that_served(choosing: Stack) -> None:
    asked: tuple[dict[str, Any], ...] = (
        {"model": "broken", "models": ["cheap"]},
        {"models": ["auto:first", "cheap"]},
        {},
    )
    ids = [choosing.post(chat(**body))[1]["x-request-id"] for body in asked]
    choosing.ingest()

    rows = {row["request_id"]: row for row in choosing.rows() if row["is_billable"]}
    found = [rows[request_id.replace("-", "")] for request_id in ids]
    assert [(row["requested_model"], row["group"]) for row in found] == [
        ("broken", ""),
        ("auto:first", "auto:secret"),
        ("secret", ""),
    ]


REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"models": "cheap"}, 400, "invalid_request", "models"),
    ({"models": {"a": 1}}, 400, "invalid_request", "models"),
    ({"models": False}, 400, "invalid_request", "models"),
    ({"models": 7}, 400, "invalid_request", "models"),
    ({"models": [7]}, 400, "invalid_request", "models[0]"),
    ({"models": ["cheap", None]}, 400, "invalid_request", "models[1]"),
    ({"models": ["cheap", ""]}, 400, "invalid_request", "models[1]"),
    ({"models": [["cheap"]]}, 400, "invalid_request", "models[0]"),
    ({"models": ["cheap", "x" * 201]}, 400, "invalid_request", "models[1]"),
    ({"models": ["cheap"] * 11}, 400, "invalid_request", "models"),
    ({"models": ["cheap"] * 400_000}, 400, "invalid_request", "models"),
    ({"model": 7, "models": ["cheap"]}, 400, "invalid_request", "model"),
    ({"model": "cheap", "models": ["zzz"]}, 404, "model_not_found", "models[0]"),
    ({"model": "zzz", "models": ["cheap"]}, 404, "model_not_found", "model"),
    ({"models": ["cheap", "hidden"]}, 404, "model_not_found", "models[1]"),
    ({"models": ["cheap", "tag:"]}, 400, "invalid_tag", "models[1]"),
    ({"model": "tag:nobody"}, 404, "model_not_found", "model"),
    ({"model": "tag:"}, 400, "invalid_tag", "model"),
    ({"model": "tag:qwen,"}, 400, "invalid_tag", "model"),
    ({"model": "cheap", "max_tokens": 9000}, 400, "context_length_exceeded", "messages"),
    ({"model": "cheap", "tools": TOOLS}, 400, "capability_not_supported", "model"),
    ({"model": "tag:fast", "models": ["gift"], "tools": TOOLS}, 400, "capability_not_supported", "model"),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
@pytest.mark.parametrize(("body", "status", "code", "param"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_wrong_is_refused_and_says_where(
    choosing: Stack, path: str, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    found = choosing.post(chat(**body), path=path)

    if path == "/v1/route" and code in ("context_length_exceeded", "capability_not_supported"):
        error = orjson.loads(found[2])["error"]
        assert found[0] == 200 and (error["status"], error["code"], error["param"]) == (status, code, param)
    else:
        expect_error(found, status, code, param)


@pytest.mark.parametrize(
    ("name", "part"), [("auto:nobody", "filters"), ("auto:empty", "no members"), ("gone", "No channel")]
)
def test_where_nobody_may_serve_the_answer_is_503_with_a_sentence(choosing: Stack, name: str, part: str) -> None:
    found = choosing.post(chat(model=name))
    error = expect_error(found, 503, "no_available_channel")

    assert part in error["message"] and name in error["message"]
    assert found[1]["x-should-retry"] == "false"


def test_a_capability_that_is_not_known_will_do_where_nobody_is_known_to_have_it(choosing: Stack) -> None:
    unknown, known = (choosing.post(chat(model=name, tools=TOOLS)) for name in ("unknown", "dear"))
    both = choosing.post(chat(model="tag:sim", tools=TOOLS))

    assert (unknown[0], unknown[1]["x-smartrouter-model"]) == (200, "sim-vision")
    assert known[1]["x-smartrouter-model"] == both[1]["x-smartrouter-model"] == "sim-smart"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
@pytest.mark.parametrize(
    ("headers", "key", "status", "code", "param"),
    [
        ({"x-smartrouter-strategy": "nonsense"}, KEY, 400, "invalid_request", "x-smartrouter-strategy"),
        ({"x-smartrouter-strategy": "\xe9"}, KEY, 400, "invalid_request", "x-smartrouter-strategy"),
        ({"x-smartrouter-provider": "nobody"}, KEY, 400, "invalid_request", "x-smartrouter-provider"),
        ({"x-smartrouter-strategy": "auto"}, c.PLAIN_KEY, 403, "strategy_not_allowed", None),
        ({"x-smartrouter-strategy": "nonsense"}, c.PLAIN_KEY, 403, "strategy_not_allowed", None),
        ({"x-smartrouter-provider": "sim-a"}, c.PLAIN_KEY, 403, "strategy_not_allowed", None),
    ],
)
def test_a_strategy_or_provider_that_cannot_be(
    choosing: Stack, path: str, headers: dict[str, str], key: str, status: int, code: str, param: str | None
) -> None:
    found = choosing.post(chat(model="cheap"), key, path=path, headers=headers)

    error = expect_error(found, status, code, param)
    if headers == {"x-smartrouter-strategy": "nonsense"} and status == 400:
        assert "cost_first" in error["message"] and "weighted_round_robin" in error["message"]


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({}, {"sim-a", "sim-b"}),
        ({"x-smartrouter-strategy": "", "x-smartrouter-provider": ""}, {"sim-a", "sim-b"}),
        ({"x-smartrouter-strategy": "specified_provider"}, {"sim-a", "sim-b"}),
        ({"x-smartrouter-strategy": "specified_provider", "x-smartrouter-provider": "sim-b"}, {"sim-b"}),
        ({"x-smartrouter-provider": "sim-b"}, {"sim-b"}),
        ({"x-smartrouter-provider": "sim-a"}, {"sim-a"}),
        ({"x-smartrouter-strategy": "cost_first", "x-smartrouter-provider": "sim-b"}, {"sim-b"}),
        ({"x-smartrouter-strategy": "local_first"}, {"sim-a"}),
    ],
)
def test_a_permitted_key_chooses_the_strategy_and_the_provider(
    choosing: Stack, headers: dict[str, str], served: set[str]
) -> None:
    found = [choosing.post(chat(model="dear"), headers=headers) for _turn in range(6)]

    assert {status for status, _headers, _body in found} == {200}
    assert {each["x-smartrouter-provider"] for _status, each, _body in found} <= served


def test_a_provider_that_does_not_offer_the_model_serves_nobody(choosing: Stack) -> None:
    found = choosing.post(chat(model="cheap"), headers={"x-smartrouter-provider": "sim-b"})

    assert "provider" in expect_error(found, 503, "no_available_channel")["message"]


def test_without_a_default_model_a_name_is_required(choosing: Stack) -> None:
    bodies: tuple[dict[str, Any], ...] = ({}, {"model": ""}, {"models": []}, {"model": None})
    for body in bodies:
        expect_error(choosing.post(chat(**body), c.PLAIN_KEY), 400, "invalid_request", "model")
