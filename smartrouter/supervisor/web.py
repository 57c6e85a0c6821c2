"""Worker side. The web process around the ASGI application: uvicorn on a socket that is bound already."""

import ipaddress
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from smartrouter.supervisor.protocol import CappedProtocol
from smartrouter.supervisor.refusal import StartRefused
from smartrouter.supervisor.server import FIRST_REQUEST_WITHIN_S, HANDSHAKES_END_WITHIN_S, Server

BACKLOG = 2048
DRAIN_MARGIN_S = 5
# Requests that were told to end (2 s), the thread that follows the database (3 s).
CLOSE_WITHIN_S = 6
KEEP_ALIVE_S = 75  # above the 60 s after which proxies and SDKs drop idle connections: the client closes first

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def stop_within_s() -> float:
    """How long a web process takes from the signal to its end at most; whoever stops it waits for longer."""
    leaving_s = settings.NOTICE_SECONDS + HANDSHAKES_END_WITHIN_S + FIRST_REQUEST_WITHIN_S
    return float(leaving_s + settings.DRAIN_SECONDS + DRAIN_MARGIN_S + CLOSE_WITHIN_S)


class Startup:
    """The application, and the sentence with which it refused to start.

    Uvicorn would log that sentence and a second one; whoever runs `serve` should read just the first.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self.refusal: str | None = None
        self._language = get_language()

    def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        live = self._live if scope["type"] == "lifespan" else self._application
        return live(scope, receive, send)

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        async def send_quietly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.refusal = str(message.get("message") or "")
                message = {"type": "lifespan.startup.failed", "message": ""}
            await send(message)

        with override(self._language):
            await self._application(scope, receive, send_quietly)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether uvicorn's record is logged: after a refusal nothing is. Its terminal colours never are."""
        record.__dict__.pop("color_message", None)
        return self.refusal is None


def serve(
    listeners: list[socket.socket],
    *,
    is_port_kept: Callable[[], bool] = lambda: False,
    beat: Callable[[], None] | None = None,
    on_open: Callable[[], None] | None = None,
) -> None:
    """Return when the server has drained after SIGTERM or SIGINT. Raises StartRefused, OSError if it cannot listen."""
    startup = Startup(import_string(settings.ASGI_APPLICATION))
    server = Server(
        _config(startup), notice_s=settings.NOTICE_SECONDS, is_port_kept=is_port_kept, beat=beat, on_open=on_open
    )
    logging.getLogger("uvicorn.error").addFilter(startup.filter)
    # Before uvicorn's own handlers, so that a signal that comes before them is not lost; and after them, since uvicorn
    # raises the signal that stopped it once more when it is done, and a requested stop is a success.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, server.handle_exit)
    try:
        # The terminal's language is for the sentence of a refusal, not for those who send requests.
        with override(settings.LANGUAGE_CODE):
            server.run(sockets=listeners)
    except SystemExit as e:
        if startup.refusal is None:
            raise
        raise StartRefused(startup.refusal or _("The web process refused to start.")) from e


def _config(application: Any) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=CappedProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        # Longer than our own drain: uvicorn's end runs neither except nor finally in a response.
        timeout_graceful_shutdown=int(settings.DRAIN_SECONDS) + DRAIN_MARGIN_S,
        proxy_headers=bool(settings.TRUSTED_PROXIES),
        forwarded_allow_ips=trusted_proxies(settings.TRUSTED_PROXIES),
    )


def trusted_proxies(networks: list[str]) -> list[str]:
    """The proxies as uvicorn compares them: the IPv4 ones also as a socket for IPv6 and IPv4 shows them."""
    found = list(networks)
    for network in map(ipaddress.ip_network, networks):
        if network.version == 4:
            found.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return found
