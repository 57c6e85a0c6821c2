"""What a store of claims promises of rates: in this process and in a Redis, the same."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest

from smartrouter.lib.counters import LARGEST, CounterStore, TotalTooLarge, open_store
from smartrouter.lib.counters.claims import RATE_PERIOD_S, RATE_SLOT_S, RECALL_S, TAKEN_S, ClaimStore, Rate, Take, Taken
from smartrouter.lib.counters.claims_memory import MemoryClaims
from tests.stores import Redis

pytestmark = pytest.mark.asyncio
# A machine that is busy takes its time; nothing here is about how fast it is.
PATIENT_S = 20.0
P, Q, R = "a" * 32, "b" * 32, "c" * 32
RATE = Rate("router_key:1|requests", 100)


@pytest.fixture
def claims(store: CounterStore) -> ClaimStore:
    """Claims without an epoch: rates need none."""
    return store.claims


async def take(
    claims: ClaimStore,
    process: str,
    number: int,
    *uses: tuple[int, int],
    has: int = 0,
    need: int = 0,
    like: int = 0,
    rate: Rate = RATE,
    processes: int = 2,
) -> Taken:
    takes = [Take(rate, number, uses, has, need, like)]
    return (await claims.take(process, takes, processes, deadline_s=PATIENT_S))[0]


async def used(claims: ClaimStore, rate: Rate = RATE) -> int:
    return (await take(claims, "f" * 32, 0, rate=rate)).used


async def test_uses_are_added_up_and_some_more_is_given_by_how_much_is_left(claims: ClaimStore) -> None:
    assert await take(claims, P, 1, (0, 10), need=10, like=50) == Taken(20, 10, 10, 0, 0, False)
    assert await take(claims, Q, 1, (0, 5), (2_000, 5), need=1, like=3) == Taken(4, 1, 20, 20, 0, False)


async def test_uses_are_told_once_under_their_number(claims: ClaimStore) -> None:
    for number in (1, 1, 3, 2, 3):
        await take(claims, P, number, (0, 10))
    await take(claims, Q, 1, (0, 1))

    assert await used(claims) == 21


async def test_a_call_may_be_repeated(claims: ClaimStore) -> None:
    first = await take(claims, P, 1, (0, 10), need=10, like=50)

    assert await take(claims, P, 1, (9, 10), need=10, like=50) == first
    assert await take(claims, P, 2, (0, 4), has=16, need=3) == Taken(19, 3, 14, 0, 0, False)
    assert await take(claims, P, 2, (9, 4), has=16, need=3) == Taken(19, 3, 14, 0, 0, False)


async def test_a_call_that_arrives_after_a_later_one_changes_nothing(claims: ClaimStore) -> None:
    await take(claims, P, 2, (0, 10), need=10)

    assert await take(claims, P, 1, (0, 5), has=3, need=5, like=9) == Taken(10, 0, 10, 0, 0, False)
    assert await take(claims, P, 2, has=10) == Taken(10, 0, 10, 0, 0, False)


async def test_uses_can_be_taken_back(claims: ClaimStore) -> None:
    await take(claims, P, 1, (500, 60))
    await take(claims, P, 2, (500, -20))

    assert await used(claims) == 40


async def test_uses_of_more_than_a_minute_ago_do_not_count(claims: ClaimStore) -> None:
    await take(claims, P, 1, (60_200, 10), (120_000, 10), (10**12, 10), (30_000, 1))

    assert await used(claims) == 1


async def test_a_use_leaves_a_minute_after_it_and_not_before(claims: ClaimStore) -> None:
    before = time.monotonic()
    await take(claims, P, 1, (59_000, 60), (30_000, 30))

    refused = await take(claims, Q, 1, need=50)
    while await used(claims) == 90:
        assert time.monotonic() < before + PATIENT_S
        await asyncio.sleep(0.02)

    assert time.monotonic() - before >= 1
    assert refused.got == 0 and refused.is_final and 0 < refused.wait_ms <= 1_100
    assert (await take(claims, Q, 1, need=50)).got == 50
    assert await used(claims) == 30


async def test_what_is_known_of_no_longer_or_never_was_is_void(claims: ClaimStore) -> None:
    assert (await take(claims, P, 1, has=30)).has == 0
    assert (await take(claims, P, 1, need=10)).has == 10
    assert (await take(claims, P, 1, has=30, need=1)).has == 11
    assert (await take(claims, P, 1, has=4)).has == 4


async def test_what_was_taken_ends_without_a_word_of_its_process(claims: ClaimStore) -> None:
    before = time.monotonic()
    await take(claims, P, 1, need=60)

    while not (await take(claims, Q, 1, need=50)).got:
        assert time.monotonic() < before + PATIENT_S
        await asyncio.sleep(0.1)

    assert time.monotonic() - before >= TAKEN_S - 0.01
    assert (await take(claims, P, 1, has=60)).has == 0


async def test_a_refusal_calls_back_what_others_have_and_is_final_after_that(claims: ClaimStore) -> None:
    await take(claims, P, 1, (0, 20), need=60)
    before = time.monotonic()

    refused = await take(claims, Q, 1, need=50)
    assert (refused.has, refused.got, refused.used, refused.others) == (0, 0, 20, 60)
    assert not refused.is_final and 0 < refused.wait_ms <= TAKEN_S * 1000
    assert await claims.recalled(deadline_s=PATIENT_S) == {RATE.name}
    while not refused.is_final:
        await asyncio.sleep(0.02)
        await take(claims, P, 1, has=60)
        refused = await take(claims, Q, 1, need=50)

    assert time.monotonic() - before >= RECALL_S
    assert (await take(claims, P, 1, has=5, like=40)).has == 5
    assert (await take(claims, Q, 1, need=50)).got == 50


async def test_what_giving_back_could_not_help_is_final_at_once(claims: ClaimStore) -> None:
    await take(claims, P, 1, (0, 60), need=30)

    refused = await take(claims, Q, 1, need=41)

    assert refused.is_final and 50_000 < refused.wait_ms <= 60_100
    assert await claims.recalled(deadline_s=PATIENT_S) == frozenset()
    assert (await take(claims, Q, 2, need=101)).wait_ms == RATE_PERIOD_S * 1000


async def test_each_take_is_by_itself_and_numbers_that_are_too_large_change_nothing(claims: ClaimStore) -> None:
    huge, small = Rate("huge", LARGEST), Rate("a b\n: 会话", 5)
    await take(claims, P, 1, (0, LARGEST - 3), rate=huge)

    given = await claims.take(P, [Take(huge, 2, [], 0, 9), Take(small, 1, [(0, 1)], 0, 4)], 1, deadline_s=PATIENT_S)
    assert [one.got for one in given] == [0, 4]
    for wrong in (Take(huge, 3, [(0, 4)], 0), Take(huge, 3, [], -1), Take(huge, 3, [(0, LARGEST), (0, 1)], 0)):
        with pytest.raises(TotalTooLarge):
            await claims.take(P, [wrong, Take(small, 2, [(0, 1)], 0)], 1, deadline_s=PATIENT_S)

    assert (await used(claims, huge), await used(claims, small)) == (LARGEST - 3, 2)
    assert await claims.take(P, [], 1, deadline_s=PATIENT_S) == []


async def test_with_demand_the_limit_is_reached_and_not_passed(claims: ClaimStore) -> None:
    processes = [Process(claims, name * 32, Rate("r", 101), 4) for name in "abcd"]

    async def press(process: Process) -> None:
        while not process.is_refused:
            await process.answer_recalls(time.monotonic())
            await process.try_to_use(time.monotonic())
            await asyncio.sleep(0)

    await asyncio.wait_for(asyncio.gather(*map(press, processes)), RATE_PERIOD_S - 5)

    assert 100 <= sum(len(process.uses) for process in processes) <= 101


@dataclass
class Process:
    """One that uses a rate as it should: what it was given, while the store has heard of it lately."""

    claims: ClaimStore
    name: str
    rate: Rate
    processes: int
    uses: list[float] = field(default_factory=list)
    told: int = 0
    number: int = 0
    has: int = 0
    heard: float = 0.0
    is_refused: bool = False

    async def take(self, now: float, need: int, like: int) -> Taken:
        ages = [(int((now - at) * 1000), 1) for at in self.uses[self.told :]]
        self.number += 1
        self.told = len(self.uses)
        take = Take(self.rate, self.number, ages, self.has, need, like)
        (taken,) = await self.claims.take(self.name, [take], self.processes, deadline_s=PATIENT_S)
        self.has, self.heard = taken.has, now
        return taken

    async def try_to_use(self, now: float) -> None:
        if self.has and now < self.heard + TAKEN_S - 0.5:
            self.is_refused = False
        else:
            taken = await self.take(now, 1, 10)
            self.is_refused = not taken.got and taken.is_final
            if not taken.got:
                return
        self.has -= 1
        self.uses.append(now)

    async def answer_recalls(self, now: float) -> None:
        if self.has and self.rate.name in await self.claims.recalled(deadline_s=PATIENT_S):
            self.has = 0
            await self.take(now, 0, 0)


@pytest.mark.parametrize("seed", range(8))
async def test_there_are_never_more_in_any_minute_and_with_demand_as_many(seed: int) -> None:
    chance, now = random.Random(seed), 1000.0
    claims = MemoryClaims(lambda: now)
    limit = chance.choice([1, 7, 60, 400])
    processes = [Process(claims, name * 32, Rate("r", limit), 4) for name in "abcd"]
    asleep = dict.fromkeys(range(4), 0.0)
    finals = 0

    while now < 1200:
        now += chance.choice([0.01, 0.03, 0.05])
        for index, process in enumerate(processes):
            if now < asleep[index]:
                continue
            process.is_refused = False
            await process.answer_recalls(now)
            for _ in range(chance.choice([0, 1, 1, 2, 5])):
                await process.try_to_use(now)
            if process.is_refused and all(at < now - TAKEN_S for at in asleep.values()):
                finals += 1
                all_uses = [at for one in processes for at in one.uses]
                since = now - RATE_PERIOD_S - RATE_SLOT_S - 0.002  # ages are whole milliseconds
                assert sum(at > since for at in all_uses) >= limit - 1
            if chance.random() < 0.0005:
                asleep[index] = now + 5  # whatever it has is lost to all for a while

    uses = sorted(at for process in processes for at in process.uses)
    for first, at in enumerate(uses):
        assert len([u for u in uses[first : first + limit + 1] if u < at + RATE_PERIOD_S]) <= limit
    assert finals > 100 and len(uses) > 2.5 * limit


async def test_a_clock_that_was_set_does_not_stop_a_rate(redis: Redis) -> None:
    import redis as client

    url = redis.fresh_url()
    store = open_store(url)
    key = f"{{smartrouter}}:rate:{RATE.name}"
    for moved in (-100_000, 100_000):
        await take(store.claims, P, 1, (0, 90), need=5)
        with client.Redis.from_url(url) as connection:
            connection.hincrby(key, "f", moved)
            connection.hset(f"{{smartrouter}}:takers:{RATE.name}", P, f"1 10 {int(time.time() * 1000) + 10**7}")

        assert await take(store.claims, Q, 1, need=100) == Taken(100, 100, 0, 0, 0, False)
        with client.Redis.from_url(url) as connection:
            assert 0 < connection.ttl(key) <= 70
            connection.flushdb()
    await store.close()
