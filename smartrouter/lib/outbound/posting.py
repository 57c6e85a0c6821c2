"""Hot path. A POST through a session's connections, without what the session does for each request besides.

aiohttp's session makes a request and a response object, copies their headers twice, and on Python 3.11 starts a task that
writes the body: half of what an upstream call cost. Its connector (pool, TLS, address checks) and its parser are used here
as they are.
"""

import asyncio
import re
import select
from collections.abc import Mapping

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from .hot import ACCEPT_ENCODING, MAX_FIELD_BYTES, MAX_HEADERS, MAX_LINE_BYTES, READ_BUFFER_BYTES, USER_AGENT

# A smaller body is sent with the headers in one piece; copying a larger one costs more than a second write.
JOINED_AT_MOST = 64 * 1024
# So many connections that the upstream has left are passed over.
LEFT_AT_MOST = 8
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DEFAULTS = {"user-agent": f"User-Agent: {USER_AGENT}\r\n", "accept": "Accept: */*\r\n"}
_ALL_DEFAULTS = "".join(_DEFAULTS.values())


class Target:
    """An address that JSON is posted to, over and over. It belongs to one event loop from the first request on."""

    __slots__ = ("_head", "_way", "url")

    def __init__(self, url: URL) -> None:
        self.url = url
        self._head = (
            f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"
            f"Accept-Encoding: {ACCEPT_ENCODING}\r\nContent-Type: application/json\r\nContent-Length: "
        )
        self._way: ClientRequest | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def way(self) -> ClientRequest:
        """What the connector has to know of a request; it is never sent."""
        if self._way is None:
            self._way = ClientRequest("POST", self.url, loop=asyncio.get_running_loop())
        return self._way

    def head(self, headers: Mapping[str, str], size: int) -> bytes:
        """The request's head. headers: beside Host, Accept-Encoding and Content-*. ValueError for a control character."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        # Their own line ends are taken out, as many as there are headers; what is left then came in with a value.
        if _CONTROL.search(lines.replace("\r\n", "", len(headers))) is not None:
            raise ValueError("a header has a control character")
        given = {name.lower() for name in headers}
        defaults = _ALL_DEFAULTS
        if not given.isdisjoint(_DEFAULTS):
            defaults = "".join(line for name, line in _DEFAULTS.items() if name not in given)
        return f"{self._head}{size}\r\n{defaults}{lines}\r\n".encode()


class Reply:
    """An answer whose headers are read, its body not. At the body's end the connection is given back by itself."""

    __slots__ = ("_connection", "_is_kept", "content", "headers", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: aiohttp.StreamReader, *, is_kept: bool
    ) -> None:
        self._connection: Connection | None = connection
        self._is_kept = is_kept
        self.status = message.code
        self.headers = message.headers
        self.content = content
        content.on_eof(self.release)

    def release(self) -> None:
        """Give the connection back; one on which the answer has not ended, or that is not to be kept, is dropped."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._is_kept:
                connection.release()
            else:
                _drop(connection)

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _drop(connection)


async def post(
    session: aiohttp.ClientSession,
    target: Target,
    headers: Mapping[str, str],
    payload: bytes,
    *,
    timeout: aiohttp.ClientTimeout,
) -> Reply:
    """The answer to a JSON body. Raises as a session does: aiohttp.ClientError, TimeoutError, OSError, ValueError.

    timeout: for connecting only; what follows is the caller's to end. No proxy, cookies or redirects.
    """
    head = target.head(headers, len(payload))
    connector = session.connector
    if connector is None:
        raise RuntimeError("Session is closed")
    connection = await connector.connect(target.way, [], timeout)
    for _again in range(LEFT_AT_MOST):
        if not _has_news(connection):
            break
        _drop(connection)
        connection = await connector.connect(target.way, [], timeout)
    try:
        protocol = connection.protocol
        assert protocol is not None
        protocol.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
        )
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection has just closed")
        if len(payload) <= JOINED_AT_MOST:
            transport.write(head + payload)
        else:
            transport.write(head)
            transport.write(payload)
        message, content = await protocol.read()
        while 100 <= message.code <= 199 and message.code != 101:
            message, content = await protocol.read()
    except HttpProcessingError as e:
        _drop(connection)
        raise aiohttp.ClientResponseError(target.way.request_info, (), status=e.code, message=e.message) from e
    except BaseException:
        _drop(connection)
        raise
    # A refusal may come before a large body was read. What was not sent of it would stand before the next request, and
    # under TLS nobody can say whether all was.
    is_kept = len(payload) <= JOINED_AT_MOST or message.code == 200
    return Reply(connection, message, content, is_kept=is_kept)


def _has_news(connection: Connection) -> bool:
    """Whether something came that nobody asked for: most often the upstream's goodbye, which the event loop has not read yet.

    A request that is sent after that fails without an answer. Only of connections that were used before: on a new one TLS
    sends its session tickets unasked.
    """
    transport, protocol = connection.transport, connection.protocol
    if protocol is None or protocol._parser is None:  # it gets one with its first request
        return False
    if transport is None or transport.is_closing():
        return False  # found out when it is written to
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _drop(connection: Connection) -> None:
    """Close it now: closing alone would wait until an upstream that does not read has taken all that is still to be sent."""
    transport = connection.transport
    connection.close()
    if transport is not None:
        transport.abort()
