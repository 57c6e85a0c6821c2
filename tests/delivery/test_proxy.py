"""nginx with the configuration of docker-compose.yml: what passes, what it sets, what it answers itself."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp

from tests.delivery.hosts import free_port
from tests.delivery.proxy import running_nginx

SECRET_HEADERS = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=6.6.6.6",
}


class Upstream(BaseHTTPRequestHandler):
    """Says what it got; /v1/slow sends two events a while apart, /v1/cut breaks off, /v1/unfit answers 503."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str]]]

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length", 0))
        self.rfile.read(size)
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path == "/v1/cut":
            self.close_connection = True
            return
        if self.path == "/v1/unfit":
            self.answer(503, b'{"error": {"code": "no_available_channel"}}')
        elif self.path == "/v1/slow":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in (b"data: 1\n\n", b"data: 2\n\n"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                if event.startswith(b"data: 1"):
                    self.go_on.wait(20)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.answer(200, json.dumps({"size": size}).encode())

    do_GET = do_POST
    go_on = threading.Event()

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@contextmanager
def running_upstream() -> Iterator[tuple[int, list[tuple[str, dict[str, str]]]]]:
    """The port of a web host that is not one, and what it has seen."""
    handler = type("Handler", (Upstream,), {"seen": [], "go_on": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], handler.seen  # type: ignore[attr-defined]
    finally:
        handler.go_on.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()


@contextmanager
def gone_host() -> Iterator[int]:
    """A port whose kernel answers no knock, as if the machine were gone: nobody takes what has knocked before."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def ask(url: str, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of a POST."""
    async with aiohttp.ClientSession() as session, session.post(url + path, data=body, headers=headers) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read()


def test_what_a_client_claims_about_itself_is_replaced(tmp_path: Path) -> None:
    with running_upstream() as (port, seen), running_nginx([port, port], tmp_path / "nginx") as url:
        status, headers, _body = asyncio.run(ask(url, "/v1/chat/completions", **SECRET_HEADERS))

    (path, got) = seen[0]
    assert (status, path) == (200, "/v1/chat/completions")
    assert (got["x-forwarded-for"], got["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert "x-forwarded-host" not in got and "forwarded" not in got
    assert headers["server"] == "nginx"


def test_each_event_of_a_stream_comes_when_it_was_sent(tmp_path: Path) -> None:
    async def act(url: str) -> bytes:
        async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/slow") as answer:
            return await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 15)

    with running_upstream() as (port, _seen), running_nginx([port, port], tmp_path / "nginx") as url:
        first = asyncio.run(act(url))

    assert first == b"data: 1\n\n"


def test_a_post_that_was_sent_is_never_repeated(tmp_path: Path) -> None:
    with (
        running_upstream() as (first, seen_first),
        running_upstream() as (second, seen_second),
        running_nginx([first, second], tmp_path / "nginx") as url,
    ):
        cut = asyncio.run(ask(url, "/v1/cut"))
        unfit = asyncio.run(ask(url, "/v1/unfit"))

    assert len(seen_first) + len(seen_second) == 2
    assert (cut[0], json.loads(cut[2])["error"]["code"]) == (502, "no_web_host")
    assert set(json.loads(cut[2])["error"]) == {"message", "type", "param", "code"}
    assert (unfit[0], json.loads(unfit[2])["error"]["code"]) == (503, "no_available_channel")


def test_a_host_that_refuses_connections_costs_nobody_a_request(tmp_path: Path) -> None:
    with running_upstream() as (port, _seen), running_nginx([free_port(), port], tmp_path / "nginx") as url:
        statuses = [asyncio.run(ask(url, "/v1/chat/completions"))[0] for _ in range(10)]

    assert statuses == [200] * 10


def test_a_host_that_does_not_even_refuse_costs_a_moment_and_no_request(tmp_path: Path) -> None:
    with (
        gone_host() as gone,
        running_upstream() as (port, _seen),
        running_nginx([gone, port], tmp_path / "nginx") as url,
    ):
        took: list[float] = []
        for _ in range(12):
            began = time.monotonic()
            assert asyncio.run(ask(url, "/v1/chat/completions"))[0] == 200
            took.append(time.monotonic() - began)

    assert min(each for each in took if each >= 0.25) < 0.9


def test_a_chat_body_may_have_32_mib_and_one_that_is_larger_is_refused_like_any_other_error(tmp_path: Path) -> None:
    with running_upstream() as (port, _seen), running_nginx([port, port], tmp_path / "nginx") as url:
        fits = asyncio.run(ask(url, "/v1/chat/completions", b"x" * (32 << 20)))
        larger = asyncio.run(ask(url, "/v1/chat/completions", b"", **{"Content-Length": str(40 << 20)}))

    assert (fits[0], json.loads(fits[2])) == (200, {"size": 32 << 20})
    assert (larger[0], json.loads(larger[2])["error"]["code"]) == (413, "request_too_large")
    assert larger[1]["x-should-retry"] == "false"


def test_who_sends_its_headers_too_slowly_is_let_go(tmp_path: Path) -> None:
    with running_upstream() as (port, _seen), running_nginx([port, port], tmp_path / "nginx") as url:
        host, _, number = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(number))) as slow:
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
            slow.settimeout(60)
            began = time.monotonic()
            try:
                rest = slow.recv(4096)
            except ConnectionResetError:
                rest = b""

    assert b"200" not in rest
    assert time.monotonic() - began < 55
