"""Two processes that tell one another their live signals through a Redis, which goes away and comes back."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import redis as redis_client

from billing.quota import QuotaCounts
from routing.sharing import BOARD, KNOWN_FOR_S, TTL_S, SignalSharing
from routing.signals import Signals
from routing.table import RoutingTable
from routing.tracks import UNTRIED_MS
from smartrouter.lib.counters import StoreUnavailable, open_store
from smartrouter.lib.errors import ErrorClass
from tests.routing.signal_bench import AT_MS, Bench, NoRows
from tests.stores import Redis

# What is started here is a Redis, whatever STORES says.
pytestmark = [pytest.mark.asyncio, pytest.mark.server]
_numbers = itertools.count()
PATIENT_S = 30.0


class Process(Bench):
    """One process's side: signals on a clock of their own, told when tick() is called."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self.store = open_store(url)
        self.signals = Signals(QuotaCounts(self.store, NoRows, clock_ms=lambda: AT_MS), clock=self.clock)
        self.sharing = SignalSharing(self.signals, self.store, RoutingTable(), name)

    async def tick(self) -> None:
        await self.sharing.tick()

    async def close(self) -> None:
        await self.sharing.close()
        await self.store.close()


@pytest_asyncio.fixture
async def pair(redis: Redis) -> AsyncIterator[tuple[Process, Process]]:
    url = redis.url(next(_numbers))
    one, two = Process(url, "one"), Process(url, "two")
    yield one, two
    await one.close()
    await two.close()


async def exchange(*processes: Process) -> None:
    """Each tells and has heard the others."""
    for _round in range(2):
        for process in processes:
            await process.tick()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENT_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_what_is_in_flight_in_all_processes_is_added(pair: tuple[Process, Process]) -> None:
    one, two = pair
    flights = [one.begin(1), one.begin(1), one.begin(2), two.begin(1)]
    await exchange(one, two)

    assert [one.signals.in_flight(1), one.signals.in_flight(2)] == [3, 1]
    assert [two.signals.in_flight(1), two.signals.in_flight(2)] == [3, 1]

    for flight in flights:
        flight.left()
    assert two.signals.in_flight(1) == 2  # what the other one has told
    await exchange(one, two)
    assert [process.signals.in_flight(ref) for process in pair for ref in (1, 2)] == [0, 0, 0, 0]


async def test_a_process_knows_what_only_others_have_measured(pair: tuple[Process, Process]) -> None:
    one, two = pair
    one.answer(1, 200, tokens=100, rest_s=2)
    one.answer(2, 900, is_streamed=False)
    one.fail(3)
    await exchange(one, two)

    assert two.signals.response_ms(1, True) == pytest.approx(200)
    assert two.signals.response_ms(2, False) == pytest.approx(900)
    assert two.signals.answer_s(1) == pytest.approx(0.2 + 6)
    assert two.signals.reliability(3) == pytest.approx(0.9)
    seen = two.signals.snapshot(1)
    assert (seen.samples, seen.p50_ms) == (1, pytest.approx(200, rel=0.2))


async def test_what_others_measure_counts_like_own_samples_and_once(pair: tuple[Process, Process]) -> None:
    one, two = pair
    for process in pair:
        process.answer(1, 50)
    await exchange(one, two)
    for _answer in range(5):
        one.answer(1, 500)
    await exchange(one, two)

    alone = Bench()
    for ms in (50, *[500] * 5):
        alone.answer(1, ms)
    expected = alone.signals.response_ms(1, True)
    assert two.signals.response_ms(1, True) == pytest.approx(expected, rel=0.01)
    await exchange(one, two)
    await exchange(one, two)
    assert two.signals.response_ms(1, True) == pytest.approx(expected, rel=0.01)
    assert one.signals.response_ms(1, True) == pytest.approx(expected, rel=0.01)  # no echo


async def test_a_notice_that_nobody_read_loses_nothing(pair: tuple[Process, Process]) -> None:
    one, two = pair
    for process in pair:
        process.answer(1, 50)
    await exchange(one, two)
    for _failure in range(10):
        one.fail(1)
        await one.tick()
    await two.tick()

    assert two.signals.reliability(1) == pytest.approx(0.9**10)


async def test_a_channel_that_fails_elsewhere_is_not_tried_first_here(pair: tuple[Process, Process]) -> None:
    one, two = pair
    one.begin(1).left()
    two.begin(1).left()
    await exchange(one, two)
    one.fail(1, ErrorClass.CHANNEL)
    await exchange(one, two)

    assert two.signals.response_ms(1, True) is not None


async def test_a_process_that_is_gone_has_nothing_in_flight(pair: tuple[Process, Process], redis: Redis) -> None:
    one, two = pair
    one.begin(1)
    await exchange(one, two)
    assert two.signals.in_flight(1) == 1

    # As if it had been killed TTL_S ago: its notice runs out.
    payload = (await two.store.read(BOARD))["one"]
    await two.store.publish(BOARD, "one", payload, 0.05)
    await asyncio.sleep(0.1)
    await two.tick()

    assert TTL_S > 2
    assert two.signals.in_flight(1) == 0


