"""Messages of /v1: in LANGUAGE_CODE, or in the language that a request prefers, which touches no other request."""

import asyncio
import json
import re
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest
from django.utils.translation import get_language

from routing.endpoints.entry import handle
from smartrouter.lib.language import language_of
from tests.stack import Stack, free_port, running_stack, two_channels

CHINESE, ENGLISH = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}, {"Accept-Language": "en-US,en"}
HAN = re.compile(r"[\u4e00-\u9fff]")
CALL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
# What a terminal set to Chinese has, and no LANGUAGE_CODE.
TERMINAL = {"LANGUAGE_CODE": "", "LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Served from a Chinese terminal. `m` cannot be reached; `cut` breaks off after its first words."""
    document = two_channels(second="sim-fast!cut:after=3")
    document["providers"][0]["base_url"] = f"http://127.0.0.1:{free_port()}/v1"
    document["channels"][1]["models"] = [{"name": "cut", "model": "sim-fast!cut:after=3"}]
    with running_stack(document, **TERMINAL) as made:
        yield made


def error_of(stack: Stack, headers: dict[str, str] | None = None, key: str | None = "rk_unknown") -> dict[str, Any]:
    status, _headers, body = stack.post(CALL, key, headers=headers)
    error: dict[str, Any] = json.loads(body)["error"]
    assert (status, error["code"], error["type"]) == (401, "invalid_api_key", "authentication_error")
    return error


def test_a_request_chooses_the_language_of_its_messages(stack: Stack) -> None:
    plain, english, chinese = error_of(stack), error_of(stack, ENGLISH), error_of(stack, CHINESE)

    assert plain == english
    assert plain["message"] == "This router key is not known."
    assert HAN.search(chinese["message"])


def test_what_is_said_about_an_upstream_is_translated_for_the_caller_and_kept_in_english(stack: Stack) -> None:
    asked = [stack.post(CALL, headers=headers) for headers in (CHINESE, None)]

    chinese, plain = (json.loads(body)["error"] for _status, _headers, body in asked)
    assert plain["message"] == "The upstream failed: the upstream could not be reached."
    assert HAN.search(chinese["message"])
    assert "could not" not in chinese["message"]
    assert chinese["code"] == plain["code"] == "upstream_error"
    stack.ingest()
    assert {row["error_message"] for row in stack.rows() if row["channel"] == "alpha"} == {
        "the upstream could not be reached"
    }


def test_a_stream_that_breaks_off_says_so_in_the_callers_language(stack: Stack) -> None:
    _status, _headers, body = stack.post({**CALL, "model": "cut", "stream": True}, headers=CHINESE)

    last = [line for line in body.decode().splitlines() if line.startswith("data: ")][-1]
    assert HAN.search(json.loads(last.removeprefix("data: "))["error"]["message"])


def test_a_body_that_is_too_large_is_refused_in_the_callers_language(stack: Stack) -> None:
    connection = HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("POST", "/v1/chat/completions", headers={**CHINESE, "Content-Length": str(64 << 20)})

    answer = connection.getresponse()

    assert answer.status == 413
    assert HAN.search(json.loads(answer.read())["error"]["message"])
    connection.close()


def test_many_at_once_each_get_their_own(stack: Stack) -> None:
    wishes = [CHINESE, None, ENGLISH] * 40

    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda wish: error_of(stack, wish), wishes))

    assert [bool(HAN.search(error["message"])) for error in errors] == [wish is CHINESE for wish in wishes]


def test_a_server_set_to_chinese_answers_in_chinese_unless_asked_otherwise() -> None:
    with running_stack(LANGUAGE_CODE="zh-hans") as stack:
        plain, english = error_of(stack), error_of(stack, ENGLISH)

    assert HAN.search(plain["message"])
    assert english["message"] == "This router key is not known."


@pytest.mark.asyncio
async def test_a_request_that_waits_keeps_its_language_and_gives_it_to_nobody() -> None:
    go_on, messages = asyncio.Event(), {}

    async def ask(name: str, headers: list[tuple[bytes, bytes]], wait: bool) -> None:
        sent: list[MutableMapping[str, Any]] = []
        is_read = False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal is_read
            if is_read:
                while not sent or sent[-1].get("more_body") or sent[-1]["type"] != "http.response.body":
                    await asyncio.sleep(0.001)
                return {"type": "http.disconnect"}
            if wait:
                await go_on.wait()
            is_read = True
            return {"type": "http.request", "body": b""}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/v1/nothing", "query_string": b"", "headers": headers}
        await handle(scope, receive, send)
        messages[name] = json.loads(sent[-1]["body"])["error"]["message"]

    waiting = asyncio.ensure_future(ask("chinese", [(b"accept-language", b"zh-CN")], wait=True))
    await asyncio.sleep(0)
    await ask("plain", [], wait=False)
    assert get_language() == "en"
    # In one task after the other, as a server without a task for each request would do it.
    await ask("chinese again", [(b"accept-language", b"zh")], wait=False)
    await ask("plain again", [], wait=False)
    go_on.set()
    await waiting

    assert {name: bool(HAN.search(text)) for name, text in messages.items()} == {
        "chinese": True, "plain": False, "chinese again": True, "plain again": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN", "zh-hans"), ("zh", "zh-hans"), ("en", None), ("de, zh;q=0.5", "zh-hans"), ("*", None), ("fr", None),
     ("en;q=0.2, zh;q=0.7", "zh-hans"), ("\xff;;q=,", None), ("zh" * 5000, None), ("", None)],
)  # fmt: skip
def test_the_header_names_a_language_only_where_it_differs_from_the_default(header: str, language: str | None) -> None:
    assert language_of([(b"host", b"x"), (b"accept-language", header.encode("latin-1"))]) == language
    assert language_of([(b"host", b"x")]) is None
