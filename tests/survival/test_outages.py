"""Redis that is killed again and again, and PostgreSQL that is stopped, under steady load: everybody is answered.

CHAOS=full takes the times that are promised (Redis: every 20 s for 3 minutes; PostgreSQL: 60 s); otherwise they are short.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.stack import Stack, running_stack, two_channels
from tests.stores import Postgres, Redis
from tests.survival.traffic import Heard, assert_complete, chat, listen, run_clients

IS_FULL = os.environ.get("CHAOS") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(600)]

REQUESTS_A_SECOND = 50
ANSWERED_AT_LEAST = 0.999
BACKLOG_GONE_WITHIN_S = 60.0
KILLS, KILL_EVERY_S = (9, 20.0) if IS_FULL else (3, 4.0)
STOPPED_S = 60.0 if IS_FULL else 8.0
QUIET_S = 2.0
KNOWN_AGAIN_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Redis]]:
    folder = tempfile.mkdtemp(prefix="smartrouter-pg-")
    postgres, redis = Postgres(Path(folder) / "data"), Redis(appendonly=True)
    yield postgres, redis
    redis.close()
    postgres.close()


@pytest.fixture(scope="module")
def stack(servers: tuple[Postgres, Redis]) -> Iterator[Stack]:
    with running_stack(two_channels(), servers=servers) as running:
        running.start("manage.py", "ingest")
        yield running


async def steady_load(session: aiohttp.ClientSession, stack: Stack, act: Callable[[], Awaitable[None]]) -> list[Heard]:
    """What clients heard, so many a second, half of them streams and a third with a session, while act() went on."""
    acting = asyncio.ensure_future(act())
    clients: list[asyncio.Task[Heard]] = []
    began = asyncio.get_running_loop().time()
    while not acting.done():
        number = len(clients)
        body = chat("m", stream=number % 2 == 0)
        more = {"x-session-id": f"session-{number % 5}"} if number % 3 == 0 else {}
        clients.append(asyncio.create_task(listen(session, stack, body, Heard("m"), more)))
        await asyncio.sleep(began + number / REQUESTS_A_SECOND - asyncio.get_running_loop().time())
    await acting
    return list(await asyncio.gather(*clients))


def check_answers(stack: Stack, heard: list[Heard], what: str) -> None:
    """Assert that nearly all were answered, that the backlog goes in time, and that nothing is lost or counted twice."""
    good = [client for client in heard if client.status == 200 and client.end == "done"]
    began = time.monotonic()
    ids = {client.request_id for client in heard if client.request_id}
    while ids - {row["request_id"] for row in stack.query("SELECT request_id FROM billing_usagerecord")}:
        assert time.monotonic() - began < BACKLOG_GONE_WITHIN_S
        time.sleep(0.2)
    print(
        f"\n{what}: {len(good)} of {len(heard)} requests answered, backlog gone after {time.monotonic() - began:.1f} s"
    )
    bad = Counter((client.status, client.end) for client in heard if client not in good)
    assert len(good) >= ANSWERED_AT_LEAST * len(heard), bad
    ingester = stack.processes[-1]
    ingester.terminate()
    ingester.wait(30)
    rows = assert_complete(stack)
    assert ids <= {row["request_id"] for row in rows}
    stack.start("manage.py", "ingest")


def session_cost(stack: Stack) -> float:
    """What a new request is told of its session, as soon as that is known again; its record is stored then."""
    until = time.monotonic() + KNOWN_AGAIN_WITHIN_S
    while True:
        _status, answer, _body = stack.post(chat("m"), headers={"x-session-id": "session-0"})
        if "x-smartrouter-session-cost-usd" in answer:
            break
        assert time.monotonic() < until
        time.sleep(0.2)
    request = answer["x-request-id"].replace("-", "")
    while not any(row["request_id"] == request for row in stack.rows()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return float(answer["x-smartrouter-session-cost-usd"])


def session_sum(stack: Stack) -> float:
    """The charge of the session's records in USD."""
    rows = stack.query("SELECT charge_nusd FROM billing_usagerecord WHERE session_id = 'session-0' AND is_billable")
    return sum(row["charge_nusd"] or 0 for row in rows) / 1e9


def test_redis_killed_again_and_again(stack: Stack, servers: tuple[Postgres, Redis]) -> None:
    _postgres, redis = servers

    async def act() -> None:
        await asyncio.sleep(QUIET_S)
        for _ in range(KILLS):
            await asyncio.to_thread(redis.kill)
            await asyncio.sleep(KILL_EVERY_S / 4)
            await asyncio.to_thread(redis.start)
            await asyncio.sleep(KILL_EVERY_S * 3 / 4)

    heard = run_clients(lambda session: steady_load(session, stack, act))

    check_answers(stack, heard, f"Redis killed {KILLS} times")
    assert session_cost(stack) == pytest.approx(session_sum(stack), abs=1e-9)


def test_postgresql_stopped(stack: Stack, servers: tuple[Postgres, Redis]) -> None:
    postgres, _redis = servers

    async def act() -> None:
        await asyncio.sleep(QUIET_S)
        await asyncio.to_thread(postgres.stop)
        await asyncio.sleep(STOPPED_S)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(QUIET_S)

    heard = run_clients(lambda session: steady_load(session, stack, act))

    check_answers(stack, heard, f"PostgreSQL stopped for {STOPPED_S:.0f} s")
    assert "Traceback" not in stack.log
