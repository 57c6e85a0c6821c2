"""Requests that wait for one budget of several: what they do not get there is missing nowhere else."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from billing.ledger import BudgetRefused, Refusal
from billing.ledger_process import BudgetLedger
from billing.scopes import Scope
from smartrouter.lib.clock import now_ms
from tests.billing.ledgers import as_the_store_has_it, budget, opened, refusal_of, scope, usd

pytestmark = pytest.mark.asyncio


async def _insist(ledger: BudgetLedger, scopes: Sequence[Scope], worst: int, refused: list[Refusal]) -> None:
    """Ask for the same again and again, and note each refusal."""
    while True:
        try:
            (await ledger.hold(scopes, usd(worst), now_ms())).release()
        except BudgetRefused as e:
            refused.append(e.refusal)


async def test_who_waits_for_a_spent_budget_takes_nothing_of_the_others_from_anybody(shared_url: str) -> None:
    spent, plenty = scope(budget(100), key="router_key:1"), scope(budget(300), key="tenant:1")
    refused: list[Refusal] = []
    async with opened(shared_url, processes=2) as ((one, two), _records, _stores):
        (await one.hold([spent], usd(100), now_ms())).settle(usd(100))
        async with asyncio.TaskGroup() as group:
            insisting = []
            for _number in range(12):
                insisting.append(group.create_task(_insist(one, [spent, plenty], 60, refused)))
                await asyncio.sleep(0.02)  # so that at every moment one of them waits
            while len(refused) < 12:
                await asyncio.sleep(0.02)

            for _turn in range(5):
                (await two.hold([plenty], usd(240), now_ms())).release()
                await asyncio.sleep(0.05)
            for task in insisting:
                task.cancel()

        assert {refusal.scope.key for refusal in refused} == {spent.key}


async def test_what_is_left_is_for_whoever_can_use_it_also_where_each_waits_for_several_budgets(
    shared_url: str,
) -> None:
    limit, worst = 1_000_000, 60_000
    keys = [scope(budget(2 * limit), key=f"{kind}:1") for kind in ("router_key", "user")]
    of = [*keys, scope(budget(limit), key="tenant:1"), scope(budget(limit), key="tenant:2")]

    async def client(ledger: BudgetLedger, seed: int) -> None:
        """Like the clients of an application: it goes on until it was refused three times in a row."""
        chance, refused = random.Random(seed), 0
        while refused < 3:
            try:
                hold = await ledger.hold(of, usd(worst), now_ms())
            except BudgetRefused:
                refused += 1
                continue
            refused = 0
            await asyncio.sleep(0.1 + chance.random() * 0.2)
            hold.settle(usd(chance.choice([worst // 4, worst // 2])))

    async with opened(shared_url, processes=4) as (ledgers, _records, (store, *_)):
        await asyncio.gather(*(client(ledger, seed) for ledger in ledgers for seed in range(40)))

        refusal = await refusal_of(ledgers[0], of, usd(limit))
        given = await as_the_store_has_it(store, of[2])
        assert limit - worst < given.spent <= limit
        assert refusal.scope in of[2:]
