"""A store that was lost comes back with the right numbers, however many processes bring them back at once."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as redis_client

from smartrouter.lib.counters import CounterStore, open_store
from tests.lib.counter_process import NAMES, read_history, read_ledger
from tests.stores import ROOT, Redis

pytestmark = pytest.mark.slow
PROCESSES = 4
COUNT = 400
PATIENT_S = 60.0
HISTORY = {"f:one": 1_000_000_000_000, "f:two": 5, "f:gone": 77}


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


@contextmanager
def counting(redis: Redis, folder: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that count."""
    (folder / "history.json").write_text(json.dumps(HISTORY))
    command = [sys.executable, "-m", "tests.lib.counter_process", redis.url(), str(folder)]
    processes = [
        subprocess.Popen([*command, f"p{number}", str(COUNT)], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
        for number in range(PROCESSES)
    ]  # fmt: skip
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def finish(processes: list["subprocess.Popen[str]"]) -> None:
    """Wait until every process that lives has noted all its entries."""
    for process in processes:
        if process.poll() is None:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"


def expected(folder: Path) -> dict[str, int]:
    """What all counters have to come to."""
    ledger, history = read_ledger(folder, until=time.time()), read_history(folder)
    return {name: sum(ledger.get(name, {}).values()) + history.get(name, 0) for name in {*NAMES, *history}}


async def settled_totals(redis: Redis, folder: Path) -> dict[str, int | None]:
    """The totals, as soon as they are what they have to be; else what they are in the end."""
    names, store = sorted(expected(folder)), open_store(redis.url())
    until = time.monotonic() + PATIENT_S
    try:
        while True:
            totals = await read_totals(store, names)
            if totals == expected(folder) or time.monotonic() > until:
                return totals
            await asyncio.sleep(0.1)
    finally:
        await store.close()


async def read_totals(store: CounterStore, names: list[str]) -> dict[str, int | None]:
    return dict(zip(names, await store.totals(names, deadline_s=20), strict=True))


def lines_written(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*.ledger"))


def wait_for_lines(folder: Path, count: int) -> None:
    until = time.monotonic() + PATIENT_S
    while lines_written(folder) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def nothing(redis: Redis) -> None: ...


def lose(redis: Redis) -> None:
    redis.kill()
    time.sleep(0.5)
    redis.start()


def empty(redis: Redis) -> None:
    with redis_client.Redis.from_url(redis.url()) as client:
        client.flushall()


@pytest.mark.parametrize("trouble", [nothing, lose, empty])
def test_four_processes_that_count_at_once_end_with_exact_totals(
    redis: Redis, tmp_path: Path, trouble: Callable[[Redis], None]
) -> None:
    with counting(redis, tmp_path) as processes:
        for share in (1, 2, 3):  # in the middle, and again while the last loss may still be on the mend
            wait_for_lines(tmp_path, share * PROCESSES * COUNT // 6)
            trouble(redis)
        finish(processes)

        totals = asyncio.run(settled_totals(redis, tmp_path))
        assert totals == expected(tmp_path)
        time.sleep(2)  # some more looks at the store and at the records
        assert asyncio.run(settled_totals(redis, tmp_path)) == totals


def test_what_a_process_had_not_brought_to_the_store_when_it_was_killed_is_counted(
    redis: Redis, tmp_path: Path
) -> None:
    with counting(redis, tmp_path) as processes:
        wait_for_lines(tmp_path, PROCESSES * COUNT // 4)
        redis.kill()
        wait_for_lines(tmp_path, PROCESSES * COUNT // 2)
        processes[0].kill()
        redis.start()
        finish(processes[1:])

        totals = asyncio.run(settled_totals(redis, tmp_path))
        assert totals == expected(tmp_path)


def test_every_total_that_is_shown_while_processes_seed_is_one_that_was_right(redis: Redis, tmp_path: Path) -> None:
    """f:gone has no new entries: whenever it is known, it is 77."""
    seen: set[int | None] = set()

    async def watch() -> None:
        store = open_store(redis.url())
        for _turn in range(4):
            empty(redis)
            until = time.monotonic() + PATIENT_S
            while (total := await store.total("f:gone", deadline_s=20)) is None and time.monotonic() < until:
                seen.add(total)
                await asyncio.sleep(0.002)
            seen.add(total)
        await store.close()

    with counting(redis, tmp_path):
        asyncio.run(watch())

    assert seen == {None, 77}
