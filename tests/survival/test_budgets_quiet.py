"""A web process that stands still in mid-stream, and an hour's worth of errors and cancels: nothing stays held for nobody.

CHAOS=full takes the times that are promised (a minute of standing still); otherwise they are shorter, though longer than
a process without a heartbeat is taken for alive.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from routing.register import HEARTBEAT_LIMIT_S
from tests.stack import Stack, running_stack
from tests.survival.budget_books import check_journal, check_refused, check_world, is_exhausted, settled_funds
from tests.survival.budget_worlds import (
    KINDS,
    SIZES,
    Answered,
    World,
    ingesting,
    overload,
    rows_of,
    single_process,
    worlds_document,
)
from tests.survival.traffic import PATIENT_S, chat, run_clients, tag_of

IS_FULL = os.environ.get("CHAOS") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STOPPED_S = 60.0 if IS_FULL else HEARTBEAT_LIMIT_S + 5
MIXED_S = 30.0 if IS_FULL else 15.0
CLIENTS = 36
MIXED = (
    "sim-fast", "sim-fast!500", "sim-fast!reset", "sim-fast!429", "sim-fast!empty", "sim-fast!broken-json",
    "sim-fast!content-filter", "sim-fast!cut:after=5", "sim-fast!cut-fin:after=3", "sim-fast!error-midstream:after=4",
    "sim-fast!no-finish", "sim-fast!no-usage", "sim-fast!usage-every-chunk", "sim-fast!role-then-error", "sim-fast!hang",
    "sim-fast!ok:pace_ms=30,chunks=60",
)  # fmt: skip
STOPPED = [World(f"still-{kind.replace('_', '')}", kind, 4_000_000, False, ("sim-fast!ok:pace_ms=40,chunks=100",))
           for kind in KINDS]  # fmt: skip
HOURLY = [World("rich", "tenant", 10**9, False, MIXED), World("poor", "router_key", 20_000_000, True, MIXED)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(worlds_document([*STOPPED, *HOURLY])) as running:
        yield running
        assert "Traceback" not in running.log


async def stand_still(session: aiohttp.ClientSession, stacks: list[Stack], pid: int) -> list[Answered]:
    """What was answered by and beside a process that was stopped for a while, its streams half written."""
    spending = asyncio.create_task(overload(session, stacks, STOPPED, clients=CLIENTS, least=4))
    await asyncio.sleep(1.5)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(STOPPED_S)
    assert not spending.done()
    os.kill(pid, signal.SIGCONT)
    return [each for answers in (await spending).values() for each in answers]


def test_a_process_that_stands_still_in_mid_stream(stack: Stack) -> None:
    with single_process(stack) as still:
        stacks = [still] if still is stack else [still, stack]
        assert still.web is not None
        pid = still.web.pid
        with ingesting(stack):
            answers = run_clients(lambda session: stand_still(session, stacks, pid), total_s=PATIENT_S)

        rows = [row for row in rows_of(stack, still) if row["tenant"].startswith("still-")]
        spent = {world: check_world(stack, world, rows) for world in STOPPED}
        refused, whole = check_refused(stack, answers), check_journal(stack, rows)

    long = sum((row["duration_ms"] or 0) > STOPPED_S * 900 for row in rows)
    shares = [amount / world.limit_nusd for world, amount in spent.items()]
    print(f"\nstood still for {STOPPED_S:.0f} s: {len(answers)} requests, {refused} refused, {len(rows)} attempts, {long} of"
          f" them stopped in the middle; {min(shares):.2%} to {max(shares):.2%} of the limits spent")  # fmt: skip
    assert long > 0
    assert whole == len(rows) == sum(each.is_good for each in answers)
    assert [world for world, amount in spent.items() if not is_exhausted(world, amount)] == []


async def behave_badly(
    session: aiohttp.ClientSession, stack: Stack, world: World, seed: int, until: float
) -> Counter[str]:
    """How a client's requests ended, which it leaves early, reads slowly, or reads well, all by chance."""
    chance, ends = random.Random(seed), Counter[str]()
    names = [*world.offers, *[world.group] * 4]
    while time.monotonic() < until:
        body = chat(chance.choice(names), stream=chance.random() < 0.5, max_tokens=chance.choice(SIZES))
        headers = {"Authorization": f"Bearer {world.key}"}
        leaves_s = chance.choice((chance.uniform(0.001, 0.6), chance.uniform(0.05, 1.5), 4.0))
        pause_s = chance.choice((0.0, 0.0, 0.05))
        try:
            async with asyncio.timeout(leaves_s):
                async with session.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers) as response:
                    while await response.content.read(300 if pause_s else 65536):
                        await asyncio.sleep(pause_s)
                    ends[str(response.status)] += 1
        except TimeoutError:
            ends["left"] += 1
        except (aiohttp.ClientError, ConnectionError):
            ends["broken"] += 1
    return ends


def test_after_an_hour_of_errors_and_cancels_nothing_is_held(stack: Stack) -> None:
    async def act(session: aiohttp.ClientSession) -> Counter[str]:
        until = time.monotonic() + MIXED_S
        clients = [behave_badly(session, stack, HOURLY[n % 2], n, until) for n in range(CLIENTS)]
        return sum(await asyncio.gather(*clients), Counter[str]())

    ends = run_clients(act, total_s=PATIENT_S)

    for world in HOURLY:
        settled_funds(stack, world)
    rows = [row for row in rows_of(stack) if row["tenant"] in ("rich", "poor")]
    spent = [check_world(stack, world, rows) for world in HOURLY]
    statuses = Counter(row["status"] for row in rows)
    print(f"\nmixed: {dict(ends)}, {len(rows)} attempts {dict(statuses)}, {spent[0]} and {spent[1]} nano-USD spent")
    assert statuses.keys() >= {"ok", "failed", "client_gone", "cut"}
    assert len({tag_of(row) for row in rows}) == len(rows) > 200
