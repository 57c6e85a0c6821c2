"""An upstream that writes as fast as it is let: what a client that does not read must not bring into memory."""

import json
import socket
import threading
from types import TracebackType

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(text: str) -> bytes:
    doc = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "sim-fast",
           "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}  # fmt: skip
    data = f"data: {json.dumps(doc)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


class Firehose:
    """Listens on loopback; written counts the bytes that the kernel has taken so far."""

    def __init__(self) -> None:
        self.written = 0
        self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._event = _event("word " * 3000)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> "Firehose":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pour, args=(connection,), daemon=True).start()

    def _pour(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(HEAD)
                while True:
                    connection.sendall(self._event)
                    self.written += len(self._event)
            except OSError:
                self.ended += 1
