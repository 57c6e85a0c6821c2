"""Hot path. uvicorn's HTTP protocol with a limit that it lacks: how large the head of a request may grow."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_AT_MOST = 64 * 1024


class CappedProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up when request line and headers have not ended after HEAD_AT_MOST bytes.

    httptools has no limit of its own: one client without a key could fill the memory. What comes in one read of the
    socket is taken whole, so that the true limit is that much higher.
    """

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
