"""Holds and settlements of several processes on one store: nobody spends beyond, and what there is can be spent."""

import asyncio
import logging
import random
from dataclasses import dataclass

import pytest

from billing.ledger import BudgetRefused, Refusal
from billing.ledger_holds import BudgetHold
from billing.ledger_process import BudgetLedger
from billing.ledger_wants import Want
from billing.scopes import Amounts, Limit
from smartrouter.lib.clock import now_ms
from tests.billing.ledgers import (
    HASTY,
    as_the_store_has_it,
    budget,
    is_told,
    opened,
    refusal_of,
    scope,
    until,
    usd,
)

pytestmark = pytest.mark.asyncio


async def test_what_is_held_and_spent_never_passes_the_limit_and_is_free_again_when_it_is_settled(url: str) -> None:
    of = scope(budget(100))
    async with opened(url) as ((ledger,), _records, (store,)):
        hold = await ledger.hold([of], usd(60), now_ms())
        refusal = await refusal_of(ledger, [of], usd(41))
        hold.settle(usd(30))
        second = await ledger.hold([of], usd(70), now_ms())
        second.release()
        second.release()
        third = await ledger.hold([of], usd(70), now_ms())
        hold.settle(usd(30))
        third.settle(usd(70))

        assert (refusal.scope, refusal.limit, refusal.left, refusal.is_known) == (of, of.limits[0], 40, True)
        assert hold.held == usd(60)
        assert (await refusal_of(ledger, [of], usd(1))).left == 0
        assert (await as_the_store_has_it(store, of))[3:5] == (100, 0)


async def test_a_later_settlement_applies_the_difference_and_more_than_was_held_is_spent_all_the_same(url: str) -> None:
    of = scope(budget(100))
    async with opened(url) as ((ledger,), _records, (store,)):
        hold = await ledger.hold([of], usd(10), now_ms())
        hold.settle(usd(130))
        assert (await refusal_of(ledger, [of], usd(1))).left == 0
        hold.settle(usd(20))
        hold.release()

        # What the store was told does not go down, so that nothing is spent twice.
        [standing] = await ledger.standings([of], now_ms())
        assert (standing.spent, standing.held) == (130, 0)
        assert (await as_the_store_has_it(store, of)).spent == 130


async def test_all_scopes_are_held_or_none_and_the_one_that_lacks_is_named(url: str) -> None:
    rich, poor = scope(budget(1000), key="tenant:1"), scope(budget(50), key="router_key:2")
    async with opened(url) as ((ledger,), _records, (store,)):
        refusal = await refusal_of(ledger, [rich, poor], usd(60))
        standings = await ledger.standings([rich, poor], now_ms())

        assert refusal.scope is poor
        assert [(standing.spent, standing.held) for standing in standings] == [(0, 0), (0, 0)]
        await ledger.hold([rich, poor], usd(50), now_ms())
        assert (await as_the_store_has_it(store, poor)).others >= 50


async def test_a_request_that_makes_do_with_less_gets_what_all_scopes_have(url: str) -> None:
    one = scope(budget(100), budget(70, unit="tokens"), key="tenant:1")
    two = scope(budget(80), key="router_key:2")
    async with opened(url) as ((ledger,), _records, _stores):
        hold = await ledger.hold([one, two], Amounts(500, 500), now_ms(), least=Amounts(50, 50))
        refusal = await refusal_of(ledger, [one, two], Amounts(500, 500), Amounts(10, 10))
        hold.settle(Amounts(40, 40))
        other = await ledger.hold([one, two], Amounts(40, 500), now_ms(), least=Amounts(10, 10))

        assert hold.held == Amounts(80, 70)
        assert refusal.is_known
        assert other.held == Amounts(40, 30)
        other.release()
        assert (await refusal_of(ledger, [one, two], Amounts(41, 500), Amounts(41, 10))).scope is two


async def test_a_hold_grows_in_its_place_if_there_is_enough(url: str) -> None:
    of = scope(budget(100))
    async with opened(url) as ((ledger,), _records, _stores):
        hold = await ledger.hold([of], usd(10), now_ms())

        assert await ledger.raise_to(hold, usd(90))
        assert hold.held == usd(90)
        assert await ledger.raise_to(hold, usd(5))
        assert not await ledger.raise_to(hold, usd(101))
        assert hold.held == usd(90)
        assert (await refusal_of(ledger, [of], usd(11))).left == 10
        hold.settle(usd(1))
        assert not await ledger.raise_to(hold, usd(99))
        (await ledger.hold([of], usd(99), now_ms())).release()


