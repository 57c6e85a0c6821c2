"""Bad input, case by case: each with its documented status, code and param; all four keys, always JSON, never a page."""

from typing import Any

import orjson
import pytest

from tests.routing import configuration as c
from tests.routing.replies import chat
from tests.routing.wire import Found, request
from tests.stack import KEY, OTHER_KEY, Stack

MIB = 1024 * 1024
CHAT, MODELS = "/v1/chat/completions", "/v1/models"
USER = {"role": "user", "content": "hi"}


def expect_error(found: Found, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """The error object of a documented error; json, complete, and with what a client needs."""
    got, headers, body = found
    assert (got, headers["content-type"]) == (status, "application/json"), body[:300]
    error: dict[str, Any] = orjson.loads(body)["error"]
    assert set(error) - {"metadata"} == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"] and error["message"].endswith(".")
    assert "x-request-id" in headers
    if 400 <= status < 500:
        assert headers["x-should-retry"] == "false" and "retry-after" not in headers
    return error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": KEY},
        {"Authorization": "Bearer rk_nobody"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY.upper()}"},
        {"Authorization": "Bearer sim-key-main-0001"},
        {"Authorization": "Bearer " + "x" * 4000},
        {"Authorization": "Bearer \xe9\xff"},
        {"x-api-key": "rk_nobody"},
        {"x-api-key": ""},
        {"Authorization": f"Bearer {c.REVOKED_KEY}"},
        {"Authorization": f"Bearer {c.EXPIRED_KEY}"},
        {"Authorization": f"Bearer {c.IDLE_KEY}"},
        {"Authorization": f"Bearer {c.IDLE_CHILD_KEY}"},
    ],
)
@pytest.mark.parametrize("path", [CHAT, MODELS])
def test_without_a_valid_key_everything_is_401(stack: Stack, headers: dict[str, str], path: str) -> None:
    method = "POST" if path == CHAT else "GET"

    found = request(stack, method, path, chat("m") if path == CHAT else None, headers=headers)

    error = expect_error(found, 401, "invalid_api_key")
    assert error["type"] == "authentication_error"
    assert found[1]["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", [{"Authorization": f"bearer  {KEY}"}, {"x-api-key": KEY}, {"X-API-KEY": f" {KEY} "}])
def test_a_key_is_taken_from_either_header(stack: Stack, header: dict[str, str]) -> None:
    assert request(stack, "GET", MODELS, headers=header)[0] == 200


@pytest.mark.parametrize(
    ("model", "key", "status", "code"),
    [
        ("gpt-99", KEY, 404, "model_not_found"),
        ("private", KEY, 404, "model_not_found"),
        ("sim-b/private", KEY, 404, "model_not_found"),
        ("family", OTHER_KEY, 404, "model_not_found"),
        ("sim-fast", KEY, 404, "model_not_found"),
        ("\0sim-fast", KEY, 404, "model_not_found"),
        ("sim-a/\0sim-fast", KEY, 404, "model_not_found"),
        ("nobody/m", KEY, 404, "model_not_found"),
        ("/m", KEY, 404, "model_not_found"),
        ("sim-a/", KEY, 404, "model_not_found"),
        ("auto:off", KEY, 404, "model_not_found"),
        ("m\n", KEY, 404, "model_not_found"),
        (" m", KEY, 404, "model_not_found"),
        ("M", KEY, 404, "model_not_found"),
        ("{0}", KEY, 404, "model_not_found"),
        ("%s%n", KEY, 404, "model_not_found"),
        ("<script>", KEY, 404, "model_not_found"),
        ("vision", c.LIMITED_KEY, 403, "model_not_allowed"),
        ("m-alias", c.LIMITED_KEY, 403, "model_not_allowed"),
        ("sim-a/m", c.LIMITED_KEY, 403, "model_not_allowed"),
    ],
)
def test_unknown_and_forbidden_models(stack: Stack, model: str, key: str, status: int, code: str) -> None:
    for body in (chat(model), chat(model, stream=True)):
        expect_error(stack.post(body, key), status, code, "model")


