"""What a store of claims promises of epochs and seeds: in this process and in a Redis, the same."""

import time

import pytest
import pytest_asyncio

from smartrouter.lib.counters import LARGEST, CounterStore, TotalTooLarge, open_store
from smartrouter.lib.counters.claims import Ask, ClaimStore, Fund, Given, State
from tests.lib.claim_calls import PATIENT_S, P, Q, R, claim, fund, sums
from tests.stores import Redis

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def closed(store: CounterStore) -> ClaimStore:
    """Claims in an epoch e that is not open."""
    await store.claims.begin("e", deadline_s=PATIENT_S)
    return store.claims


@pytest_asyncio.fixture
async def claims(closed: ClaimStore) -> ClaimStore:
    """Claims in an open epoch e."""
    await closed.open("e", deadline_s=PATIENT_S)
    return closed


async def test_a_store_begins_without_an_epoch_and_records_nothing_then(store: CounterStore) -> None:
    claims = store.claims

    assert await claims.epoch(deadline_s=PATIENT_S) is None
    assert await claim(claims, P, Ask(fund(), 5, 3, 4, like=9)) == Given(State.CLOSED, 3, 0, 0, 0, False)
    await claims.join("e", P, deadline_s=PATIENT_S)
    await claims.open("e", deadline_s=PATIENT_S)
    await claims.seed(fund(needs_seed=True), {P: 9}, deadline_s=PATIENT_S)
    await claims.settle(P, {fund().name: 9}, deadline_s=PATIENT_S)
    assert await claims.epoch(deadline_s=PATIENT_S) is None
    await claims.begin("e", deadline_s=PATIENT_S)
    await claims.open("e", deadline_s=PATIENT_S)

    assert await sums(claims, fund()) == (0, 0)


async def test_an_epoch_is_begun_once_joined_and_opened(store: CounterStore) -> None:
    claims, before_ms = store.claims, int(time.time() * 1000)

    await claims.begin("e", deadline_s=PATIENT_S)
    await claims.begin("later", deadline_s=PATIENT_S)
    for epoch in ("e", "later"):
        await claims.join(epoch, P if epoch == "e" else Q, deadline_s=PATIENT_S)
    await claims.open("later", deadline_s=PATIENT_S)
    found = await claims.epoch(deadline_s=PATIENT_S)

    assert found is not None and before_ms <= found.began_ms <= int(time.time() * 1000)
    assert (found.name, found.is_open, found.joined) == ("e", False, frozenset({P}))
    await claims.open("e", deadline_s=PATIENT_S)
    assert await claims.epoch(deadline_s=PATIENT_S) == found._replace(is_open=True)
    await claims.settle(P, {}, deadline_s=PATIENT_S)
    assert await claims.epoch(deadline_s=PATIENT_S) == found._replace(is_open=True, joined=frozenset())


async def test_until_the_epoch_is_open_what_is_told_counts_and_nothing_is_given(closed: ClaimStore) -> None:
    assert await claim(closed, P, Ask(fund(), 5, 3, 4, like=9)) == Given(State.CLOSED, 3, 0, 5, 0, False)
    assert await closed.recalled(deadline_s=PATIENT_S) == frozenset()

    await closed.open("e", deadline_s=PATIENT_S)

    assert await claim(closed, Q, Ask(fund(), 10, 0, 80)) == Given(State.OPEN, 80, 80, 15, 3, False)


async def test_a_fund_from_before_the_epoch_waits_for_its_seed(claims: ClaimStore) -> None:
    old = fund(needs_seed=True)
    assert await claim(claims, P, Ask(old, 5, 3, 4, like=9)) == Given(State.UNSEEDED, 3, 0, 5, 0, False)

    await claims.seed(old, {P: 2, Q: 40}, epoch="e", deadline_s=PATIENT_S)
    await claims.seed(old, {P: 50, Q: 50, R: 50}, epoch="e", deadline_s=PATIENT_S)

    assert await claim(claims, P, Ask(old, 5, 3, 4)) == Given(State.OPEN, 7, 4, 45, 0, False)
    assert (await claim(claims, Q, Ask(old, 41, 0))).spent == 46


async def test_a_seed_counts_in_an_open_epoch_and_in_that_of_its_records(closed: ClaimStore) -> None:
    old = fund(needs_seed=True)
    await closed.seed(old, {Q: 40}, deadline_s=PATIENT_S)
    await closed.open("e", deadline_s=PATIENT_S)
    await closed.seed(old, {Q: 40}, epoch="earlier", deadline_s=PATIENT_S)

    assert (await claim(closed, P, Ask(old, 0, 0, 4))).state is State.UNSEEDED
    with pytest.raises(TotalTooLarge):
        await closed.seed(old, {Q: LARGEST, R: 1}, deadline_s=PATIENT_S)
    assert (await claim(closed, P, Ask(old, 0, 0, 4))) == Given(State.UNSEEDED, 0, 0, 0, 0, False)


async def test_a_fund_younger_than_the_epoch_needs_no_seed(claims: ClaimStore) -> None:
    found = await claims.epoch(deadline_s=PATIENT_S)
    assert found is not None

    for since_ms, state in ((found.began_ms + 59_999, State.UNSEEDED), (found.began_ms + 60_000, State.OPEN)):
        young = Fund(f"since {since_ms}", 100, since_ms, 60.0)
        assert (await claim(claims, P, Ask(young, 0, 0, 1))).state is state


async def test_a_redis_that_was_emptied_has_no_epoch_and_old_funds_do_not_come_back(redis: Redis) -> None:
    import redis as client

    url = redis.fresh_url()
    store = open_store(url)
    await store.claims.begin("e", deadline_s=PATIENT_S)
    await store.claims.open("e", deadline_s=PATIENT_S)
    await claim(store.claims, P, Ask(fund(), 5, 0, 20))
    with client.Redis.from_url(url) as connection:
        names = {key.split(b":")[1] for key in connection.scan_iter()}
        connection.delete("{smartrouter}:claims-epoch")
    assert names == {b"claims-epoch", b"fund", b"claimed"}

    assert await store.claims.epoch(deadline_s=PATIENT_S) is None
    await store.claims.begin("f", deadline_s=PATIENT_S)
    await store.claims.open("f", deadline_s=PATIENT_S)

    assert await sums(store.claims, fund()) == (0, 0)
    assert await claim(store.claims, P, Ask(fund(), 6, 0, 94)) == Given(State.OPEN, 94, 94, 6, 0, False)
    await store.claims.settle(P, {}, deadline_s=PATIENT_S)
    assert await sums(store.claims, fund()) == (6, 0)
    with client.Redis.from_url(url) as connection:
        assert not connection.exists(f"{{smartrouter}}:claimed:{P}")
    await store.close()
