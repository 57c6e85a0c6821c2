"""Stores and processes that are lost: everything is told again, and until then money is not known and quotas are shared."""

import asyncio
import random
from dataclasses import replace

import pytest
import redis as redis_client

from billing.ledger import BudgetRefused
from billing.ledger_process import BudgetLedger
from smartrouter.lib.clock import now_ms
from tests.billing.ledgers import (
    HandWritten,
    as_the_store_has_it,
    budget,
    opened,
    refusal_of,
    scope,
    until,
    until_open,
    usd,
)
from tests.stores import Redis

pytestmark = pytest.mark.asyncio


async def test_after_a_flushall_everything_is_told_again(shared_url: str) -> None:
    of, records = scope(budget(1000)), HandWritten()
    async with opened(shared_url, processes=3, records=records) as (ledgers, _records, (store, *_)):
        for number, ledger in enumerate(ledgers):
            (await ledger.hold([of], usd(100), now_ms())).settle(usd(100 + number))
        holds = [await ledger.hold([of], usd(50), now_ms()) for ledger in ledgers]
        with redis_client.Redis.from_url(shared_url) as client:
            client.flushdb()
        await until_open(store)

        refusal = await refusal_of(ledgers[0], [of], usd(548))
        assert refusal.left == 1000 - 303 - 150
        (await ledgers[1].hold([of], usd(547), now_ms())).release()
        for hold in holds:
            hold.settle(usd(50))
        assert (await refusal_of(ledgers[2], [of], usd(548))).left == 547


async def test_an_epoch_waits_for_processes_that_have_ended_and_money_is_not_known_until_then(shared_url: str) -> None:
    money, quota = scope(budget(1000)), scope(budget(10, unit="requests"), key="router_key:1")
    records = HandWritten()
    async with opened(shared_url, processes=2, records=records) as (ledgers, _records, (store, *_)):
        records.ended.add("e" * 32)
        with redis_client.Redis.from_url(shared_url) as client:
            client.flushdb()
        refusal = await refusal_of(ledgers[0], [money], usd(1))
        assert not refusal.is_known
        holds = [await ledgers[0].hold([quota], usd(1), now_ms()) for _number in range(5)]  # its share
        assert (await refusal_of(ledgers[0], [quota], usd(1))).is_known

        records.ended.clear()
        await until_open(store)
        (await ledgers[0].hold([money], usd(1), now_ms())).release()
        holds += [await ledgers[1].hold([quota], usd(1), now_ms()) for _number in range(5)]
        assert (await refusal_of(ledgers[1], [quota], usd(1))).left == 0
        for hold in holds:
            hold.release()


async def test_what_the_records_have_is_read_before_anything_is_given(url: str) -> None:
    of, records, before = scope(budget(1000, window="total")), HandWritten(), "d" * 32
    records.spent["tenant:1|total|1970-01-01|usd"] = {before: 900}
    async with opened(url, records=records) as ((ledger,), _records, (store,)):
        assert (await refusal_of(ledger, [of], usd(101))).left == 100
        (await ledger.hold([of], usd(100), now_ms())).settle(usd(100))

        assert records.seeds_read == 1
        assert await ledger.bury(before, {"tenant:1|total|1970-01-01|usd": 850})
        (await ledger.hold([of], usd(50), now_ms())).release()
        assert (await as_the_store_has_it(store, of)).spent == 950


async def test_records_that_cannot_be_read_make_money_unknown(url: str) -> None:
    of, records = scope(budget(1000)), HandWritten()
    async with opened(url, records=records) as ((ledger,), _records, _stores):
        records.is_away = True
        assert not (await refusal_of(ledger, [of], usd(1))).is_known
        records.is_away = False
        (await ledger.hold([of], usd(1), now_ms())).release()


async def test_while_the_store_is_away_quotas_go_by_shares_money_by_claims_and_soft_limits_go_on() -> None:
    server = Redis()
    money, quota = scope(budget(1000)), scope(budget(10, unit="requests"), key="router_key:1")
    soft, both = (
        scope(budget(None, soft=1), key="user:1"),
        [scope(budget(1000)), scope(budget(10, unit="requests"), key="router_key:1")],
    )
    try:
        async with opened(server.url(), processes=2) as ((ledger, other), _records, _stores):
            await until(lambda: ledger.processes == 2)
            (await ledger.hold([money], usd(10), now_ms())).settle(usd(1))
            server.kill()

            claimed = ledger.try_hold([money], usd(10), now_ms())
            assert claimed is not None
            claimed.settle(usd(1))
            assert not (await refusal_of(ledger, [money], usd(900))).is_known
            assert not (await refusal_of(other, both, usd(1))).is_known
            for _number in range(5):
                (await other.hold([quota, soft], usd(5), now_ms())).settle(usd(5))
            assert (await refusal_of(other, [quota], usd(5))).is_known

            server.start()
            refusal = None
            for _turn in range(300):
                try:
                    (await other.hold([money], usd(998), now_ms())).release()
                    break
                except BudgetRefused as e:
                    refusal = e.refusal
                    assert not refusal.is_known
                    await asyncio.sleep(0.1)
            assert (await refusal_of(other, [money], usd(999))).left == 998
            assert (await refusal_of(ledger, [quota], replace(usd(1), requests=6))).left == 5
    finally:
        server.close()


async def test_who_stood_still_trusts_nothing_that_it_does_not_hold(shared_url: str) -> None:
    of, now = scope(budget(1000)), now_ms()
    moment = [now]
    async with opened(shared_url, processes=2, clock=lambda: moment[0]) as ((one, two), _records, (store, *_)):
        held = await one.hold([of], usd(10), now)
        assert one.try_hold([of], usd(1), now) is not None
        await two.release(one._courier._process)
        moment[0] += 60_000

        assert one.try_hold([of], usd(1), moment[0]) is None
        large = await two.hold([of], usd(989), moment[0])
        assert (await refusal_of(one, [of], usd(1))).is_known
        held.settle(usd(10))
        large.release()
        (await one.hold([of], usd(300), moment[0])).release()
        _ = store


async def test_requests_that_are_cancelled_while_they_wait_hold_nothing(shared_url: str) -> None:
    of, chance = scope(budget(1000)), random.Random(3)
    async with opened(shared_url, processes=2) as ((one, two), _records, (store, *_)):

        async def ask(ledger: BudgetLedger) -> None:
            try:
                async with asyncio.timeout(chance.random() * 0.02):
                    hold = await ledger.hold([of], usd(300), now_ms())
                hold.release()
            except (TimeoutError, BudgetRefused):
                pass

        for _turn in range(20):
            await asyncio.gather(*(ask(ledger) for ledger in (one, two) for _number in range(5)))
        assert all(a.held == a.waiting == 0 for ledger in (one, two) for a in ledger._allotments.values())
        (await one.hold([of], usd(1000), now_ms())).release()
        _ = store
