"""Worker side. The simulator as a running server: its addresses and how it starts and stops."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from providers.simulator.chat import check_key, model_rows, serve_chat
from providers.simulator.errors import JSON, Refusal, model_not_found, unknown_url
from providers.simulator.journal import Journal
from providers.simulator.modes import MODES
from providers.simulator.wire import Connection, Request

PREFIX = "/v1"
BACKLOG = 1024


class RunningSimulator:
    """A simulator that accepts connections. `base_url` ends with /v1; `journal` is the live one."""

    def __init__(self, server: asyncio.Server, journal: Journal, connections: set[Connection]) -> None:
        self._server = server
        self._connections = connections
        self.journal = journal
        self.host, self.port = server.sockets[0].getsockname()[:2]

    @property
    def base_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{PREFIX}"

    async def stop(self) -> None:
        """Return when the port is free, connections are dropped and requests in progress are journalled."""
        self._server.close()
        connections = list(self._connections)
        tasks = [task for task in (connection.task for connection in connections) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections:
            connection.abort()
        await self._server.wait_closed()
        self.journal.stop()


async def start(
    *, name: str, host: str = "127.0.0.1", port: int = 0, journal_path: Path | None = None
) -> RunningSimulator:
    """A running simulator. Raises OSError when the address cannot be bound or the journal cannot be written."""
    journal = Journal(name, journal_path)
    connections: set[Connection] = set()
    handler = partial(_route, name, journal)
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(lambda: Connection(handler, connections), host, port, backlog=BACKLOG)
    except OSError:
        journal.stop()
        raise
    return RunningSimulator(server, journal, connections)


async def _route(name: str, journal: Journal, connection: Connection, request: Request) -> None:
    if request.method == "POST" and request.path == f"{PREFIX}/chat/completions":
        await serve_chat(connection, request, simulator=name, journal=journal)
        return
    try:
        status, body = 200, _look_up(name, journal, request)
    except Refusal as refusal:
        status, body = refusal.status, refusal.body
    await connection.respond(status, body, [("content-type", JSON), ("x-simulator", name)])


def _look_up(name: str, journal: Journal, request: Request) -> bytes:
    """The body of everything that is not a chat. Raises Refusal."""
    match request.method, request.path:
        case "GET", "/health":
            return orjson.dumps({"status": "ok", "simulator": name})
        case "GET", "/__modes":
            return orjson.dumps([mode.as_dict() for mode in MODES.values()])
        case "GET", "/__journal":
            return orjson.dumps(_read_journal(journal, request.query))
        case "DELETE", "/__journal":
            journal.clear()
            return orjson.dumps({"deleted": True})
        case "GET", path if path == f"{PREFIX}/models":
            check_key(request.headers)
            return orjson.dumps({"object": "list", "data": model_rows()})
        case "GET", path if path.startswith(f"{PREFIX}/models/"):
            check_key(request.headers)
            wanted = path.removeprefix(f"{PREFIX}/models/")
            for row in model_rows():
                if row["id"] == wanted:
                    return orjson.dumps(row)
            raise model_not_found(wanted)
    raise unknown_url(request.method, request.path)


def _read_journal(journal: Journal, query: dict[str, str]) -> list[dict[str, Any]]:
    since = query.get("since", "0")
    return journal.find(query.get("attempt"), int(since) if since.isdecimal() else 0)
