"""The ASGI application without a server: its lifespan, and requests that go straight in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

Message = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]


@asynccontextmanager
async def running(application: Application) -> AsyncIterator[None]:
    """Meanwhile the application has started; afterwards it has shut down."""
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    outgoing: asyncio.Queue[Message] = asyncio.Queue()
    incoming.put_nowait({"type": "lifespan.startup"})
    lifespan = asyncio.ensure_future(application({"type": "lifespan"}, incoming.get, outgoing.put))
    started = await outgoing.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield
    finally:
        incoming.put_nowait({"type": "lifespan.shutdown"})
        await lifespan


async def ask(
    application: Application, method: str, path: str, body: bytes = b"", *, key: str, leave_after: int = 0,
    session: str = "",
) -> int:  # fmt: skip
    """The status of an answer, once all of it has come or the client has left after so many parts of it.

    Like a chunked request it has no Content-Length.
    """
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": body})
    status, parts = 0, 0

    async def send(message: Message) -> None:
        nonlocal status, parts
        if message["type"] == "http.response.start":
            status = message["status"]
            return
        parts += 1
        if not message.get("more_body") or parts == leave_after:
            incoming.put_nowait({"type": "http.disconnect"})

    headers = [
        (b"host", b"probe"),
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
        *([(b"x-session-id", session.encode())] if session else []),
    ]
    path, _mark, query = path.partition("?")
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": headers,
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}  # fmt: skip
    await application(scope, incoming.get, send)
    return status
