"""What a store of counters promises: in this process and in a Redis, the same."""

import asyncio

import pytest
import pytest_asyncio

from smartrouter.lib.counters import LARGEST, CounterStore, Entry, SeedCounter, TotalTooLarge

pytestmark = pytest.mark.asyncio
DAY = 24 * 3600.0
# A machine that is busy takes its time; nothing here is about how fast it is.
PATIENT_S = 20.0


@pytest_asyncio.fixture
async def store(fresh: CounterStore) -> CounterStore:
    """A store whose family f was seeded with nothing."""
    await seed(fresh)
    return fresh


async def seed(store: CounterStore, *counters: SeedCounter, token: str = "t", family: str = "f") -> None:
    assert await store.lead(family, token, 30)
    assert await store.seed(family, token, counters, deadline_s=PATIENT_S)
    assert await store.finish_seed(family, token, DAY)


async def add(
    store: CounterStore, name: str, entry: str, amount: int, ttl_s: float = DAY, remembered_s: float = DAY
) -> int | None:
    return await store.add(Entry(name, entry, amount, ttl_s, remembered_s), deadline_s=PATIENT_S)


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


async def test_what_was_added_while_it_is_seeded_counts_once_and_what_was_before_is_void(fresh: CounterStore) -> None:
    await add(fresh, "f:a", "before", 1)
    await add(fresh, "f:unseen", "before", 3)
    await seed(fresh, SeedCounter("g:a", 9, DAY), family="g")
    assert await fresh.lead("f", "t", 30)
    assert await fresh.standing("f") == (None, "t")
    await add(fresh, "f:a", "both", 20)
    await add(fresh, "f:unseen", "while", 4)
    seeds = [SeedCounter("f:a", 1000, DAY, {"both": 20, "before": 7, "record": 300}), SeedCounter("f:b", 7, DAY)]
    assert await fresh.seed("f", "t", seeds, deadline_s=PATIENT_S)
    assert await add(fresh, "f:a", "record", 300) is None
    assert await fresh.finish_seed("f", "t", DAY)

    assert await fresh.totals(["f:a", "f:b", "f:unseen", "g:a"]) == [1327, 7, 4, 9]
    assert await fresh.standing("f") == ("t", None)
    assert await add(fresh, "f:a", "record", 301) == 1328
    assert await add(fresh, "f:a", "both", 20) == 1328


async def test_what_a_process_has_added_goes_before_what_the_records_say(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "t", 30)
    await add(fresh, "f:a", "one", 5)
    assert await fresh.seed("f", "t", [SeedCounter("f:a", 100, DAY, {"one": 4})], deadline_s=PATIENT_S)
    assert await fresh.finish_seed("f", "t", DAY)

    assert await fresh.total("f:a") == 105


async def test_a_seed_is_taken_once_and_another_lead_begins_from_nothing(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "first", 30)
    for _again in range(2):
        assert await fresh.seed("f", "first", [SeedCounter("f:a", 100, DAY, {"one": 4})], deadline_s=PATIENT_S)
        assert await fresh.seed("f", "first", [SeedCounter("f:gone", 5, DAY)], deadline_s=PATIENT_S)
    await fresh.resign("f", "first")

    # The next one computes later: what was an entry is in its base by now.
    await seed(fresh, SeedCounter("f:a", 104, DAY, {"two": 6}), SeedCounter("f:b", 1, DAY), token="second")

    assert await fresh.totals(["f:a", "f:b", "f:gone"]) == [110, 1, 0]
    assert await add(fresh, "f:a", "one", 1) == 111  # and no difference to 4
    assert await add(fresh, "f:gone", "one", 1) == 1


