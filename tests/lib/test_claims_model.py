"""Any sequence of calls to a store of claims does what a few lines of Python say, and no sequence passes a limit."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartrouter.lib.counters import CounterStore, open_store
from smartrouter.lib.counters.claims import Ask, Fund, Given, State
from tests.stores import Redis

PATIENT_S = 20.0
PROCESSES = ["a" * 32, "b" * 32, "c" * 32]
NAMES = ["tenant:1|day", "tenant:1|day|usd", "channel:1|month"]
LIMIT = 100

PROCESS, NAME, SMALL = st.sampled_from(PROCESSES), st.sampled_from(NAMES), st.integers(0, 60)
ASK = st.tuples(NAME, st.sampled_from([LIMIT, LIMIT, LIMIT, 0, None]), SMALL, SMALL, SMALL, SMALL, SMALL, st.booleans())
SPENT = st.dictionaries(PROCESS, SMALL)
CALL = st.one_of(
    st.tuples(st.just("claim"), PROCESS, st.lists(ASK, min_size=1, max_size=3), st.integers(1, 4)),
    st.tuples(st.just("claim"), PROCESS, st.lists(ASK, min_size=1, max_size=3), st.integers(1, 4)),
    st.tuples(st.just("settle"), PROCESS, st.dictionaries(NAME, SMALL)),
    st.tuples(st.just("seed"), NAME, SPENT, st.sampled_from([None, "e", "other"])),
    st.tuples(st.sampled_from(["begin", "open"]), st.just("e")),
    st.tuples(st.just("join"), st.just("e"), PROCESS),
)


@dataclass
class ModelFund:
    is_seeded: bool = False
    spent: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)


class Model:
    """What stores do, without what makes it hard; what depends on the time is left open."""

    def __init__(self) -> None:
        self.funds: dict[str, ModelFund] = {}
        self.epoch: str | None = None
        self.is_open = False
        self.joined: set[str] = set()

    def check(self, process: str, ask: Ask, processes: int, answer: Given) -> None:
        """That the answer is right; what is given on top may be nothing, for the fund may be called back."""
        limit, need = ask.fund.limit, ask.need
        if self.epoch is None:
            got = need if limit is None else 0
            assert answer == Given(State.CLOSED, ask.keeps + got, got, 0, 0, False)
            return
        fund = self.funds.setdefault(ask.fund.name, ModelFund())
        fund.is_seeded |= not ask.fund.needs_seed
        fund.spent[process] = max(ask.spent, fund.spent.get(process, 0))
        spent, others = sum(fund.spent.values()), sum(c for p, c in fund.claims.items() if p != process)
        state = State.CLOSED if not self.is_open else State.OPEN if fund.is_seeded else State.UNSEEDED
        least = min(ask.least, need) or need
        got, most, is_final = 0, 0, False
        if limit is None:
            got = need
        elif state is State.OPEN:
            room = limit - spent - others - ask.keeps
            if room >= need:
                got, most = need, max(0, min(ask.like, (room - need) // (4 * processes)))
            elif need and room >= least:
                got = room
            elif need:
                is_final = spent + ask.keeps + least > limit or answer.is_final
        assert answer._replace(claim=0) == Given(state, 0, got, spent, others, is_final)
        assert answer.claim - ask.keeps - got in (0, most)
        fund.claims[process] = 0 if limit is None else answer.claim

    def settle(self, process: str, spent: dict[str, int]) -> None:
        for name, fund in self.funds.items():
            fund.claims[process] = 0
            if name in spent:
                fund.spent[process] = spent[name]
        self.joined.discard(process)

    def seed(self, name: str, spent: dict[str, int], epoch: str | None) -> None:
        if self.is_open and epoch in (None, self.epoch):
            fund = self.funds.setdefault(name, ModelFund())
            if not fund.is_seeded:
                fund.spent, fund.is_seeded = spent | fund.spent, True

    def begin(self, epoch: str) -> None:
        self.epoch = epoch

    def open(self, epoch: str) -> None:
        self.is_open = self.epoch == epoch

    def join(self, epoch: str, process: str) -> None:
        if self.epoch == epoch:
            self.joined.add(process)


async def sums(store: CounterStore, name: str) -> tuple[int, int]:
    fund = Fund(name, None, 0, 3600.0)
    (given,) = await store.claims.claim("f" * 32, [Ask(fund, 0, 0)], 1, deadline_s=PATIENT_S)
    return given.spent, given.others


async def step(store: CounterStore, model: Model, what: str, *args: Any) -> None:
    claims = store.claims
    match what:
        case "claim":
            process, asks, processes = args
            told = [Ask(Fund(name, limit, 0, 3600.0, seed), *rest) for name, limit, *rest, seed in asks]
            answers = await claims.claim(process, told, processes, deadline_s=PATIENT_S)
            for ask, answer in zip(told, answers, strict=True):
                model.check(process, ask, processes, answer)
        case "seed":
            fund, spent, epoch = Fund(args[0], LIMIT, 0, 3600.0), args[1], args[2]
            await claims.seed(fund, spent, epoch=epoch, deadline_s=PATIENT_S)
            model.seed(*args)
        case _:
            await getattr(claims, what)(*args, deadline_s=PATIENT_S)
            getattr(model, what)(*args)


async def run(url: str, calls: list[tuple[Any, ...]]) -> None:
    store, model = open_store(url), Model()
    try:
        for call in calls:
            await step(store, model, *call)
        for name in NAMES:
            fund = model.funds.get(name, ModelFund())
            assert await sums(store, name) == (sum(fund.spent.values()), sum(fund.claims.values())), name
        epoch = await store.claims.epoch(deadline_s=PATIENT_S)
        assert (epoch and epoch.name) == model.epoch
        if epoch is not None:
            assert (epoch.is_open, set(epoch.joined)) == (model.is_open, model.joined)
    finally:
        await store.close()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=st.lists(CALL, max_size=25), is_open=st.booleans())
def test_both_stores_do_what_the_model_does(redis: Redis, calls: list[tuple[Any, ...]], is_open: bool) -> None:
    opening = [("begin", "e"), ("open", "e")] if is_open else []

    for url in ("", redis.fresh_url()):
        asyncio.run(run(url, opening + calls))


@dataclass
class Process:
    """One that spends from its claim only."""

    name: str
    spent: int = 0
    keeps: int = 0
    claim: int = 0


MOVE = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "hold", "spend", "spend", "release", "give back", "again", "end"]),
    st.integers(0, 2),
    st.integers(0, 60),
    st.integers(0, 60),
)


async def behave(url: str, moves: list[tuple[str, int, int, int]], limit: int) -> None:
    store, fund = open_store(url), Fund("f", limit, 0, 3600.0, needs_seed=False)
    await store.claims.begin("e", deadline_s=PATIENT_S)
    await store.claims.open("e", deadline_s=PATIENT_S)
    uids = (f"{number:032x}" for number in itertools.count())
    processes = [Process(next(uids)) for _ in range(3)]
    ended: list[Process] = []
    try:
        for what, index, number, other in moves:
            process = processes[index]
            if what in ("ask", "again", "give back"):
                need, like = (0, 0) if what == "give back" else (number, other)
                ask = Ask(fund, process.spent, process.keeps, need, min(other, need), like)
                (answer,) = await store.claims.claim(process.name, [ask], 3, deadline_s=PATIENT_S)
                if what == "again":  # its answer was not heard
                    first = answer
                    (answer,) = await store.claims.claim(process.name, [ask], 3, deadline_s=PATIENT_S)
                    assert answer.got == first.got and answer.claim in (first.claim, process.keeps + first.got)
                assert answer.got == need or min(need, other) <= answer.got < need or not answer.got
                process.keeps += answer.got
                process.claim = answer.claim
            elif what == "hold":
                process.keeps += min(number, process.claim - process.keeps)
            elif what == "spend":
                amount = min(number, process.keeps)
                process.spent, process.keeps, process.claim = (
                    process.spent + amount,
                    process.keeps - amount,
                    process.claim - amount,
                )
            elif what == "release":
                process.keeps -= min(number, process.keeps)
            elif what == "end":
                for _ in range(2):
                    await store.claims.settle(process.name, {"f": process.spent}, deadline_s=PATIENT_S)
                ended.append(process)
                processes[index] = Process(next(uids))
            spent, claimed = await sums(store, "f")
            everyone = processes + ended
            assert spent + claimed <= limit
            assert sum(one.spent for one in everyone) + sum(one.claim for one in processes) <= limit
            assert spent <= sum(one.spent for one in everyone)
    finally:
        await store.close()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(moves=st.lists(MOVE, max_size=30), limit=st.integers(0, 300))
def test_who_spends_from_its_claims_only_never_passes_the_limit(
    redis: Redis, moves: list[tuple[str, int, int, int]], limit: int
) -> None:
    for url in ("", redis.fresh_url()):
        asyncio.run(behave(url, moves, limit))
