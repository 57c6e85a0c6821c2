"""The same fault on both channels: the documented error, whatever the upstreams did; never a traceback, never HTML."""

import math
from collections.abc import Iterator

import pytest

from providers.simulator.modes import MODES
from tests.routing.faults import Played, fault_document, play
from tests.stack import running_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CALLS, HASTY_CALLS = 20, 40
TIMED_OUT = {name for name, mode in MODES.items() if mode.waits}
RATES = {"429", "529"}
BROKEN = {
    (name, is_streamed)
    for name, mode in MODES.items()
    for is_streamed in (False, True)
    if (mode.streamed if is_streamed else mode.plain) == "before"
    and mode.expects not in ("REQUEST", "CONTEXT", "CONTENT")
} | {(name, is_streamed) for name in ("big-headers", "gzip") for is_streamed in (False, True)}


@pytest.fixture(scope="module")
def played() -> Iterator[dict[tuple[str, bool], Played]]:
    with running_stack(fault_document()) as stack:
        yield play(stack, "b-", sorted({name for name, _streamed in BROKEN}), CALLS, HASTY_CALLS)
        assert "Traceback" not in stack.log


@pytest.mark.parametrize(("mode", "is_streamed"), sorted(BROKEN))
def test_when_all_channels_fail_the_caller_gets_the_documented_error(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    status, code = 502, "upstream_error"
    if mode in TIMED_OUT:
        status, code = 504, "upstream_timeout"
    elif mode in RATES:
        status, code = 503, "no_available_channel"

    for reply in played[mode, is_streamed].replies:
        assert (reply.status, reply.headers["content-type"], reply.is_cut) == (status, "application/json", False)
        error = reply.json["error"]
        assert set(error) == {"message", "type", "param", "code", "metadata"}
        assert (error["code"], error["type"], error["param"]) == (code, "server_error", None)
        assert 2 <= error["metadata"]["attempts"] <= 3
        # A client may well repeat a 502 or 504 by its own rules; only of a 503 do we know that waiting helps.
        assert reply.headers.get("x-should-retry") == ("true" if status == 503 else None)
        assert error["message"] and len(error["message"]) < 300
        told = reply.body.decode().lower()
        assert not any(word in told for word in ("traceback", "<html", "<!doctype", "127.0.0.1", "sim-key", "org-sim"))


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("mode", sorted(RATES))
def test_when_all_channels_say_wait_the_caller_is_told_how_long(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    for reply in played[mode, is_streamed].replies:
        assert reply.headers["x-should-retry"] == "true"
        assert int(reply.headers["retry-after"]) == (7 if mode == "429" else 2)


@pytest.mark.parametrize(("mode", "is_streamed"), sorted(BROKEN))
def test_each_failed_attempt_has_a_row_and_the_last_one_is_the_billable_one(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    found = played[mode, is_streamed]
    expected = "transient" if mode == "endless" else str(found.mode.expects).lower()

    for reply in found.replies:
        rows = found.rows_of(reply)
        assert [row["attempt"] for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) == reply.json["error"]["metadata"]["attempts"]
        assert [row["provider"] for row in rows[:2]] == ["sim-a", "sim-b"]
        assert [row["is_billable"] for row in rows] == [0] * (len(rows) - 1) + [1]
        assert {(row["status"], row["charge_nusd"]) for row in rows} == {("failed", 0)}
        assert {row["error_class"] for row in rows} == {expected}


def test_nobody_waits_longer_than_the_channels_may_take(played: dict[tuple[str, bool], Played]) -> None:
    slowest = {name: max(r.seconds for r in played[name, streamed].replies) for name in TIMED_OUT
               for streamed in (False, True)}  # fmt: skip

    # Two plain attempts of 1.2 s each, and what a busy machine adds.
    assert math.ceil(max(slowest.values())) <= 8, slowest