async def test_requests_and_tokens_are_limited_like_money(url: str) -> None:
    of = scope(budget(3, unit="requests"), budget(1000, unit="tokens", window="month"))
    async with opened(url) as ((ledger,), _records, _stores):
        for _number in range(2):
            (await ledger.hold([of], Amounts(5, 400), now_ms())).settle(Amounts(1, 300))
        tokens = await refusal_of(ledger, [of], Amounts(5, 401))
        (await ledger.hold([of], Amounts(5, 400), now_ms())).settle(Amounts(1, 1))
        requests = await refusal_of(ledger, [of], Amounts(5, 1))

        assert (tokens.limit.unit, tokens.left) == ("tokens", 400)
        assert (requests.limit.unit, requests.left) == ("requests", 0)


async def test_a_soft_limit_warns_once_and_refuses_nobody(url: str, caplog: pytest.LogCaptureFixture) -> None:
    of = scope(budget(None, soft=50))
    async with opened(url) as ((ledger,), _records, (store,)):
        for _number in range(3):
            hold = ledger.try_hold([of], usd(1000), now_ms())
            assert hold is not None
            hold.settle(usd(25))
            await until(lambda: ledger._allotments and not any(a.spent != a.told for a in ledger._allotments.values()))
        assert (await as_the_store_has_it(store, of)).spent == 75

    lines = [record for record in caplog.records if record.getMessage() == "budget_soft_limit"]
    assert [(line.levelno, line.scope, line.window, line.unit) for line in lines] == [
        (logging.WARNING, "tenant:1", "day", "usd")
    ]


async def test_without_budgets_what_is_used_is_counted_and_a_new_budget_finds_it(url: str) -> None:
    async with opened(url) as ((ledger,), _records, _stores):
        for _number in range(10):
            hold = ledger.try_hold([scope()], usd(10), now_ms())
            assert hold is not None
            hold.settle(usd(7))
        late = ledger.try_hold([scope()], usd(10), now_ms())
        of = scope(budget(100))
        refusal = await refusal_of(ledger, [of], usd(31))
        assert late is not None
        late.settle(usd(25))

        assert refusal.left == 30
        assert (await refusal_of(ledger, [of], usd(6))).left == 5
        (await ledger.hold([of], usd(5), now_ms())).release()


async def test_a_budget_that_is_changed_counts_at_once(url: str) -> None:
    async with opened(url) as ((ledger,), _records, _stores):
        (await ledger.hold([scope(budget(1000))], usd(10), now_ms())).settle(usd(10))
        assert ledger.try_hold([scope(budget(15))], usd(6), now_ms()) is None
        refusal = await refusal_of(ledger, [scope(budget(15))], usd(6))
        (await ledger.hold([scope(budget(2000))], usd(1900), now_ms())).release()
        (await ledger.hold([scope()], usd(10**9), now_ms())).release()

        assert refusal.left == 5


