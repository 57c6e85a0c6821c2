"""A web process or Redis is killed, or Redis emptied, while many spend: nothing is spent beyond, and all sums agree again."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence

import aiohttp
import pytest

from tests.stack import Stack, running_stack
from tests.stores import Redis
from tests.survival.budget_books import check_journal, check_refused, check_world, is_exhausted
from tests.survival.budget_worlds import KINDS, Answered, World, ingesting, overload, rows_of, worlds_document
from tests.survival.test_burial import registered, until_gone
from tests.survival.traffic import run_clients

pytestmark = [pytest.mark.slow, pytest.mark.server]

CLIENTS = 120
LEAST = 6
# An answer takes half a second, so that many are under way whenever something happens.
PACED = "sim-fast!ok:pace_ms=12,chunks=40"
LIMIT_NUSD = 6_000_000
HAPPENS_AFTER_S = 1.5
WORLDS = {
    event: [
        World(f"{event}-{kind.replace('_', '')}", kind, LIMIT_NUSD, number % 2 == 1, (PACED,))
        for number, kind in enumerate(KINDS)
    ]
    for event in ("process", "redis", "emptied")
}


@pytest.fixture(scope="module")
def stack(redis: Redis) -> Iterator[Stack]:
    document = worlds_document([world for worlds in WORLDS.values() for world in worlds])
    with running_stack(document, WEB_CONCURRENCY="4", REDIS_URL=redis.url()) as running:
        yield running
        assert "Traceback" not in running.log


async def disturbed(
    session: aiohttp.ClientSession, stacks: Sequence[Stack], event: str, act: Callable[[], Awaitable[None]]
) -> list[Answered]:
    """What the clients of an event's worlds were answered; they go on at least until what happened is over."""
    worlds, over = WORLDS[event], asyncio.Event()
    spending = asyncio.create_task(overload(session, stacks, worlds, clients=CLIENTS, least=LEAST, until=over))
    await asyncio.sleep(HAPPENS_AFTER_S)
    await act()
    over.set()
    return [each for answers in (await spending).values() for each in answers]


def check_all(what: str, stack: Stack, event: str, answers: Sequence[Answered], *others: Stack) -> None:
    """Compare everything that there is, for every world of an event."""
    names = {world.name for world in WORLDS[event]}
    rows = [row for row in rows_of(stack, *others) if row["tenant"] in names]
    refused = check_refused(stack, answers)
    whole = check_journal(stack, rows)
    spent = {world: check_world(stack, world, rows) for world in WORLDS[event]}
    ended = Counter("broken" if each.heard.end != "done" else str(each.heard.status) for each in answers)
    statuses = dict(Counter(row["status"] for row in rows))
    shares = [amount / world.limit_nusd for world, amount in spent.items()]
    print(f"\n{what}: {len(answers)} requests {dict(ended)}, {refused} refused, {len(rows)} attempts {statuses};"
          f" {min(shares):.2%} to {max(shares):.2%} of the limits spent")  # fmt: skip
    assert whole > 0
    assert [world for world, amount in spent.items() if not is_exhausted(world, amount)] == []
    assert {each.code for each in answers if each.heard.status not in (0, 200)} <= {
        "budget_exceeded", "no_available_channel", "budget_unavailable",
    }  # fmt: skip


def test_a_web_process_is_killed(stack: Stack) -> None:
    uids = {row["pid"]: row["uid"] for row in stack.query("SELECT pid, uid FROM routing_webprocess")}

    async def kill_one() -> None:
        busiest = max(stack.servers(), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))
        os.kill(busiest, signal.SIGKILL)
        # What it has claimed is missing until it is buried.
        took_s = await asyncio.to_thread(until_gone, stack, {uids[busiest]})
        print(f"\nburied within {took_s:.1f} s of its death")

    with ingesting(stack):
        answers = run_clients(lambda session: disturbed(session, [stack], "process", kill_one))

    check_all("web process killed", stack, "process", answers)
    assert len(registered(stack)) == 4


def test_redis_is_killed_and_has_forgotten_everything(stack: Stack, redis: Redis) -> None:
    async def kill() -> None:
        await asyncio.to_thread(redis.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(redis.start)

    with ingesting(stack):
        answers = run_clients(lambda session: disturbed(session, [stack], "redis", kill))

    check_all("Redis killed", stack, "redis", answers)


def test_redis_is_emptied_under_two_hosts(stack: Stack, redis: Redis) -> None:
    import redis as client

    async def empty() -> None:
        with client.Redis.from_url(redis.url()) as connection:
            connection.flushall()

    with stack.another_host(WEB_CONCURRENCY="2") as other:
        with ingesting(stack), ingesting(other):
            answers = run_clients(lambda session: disturbed(session, [stack, other], "emptied", empty))

        check_all("Redis emptied under two hosts", stack, "emptied", answers, other)
        assert len({row["data_folder"] for row in stack.query("SELECT data_folder FROM routing_webprocess")}) == 2
