"""Requests that are wrong below the level of JSON: too large, compressed, slow, cut off, or not HTTP at all."""

import gzip
import json
import time

import orjson
import pytest

from tests.routing import wire
from tests.routing.replies import chat
from tests.routing.test_bad_input import CHAT, MIB, MODELS, expect_error
from tests.stack import KEY, Stack

CHAT_CAP, OTHER_CAP = 2 * MIB, MIB  # MAX_BODY_MB is 2 in the stack of these tests


def padded(size: int) -> bytes:
    """A valid chat body of exactly so many bytes."""
    body = json.dumps(chat("m") | {"padding": ""}).encode()
    return body.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(body)) + b'"')


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_the_allowed_size_is_served(stack: Stack, is_chunked: bool) -> None:
    body = padded(CHAT_CAP)

    assert len(body) == CHAT_CAP
    assert wire.request(stack, "POST", CHAT, body, key=KEY, is_chunked=is_chunked)[0] == 200


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("key", [KEY, None, "rk_nobody"])
def test_a_body_one_byte_over_is_413_with_a_key_or_without(stack: Stack, key: str | None, is_chunked: bool) -> None:
    found = wire.request(stack, "POST", CHAT, padded(CHAT_CAP + 1), key=key, is_chunked=is_chunked)

    expect_error(found, 413, "request_too_large")


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("path", [MODELS, f"{MODELS}/m", "/v1/nothing", "/health"])
def test_other_paths_take_a_smaller_body(stack: Stack, path: str, is_chunked: bool) -> None:
    found = wire.request(stack, "POST", path, b"x" * (OTHER_CAP + 1), key=KEY, is_chunked=is_chunked)

    expect_error(found, 413, "request_too_large")


def test_a_promised_body_that_is_too_large_is_refused_before_it_is_sent(stack: Stack) -> None:
    began = time.monotonic()

    found = wire.say(stack, b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" % CHAT.encode())

    assert found.startswith(b"HTTP/1.1 413 ") and b"request_too_large" in found
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "GZIP", "identity, gzip", "x"])
def test_a_compressed_body_is_415(stack: Stack, encoding: str) -> None:
    body = gzip.compress(orjson.dumps(chat("m")))

    found = wire.request(stack, "POST", CHAT, body, key=KEY, headers={"Content-Encoding": encoding})

    expect_error(found, 415, "unsupported_encoding")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "%%"]
)
def test_json_is_read_whatever_the_content_type_says(stack: Stack, kind: str) -> None:
    assert wire.request(stack, "POST", CHAT, chat("m"), key=KEY, headers={"Content-Type": kind})[0] == 200


def test_a_body_that_does_not_arrive_is_408(stack: Stack) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"

    found = wire.say(stack, head.encode())

    assert found.startswith(b"HTTP/1.1 408 ") and b'"code":"request_timeout"' in found


def test_a_client_that_leaves_before_its_body_is_whole_leaves_nothing_behind(stack: Stack) -> None:
    head = f"POST {MODELS}/leaver HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    for _turn in range(20):
        with wire.socket.create_connection(("127.0.0.1", stack.port), timeout=5) as sock:
            sock.sendall(head.encode())

    assert stack.post(chat("m"))[0] == 200
    time.sleep(0.3)
    assert "models/leaver" not in stack.log


GET = b"GET /v1/models HTTP/1.1\r\n"
NOT_HTTP = {
    "no http": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    "zeros": b"\0" * 1000,
    "length is a word": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    "length is negative": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "length is empty": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n",
    "length is huge": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
    "two lengths": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n",
    "huge chunk": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"FFFFFFFFFFFFFFFFF\r\nx",
    "folded header": GET + b"Host: x\r\nX-A: 1\r\n 2\r\n\r\n",
    "header without a name": GET + b"Host: x\r\n: value\r\n\r\n",
    "zero in a header": GET + b"Host: x\r\nX-A: a\0b\r\n\r\n",
    "space before the colon": GET + b"Host : x\r\n\r\n",
    "header bomb": GET + b"Host: x\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"v" * 100) for n in range(20_000)) + b"\r\n",
    "one long header": GET + b"Host: x\r\nX-A: " + b"v" * 2_000_000 + b"\r\n\r\n",
    "long path": b"GET /v1/models/" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "path beyond ascii": b"GET /v1/models/\xe4\xbd\xa0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "path is no text": b"GET /v1/models/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute path": b"GET http://elsewhere/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "strange host": b"GET /v1/models HTTP/1.1\r\nHost: <script>\r\n\r\n",
    "old": b"GET /v1/models HTTP/1.0\r\n\r\n",
    "older": b"GET /v1/models\r\n\r\n",
    "http 9": b"GET /v1/models HTTP/9.9\r\nHost: x\r\n\r\n",
    "upgrade": GET + b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "h2c": GET
    + b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "underscored key": GET + b"Host: x\r\nX_API_KEY: " + KEY.encode() + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_malformed_http_gets_an_error_or_a_closed_door_and_harms_nobody_else(stack: Stack, name: str) -> None:
    found = wire.say(stack, NOT_HTTP[name])

    status = found[9:12]
    assert found == b"" or (found.startswith(b"HTTP/1.1 ") and status[:1] == b"4"), found[:300]
    assert b"Traceback" not in found and b"<html" not in found.lower() and b"<script" not in found
    assert stack.post(chat("m"))[0] == 200


@pytest.mark.parametrize("name", ["header bomb", "one long header", "long path"])
def test_a_head_without_end_is_cut_short(stack: Stack, name: str) -> None:
    assert wire.say(stack, NOT_HTTP[name]).startswith(b"HTTP/1.1 400 ")


def test_headers_of_a_usual_size_are_taken_on_every_request_of_a_connection(stack: Stack) -> None:
    one = (
        b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\nCookie: "
        + b"c" * 16_000
        + b"\r\nx-api-key: "
        + KEY.encode()
        + b"\r\n\r\n"
    )

    assert wire.say(stack, one * 12).count(b"HTTP/1.1 200") == 12


def test_requests_on_one_connection_are_answered_in_order_and_apart(stack: Stack) -> None:
    one = b"GET /v1/models/%b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n\r\n"

    found = wire.say(stack, one % b"m" + one % b"nothing" + one % b"vision")

    assert found.count(b"HTTP/1.1 200") == 2 and found.count(b"HTTP/1.1 404") == 1
    places = [found.index(text) for text in (b'"id":"m"', b"model_not_found", b'"id":"vision"')]
    assert places == sorted(places)
