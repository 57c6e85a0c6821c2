"""Worker side. POST /v1/chat/completions: the key, the request, the mode, and the entry in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from providers.simulator.answers import MAX_OUTPUT_TOKENS, answer_to
from providers.simulator.errors import Refusal, invalid_request, model_not_found, no_quota, wrong_key
from providers.simulator.faults import writer_of
from providers.simulator.journal import Entry, Journal
from providers.simulator.modes import Asked, UnknownMode, parse_model
from providers.simulator.performance import Performance
from providers.simulator.wire import Connection, Request

MODELS = ("sim-fast", "sim-smart", "sim-vision", "sim-reasoner", "sim-free")
CONTEXT_LENGTH = 128_000
MODELS_CREATED = 1_760_000_000


def model_rows() -> list[dict[str, Any]]:
    """The models, as GET /v1/models lists them."""
    return [
        {
            "id": model,
            "object": "model",
            "created": MODELS_CREATED,
            "owned_by": "simulator",
            "context_length": CONTEXT_LENGTH,
            "max_output_tokens": MAX_OUTPUT_TOKENS,
        }
        for model in MODELS
    ]


def check_key(headers: Mapping[str, str]) -> str:
    """The key that was sent. Raises Refusal for a missing or refused one."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    if not key or key.startswith("sim-invalid"):
        raise wrong_key(key)
    if key.startswith("sim-broke"):
        raise no_quota()
    return key


async def serve_chat(connection: Connection, request: Request, *, simulator: str, journal: Journal) -> None:
    """Return when a chat request was answered, or broken as asked, and its journal entry is closed."""
    body = _read_json(request.body)
    entry = journal.open(request.headers, body)
    headers = [("x-request-id", f"req_{simulator}_{entry.index}"), ("x-simulator", simulator)]
    try:
        try:
            outcome = await _perform(connection, request, entry, headers, simulator)
        except Refusal as refusal:
            entry.status = refusal.status
            outcome = f"fault:{refusal.reason}"
            await connection.respond(refusal.status, refusal.body, [*headers, ("content-type", refusal.content_type)])
        journal.close(entry, outcome)
    except asyncio.CancelledError:
        gone_at = connection.gone_at
        journal.close(entry, "client_gone" if gone_at else "stopped", client_gone_at=gone_at)
        raise


async def _perform(
    connection: Connection, request: Request, entry: Entry, headers: list[tuple[str, str]], simulator: str
) -> str:
    """The outcome of an answer, after it was written. Raises Refusal."""
    key = check_key(request.headers)
    body, asked = _read_request(entry.body)
    entry.mode = asked.mode.name
    answer = answer_to(body, asked, simulator)
    entry.prompt_tokens = answer.prompt.tokens
    play = Performance(connection, asked, answer, entry, entry.stream, key, headers=headers)
    await asyncio.sleep(asked.number("first_ms") / 1000)
    await writer_of(asked.mode.name)(play)
    broken = asked.mode.streamed if entry.stream else asked.mode.plain
    return f"fault:{asked.mode.name}" if broken in ("before", "after") else "complete"


def _read_request(body: Any) -> tuple[Mapping[str, Any], Asked]:
    if not isinstance(body, Mapping):
        raise invalid_request("We could not parse the JSON body of your request.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid_request("you must provide a model parameter", "model")
    try:
        asked = parse_model(model)
    except UnknownMode as error:
        raise model_not_found(model, str(error)) from error
    if asked.model not in MODELS:
        raise model_not_found(model)
    return body, asked


def _read_json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
