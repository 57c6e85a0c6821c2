"""Worker side. One request of each kind before the load: what must come back is found out, and checked once in depth."""

import http.client
import json
from typing import Any

from tests.bench.children import BenchError
from tests.bench.load import Target
from tests.bench.messages import MODELS, PLAIN, charge_usd, plain_body, request_bytes, stream_parts

TIMEOUT_S = 30


def plain_targets(port: int) -> dict[str, Target]:
    """What the mock, and whoever hands its answers on unchanged, is sent and answers, for each model."""
    bodies = {model: plain_body() if model == PLAIN else stream_parts(model).payload for model in MODELS}
    return {model: _target(port, model, body) for model, body in bodies.items()}


def gateway_targets(port: int) -> dict[str, Target]:
    """The same for the gateway, whose answers differ from the mock's only by the charge in the usage.

    Sends one request for each model. Raises BenchError where anything else differs.
    """
    return {model: _target(port, model, _checked(model, _ask(port, model))) for model in MODELS}


def _target(port: int, model: str, expected: bytes) -> Target:
    return Target(port, request_bytes(port, model), expected, is_streamed=model != PLAIN)


def _ask(port: int, model: str) -> bytes:
    head, _, content = request_bytes(port, model).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", first.split()[1], content, dict(line.split(": ", 1) for line in lines))
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as e:
        raise BenchError(f"No answer to a request for {model}: {e!r}") from e
    finally:
        connection.close()
    if response.status != 200:
        raise BenchError(f"A request for {model} was answered with {response.status}: {body[:500]!r}")
    return body


def _checked(model: str, body: bytes) -> bytes:
    """The body, if it is the mock's with the right charge."""
    given = _documents(model, body)
    expected = _documents(model, plain_body() if model == PLAIN else stream_parts(model).payload)
    charges = [usage.pop("cost", None) for document in given if (usage := document.get("usage"))]
    if given != expected:
        raise BenchError(f"Another answer for {model} than the mock gave: {body[-500:]!r}")
    if len(charges) != 1 or charges[0] is None or abs(charges[0] - charge_usd(model)) > 1e-9:
        raise BenchError(f"The charges for {model} are {charges}, not {charge_usd(model)}.")
    return body


def _documents(model: str, body: bytes) -> list[dict[str, Any]]:
    """An answer as a list of JSON documents: one, or those of a stream's events."""
    if model == PLAIN:
        return [json.loads(body)]
    events = body.decode().split("\n\n")
    if events[-2:] != ["data: [DONE]", ""]:
        raise BenchError(f"A stream for {model} that does not end: {body[-200:]!r}")
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
