"""Sessions over two web processes and one Redis, which freezes, dies and is emptied: no wrong sum and no slow request."""

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
import redis as redis_client

from tests.routing.test_session_costs import COST, OFFERS, SESSION_COST, ask, charged, recorded, session_cost
from tests.stack import Stack, free_port, running_stack
from tests.stores import Redis
from tests.survival.traffic import offering_document

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pair(redis: Redis) -> Iterator[tuple[Stack, Stack]]:
    """Two web processes of one installation."""
    with running_stack(offering_document(OFFERS), REDIS_URL=redis.url()) as one:
        port = free_port()
        two = dataclasses.replace(one, port=port, env={**one.env, "PORT": str(port)})
        two.start_web()  # it ends with the others: both have one list of processes
        yield one, two


def test_both_processes_add_to_one_session(pair: tuple[Stack, Stack]) -> None:
    costs = [session_cost(stack, "both") for stack in pair * 3]

    assert [total for total, _own in costs] == [sum(own for _total, own in costs[: n + 1]) for n in range(6)]


@pytest.mark.parametrize("trouble", ["killed", "emptied"])
def test_the_sum_comes_back_when_redis_was_lost(pair: tuple[Stack, Stack], redis: Redis, trouble: str) -> None:
    session = f"lost-{trouble}"
    own = [session_cost(stack, session)[1] for stack in pair]
    recorded(pair[0], session)  # some are in the database, others not yet
    own += [Decimal(ask(stack, session, stream=False)[COST]) for stack in pair]
    if trouble == "killed":
        redis.kill()
        headers = ask(pair[0], session)
        assert SESSION_COST not in headers
        own.append(Decimal(headers[COST]))
        redis.start()
    else:
        with redis_client.Redis.from_url(redis.url()) as client:
            client.flushall()
    ask(pair[1], session, stream=True)

    shown = []
    for stack in pair:
        total, more = session_cost(stack, session)
        own.append(more)
        shown.append(total)

    rows = recorded(pair[0], session)
    assert shown[-1] == charged(rows)
    assert charged(rows) > sum(own)  # there is the stream as well


def test_a_frozen_redis_is_waited_for_once_and_what_was_settled_meanwhile_counts(
    pair: tuple[Stack, Stack], redis: Redis
) -> None:
    stack = pair[0]
    _total, own = session_cost(stack, "frozen")
    pid = redis.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        overheads = []
        for _number in range(40):
            began = time.monotonic()
            headers = ask(stack, "frozen")
            overheads.append(time.monotonic() - began)
            own += Decimal(headers[COST])
            assert SESSION_COST not in headers
    finally:
        os.kill(pid, signal.SIGCONT)
    total, more = session_cost(stack, "frozen")

    assert total == own + more
    # The first may have waited for the deadline of 0.25 s; most of them for nothing.
    assert sorted(overheads)[20] < 0.25
    print(f"\nslowest {max(overheads):.3f} s, median {sorted(overheads)[20]:.4f} s")
