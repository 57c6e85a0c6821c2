"""Hot path. The ASGI entry of /v1 and /health: bodies capped, the client's disconnect watched, no middleware, no threads.

Each request is served by the server's own task for it. That the client has left is heard from our server directly
(smartrouter.supervisor.protocol); under any other a second task waits for ASGI's http.disconnect.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any, Protocol

from django.core.handlers.asgi import ASGIRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _
from django.utils.translation import override

from routing.call import Call
from routing.endpoints.base import error_response, too_many_wrong_keys
from routing.endpoints.bodies import ClientLeft, read_body, release
from routing.endpoints.chat import StreamResponse
from routing.failover import close_leftover
from routing.plane import LEFT_AT_MOST, LEFT_FOR_S, Plane, current_plane
from routing.wrong_keys import WRONG_KEYS
from smartrouter.lib.clock import dashed, mint_hex7, now_ms
from smartrouter.lib.errors import RouterError
from smartrouter.lib.language import language_of
from smartrouter.lib.logs import log_line, request_id_var

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# The name in a scope's extensions under which our own server has a Line.
LINE = "smartrouter.line"
PATH_SHOWN_AT_MOST = 200
URLCONF = "routing.urls"
_views: dict[str, Callable[..., Awaitable[HttpResponseBase]]] = {}


class Line(Protocol):
    """What our own server offers beyond ASGI, in the scope's extensions under LINE: the client's side of one request."""

    def on_leave(self, call: Callable[[], None]) -> None:
        """Call this when the client leaves before its answer is complete."""
        ...

    def drop(self) -> None:
        """Drop the connection, for an answer that will not be completed."""
        ...

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Whether a whole answer was sent; else it has to be sent by ASGI's messages."""
        ...