@pytest.mark.parametrize("model", ["off", "auto:waiting"])
def test_a_model_whose_channels_are_all_off_is_503(stack: Stack, model: str) -> None:
    error = expect_error(stack.post(chat(model)), 503, "no_available_channel")

    assert error["type"] == "server_error"


BODIES: list[tuple[Any, str, str | None]] = [
    (b"", "invalid_json", None),
    (b"hello", "invalid_json", None),
    (b"{", "invalid_json", None),
    (b'{"model": "m",}', "invalid_json", None),
    (b"\xff\xfe{}", "invalid_json", None),
    (b'{"model": "\xff"}', "invalid_json", None),
    (b'{"model": "\\ud800"}', "invalid_json", None),
    (b"[" * 100_000, "invalid_json", None),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "invalid_json", None),
    (b"NaN", "invalid_json", None),
    (b"model=m&messages=hi", "invalid_json", None),
    ([], "invalid_json", None),
    ([chat("m")], "invalid_json", None),
    ("text", "invalid_json", None),
    (None, "invalid_json", None),
    (7, "invalid_json", None),
    ({}, "invalid_request", "model"),
    ({"messages": [USER]}, "invalid_request", "model"),
    (chat("") | {"model": None}, "invalid_request", "model"),
    (chat("") | {"model": 7}, "invalid_request", "model"),
    (chat("") | {"model": ["m"]}, "invalid_request", "model"),
    (chat("") | {"model": {"a": 1}}, "invalid_request", "model"),
    (chat(""), "invalid_request", "model"),
    (chat("x" * 201), "invalid_request", "model"),
    ({"model": "m"}, "invalid_request", "messages"),
    ({"model": "m", "messages": None}, "invalid_request", "messages"),
    ({"model": "m", "messages": []}, "invalid_request", "messages"),
    ({"model": "m", "messages": "hi"}, "invalid_request", "messages"),
    ({"model": "m", "messages": USER}, "invalid_request", "messages"),
    ({"model": "m", "messages": ["hi"]}, "invalid_request", "messages[0]"),
    ({"model": "m", "messages": [USER, None]}, "invalid_request", "messages[1]"),
    ({"model": "m", "messages": [{}]}, "invalid_request", "messages[0].role"),
    ({"model": "m", "messages": [{"role": "wizard", "content": "hi"}]}, "invalid_request", "messages[0].role"),
    ({"model": "m", "messages": [{"role": ["user"], "content": "hi"}]}, "invalid_request", "messages[0].role"),
    ({"model": "m", "messages": [USER, {"role": "user", "content": 7}]}, "invalid_request", "messages[1].content"),
    (
        {"model": "m", "messages": [{"role": "user", "content": {"text": "x"}}]},
        "invalid_request",
        "messages[0].content",
    ),
    (chat("m") | {"stream": "yes"}, "invalid_request", "stream"),
    (chat("m") | {"stream": 1}, "invalid_request", "stream"),
    (chat("m") | {"stream": []}, "invalid_request", "stream"),
    (chat("m", stream=True) | {"stream_options": "all"}, "invalid_request", "stream_options"),
    (chat("m", stream=True) | {"stream_options": [1]}, "invalid_request", "stream_options"),
    (chat("m", n=0), "invalid_request", "n"),
    (chat("m", n=-1), "invalid_request", "n"),
    (chat("m", n=1.5), "invalid_request", "n"),
    (chat("m", n="2"), "invalid_request", "n"),
    (chat("m", n=True), "invalid_request", "n"),
    (chat("m", n=[2]), "invalid_request", "n"),
    (chat("m", max_tokens=-1), "invalid_request", "max_tokens"),
    (chat("m", max_tokens=0), "invalid_request", "max_tokens"),
    (chat("m", max_tokens="9"), "invalid_request", "max_tokens"),
    (chat("m", max_tokens=1e3), "invalid_request", "max_tokens"),
    (chat("m", max_completion_tokens={}), "invalid_request", "max_completion_tokens"),
    (chat("m", tools={}), "invalid_request", "tools"),
    (chat("m", tools="all"), "invalid_request", "tools"),
    (chat("m", tools=[None]), "invalid_request", "tools[0].type"),
    (chat("m", tools=[{}]), "invalid_request", "tools[0].type"),
    (chat("m", tools=[{"type": "web_search"}]), "invalid_request", "tools[0].type"),
    (chat("m", tools=[{"type": []}]), "invalid_request", "tools[0].type"),
    (chat("m", tools=[{"type": {"a": 1}}]), "invalid_request", "tools[0].type"),
]


