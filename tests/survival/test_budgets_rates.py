"""Many keys at full demand over several processes: none passes its requests a minute, however it is written.

CHAOS=full takes 100 keys; otherwise there are fewer.
"""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from tests.stack import Stack, running_stack
from tests.stores import IS_SERVER, Redis
from tests.survival.traffic import PATIENT_S, assert_complete, chat, run_clients

IS_FULL = os.environ.get("CHAOS") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROCESSES = 4 if IS_SERVER else 1
KEYS = 100 if IS_FULL else 40
RPM = 60
DEMAND_A_SECOND = 1.6
LASTS_S = 68.0
ALONE_KEYS, ALONE_RPM, ALONE_DEMAND = 5, 8, 60
SPELLINGS = (("Authorization", "Bearer "), ("authorization", "bearer "), ("x-api-key", ""))


def key_of(name: str) -> str:
    return f"rk_{name}_" + "r" * 40


def limited_document() -> dict[str, Any]:
    limits = {f"fast{n}": RPM for n in range(KEYS)} | {f"alone{n}": ALONE_RPM for n in range(ALONE_KEYS)}
    return {
        "providers": [{"name": "sim-a", "kind": "local", "base_url": "ALPHA"}],
        "models": [{"provider": "sim-a", "model": "sim-fast", "price": {"input": 1, "output": 2}}],
        "channels": [{"name": "alpha", "provider": "sim-a", "keys": ["sim-key-alpha-0001"],
                      "models": [{"name": "m", "model": "sim-fast"}]}],
        "tenants": [{"name": "acme", "router_keys": [
            {"name": name, "key": key_of(name), "rpm": rpm} for name, rpm in limits.items()]}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def stack(redis: Redis) -> Iterator[Stack]:
    env = {"REDIS_URL": redis.url()} if IS_SERVER else {}
    with running_stack(limited_document(), WEB_CONCURRENCY=str(PROCESSES), **env) as running:
        yield running
        assert "Traceback" not in running.log


async def ask(session: aiohttp.ClientSession, stack: Stack, name: str, number: int) -> int:
    """The status of one request with a key, written in one of its ways."""
    header, scheme = SPELLINGS[number % len(SPELLINGS)]
    headers = {header: scheme + key_of(name)}
    body = chat("m", max_tokens=5)
    async with session.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers) as response:
        await response.read()
        return response.status


async def demand(session: aiohttp.ClientSession, stack: Stack, name: str, start_s: float) -> Counter[int]:
    """The statuses of a key's requests, sent at their times whether others are answered or not."""
    began = asyncio.get_running_loop().time() + start_s
    asked: list[asyncio.Task[int]] = []
    for number in range(int(LASTS_S * DEMAND_A_SECOND)):
        await asyncio.sleep(began + number / DEMAND_A_SECOND - asyncio.get_running_loop().time())
        asked.append(asyncio.create_task(ask(session, stack, name, number)))
    return Counter(await asyncio.gather(*asked))


def times_by_key(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """When each key's requests came, and when they were sent: between the two they were admitted."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        came, sent = (datetime.fromisoformat(row[name]).timestamp() for name in ("admitted_at", "started_at"))
        found[row["router_key"]].append((came, sent))
    return {name: sorted(times) for name, times in found.items()}


def most_in_a_minute(times: Sequence[tuple[float, float]]) -> int:
    """The most that were surely admitted within the same 60 seconds."""
    return max(sum(sent < begin + 60 for came, sent in times if came >= begin) for begin, _sent in times)


def test_no_key_passes_its_requests_a_minute(stack: Stack) -> None:
    names = [f"fast{n}" for n in range(KEYS)]

    async def act(session: aiohttp.ClientSession) -> list[Counter[int]]:
        return list(await asyncio.gather(*[demand(session, stack, name, n / KEYS) for n, name in enumerate(names)]))

    statuses = sum(run_clients(act, total_s=PATIENT_S), Counter[int]())

    rows = assert_complete(stack)
    times = times_by_key(rows)
    most = [most_in_a_minute(times[name]) for name in names]
    first = [sum(came < times[name][0][0] + 60 for came, _sent in times[name]) for name in names]
    served = Counter(row["process"] for row in rows)
    print(f"\n{KEYS} keys, {statuses.total()} requests, {dict(statuses)}: {min(most)} to {max(most)} in any 60 s,"
          f" {min(first)} to {max(first)} in the first; {len(served)} processes: {sorted(served.values())}")  # fmt: skip
    assert statuses.keys() == {200, 429}
    assert max(most) <= RPM + 1
    assert min(first) >= RPM - 1
    assert len(served) > 1 or PROCESSES == 1


@pytest.mark.server
def test_without_redis_each_process_allows_its_share(stack: Stack, redis: Redis) -> None:
    names = [f"alone{n}" for n in range(ALONE_KEYS)]
    redis.kill()
    time.sleep(2)

    async def act(session: aiohttp.ClientSession) -> list[int]:
        asked = [ask(session, stack, name, n) for n in range(ALONE_DEMAND) for name in names]
        return list(await asyncio.gather(*asked))

    try:
        statuses = Counter(run_clients(act, total_s=PATIENT_S))
    finally:
        redis.start()

    rows = [row for row in assert_complete(stack) if row["router_key"] in names]
    shares = Counter((row["router_key"], row["process"]) for row in rows)
    admitted = Counter(row["router_key"] for row in rows)
    print(f"\nwithout Redis: {dict(statuses)}, {dict(admitted)} of {ALONE_RPM} a minute, by"
          f" {len({process for _name, process in shares})} processes")  # fmt: skip
    assert statuses.keys() == {200, 429}
    assert max(shares.values()) == ALONE_RPM // PROCESSES
    assert max(admitted.values()) <= ALONE_RPM
    assert len({process for _name, process in shares}) > 1
