"""An upstream, or a proxy, that says back whatever secrets it was sent: in errors, in streams, in headers.

The model's name decides: echo-401, echo-400, echo-500 answer with that status, echo-200 with an error object in a 200,
echo-stream with an error event after some content, echo-html with a page.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
         "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = " ".join(f"{name}: {value}" for name, value in self.headers.items())
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        error = {
            "error": {"message": f"Incorrect API key provided: {key}. {said}", "type": key, "code": key, "param": key}
        }
        kind = asked["model"].removeprefix("echo-")
        if kind == "html":
            self._answer(200, "text/html", f"<html>{said}</html>".encode())
        elif kind == "stream":
            events = [CHUNK, CHUNK, error]
            self._answer(200, "text/event-stream", b"".join(f"data: {json.dumps(e)}\n\n".encode() for e in events))
        else:
            self._answer(int(kind), "application/json", json.dumps(error).encode(), {"x-said": said})

    def _answer(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests' output is not its log."""


class Echo:
    """The server on a free port of loopback."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Echo":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
