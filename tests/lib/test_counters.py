"""What a store of counters promises: in this process and in a Redis, the same."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from smartrouter.lib.counters import LARGEST, CounterStore, Entry, SeedCounter, TotalTooLarge, open_store
from tests.stores import Redis

pytestmark = pytest.mark.asyncio
DAY = 24 * 3600.0
# A machine that is busy takes its time; nothing here is about how fast it is.
PATIENT_S = 20.0
_numbers = itertools.count()


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


@pytest_asyncio.fixture(params=["memory", "redis"])
async def fresh(request: pytest.FixtureRequest) -> AsyncIterator[CounterStore]:
    """A store that nobody has seeded."""
    is_redis = request.param == "redis"
    store = open_store(request.getfixturevalue("redis").url(next(_numbers)) if is_redis else "")
    yield store
    await store.close()


@pytest_asyncio.fixture
async def store(fresh: CounterStore) -> CounterStore:
    """A store whose family f was seeded with nothing."""
    await seed(fresh)
    return fresh


async def seed(store: CounterStore, *counters: SeedCounter, token: str = "t", family: str = "f") -> None:
    assert await store.lead(family, token, 30)
    assert await store.seed(family, token, counters, deadline_s=PATIENT_S)
    assert await store.finish_seed(family, token)


async def add(store: CounterStore, name: str, entry: str, amount: int, ttl_s: float = DAY) -> int | None:
    return await store.add(name, entry, amount, ttl_s, deadline_s=PATIENT_S)


async def test_a_counter_is_the_sum_of_the_latest_amounts_of_its_entries(store: CounterStore) -> None:
    assert await add(store, "f:a", "one", 5) == 5
    assert await add(store, "f:a", "two", 7) == 12
    assert await add(store, "f:a", "one", 5) == 12
    assert await add(store, "f:a", "one", 2) == 9
    assert await add(store, "f:b", "one", 1) == 1

    assert await store.total("f:a") == 9
    assert await store.totals(["f:b", "f:nothing", "f:a"]) == [1, 0, 9]


async def test_many_are_added_in_their_order(store: CounterStore) -> None:
    entries = [Entry("f:a", "one", 5, DAY), Entry("f:b", "one", 1, DAY), Entry("f:a", "one", 3, DAY)]

    assert await store.add_many(entries, deadline_s=PATIENT_S) == [5, 1, 3]


async def test_names_and_ids_of_any_text_keep_apart(store: CounterStore) -> None:
    await add(store, "f:a:b", "c", 1)
    await add(store, "f:a", "b:c", 2)
    await add(store, "f:{x}: 会话\n", "1:a", 4)

    assert await store.totals(["f:a:b", "f:a", "f:{x}: 会话\n"]) == [1, 2, 4]


async def test_what_is_too_large_to_be_exact_is_refused_and_changes_nothing(store: CounterStore) -> None:
    assert await add(store, "f:a", "one", LARGEST) == LARGEST

    with pytest.raises(TotalTooLarge):
        await add(store, "f:a", "two", 1)
    with pytest.raises(TotalTooLarge):
        await add(store, "f:b", "one", LARGEST + 1)
    with pytest.raises(TotalTooLarge):
        await store.add_many([Entry("f:a", "two", 1, DAY), Entry("f:c", "one", 3, DAY)], deadline_s=PATIENT_S)

    assert await store.totals(["f:a", "f:b", "f:c"]) == [LARGEST, 0, 3]
    assert await add(store, "f:a", "one", LARGEST - 1) == LARGEST - 1
    assert await add(store, "f:a", "two", 1) == LARGEST


async def test_the_largest_numbers_keep_their_last_digit(store: CounterStore) -> None:
    await add(store, "f:a", "one", LARGEST - 2)

    assert await add(store, "f:a", "two", 1) == LARGEST - 1
    assert await add(store, "f:a", "one", -LARGEST) == -LARGEST + 1


async def test_a_counter_is_forgotten_and_a_late_difference_does_not_bring_it_back(store: CounterStore) -> None:
    await add(store, "f:short", "one", 5, ttl_s=0.01)
    await add(store, "f:long", "one", 5)
    while await store.total("f:short"):
        await asyncio.sleep(0.01)

    assert await add(store, "f:short", "one", 3) == 0
    assert await store.totals(["f:short", "f:long"]) == [0, 5]
    assert await add(store, "f:short", "two", 3) == 3


async def test_a_longer_time_to_live_is_kept(store: CounterStore) -> None:
    await add(store, "f:a", "one", 5)
    await add(store, "f:a", "two", 5, ttl_s=0.01)
    await asyncio.sleep(0.1)

    assert await store.total("f:a") == 10


async def test_the_total_of_a_family_that_nobody_has_seeded_is_not_known(fresh: CounterStore) -> None:
    await seed(fresh, family="g")

    assert await add(fresh, "f:a", "one", 5) is None
    assert await fresh.total("f:a") is None
    assert await fresh.totals(["f:a", "g:a"]) == [None, 0]
    assert await fresh.standing("f") == (None, None)


async def test_what_was_added_before_and_while_it_is_seeded_counts_once(fresh: CounterStore) -> None:
    await add(fresh, "f:a", "before", 1)
    await add(fresh, "f:a", "both", 20)
    await add(fresh, "f:unseen", "before", 3)
    assert await fresh.lead("f", "t", 30)
    assert await fresh.standing("f") == (None, "t")
    seeds = [SeedCounter("f:a", 1000, DAY, {"both": 20, "record": 300}), SeedCounter("f:b", 7, DAY)]
    assert await fresh.seed("f", "t", seeds, deadline_s=PATIENT_S)
    assert await add(fresh, "f:a", "record", 300) is None
    assert await fresh.finish_seed("f", "t")

    assert await fresh.totals(["f:a", "f:b", "f:unseen"]) == [1321, 7, 3]
    assert await fresh.standing("f") == ("t", None)
    assert await add(fresh, "f:a", "record", 301) == 1322
    assert await add(fresh, "f:a", "both", 20) == 1322


async def test_what_a_process_has_added_goes_before_what_the_records_say(fresh: CounterStore) -> None:
    await add(fresh, "f:a", "one", 5)

    await seed(fresh, SeedCounter("f:a", 100, DAY, {"one": 4}))

    assert await fresh.total("f:a") == 105


async def test_a_seed_is_taken_once_however_often_it_is_offered(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "first", 30)
    assert await fresh.seed("f", "first", [SeedCounter("f:a", 100, DAY, {"one": 4})], deadline_s=PATIENT_S)
    await fresh.resign("f", "first")

    # The next one computes later: what was an entry is in its base by now.
    await seed(fresh, SeedCounter("f:a", 104, DAY, {"two": 6}), SeedCounter("f:b", 1, DAY), token="second")

    assert await fresh.totals(["f:a", "f:b"]) == [104, 1]


async def test_only_one_leads_and_only_while_it_leads(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "one", 30)
    assert not await fresh.lead("f", "two", 30)
    assert not await fresh.lead("f", "one", 30)
    assert await fresh.renew("f", "one", 30)
    assert not await fresh.renew("f", "two", 30)
    assert not await fresh.seed("f", "two", [SeedCounter("f:a", 1, DAY)], deadline_s=PATIENT_S)
    assert not await fresh.finish_seed("f", "two")
    await fresh.resign("f", "two")
    assert await fresh.standing("f") == (None, "one")

    await fresh.resign("f", "one")
    assert not await fresh.renew("f", "one", 30)
    assert await fresh.lead("f", "two", 30)
    assert await fresh.finish_seed("f", "two")

    assert not await fresh.lead("f", "three", 30)
    assert await fresh.total("f:a") == 0


async def test_a_lead_ends_by_itself(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "one", 0.01)
    while (await fresh.standing("f")).leader is not None:
        await asyncio.sleep(0.01)

    assert not await fresh.seed("f", "one", [SeedCounter("f:a", 1, DAY)], deadline_s=PATIENT_S)
    assert await fresh.lead("f", "two", 30)


async def test_a_seed_beyond_what_is_exact_is_refused(fresh: CounterStore) -> None:
    await add(fresh, "f:a", "one", LARGEST)
    assert await fresh.lead("f", "t", 30)

    with pytest.raises(TotalTooLarge):
        await fresh.seed("f", "t", [SeedCounter("f:a", 1, DAY)], deadline_s=PATIENT_S)


async def test_facts_are_shared_until_they_are_forgotten(fresh: CounterStore) -> None:
    await fresh.put("health", "alpha", b"up:1 \x00\xff", 60)
    await fresh.put("health", "beta", b"", 60)
    await fresh.put("health", "gone", b"x", 0.01)
    await fresh.put("other", "alpha", b"y", 60)
    await fresh.put("health", "beta", b"down", 60)
    while len(facts := await fresh.all("health")) == 3:
        await asyncio.sleep(0.01)

    assert facts == {"alpha": b"up:1 \x00\xff", "beta": b"down"}
    assert await fresh.all("nothing") == {}