@pytest.mark.parametrize(("body", "code", "param"), BODIES, ids=range(len(BODIES)))
def test_a_wrong_body_is_400_and_says_where(stack: Stack, body: Any, code: str, param: str | None) -> None:
    before = len(stack.alpha.journal()) if param == "tools[0].type" else None

    expect_error(stack.post(body), 400, code, param)

    assert before is None or len(stack.alpha.journal()) == before


@pytest.mark.parametrize(
    "more",
    [
        {"user": 7}, {"user": None}, {"user": ["x"]}, {"user": "\0" * 300}, {"metadata": {"a": "b"}}, {"stop": None},
        {"stream": None}, {"n": None}, {"tools": None}, {"max_tokens": 10**9}, {"temperature": "hot"},
        {"messages": [{"role": "assistant"}, USER]}, {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": [None, 7, "x", {"text": 7}, {"image_url": 3}]}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": "none"}, USER]},
        {"messages": [USER] * 5000}, {"unknown": {"deep": [[[[[1]]]]]}},
    ],
)  # fmt: skip
def test_what_only_the_upstream_can_judge_is_the_upstreams_to_judge(stack: Stack, more: dict[str, Any]) -> None:
    status, headers, _body = stack.post(chat("m") | more)

    assert status in (200, 400)
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/chat", "/v1/chat/completions/", "/v1/models/",
                                  "/v1/chat/completions/x", "/v1//models", "/v1/../admin", "/v1/%2e%2e/admin"])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_an_unknown_path_below_v1_is_404_json(stack: Stack, method: str, path: str) -> None:
    expect_error(request(stack, method, path, {} if method != "GET" else None, key=KEY), 404, "unknown_url")


@pytest.mark.parametrize("path", ["//v1/models", "/V1/models", "/v1x", "/nothing"])
def test_an_unknown_path_elsewhere_shows_nothing_of_the_inside(stack: Stack, path: str) -> None:
    status, _headers, body = request(stack, "GET", path, key=KEY)

    assert status == 404
    assert b"Traceback" not in body and b"urlpatterns" not in body and b"DEBUG" not in body


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"), ("PUT", CHAT, "POST"), ("DELETE", CHAT, "POST"), ("PATCH", CHAT, "POST"),
        ("OPTIONS", CHAT, "POST"), ("TRACE", CHAT, "POST"), ("BREW", CHAT, "POST"), ("POST", MODELS, "GET"),
        ("DELETE", f"{MODELS}/m", "GET"), ("PUT", f"{MODELS}/m", "GET"),
    ],
)  # fmt: skip
def test_a_wrong_method_is_405_and_says_which_is_right(stack: Stack, method: str, path: str, allowed: str) -> None:
    found = request(stack, method, path, key=KEY)
    if method == "BREW" and found[0] == 400:
        return  # the server's parser knows no such method and says so before us

    expect_error(found, 405, "method_not_allowed")
    assert found[1]["allow"] == allowed


def test_a_model_is_looked_up_by_name_whatever_the_name_looks_like(stack: Stack) -> None:
    for name in ("../../admin", "..%2f..%2fadmin", "%00sim-fast", "%ff", "a%20b", "x" * 300, "m/../m", "%E4%BD%A0"):
        expect_error(request(stack, "GET", f"{MODELS}/{name}", key=KEY), 404, "model_not_found", "model")
    expect_error(request(stack, "GET", f"{MODELS}/vision", key=c.LIMITED_KEY), 403, "model_not_allowed", "model")
    expect_error(request(stack, "GET", f"{MODELS}/private", key=KEY), 404, "model_not_found", "model")
