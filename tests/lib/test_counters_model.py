"""Any sequence of calls leaves both stores with what a few lines of Python say."""

import asyncio
import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartrouter.lib.counters import LARGEST, CounterStore, Entry, SeedCounter, TotalTooLarge, open_store
from tests.stores import Redis

DAY = 24 * 3600.0
NAMES = ["f:a", "f:b", "f:a:b"]
IDS = ["1", "2", "b:1"]
NAME, ID = st.sampled_from(NAMES), st.sampled_from(IDS)
AMOUNT = st.one_of(st.integers(-5, 5), st.integers(-LARGEST, LARGEST), st.sampled_from([LARGEST, 1, -LARGEST]))
CALL = st.one_of(
    st.tuples(st.just("add"), NAME, ID, AMOUNT),
    st.tuples(st.just("add"), NAME, ID, AMOUNT),
    st.tuples(st.just("seed"), NAME, AMOUNT, st.dictionaries(ID, AMOUNT)),
    st.tuples(st.sampled_from(["lead", "resign", "finish", "start_over"]), st.sampled_from(["x", "y"])),
)


class Model:
    """What stores do, without what makes it hard."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, int]] = {name: {} for name in NAMES}
        self.seeded: dict[str, int] = {}
        self.refused: set[str] = set()
        self.leader: str | None = None
        self.epoch: str | None = None

    def total(self, name: str) -> int:
        return sum(self.entries[name].values()) + self.seeded.get(name, 0)

    def call(self, what: str, *args: Any) -> Any:
        return getattr(self, what)(*args)

    def add(self, name: str, id: str, amount: int) -> Any:
        others = self.total(name) - self.entries[name].get(id, 0)
        if name in self.refused or max(abs(others), abs(others + amount)) > LARGEST:
            return "too large"
        self.entries[name][id] = amount
        return self.total(name) if self.epoch else None

    def seed(self, name: str, base: int, entries: dict[str, int]) -> Any:
        if self.leader is None:
            return False
        if name in self.seeded:
            return True
        new = {id: amount for id, amount in entries.items() if id not in self.entries[name]}
        if any(abs(sum) > LARGEST for sum in itertools.accumulate([self.total(name), base, *new.values()])):
            self.refused.add(name)
            self.seeded[name] = base
            return "too large"
        self.entries[name] |= new
        self.seeded[name] = base
        return True

    def lead(self, token: str) -> bool:
        if self.epoch or self.leader:
            return False
        self.leader = token
        self.entries = {name: {} for name in NAMES}
        self.seeded, self.refused = {}, set()
        return True

    def resign(self, token: str) -> None:
        self.leader = None if self.leader == token else self.leader

    def finish(self, token: str) -> bool:
        if self.leader != token:
            return False
        self.epoch, self.leader = token, None
        return True

    def start_over(self, token: str) -> None:
        self.epoch = None if self.epoch == token else self.epoch


async def call(store: CounterStore, what: str, *args: Any) -> Any:
    try:
        match what:
            case "add":
                return await store.add(Entry(*args, DAY), deadline_s=20)
            case "seed":
                leader = (await store.standing("f", deadline_s=20)).leader or "nobody"
                return await store.seed("f", leader, [SeedCounter(args[0], args[1], DAY, args[2])], deadline_s=20)
            case "lead":
                return await store.lead("f", *args, 600, deadline_s=20)
            case "resign":
                return await store.resign("f", *args, deadline_s=20)
            case "start_over":
                return await store.start_over("f", *args, deadline_s=20)
            case _:
                return await store.finish_seed("f", *args, 600, deadline_s=20)
    except TotalTooLarge:
        return "too large"


async def compare(urls: list[str], calls: list[tuple[Any, ...]]) -> None:
    stores, model = [open_store(url) for url in urls], Model()
    try:
        for step in calls:
            expected = model.call(*step)
            for store in stores:
                assert await call(store, *step) == expected, (store, step)
        totals = [model.total(name) if model.epoch and name not in model.refused else None for name in NAMES]
        for store in stores:
            assert await store.totals(NAMES, deadline_s=20) == totals, store
    finally:
        for store in stores:
            await store.close()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=st.lists(CALL, max_size=25))
def test_both_stores_do_what_the_model_does(redis: Redis, calls: list[tuple[Any, ...]]) -> None:
    asyncio.run(compare(["", redis.fresh_url()], calls))
