"""What a board promises: in this process and in a Redis, the same; and what happens when Redis is away."""

import asyncio
import os
import signal
import time

import pytest
import redis as redis_client

from smartrouter.lib.counters import CounterStore, StoreUnavailable, open_store
from smartrouter.lib.counters.memory import MemoryStore
from tests.stores import Redis

pytestmark = pytest.mark.asyncio
LONG_S = 600.0
PATIENT_S = 20.0


async def publish(store: CounterStore, board: str, member: str, payload: bytes, ttl_s: float = LONG_S) -> None:
    await store.publish(board, member, payload, ttl_s, deadline_s=PATIENT_S)


async def test_a_board_has_the_latest_notice_of_each_member(store: CounterStore) -> None:
    await publish(store, "b", "one", b"first")
    await publish(store, "b", "two", b"other")
    await publish(store, "b", "one", b"second")

    assert await store.read("b", deadline_s=PATIENT_S) == {"one": b"second", "two": b"other"}


async def test_boards_know_nothing_of_one_another_nor_of_counters(store: CounterStore) -> None:
    await publish(store, "b", "one", b"1")
    await publish(store, "c", "one", b"2")

    assert await store.read("b", deadline_s=PATIENT_S) == {"one": b"1"}
    assert await store.read("nothing", deadline_s=PATIENT_S) == {}
    assert (await store.standing("b", deadline_s=PATIENT_S)).epoch is None


@pytest.mark.parametrize("payload", [b"", b":", b"1:2:3", bytes(range(256)), b"x" * 200_000])
async def test_a_notice_may_be_any_bytes_and_a_member_any_text(store: CounterStore, payload: bytes) -> None:
    await publish(store, "b:{x}", "会话: 1\n", payload)

    assert await store.read("b:{x}", deadline_s=PATIENT_S) == {"会话: 1\n": payload}


async def test_a_notice_that_is_not_told_again_in_time_is_gone_and_the_others_stay(store: CounterStore) -> None:
    await publish(store, "b", "gone", b"1", 0.05)
    await publish(store, "b", "stays", b"2")
    await asyncio.sleep(0.1)

    assert await store.read("b", deadline_s=PATIENT_S) == {"stays": b"2"}


async def test_a_notice_that_is_told_again_lives_on() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    await store.publish("b", "one", b"1", 5)
    now[0] = 4
    await store.publish("b", "one", b"2", 5)
    now[0] = 8

    assert await store.read("b") == {"one": b"2"}
    now[0] = 9
    assert await store.read("b") == {}


async def test_redis_keeps_no_board_of_which_every_notice_is_over(redis: Redis) -> None:
    url = redis.fresh_url()
    store = open_store(url)
    await publish(store, "b", "one", b"1", 0.05)
    await publish(store, "b", "two", b"2", 0.1)
    await asyncio.sleep(0.2)

    with redis_client.Redis.from_url(url) as client:
        assert [key for key in client.scan_iter() if b"board" in key] == []
    await store.close()


async def test_without_redis_nobody_waits_and_the_board_works_again_when_it_is_back(redis: Redis) -> None:
    store = open_store(redis.fresh_url())
    await publish(store, "b", "one", b"1")
    pid = redis.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await store.publish("b", "one", b"2", LONG_S, deadline_s=0.1)
        assert not store.is_up
        with pytest.raises(StoreUnavailable):
            await store.read("b", deadline_s=3600)  # refused at once: the deadline has nothing to do with it
    finally:
        os.kill(pid, signal.SIGCONT)
    until = time.monotonic() + 30
    while not store.is_up:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)

    await publish(store, "b", "one", b"3")
    assert await store.read("b", deadline_s=PATIENT_S) == {"one": b"3"}
    await store.close()