async def test_only_one_leads_and_only_while_it_leads(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "one", 30)
    assert not await fresh.lead("f", "two", 30)
    assert not await fresh.lead("f", "one", 30)
    assert await fresh.renew("f", "one", 30)
    assert not await fresh.renew("f", "two", 30)
    assert not await fresh.seed("f", "two", [SeedCounter("f:a", 1, DAY)], deadline_s=PATIENT_S)
    assert not await fresh.finish_seed("f", "two", DAY)
    await fresh.resign("f", "two")
    assert await fresh.standing("f") == (None, "one")

    await fresh.resign("f", "one")
    assert not await fresh.renew("f", "one", 30)
    assert await fresh.lead("f", "two", 30)
    assert await fresh.finish_seed("f", "two", DAY)

    assert not await fresh.lead("f", "three", 30)
    assert await fresh.total("f:a") == 0


async def test_a_lead_ends_by_itself(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "one", 0.01)
    while (await fresh.standing("f")).leader is not None:
        await asyncio.sleep(0.01)

    assert not await fresh.seed("f", "one", [SeedCounter("f:a", 1, DAY)], deadline_s=PATIENT_S)
    assert await fresh.lead("f", "two", 30)


async def test_a_seed_beyond_what_is_exact_is_refused_and_keeps_no_other_out(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "t", 30)
    await add(fresh, "f:a", "one", LARGEST)
    seeds = [SeedCounter("f:a", 1, DAY), SeedCounter("f:b", LARGEST + 1, DAY), SeedCounter("f:c", 5, DAY, {"one": 2})]

    with pytest.raises(TotalTooLarge):
        await fresh.seed("f", "t", seeds, deadline_s=PATIENT_S)
    assert await fresh.finish_seed("f", "t", DAY)

    assert await fresh.totals(["f:a", "f:b", "f:c"]) == [None, None, 7]
    for name in ("f:a", "f:b"):
        with pytest.raises(TotalTooLarge):
            await add(fresh, name, "two", 1)


async def test_an_entry_is_remembered_as_long_as_it_says(store: CounterStore) -> None:
    await add(store, "f:a", "short", 1, remembered_s=0.01)
    await add(store, "f:a", "long", 10)
    await asyncio.sleep(0.1)

    assert await add(store, "f:a", "long", 10) == 11
    assert await add(store, "f:a", "short", 1) == 12  # as if it was another one


async def test_totals_that_are_held_back_are_not_known_for_a_while(store: CounterStore) -> None:
    await store.hold_back("f", 0.5)
    await store.hold_back("f", 0.01)

    assert await add(store, "f:a", "one", 5) is None
    assert await store.total("f:a") is None
    assert await store.totals(["g:a", "f:a"]) == [None, None]
    while await store.total("f:a") is None:
        await asyncio.sleep(0.02)
    assert await add(store, "f:a", "one", 5) == 5


async def test_a_family_is_known_for_as_long_as_someone_prolongs_it(fresh: CounterStore) -> None:
    assert await fresh.lead("f", "t", 30)
    assert await fresh.finish_seed("f", "t", 30)
    await fresh.prolong("f", 0.01)
    while await fresh.total("f:a") is not None:
        await asyncio.sleep(0.02)

    await fresh.prolong("f", 30)  # too late
    assert await fresh.standing("f") == (None, None)
    await seed(fresh, SeedCounter("f:a", 5, DAY), token="next")
    assert await fresh.total("f:a") == 5


async def test_starting_over_needs_the_epoch_that_the_family_stands_on(store: CounterStore) -> None:
    await add(store, "f:a", "one", 5)
    await store.start_over("f", "another")
    assert await store.total("f:a") == 5

    await store.start_over("f", "t")
    assert await store.standing("f") == (None, None)
    await seed(store, SeedCounter("f:a", 7, DAY), token="next")
    assert await store.total("f:a") == 7


async def test_a_turn_is_one_holder_s(fresh: CounterStore) -> None:
    assert await fresh.take_turn("f:late", "one", 30)
    assert await fresh.take_turn("f:late", "one", 0.01)
    if fresh.is_shared:
        assert await fresh.take_turn("f:other", "two", 30)
        assert not await fresh.take_turn("f:other", "one", 30)
    await asyncio.sleep(0.1)

    assert await fresh.take_turn("f:late", "two", 30)
