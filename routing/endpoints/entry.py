"""Hot path. The ASGI entry of /v1 and /health: bodies capped, the client's disconnect watched, no middleware, no threads.

Each request runs in a task of its own, which answers and settles whatever happens to the server's task. The server's task
reads the body and then waits for the client to leave: ASGI gives it http.disconnect then, and also when the response is
complete.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from io import BytesIO
from typing import Any

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
from smartrouter.lib.logs import request_id_var

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH_SHOWN_AT_MOST = 200
URLCONF = "routing.urls"
_views: dict[str, Callable[..., Awaitable[HttpResponseBase]]] = {}
_DEFAULT_LANGUAGE = nullcontext()


async def handle(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request, in its own language: set in the context of this task, which the request's task gets a copy of."""
    language = language_of(scope["headers"])
    with override(language) if language else _DEFAULT_LANGUAGE:
        await _handle(scope, receive, send)


async def _handle(scope: Scope, receive: Receive, send: Send) -> None:
    exchange = Exchange(scope, send)
    body = b""
    refusal: RouterError | None = None
    plane = current_plane()
    if plane is not None:
        plane.exchanges.add(exchange)
    try:
        body = await read_body(scope, receive)
    except ClientLeft:
        if plane is not None:
            plane.exchanges.discard(exchange)
        return
    except RouterError as e:
        refusal = e
    exchange.size = len(body)
    try:
        exchange.start(body, refusal, plane)
        body = b""
        # The rest of a body that was refused is read past.
        while (await receive())["type"] != "http.disconnect":
            pass
        # The response is complete, or the client has left before that.
        exchange.client_left()
    finally:
        exchange.forget_body()


def abort_connection(send: Send) -> None:
    """Drop the client's connection, for an answer that will not be completed.

    ASGI has no word for it: a server that is left without the end of an answer closes only when everything before it has
    been read, which a client that stopped reading never does. Uvicorn's send is a method of what holds the transport.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


class Exchange:
    """One request and its answer; the task that serves it, and the ways to end it early."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.send = send
        self.admitted_ms = now_ms()
        self.request_id = mint_hex7(self.admitted_ms)
        self.size = 0  # of its body, as counted by read_body
        self.has_wrong_key = False
        self.call: Call | None = None
        # What the view adds to the answer, ready to be sent: Django's header dict would convert each value twice.
        self.headers: list[tuple[bytes, bytes]] = []
        self.began_exactly = time.perf_counter()
        self._has_begun = False
        self._is_answered = False
        self._is_complete = False
        self._start: dict[str, Any] | None = None
        self._plane: Plane | None = None
        self._task: asyncio.Task[None] | None = None
        self._leave_timer: asyncio.TimerHandle | None = None

    def start(self, body: bytes, refusal: RouterError | None, plane: Plane | None) -> None:
        """Serve the request in a task of its own."""
        self._plane = plane
        self._task = asyncio.get_running_loop().create_task(self._serve(body, refusal), name=self.request_id)
        self._task.add_done_callback(self._finished)

    def forget_body(self) -> None:
        """Its body takes up no memory any more."""
        release(self.size)
        self.size = 0

    def end(self, reason: str) -> None:
        """End the request now: `drained`, or `client_gone`."""
        if self._task is None:
            abort_connection(self.send)  # its body is still on its way
        elif not self._task.done():
            if self.call is not None:
                self.call.end_reason = reason
            self._task.cancel()

    def client_left(self) -> None:
        """The client is gone, or has all of its answer. A plain answer that is on its way is waited for, for its bill."""
        if self._task is None or self._task.done() or self._plane is None or self._is_answered:
            return
        if self.call is not None and not self.call.is_streamed and self._plane.left < LEFT_AT_MOST:
            self._plane.left += 1
            self.call.has_left = True
            self._leave_timer = asyncio.get_running_loop().call_later(LEFT_FOR_S, self.end, "client_gone")
        else:
            self.end("client_gone")

    def _finished(self, task: "asyncio.Task[None]") -> None:
        if self._plane is not None:
            self._plane.exchanges.discard(self)
            if self._leave_timer is not None:
                self._leave_timer.cancel()
                self._plane.left -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("request_task_failed", exc_info=error)
        if not self._is_complete:
            abort_connection(self.send)
        # The task, the request and this would hold one another, for the garbage collector to find.
        self._task = self.call = None

    async def _serve(self, body: bytes, refusal: RouterError | None) -> None:
        request_id_var.set(dashed(self.request_id))
        status = 0
        try:
            response = error_response(refusal) if refusal else await self._answer(body)
            if self.has_wrong_key:
                body = b""
                self.forget_body()
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

    async def _answer(self, body: bytes) -> HttpResponseBase:
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
        request = ASGIRequest(self.scope, BytesIO(body))
        # A chunked body comes without one, and DRF takes that for an empty body.
        request.META["CONTENT_LENGTH"] = str(len(body))
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
            await self.send(start)
            self._is_answered = True
            await self.send({"type": "http.response.body", "body": content})
            self._is_complete = True

    async def _send_stream(self, message: MutableMapping[str, Any]) -> None:
        if self._start is not None:
            start, self._start = self._start, None
            await self.send(start)
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
        logger.log(logging.INFO if is_news else logging.DEBUG, "request_finished", extra=fields)
