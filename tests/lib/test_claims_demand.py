"""Several processes with more demand than a fund has: all of it is spent, and no more."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from smartrouter.lib.counters import CounterStore, open_store
from smartrouter.lib.counters.claims import Ask, ClaimStore
from tests.lib.claim_calls import PATIENT_S, claim, fund, open_epoch
from tests.stores import Redis

pytestmark = pytest.mark.asyncio
LARGEST_NEED = 7


@dataclass
class Process:
    """One that spends from what it has claimed, asks when that is not enough, and gives back what is called back."""

    claims: ClaimStore
    name: str
    limit: int
    chance: random.Random
    spent: int = 0
    claim: int = 0
    is_refused: bool = False

    async def ask(self, need: int, like: int) -> int:
        given = await claim(self.claims, self.name, Ask(fund(self.limit), self.spent, 0, need, 0, like), 4)
        self.claim, self.is_refused = given.claim, given.is_final
        return given.got

    async def spend(self) -> None:
        need = self.chance.randint(1, LARGEST_NEED)
        if need <= self.claim or await self.ask(need, 40 * LARGEST_NEED):
            self.claim -= need
            self.spent += need

    async def run(self) -> None:
        while not self.is_refused:
            await self.spend()
            if self.claim and fund().name in await self.claims.recalled(deadline_s=PATIENT_S):
                await self.ask(0, 0)
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_all_of_a_fund_is_spent_and_no_more(request: pytest.FixtureRequest, kind: str) -> None:
    redis: Redis | None = request.getfixturevalue("redis") if kind == "redis" else None
    url = redis.fresh_url() if redis else ""
    stores: list[CounterStore] = [open_store(url) for _ in range(4 if redis else 1)]
    await open_epoch(stores[0].claims)
    limit = 4_000
    processes = [
        Process(stores[number % len(stores)].claims, f"{number:032x}", limit, random.Random(number))
        for number in range(4)
    ]

    await asyncio.wait_for(asyncio.gather(*(process.run() for process in processes)), 100)

    spent = sum(process.spent for process in processes)
    assert limit - LARGEST_NEED < spent <= limit
    for store in stores:
        await store.close()
