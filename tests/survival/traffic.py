"""Many clients at once, and what the journals and the records say of them afterwards."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import aiohttp

from tests.stack import KEY, Stack, two_channels

T = TypeVar("T")
HEADERS = {"Authorization": f"Bearer {KEY}"}
# No answer takes so long.
PATIENT_S = 180.0


def offering_document(offers: dict[str, Sequence[str]]) -> dict[str, Any]:
    """The document of two_channels() with these offers: name -> (model on alpha, model on beta if any)."""
    document = two_channels()
    document["models"] = [
        {"provider": provider, "model": model, "price": {"input": 1, "output": 2}}
        for place, provider in enumerate(("sim-a", "sim-b"))
        for model in dict.fromkeys(models[place] for models in offers.values() if len(models) > place)
    ]
    for place, channel in enumerate(document["channels"]):
        named = {name: models[place] for name, models in offers.items() if len(models) > place}
        channel["models"] = [{"name": name, "model": model} for name, model in named.items()]
    return document


def chat(model: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": model, "messages": [{"role": "user", "content": "Tell me something"}], "stream": stream, **more}


@dataclass
class Heard:
    """What one client got: the answer so far, and how it ended (done: with [DONE] or a whole plain answer)."""

    model: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    end: str = "open"

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "").replace("-", "")

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events, [DONE] left out."""
        datas = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(data) for data in datas if data != b"[DONE]"]

    @property
    def error_code(self) -> str | None:
        """The code of the error in the body or in the last event; None where there is none."""
        found = self.events[-1] if self.body.startswith(b"data:") else json.loads(self.body)
        return found["error"]["code"] if "error" in found else None


async def listen(
    session: aiohttp.ClientSession, stack: Stack, body: dict[str, Any], heard: Heard, more: dict[str, str] | None = None
) -> Heard:
    """Read an answer to its end, whatever it is; `heard` fills while it comes; more: headers."""
    headers = {**HEADERS, **(more or {})}
    try:
        async with session.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers) as response:
            heard.status = response.status
            heard.headers = {name.lower(): value for name, value in response.headers.items()}
            async for data in response.content.iter_any():
                heard.body += data
        heard.end = "done" if not body["stream"] or b"data: [DONE]" in heard.body else "ended"
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        heard.end = "broken"
    return heard


def run_clients(act: Callable[[aiohttp.ClientSession], Awaitable[T]], *, total_s: float = 60) -> T:
    """What `act` returns; it gets a session without limits. total_s: how long an answer may take."""

    async def run() -> T:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=total_s)) as session:
            return await act(session)

    return asyncio.run(run())


def tag_of(row: dict[str, Any]) -> str:
    """The attempt id that the row's upstream was given."""
    return f"{UUID(row['request_id'])}-{row['attempt']}"


def journals(stack: Stack) -> list[dict[str, Any]]:
    """Every entry of both simulators."""
    return stack.alpha.journal() + stack.beta.journal()


async def until(is_true: Callable[[], bool], within_s: float = 10) -> None:
    """Return when it is true. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not is_true():
            await asyncio.sleep(0.01)


def rows_by_request(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each request id."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["request_id"]].append(row)
    return found


def assert_complete(stack: Stack) -> list[dict[str, Any]]:
    """All rows, after the spool was ingested: one for every attempt in a journal, one billable for every request."""
    stack.ingest()
    rows = stack.rows()
    tags = [tag_of(row) for row in rows]
    assert len(tags) == len(set(tags))
    unrecorded = {entry["attempt_id"] for entry in journals(stack)} - set(tags)
    assert unrecorded == set()
    billable = {request: sum(row["is_billable"] for row in its) for request, its in rows_by_request(rows).items()}
    assert {request: count for request, count in billable.items() if count != 1} == {}
    return rows
