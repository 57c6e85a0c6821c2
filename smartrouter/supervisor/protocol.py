"""Hot path. uvicorn's HTTP protocol with what it lacks: a limit for the head of a request, and shorter ways for our entry."""

import re
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from routing.endpoints.entry import LINE, Headers

HEAD_AT_MOST = 64 * 1024
# So many requests may wait on a connection behind the one that is answered before no more is read from it.
WAITING_AT_MOST = 8
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CLOSE = (b"connection", b"close")


class Line:
    """The client's side of one request, as routing.endpoints.entry.Line."""

    __slots__ = ("_call_on_leave", "_cycle", "_protocol")

    def __init__(self, protocol: "CappedProtocol", cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._call_on_leave: Callable[[], None] | None = None

    def on_leave(self, call: Callable[[], None]) -> None:
        """Call this when the client leaves before its answer is complete."""
        if self._cycle.disconnected:
            call()
            return
        self._call_on_leave = call
        self._protocol.watched = self
        # Nobody asks for more of a body any more, and a connection that is not read from is not seen to end.
        self._cycle.flow.resume_reading()

    def drop(self) -> None:
        """Drop the connection, for an answer that will not be completed; who waits for the client hears that it has left."""
        self._cycle.transport.abort()
        self.end()

    def end(self) -> None:
        """The client has left."""
        # uvicorn tells only the request that came last, and it may wait behind this one.
        self._cycle.disconnected = True
        self._cycle.message_event.set()
        call, self._call_on_leave = self._call_on_leave, None
        if call is not None:
            call()

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Whether a whole answer was sent; else it has to be sent by ASGI's messages.

        uvicorn's send() looks at each header by itself, with two patterns, and takes a tenth of a request for it.
        """
        cycle = self._cycle
        if cycle.response_started or cycle.flow.write_paused or cycle.scope["method"] == "HEAD" or status < 200:
            return False
        if cycle.disconnected:
            return True
        is_last = not cycle.keep_alive
        headers = [*cycle.default_headers, *headers]
        if _CLOSE in headers:
            is_last = True
            headers = [each for each in headers if each != _CLOSE]
        lines = [STATUS_LINE[status], *[b"%b: %b\r\n" % each for each in headers]]
        if is_last:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        # The lines' own ends are taken out, as many as there are; what is left then came in with a header.
        if _CONTROL.search(head.replace(b"\r\n", b"", len(lines))) is not None:
            return False  # uvicorn says what is wrong with it
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(b"%b\r\n%b" % (head, body))
        cycle.message_event.set()
        if is_last:
            cycle.transport.close()
        cycle.on_response()
        return True


class CappedProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up when request line and headers have not ended after HEAD_AT_MOST bytes.

    httptools has no limit of its own: one client without a key could fill the memory. What comes in one read of the
    socket is taken whole, so that the true limit is that much higher.
    """

    watched: Line | None = None  # the request that is being answered
    _head_size = 0
    _is_in_head = True

    @property
    def is_expected(self) -> bool:
        """Whether the connection's first request, or the rest of a body, has still to come or to be looked at."""
        cycle = self.cycle
        return cycle is None or (not cycle.response_complete and (cycle.more_body or bool(cycle.body)))

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_size += len(data)
            if self._head_size > HEAD_AT_MOST + len(data):
                self._unset_keepalive_if_required()
                self.send_400_response("The request's headers are too large.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_size = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What follows a chunked body must not join the headers: it was neither counted nor seen by a proxy in front.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()
        self.scope["extensions"] = cast(Any, {LINE: Line(self, self.cycle)})

        if self.watched is not None and len(self.pipeline) < WAITING_AT_MOST:
            # uvicorn stops reading for a request that has to wait, and would not see the client leave.
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        self.watched = None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        watched, self.watched = self.watched, None
        if watched is not None:
            watched.end()