def handle(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Serve one request, in its own language."""
    language = language_of(scope["headers"])
    exchange = Exchange(scope, receive, send)
    return _run_in(language, exchange) if language else exchange.run()


async def _run_in(language: str, exchange: "Exchange") -> None:
    with override(language):
        await exchange.run()


def abort_connection(send: Send) -> None:
    """Drop the client's connection, for an answer that will not be completed.

    ASGI has no word for it: a server that is left without the end of an answer closes only when everything before it has
    been read, which a client that stopped reading never does. Uvicorn's send is a method of what holds the transport.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


class Exchange:
    """One request and its answer, and the ways to end it early."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.send = send
        self.admitted_ms = now_ms()
        self.request_id = mint_hex7(self.admitted_ms)
        self.has_wrong_key = False
        self.call: Call | None = None
        # What the view adds to the answer, ready to be sent: Django's header dict would convert each value twice.
        self.headers: Headers = []
        self.began_exactly = time.perf_counter()
        self._receive = receive
        # Taken out: the line, the scope and this would hold one another, for the garbage collector to find.
        self._line: Line | None = (scope.get("extensions") or {}).pop(LINE, None)
        self._body = b""
        self._size = 0  # of the body, as counted by read_body
        self._has_begun = False
        self._is_answered = False
        self._is_complete = False
        self._is_ended = False
        self._is_gone = False
        self._start: dict[str, Any] | None = None
        self._plane: Plane | None = current_plane()
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._leave_timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Read the request and answer it."""
        refusal: RouterError | None = None
        if self._plane is not None:
            self._plane.exchanges.add(self)
        try:
            try:
                self._body = await read_body(self.scope, self._receive)
            except RouterError as e:
                refusal = e
            self._size = len(self._body)
            self._task = asyncio.current_task()
            self._watch()
            await self._serve(refusal)
        except ClientLeft:
            return
        except asyncio.CancelledError:
            task = self._task
            if task is None or task.cancelling() > self._is_ended:
                raise  # the server ends its tasks
            if self._is_ended:
                task.uncancel()
        except Exception as e:
            logger.exception("request_task_failed", exc_info=e)
        finally:
            line = self._finish()
        if not self._is_complete:
            await self._drop_connection(line)

    def end(self, reason: str) -> None:
        """End the request now: `drained`, or `client_gone`."""
        if self._task is None:  # its body is still on its way
            if self._line is not None:
                self._line.drop()
            else:
                abort_connection(self.send)
        elif not self._is_ended:
            self._is_ended = True
            if self.call is not None:
                self.call.end_reason = reason
            self._task.cancel()

    def client_left(self) -> None:
        """The client is gone, or has all of its answer. A plain answer that is on its way is waited for, for its bill."""
        self._is_gone = True
        if self._task is None or self._plane is None or self._is_answered:
            return
        if self.call is not None and not self.call.is_streamed and self._plane.left < LEFT_AT_MOST:
            self._plane.left += 1
            self.call.has_left = True
            self._leave_timer = asyncio.get_running_loop().call_later(LEFT_FOR_S, self.end, "client_gone")
        else:
            self.end("client_gone")

    def _watch(self) -> None:
        """From now on, notice that the client leaves."""
        if self._line is not None:
            self._line.on_leave(self.client_left)
        else:
            self._watcher = asyncio.get_running_loop().create_task(self._follow(), name=f"watch-{self.request_id}")

    async def _follow(self) -> None:
        await self._wait_until_gone()
        self.client_left()

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _drop_connection(self, line: Line | None) -> None:
        if line is not None:
            line.drop()
            return
        abort_connection(self.send)
        if not self._is_gone:
            await self._wait_until_gone()  # an answer that ends unfinished is the server's to complain of till then

    def _finish(self) -> Line | None:
        """Leave nothing behind; the line, which is still good for dropping the connection."""
        self._forget_body()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._plane is not None:
            self._plane.exchanges.discard(self)
            if self._leave_timer is not None:
                self._leave_timer.cancel()
                self._plane.left -= 1
        # The task, the request and this would hold one another, for the garbage collector to find.
        line, self._line = self._line, None
        self._task = self.call = None
        return line

    def _forget_body(self) -> None:
        """Its body takes up no memory any more."""
        release(self._size)
        self._size = 0
        self._body = b""

    async def _serve(self, refusal: RouterError | None) -> None:
        request_id_var.set(dashed(self.request_id))
        status = 0
        try:
            response = error_response(refusal) if refusal else await self._answer()
            if self.has_wrong_key:
                self._forget_body()
                if not await WRONG_KEYS.slow((self.scope.get("client") or ("",))[0]):
                    response = error_response(too_many_wrong_keys())
            status = response.status_code
            await self._send_response(response, close=refusal is not None)
        except asyncio.CancelledError:
            if self.call is not None and self.call.end_reason == "drained" and not self._has_begun:
                message = _("The router is shutting down.")
                error = RouterError(503, "shutting_down", message, kind="server_error", retry_after_s=1)
                await self._send_response(error_response(error), close=True)
            raise
        finally:
            if self.call is not None:
                close_leftover(self.call)
            self._log(status)

    async def _answer(self) -> HttpResponseBase:
        path = self.scope["path"]
        view, arguments = _views.get(path), {}
        if view is None:
            try:
                match = resolve(path, URLCONF)
            except Resolver404:
                message = _("There is nothing at %(method)s %(path)s.") % {
                    "method": self.scope["method"],
                    "path": path[:PATH_SHOWN_AT_MOST],
                }
                return error_response(RouterError(404, "unknown_url", message))
            view, arguments = match.func, match.kwargs
            if not arguments:
                _views[path] = view
        request = ASGIRequest(self.scope, BytesIO(self._body))
        request.exchange = self  # type: ignore[attr-defined]
        return await view(request, **arguments)

    async def _send_response(self, response: HttpResponseBase, *, close: bool = False) -> None:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
        headers.append((b"x-request-id", dashed(self.request_id).encode()))
        headers += self.headers
        if close:
            headers.append((b"connection", b"close"))
        self._has_begun = True
        start = {"type": "http.response.start", "status": response.status_code, "headers": headers}
        if isinstance(response, StreamResponse):
            # The relay is the one who settles, so that everything that can be waited for has to happen inside it.
            self._start = start
            await response.run(self._send_stream)
        else:
            content: bytes = response.content  # type: ignore[attr-defined]
            headers.append((b"content-length", str(len(content)).encode()))
            if self._line is None or not self._line.answer(response.status_code, headers, content):
                await self.send(start)
                self._is_answered = True
                await self.send({"type": "http.response.body", "body": content})
            self._is_answered = self._is_complete = True

    async def _send_stream(self, message: MutableMapping[str, Any]) -> None:
        if self._start is not None:
            await self.send(self._start)
            self._start = None
        is_last = not message.get("more_body")
        self._is_answered = self._is_answered or is_last
        await self.send(message)
        self._is_complete = is_last

    def _log(self, status: int) -> None:
        """The one line of a request."""
        fields: dict[str, Any] = {
            "status": status,
            "method": self.scope["method"],
            "path": self.scope["path"][:PATH_SHOWN_AT_MOST],
        }
        if self.call is not None:
            fields["tenant"] = self.call.facts.tenant
            fields["router_key"] = self.call.facts.router_key
            fields.update(self.call.log)
        fields["duration_ms"] = round((time.perf_counter() - self.began_exactly) * 1000, 2)
        # Who asks for health asks every few seconds, and a good answer is no news.
        is_news = status >= 300 or not self.scope["path"].startswith("/health")
        log_line(logger, logging.INFO if is_news else logging.DEBUG, "request_finished", fields)
