"""A forward proxy for plain HTTP, real enough for an upstream behind it; it wants a login and remembers who asked what."""

import base64
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOGIN = "corp:pr0xy-pa55word"


@dataclass(slots=True)
class ForwardProxy:
    """address: with the login. seen: method, absolute address, Authorization header of each request let through."""

    address: str
    seen: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def running_proxy() -> Iterator[ForwardProxy]:
    """A proxy on a free port, for as long as the block lasts."""
    found = ForwardProxy("")
    expected = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Proxy-Authorization") != expected:
                self._answer(407, b"")
                return
            found.seen.append(("POST", self.path, self.headers.get("Authorization", "")))
            kept = {
                k: v for k, v in self.headers.items() if k.lower() not in ("proxy-authorization", "host", "connection")
            }
            request = urllib.request.Request(self.path, body, kept, method="POST")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=10) as response:
                    self._answer(response.status, response.read(), response.headers["Content-Type"])
            except urllib.error.HTTPError as e:
                self._answer(e.code, e.read(), e.headers["Content-Type"])

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Not to the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.address = f"http://{LOGIN}@127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