async def test_a_process_that_ends_says_so(pair: tuple[Process, Process]) -> None:
    one, two = pair
    one.begin(1)
    await exchange(one, two)
    await one.sharing.close()
    await two.tick()

    assert two.signals.in_flight(1) == 0


async def test_a_process_without_traffic_tells_nothing(pair: tuple[Process, Process]) -> None:
    one, two = pair
    one.answer(1, 50)
    await exchange(one, two)
    assert "one" in await two.store.read(BOARD)
    one.clock.now += 60
    await one.tick()
    [told] = [payload for name, payload in (await two.store.read(BOARD)).items() if name == "one"]
    assert told == b'{"in_flight":[],"offerings":[]}'

    await two.store.publish(BOARD, "one", b"", 0.01)
    await asyncio.sleep(0.05)
    await one.tick()
    assert "one" not in await two.store.read(BOARD)


async def test_what_only_others_go_on_using_is_no_longer_told(pair: tuple[Process, Process]) -> None:
    one, two = pair
    for ref in (1, 2, 3):
        one.answer(ref, 50)
    for _second in range(10):
        for process in pair:
            process.clock.now += 1
        two.answer(1, 50)
        await exchange(two, one)

    told = await two.store.read(BOARD)
    assert told["one"] == b'{"in_flight":[],"offerings":[]}'
    assert one.signals.news == {}


async def test_a_known_process_is_believed_what_it_says_first_about_an_offering(pair: tuple[Process, Process]) -> None:
    one, two = pair
    for _answer in range(20):
        one.answer(1, 100)
    two.answer(2, 100)
    await exchange(two, one)
    for _failure in range(30):
        two.fail(1)
    await exchange(two, one)

    assert one.signals.reliability(1) == pytest.approx(0.9**30)
    await exchange(two, one)
    assert one.signals.reliability(1) == pytest.approx(0.9**30)


async def test_what_a_process_had_before_a_pause_is_not_told_as_news(pair: tuple[Process, Process]) -> None:
    one, two = pair
    for _failure in range(100):
        one.fail(1)
    await one.tick()
    one.clock.now += 60
    one.answer(2, 50)
    await exchange(one, two)  # now two knows one, and nothing of what it had with 1
    two.answer(1, 50)
    for _failure in range(3):
        one.fail(1)
    await exchange(one, two)

    assert two.signals.reliability(1) == pytest.approx(0.9**3)


async def test_a_process_that_had_nothing_to_tell_for_a_while_is_still_known(pair: tuple[Process, Process]) -> None:
    one, two = pair
    two.answer(1, 50)
    one.answer(1, 50)
    await exchange(one, two)
    for process in pair:
        process.clock.now += 60
    await two.store.publish(BOARD, "one", b"", 0.01)
    await asyncio.sleep(0.05)
    await two.tick()
    for _failure in range(5):
        one.fail(1)
    await exchange(one, two)
    assert two.signals.reliability(1) == pytest.approx(0.9**5)

    two.clock.now += KNOWN_FOR_S + 1
    await two.store.publish(BOARD, "one", b"", 0.01)
    await asyncio.sleep(0.05)
    await two.tick()
    assert two.signals.others == {}


async def test_an_offering_of_which_only_failures_are_heard_comes_last(pair: tuple[Process, Process]) -> None:
    one, two = pair
    one.fail(1)
    await exchange(one, two)

    assert two.signals.response_ms(1, True) == two.signals.response_ms(1, False) == UNTRIED_MS


async def test_without_redis_each_goes_on_alone_and_later_they_find_one_another(redis: Redis) -> None:
    url = redis.url(next(_numbers))
    one, two = Process(url, "one"), Process(url, "two")
    mine, other = one.begin(1), two.begin(1)
    await exchange(one, two)
    for process in (one, two):
        process.sharing._tick_s = 0.05
        await process.sharing.start()
    pid = redis.pid()  # a frozen one does not tell it
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: not one.store.is_up and not two.store.is_up)
        with pytest.raises(StoreUnavailable):
            await one.sharing.tick()
        await until(lambda: one.signals.in_flight(1) == 1 and two.signals.in_flight(1) == 1)
        one.answer(2, 70)
        assert one.signals.response_ms(2, True) == pytest.approx(70)
    finally:
        os.kill(pid, signal.SIGCONT)

    await until(lambda: one.signals.in_flight(1) == 2 and two.signals.in_flight(1) == 2)
    await until(lambda: two.signals.tracks.get(2) is not None)
    assert two.signals.response_ms(2, True) == pytest.approx(70)
    with redis_client.Redis.from_url(redis.url()) as client:
        client.flushall()
    mine.left()
    other.left()
    await until(lambda: one.signals.in_flight(1) == 0 and two.signals.in_flight(1) == 0)
    await one.close()
    await two.close()