@pytest.mark.parametrize("processes", [1, 4])
async def test_a_burst_that_wants_ten_times_as_much_spends_the_limit_and_no_more(
    request: pytest.FixtureRequest, processes: int
) -> None:
    limit, worst, chance = 1_000_000, 10_000, random.Random(7)
    of = [scope(budget(limit), key="tenant:1"), scope(budget(limit * 3), key="router_key:1"), scope(key="user:1")]
    address = request.getfixturevalue("shared_url") if processes > 1 else ""
    spent: list[int] = []
    refused: list[Refusal] = []

    async def client(ledger: BudgetLedger, seed: int) -> None:
        chance = random.Random(seed)
        for _turn in range(30):
            try:
                hold = ledger.try_hold(of, usd(worst), now_ms()) or await ledger.hold(of, usd(worst), now_ms())
            except BudgetRefused as e:
                refused.append(e.refusal)
                continue
            await asyncio.sleep(chance.random() * 0.02)
            amount = chance.choice([0, worst // 3, worst])
            hold.settle(usd(amount)) if amount else hold.release()
            spent.append(amount)

    async with opened(address, processes=processes) as (ledgers, _records, stores):
        await asyncio.gather(
            *(client(ledger, chance.random().hex()) for ledger in ledgers for _n in range(64 // processes))
        )  # type: ignore[arg-type]
        [standing, *_others] = await ledgers[0].standings(of, now_ms())

        assert sum(spent) <= limit
        assert sum(spent) > limit - worst
        assert refused and all(refusal.is_known and refusal.scope is of[0] for refusal in refused)
        assert standing.spent is not None and standing.spent <= limit
        for ledger in ledgers:
            assert all(a.held == 0 for a in ledger._allotments.values())
    _ = stores


async def test_nobody_is_refused_before_what_is_idle_elsewhere_was_called_back(shared_url: str) -> None:
    of = scope(budget(1000))
    async with opened(shared_url, processes=3) as ((one, two, three), _records, (store, *_)):
        (await one.hold([of], usd(10), now_ms())).settle(usd(10))
        kept = await two.hold([of], usd(10), now_ms())
        await until(lambda: all(ledger.processes == 3 for ledger in (one, two, three)))
        await until(lambda: all(is_told(ledger) for ledger in (one, two)))
        assert (await as_the_store_has_it(store, of)).others > 10

        large = await three.hold([of], usd(980), now_ms())
        assert (await as_the_store_has_it(store, of))[3:5] == (10, 990)
        refusal = await refusal_of(one, [of], usd(1))
        large.release()
        kept.settle(usd(0))
        (await one.hold([of], usd(990), now_ms())).release()

        assert (refusal.left, refusal.is_known) == (0, True)


async def test_what_nobody_uses_is_given_back(shared_url: str) -> None:
    of = scope(budget(1000))
    async with opened(shared_url, processes=2, timing=HASTY) as ((ledger, _other), _records, (store, *_)):
        hold = await ledger.hold([of], usd(10), now_ms())
        assert (await as_the_store_has_it(store, of)).others > 10
        while (await as_the_store_has_it(store, of)).others != 10:
            await asyncio.sleep(0.02)
        hold.settle(usd(4))
        while (await as_the_store_has_it(store, of))[3:5] != (4, 0):
            await asyncio.sleep(0.02)


async def test_closing_tells_everything_and_gives_everything_back(url: str) -> None:
    of = scope(budget(1000))
    async with opened(url) as ((ledger,), _records, (store,)):
        (await ledger.hold([of], usd(10), now_ms())).settle(usd(6))
        late = ledger.try_hold([of], usd(1), now_ms())
        assert late is not None

        assert not await ledger.close()  # something is held still
        late.settle(usd(1))
        assert await ledger.close()
        assert (await as_the_store_has_it(store, of))[3:5] == (7, 0)


@dataclass
class Configured:
    """The budgets as an operator has them."""

    version: int = 0
    limits: tuple[Limit, ...] = ()

    def limits_of(self, key: str) -> tuple[Limit, ...]:
        return self.limits


async def test_a_new_budget_counts_what_was_used_before_it_came_also_where_nobody_asks_again(url: str) -> None:
    budgets = Configured()
    async with opened(url, budgets=budgets) as ((ledger,), _records, (store,)):
        (await ledger.hold([scope()], usd(7), now_ms())).settle(usd(7))
        running = await ledger.hold([scope()], usd(5), now_ms())
        of = scope(budget(1000))

        budgets.limits, budgets.version = of.limits, 1

        while (await as_the_store_has_it(store, of)).spent != 7:
            await asyncio.sleep(0.02)
        running.settle(usd(3))
        while (await as_the_store_has_it(store, of)).spent != 10:
            await asyncio.sleep(0.02)


async def test_closing_tells_everything_also_while_someone_waits_who_needs_nothing_of_the_store(url: str) -> None:
    soft, hard = scope(budget(None, soft=5)), scope(budget(1000), key="user:1")
    async with opened(url) as ((ledger,), _records, (store,)):
        (await ledger.hold([hard], usd(10), now_ms())).settle(usd(6))
        waiting = BudgetHold((), usd(1), [soft], ledger._pages_of([soft], now_ms())[1])
        wanting = asyncio.create_task(ledger._wants.wait_for(Want(waiting, (1, 0, 0))))
        await asyncio.sleep(0)

        assert not await ledger.close()  # for he holds something now

        assert await wanting
        assert (await as_the_store_has_it(store, hard))[3:5] == (6, 0)
