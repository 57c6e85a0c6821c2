"""The ASGI entry: /v1 and /health go to the data plane's own fast entry, everything else to Django.

The lifespan loads the data plane before the server accepts connections, and lets it drain before the server's own
deadline. Our own server (smartrouter.supervisor.server) says when; under any other, on SIGTERM new requests are refused at
once and what still runs is ended after DRAIN_SECONDS.
"""

import asyncio
import os
import signal
import types
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()
# WhiteNoise serves the admin's static files synchronously, which is right for small local files.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

from routing.endpoints import entry  # noqa: E402  (models need the apps to be loaded)
from routing.opening import close_plane, open_plane  # noqa: E402
from routing.plane import current_plane  # noqa: E402
from routing.register import StartRefused  # noqa: E402
from smartrouter.checks import wrong_settings  # noqa: E402

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch by path; nothing of /v1 passes through Django's middleware."""
    if scope["type"] == "http":
        path = scope["path"]
        if path.startswith(("/v1/", "/health")) or path == "/v1":
            await entry.handle(scope, receive, send)
        else:
            await django_application(
                cast(dict[str, Any], scope), receive, cast(Any, send)
            )  # the same, in narrower words
    elif scope["type"] == "lifespan":
        await live(scope, receive, send)


async def live(scope: Scope, receive: Receive, send: Send) -> None:
    """Open the data plane at start, close it at the end."""
    await receive()
    try:
        refuse_wrong_settings()
        await open_plane()
    except Exception as e:  # noqa: BLE001  (the server logs the sentence and exits)
        await send({"type": "lifespan.startup.failed", "message": str(e)})
        return
    if not scope.get("state", {}).get("server_drains"):
        drain_on_sigterm()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await close_plane()
    await send({"type": "lifespan.shutdown.complete"})


def refuse_wrong_settings() -> None:
    """Raise StartRefused for the first setting that is wrong or missing: a server of others' making runs no checks."""
    for sentence in wrong_settings():
        raise StartRefused(sentence)


def drain_on_sigterm() -> None:
    """Begin to drain with the same signal that tells the server to stop: its lifespan message comes too late for that."""
    loop = asyncio.get_running_loop()

    def wrap(number: int) -> None:
        server = signal.getsignal(number)

        def begin(received: int, frame: types.FrameType | None) -> None:
            plane = current_plane()
            if plane is not None:
                loop.call_soon_threadsafe(plane.begin_drain)
            if callable(server):
                server(received, frame)

        signal.signal(number, begin)

    for number in (signal.SIGTERM, signal.SIGINT):
        wrap(number)
