"""GET /v1/generations/{id}: a key's own requests, each as its records tell of it, and nobody else's."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from smartrouter.lib.clock import mint_uuid7, now_ms
from tests.routing import callers as c
from tests.routing.callers import get
from tests.routing.outage import stack_with_outages
from tests.stack import KEY, OTHER_KEY, ROOT, Stack, running_stack

HI = [{"role": "user", "content": "hi"}]
# An id that no request has: names of tests have to be the same in each process of a run.
NOBODYS = "0b5e7a0c-3f0e-4b1e-9d53-2f8a3c6d9e11"


def document() -> dict[str, Any]:
    """m is served by alpha; moved fails there and is served by beta; broken fails."""
    found = c.callers_document()
    modes = ("sim-fast", "sim-fast!500")
    found["models"] = [
        {"provider": provider, "model": model, "price": {"input": 1, "output": 2}}
        for provider in ("sim-a", "sim-b")
        for model in modes
    ]
    alpha, beta = found["channels"]
    failing = "sim-fast!500"
    alpha["models"] = [
        {"name": "m", "model": "sim-fast"},
        {"name": "moved", "model": failing},
        {"name": "broken", "model": failing},
    ]
    beta["models"] = [{"name": "moved", "model": "sim-fast"}]
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(document()) as made:
        command = [sys.executable, "manage.py", "ingest"]
        with (made.data / "ingest.log").open("ab") as log:
            made.processes.append(subprocess.Popen(command, cwd=ROOT, env=made.env, stdout=log, stderr=log))
        yield made
        assert "Traceback" not in made.log


def ask(stack: Stack, key: str = KEY, *, model: str = "m", **more: Any) -> tuple[str, Any]:
    """The id and the answer of a chat request."""
    headers = more.pop("headers", {})
    _status, found, body = stack.post({"model": model, "messages": HI, **more}, key, headers=headers)
    return found["x-request-id"], body if more.get("stream") else json.loads(body)


def look_up(stack: Stack, request_id: str, key: str = KEY) -> dict[str, Any]:
    """The generation, as soon as it is recorded."""
    until = time.monotonic() + 90
    while True:
        status, _headers, found = get(stack, f"/v1/generations/{request_id}", key)
        if status == 200:
            return dict(found)
        assert (status, found["error"]["code"]) == (404, "generation_not_found")
        assert time.monotonic() < until, stack.log[-2000:]
        time.sleep(0.1)


def test_it_tells_what_was_used_what_it_cost_and_how_it_went(stack: Stack) -> None:
    sent = {"x-session-id": "s-1", "x-request-id": "mine-7"}
    request_id, answer = ask(stack, user="alice", headers=sent)

    found = look_up(stack, request_id)

    usage = answer["usage"]
    assert found.pop("usage") == {
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        "cost": usage["cost"],
    }
    assert usage["cost"] > 0
    assert abs(found.pop("created") * 1000 - now_ms()) < 100_000
    assert found.pop("latency_ms") >= 0
    found.pop("first_content_ms")
    assert found == {
        "object": "generation", "id": request_id, "model": "m", "offering": "m", "served_model": "sim-fast", "group": None,
        "provider": "sim-a", "channel": "alpha", "streamed": False, "status": "ok", "finish_reason": "stop", "attempts": 1,
        "estimated": False, "user": "alice", "client_request_id": "mine-7", "session_id": "s-1",
    }  # fmt: skip


def test_a_streamed_one_that_moved_counts_its_attempts(stack: Stack) -> None:
    request_id, _body = ask(stack, model="moved", stream=True)

    found = look_up(stack, request_id)

    assert (found["attempts"], found["provider"], found["streamed"], found["status"]) == (2, "sim-b", True, "ok")
    assert found["first_content_ms"] >= 0
    assert found["usage"]["cost"] > 0


def test_a_failed_one_is_there_without_the_upstreams_words(stack: Stack) -> None:
    request_id, answer = ask(stack, model="broken")
    assert answer["error"]["code"] == "upstream_error"

    found = look_up(stack, request_id)

    assert (found["status"], found["usage"]["cost"], found["finish_reason"]) == ("failed", 0, None)
    assert not [name for name in found if "error" in name]


def test_who_may_not_see_channels_is_told_none(stack: Stack) -> None:
    request_id, _answer = ask(stack, OTHER_KEY)

    found = look_up(stack, request_id, OTHER_KEY)

    assert "channel" not in found and "alpha" not in json.dumps(found)
    assert not {"cost", "cost_nusd", "price", "trace", "channel_key"} & found.keys()


@pytest.mark.parametrize("key", [c.SISTER_KEY, OTHER_KEY])
def test_another_keys_requests_are_nowhere_even_of_the_same_tenant(stack: Stack, key: str) -> None:
    request_id, _answer = ask(stack)
    look_up(stack, request_id)

    theirs = get(stack, f"/v1/generations/{request_id}", key)
    nobodys = get(stack, f"/v1/generations/{mint_uuid7(now_ms() - 60_000)}", key)

    assert (theirs[0], theirs[2]) == (404, nobodys[2])


def test_the_id_is_taken_with_and_without_dashes(stack: Stack) -> None:
    request_id, _answer = ask(stack)
    found = look_up(stack, request_id)

    for text in (request_id.replace("-", ""), request_id.upper()):
        assert get(stack, f"/v1/generations/{text}", KEY)[2] == found


@pytest.mark.parametrize(
    "text", ["x", "0", "-" * 36, "0" * 31, "0" * 33, "g" * 32, f"{{{NOBODYS}}}", f"urn:uuid:{NOBODYS}", "%00", "a%2Fb",
             NOBODYS, "0197d000-0000-7000-8000-00000000000%0a", "0197d00000007000-8000000000000000", "f" * 32],
)  # fmt: skip
def test_any_other_text_is_nobodys(stack: Stack, text: str) -> None:
    status, _headers, answer = get(stack, f"/v1/generations/{text}", KEY)

    assert (status, answer["error"]["code"] in ("generation_not_found", "unknown_url")) == (404, True)


def test_one_that_is_just_over_is_waited_for(stack: Stack) -> None:
    """The ingester is stopped meanwhile, and goes on while the question waits."""
    ingester = next(process for process in stack.processes if "ingest" in process.args)  # type: ignore[operator]
    ingester.send_signal(signal.SIGSTOP)
    try:
        request_id, _answer = ask(stack)
        absent = get(stack, f"/v1/generations/{request_id}", KEY)
    finally:
        ingester.send_signal(signal.SIGCONT)

    assert absent[0] == 404
    assert look_up(stack, request_id)["id"] == request_id


def test_what_is_asked_for_at_once_is_there(stack: Stack) -> None:
    found = []
    for _turn in range(5):
        request_id, _answer = ask(stack)
        found.append(get(stack, f"/v1/generations/{request_id}", KEY)[0])

    assert 200 in found  # without waiting, the record of none would be there


def test_while_the_database_is_away_a_request_cannot_be_looked_up_and_everything_else_goes_on() -> None:
    with stack_with_outages(document()) as (stack, postgres):
        stack.start_web()
        request_id, _answer = ask(stack)
        stack.ingest()
        assert look_up(stack, request_id)["attempts"] == 1

        postgres.stop()
        status, headers, answer = get(stack, f"/v1/generations/{request_id}", KEY)
        assert (status, answer["error"]["code"]) == (503, "records_unavailable")
        assert (headers["retry-after"], headers["x-should-retry"]) == ("5", "true")
        assert get(stack, "/v1/generations/x", KEY)[0] == 404
        assert get(stack, "/v1/key", KEY)[0] == 200

        postgres.start()
        until = time.monotonic() + 60
        while (status := get(stack, f"/v1/generations/{request_id}", KEY)[0]) != 200 and time.monotonic() < until:
            time.sleep(0.2)
        assert status == 200
        assert "Traceback" not in stack.log
