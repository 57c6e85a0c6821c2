"""x-session-id: an answer says what its session has come to, over requests, streams, processes and restarts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.stack import KEY, OTHER_KEY, Stack, running_stack
from tests.survival.traffic import chat, offering_document

OFFERS = {
    "m": ("sim-fast", "sim-smart"),
    "cut": ("sim-fast!cut",),
    "broken": ("sim-fast!500", "sim-smart!500"),
    "slow": ("sim-fast!ok:pace_ms=20,chunks=600",),
}
COST, SESSION_COST = "x-smartrouter-cost-usd", "x-smartrouter-session-cost-usd"
PATIENT_S = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(offering_document(OFFERS)) as made:
        wait_until_known(made)
        yield made


def wait_until_known(stack: Stack) -> None:
    """Return when each process tells totals: one that has just begun looks at late records first."""
    in_a_row, until = 0, time.monotonic() + PATIENT_S
    while in_a_row < 20:
        in_a_row = in_a_row + 1 if SESSION_COST in ask(stack, "warm") else 0
        assert time.monotonic() < until, stack.log
        time.sleep(0.05)


def ask(stack: Stack, session: str, key: str = KEY, *, model: str = "m", stream: bool = False) -> dict[str, str]:
    """The headers of an answer."""
    _status, headers, _body = stack.post(chat(model, stream=stream), key, headers={"x-session-id": session})
    return headers


@contextmanager
def open_stream(stack: Stack, session: str) -> Iterator[None]:
    """Meanwhile a client reads a stream; then it leaves."""
    connection = HTTPConnection("127.0.0.1", stack.port, timeout=30)
    headers = {"Authorization": f"Bearer {KEY}", "x-session-id": session}
    connection.request("POST", "/v1/chat/completions", json.dumps(chat("slow", stream=True)), headers)
    assert connection.getresponse().readline()
    yield
    connection.close()


def session_cost(stack: Stack, session: str) -> tuple[Decimal, Decimal]:
    """What a session has come to, as soon as it is known, and what the requests that asked have cost."""
    own, until = Decimal(0), time.monotonic() + PATIENT_S
    while time.monotonic() < until:
        headers = ask(stack, session)
        own += Decimal(headers[COST])
        if SESSION_COST in headers:
            return Decimal(headers[SESSION_COST]), own
        time.sleep(0.1)
    raise AssertionError(stack.log)


def recorded(stack: Stack, session: str) -> list[dict[str, Any]]:
    """The rows of a session that count."""
    stack.ingest()
    return [row for row in stack.rows() if row["session_id"] == session and row["is_billable"]]


def charged(rows: list[dict[str, Any]]) -> Decimal:
    return Decimal(sum(row["charge_nusd"] for row in rows)) / 10**9


def test_plain_answers_show_the_sum_and_each_key_has_its_own(stack: Stack) -> None:
    before, own = session_cost(stack, "sum")
    costs, shown = [], []
    for _number in range(3):
        headers = ask(stack, "sum")
        costs.append(Decimal(headers[COST]))
        shown.append(Decimal(headers[SESSION_COST]))
    other = ask(stack, "sum", OTHER_KEY)

    assert before == own
    assert shown == [before + sum(costs[: number + 1]) for number in range(3)]
    assert other[SESSION_COST] == other[COST]
    assert {row["router_key_ref"] for row in recorded(stack, "sum")} == {
        row["id"] for row in stack.query("SELECT id FROM accounts_routerkey")
    }


def test_streams_cut_streams_and_failures_count_as_they_are_charged(stack: Stack) -> None:
    _before, own = session_cost(stack, "mixed")
    streams = [ask(stack, "mixed", stream=True, model=model) for model in ("m", "cut")]
    failed = ask(stack, "mixed", model="broken")
    total, more = session_cost(stack, "mixed")

    rows = recorded(stack, "mixed")
    assert total == charged(rows) > own + more
    assert {row["status"] for row in rows} == {"ok", "cut", "failed"}
    assert not [headers for headers in (*streams, failed) if SESSION_COST in headers]


def test_a_client_that_leaves_its_stream_pays_into_its_session(stack: Stack) -> None:
    with open_stream(stack, "left"):
        pass
    until = time.monotonic() + PATIENT_S
    while not (rows := recorded(stack, "left")) and time.monotonic() < until:
        time.sleep(0.1)
    total, own = session_cost(stack, "left")

    assert rows[0]["status"] == "client_gone"
    assert total == charged(rows) + own > own


@pytest.mark.parametrize("session", ["x" * 129, " ", "a\tb", ""])
def test_what_is_no_session_id_is_no_session(stack: Stack, session: str) -> None:
    headers = ask(stack, session)

    assert COST in headers
    assert SESSION_COST not in headers


def test_a_longest_session_id_is_one(stack: Stack) -> None:
    total, own = session_cost(stack, "y" * 128)

    assert total == own
    assert len(recorded(stack, "y" * 128)) >= 1


def test_without_a_session_id_nothing_is_counted(stack: Stack) -> None:
    _status, headers, _body = stack.post(chat("m"))
    request_id = headers["x-request-id"].replace("-", "")
    stack.ingest()

    assert SESSION_COST not in headers
    assert [row["session_id"] for row in stack.rows() if row["request_id"] == request_id] == [None]


@pytest.mark.slow
def test_a_session_goes_on_after_its_process_was_killed() -> None:
    with running_stack(offering_document(OFFERS)) as stack:
        session_cost(stack, "s")
        with open_stream(stack, "s"):
            time.sleep(3)  # there is a checkpoint by now
            stack.kill_web()
        killed = recorded(stack, "s")
        stack.start_web()
        total, own = session_cost(stack, "s")
        until = time.monotonic() + PATIENT_S
        while total != charged(killed) + own and time.monotonic() < until:  # with Redis: when late records are read
            time.sleep(1)
            total, more = session_cost(stack, "s")
            own += more

        assert [row["status"] for row in killed][-1] == "abandoned"
        assert total == charged(killed) + own
