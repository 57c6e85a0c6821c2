"""Upstreams and clients that send what nobody foresaw: every attempt is closed, every answer is documented."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.stack import KEY, Stack, running_stack, two_channels

DEEP = 300
CONTENT = 'data: {"model":"odd","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
# model -> status, headers, body of the odd upstream
ODD: dict[str, tuple[int, dict[str, str], str]] = {
    "choices-5": (200, {}, '{"choices":5}'),
    "choices-of-5": (200, {}, '{"choices":[5]}'),
    "stream-choices-5": (200, {}, 'data: {"choices":5}\n\ndata: [DONE]\n\n'),
    "late-choices-5": (
        200,
        {},
        CONTENT + 'data: {"choices":5,"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\ndata:  [DONE]\n\n',
    ),
    "error-line": (200, {}, CONTENT + 'event: error\ndata: {"message":"broke"}\n\n'),
    "half-usage": (
        200,
        {},
        '{"choices":[{"message":{"content":"Hello"}}],"usage":{"completion_tokens":7,"cost":1e300}}',
    ),
    "null-usage": (
        200,
        {},
        '{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":null,"total_tokens":9}}',
    ),
    "deep-error": (400, {}, '{"error":{"message":' + "[" * DEEP + "]" * DEEP + "}}"),
    "long-error": (400, {}, json.dumps({"error": {"message": "user-" * 12_000 + " input length " * 4_000}})),
    "for-ever": (429, {"Retry-After": "inf"}, '{"error":{"message":"try again in ' + "1" * 400 + 'h"}}'),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, headers, text = ODD[body["model"]]
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    document = two_channels()
    document["providers"][0]["base_url"] = f"http://127.0.0.1:{server.server_address[1]}/v1"
    document["models"] += [{"provider": "sim-a", "model": name, "price": {"input": 1, "output": 2}} for name in ODD]
    alpha, beta = document["channels"]
    alpha["models"] = list(ODD)
    beta["models"] = [{"name": name, "model": "sim-fast"} for name in ODD if name != "for-ever"]
    with running_stack(document) as running:
        yield running
    server.shutdown()


def ask(stack: Stack, model: str, **more: Any) -> tuple[int, dict[str, str], bytes, list[dict[str, Any]]]:
    """The answer, and the attempts' rows."""
    status, headers, body = stack.post({"model": model, "messages": [{"role": "user", "content": "Hi"}], **more})
    stack.ingest()
    wanted = headers["x-request-id"].replace("-", "")
    return status, headers, body, [row for row in stack.rows() if row["request_id"] == wanted]


@pytest.mark.parametrize("model", ["choices-5", "stream-choices-5"])
def test_an_answer_whose_choices_are_no_list_moves_on_to_the_next_channel(stack: Stack, model: str) -> None:
    status, _headers, _body, rows = ask(stack, model, stream=model.startswith("stream"))

    assert status == 200
    assert [(row["channel"], row["status"], row["is_billable"]) for row in rows] == [
        ("alpha", "failed", 0),
        ("beta", "ok", 1),
    ]


@pytest.mark.parametrize("model", ["choices-of-5", "half-usage", "null-usage"])
def test_an_odd_answer_is_delivered_and_recorded_once(stack: Stack, model: str) -> None:
    status, _headers, body, rows = ask(stack, model)

    assert status == 200
    assert json.loads(body)["usage"]["cost"] < 1
    assert [(row["status"], row["is_billable"]) for row in rows] == [("ok", 1)]
    assert rows[0]["is_estimated"] == (model != "null-usage")
    assert model == "choices-of-5" or rows[0]["completion_tokens"] > 0


def test_an_odd_chunk_after_the_content_does_not_lose_the_usage(stack: Stack) -> None:
    _status, _headers, body, rows = ask(stack, "late-choices-5", stream=True)

    assert body.endswith(b"data: [DONE]\n\n")
    assert [(row["status"], row["completion_tokens"], row["is_estimated"]) for row in rows] == [("ok", 1, 0)]


def test_an_event_named_error_ends_the_stream_as_cut(stack: Stack) -> None:
    _status, _headers, body, rows = ask(stack, "error-line", stream=True)

    assert b'"upstream_error"' in body and b"[DONE]" not in body
    assert [row["status"] for row in rows] == ["cut"]


@pytest.mark.parametrize("model", ["deep-error", "long-error"])
def test_an_endless_or_bottomless_error_text_is_cut_short_and_holds_nobody_up(stack: Stack, model: str) -> None:
    status, _headers, body, rows = ask(stack, model)

    assert status == 400
    assert len(json.loads(body)["error"]["message"]) <= 500
    assert [row["status"] for row in rows] == ["failed"]
    assert rows[0]["duration_ms"] < 2000


def test_a_wait_for_ever_is_given_as_a_finite_one(stack: Stack) -> None:
    status, headers, body, _rows = ask(stack, "for-ever")

    assert (status, json.loads(body)["error"]["code"]) == (503, "no_available_channel")
    assert 1 <= int(headers["retry-after"]) <= 600


def test_a_body_nested_too_deeply_to_be_sent_on_is_the_callers_fault(stack: Stack) -> None:
    metadata = json.loads("[" * DEEP + "]" * DEEP)

    status, _headers, body, rows = ask(stack, "choices-of-5", metadata=metadata)

    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")
    assert rows == []


def test_a_body_of_nothing_but_brackets_is_refused_unread(stack: Stack) -> None:
    status, _headers, body = stack.post(b'{"model":"m","messages":[' + b"[]," * 300_000 + b"[]]}")

    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("key", [KEY, "rk_nobody_0123456789012345678901234"])
def test_a_large_body_is_taken_in_only_for_a_known_key(stack: Stack, key: str) -> None:
    content = "x" * (1024 * 1024)

    status, _headers, body = stack.post(
        {"model": "choices-of-5", "messages": [{"role": "user", "content": content}]}, key=key
    )

    assert status == (200 if key == KEY else 401), body[:200]
