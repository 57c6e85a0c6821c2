"""Requests as no well-behaved client sends them: any method, path and header, and bytes on a bare socket."""

import http.client
import json
import socket
from typing import Any

from tests.stack import Stack

Found = tuple[int, dict[str, str], bytes]


def request(
    stack: Stack, method: str, path: str, body: Any = None, *, key: str | None = None,
    headers: dict[str, str] | None = None, is_chunked: bool = False,
) -> Found:  # fmt: skip
    """Status, headers (lower case) and body of one request; a chunked one sends its body in pieces of 64 KiB."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        if key is not None:
            connection.putheader("Authorization", f"Bearer {key}")
        for name, value in (headers or {}).items():
            connection.putheader(name, value.encode("latin-1"))
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if is_chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders()
        try:
            _send(connection, data or b"", is_chunked=is_chunked)
        except ConnectionError:
            pass  # refused before all of it was sent: the answer is there to be read
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def _send(connection: http.client.HTTPConnection, data: bytes, *, is_chunked: bool) -> None:
    if not is_chunked:
        if data:
            connection.send(data)
        return
    for begin in range(0, len(data), 65536):
        piece = data[begin : begin + 65536]
        connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.send(b"0\r\n\r\n")


def say(stack: Stack, data: bytes, *, timeout_s: float = 10) -> bytes:
    """All that comes back for these bytes until the server closes the connection, or falls silent."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=timeout_s) as sock:
        try:
            sock.sendall(data)
        except ConnectionError:
            pass  # refused before all of it was sent
        found = b""
        while True:
            try:
                part = sock.recv(65536)
            except (TimeoutError, ConnectionError):
                return found
            if not part:
                return found
            found += part
            sock.settimeout(0.4)
