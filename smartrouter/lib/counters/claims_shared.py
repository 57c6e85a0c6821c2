"""Hot path. The funds and rates that all processes share, in the Redis of the counters. Each call is one script."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from smartrouter.lib.counters import claims_scripts as scripts
from smartrouter.lib.counters.base import DEADLINE_S, TotalTooLarge
from smartrouter.lib.counters.claims import (
    Ask,
    Epoch,
    Fund,
    Given,
    Seen,
    State,
    Take,
    Taken,
    check_ask,
    check_numbers,
    check_take,
)
from smartrouter.lib.counters.claims_rate_scripts import TAKE
from smartrouter.lib.counters.link import Args, RedisLink, Script, is_refusal

_CLAIM, _TAKE, _RECALLED = Script(scripts.CLAIM), Script(TAKE), Script(scripts.RECALLED)
_SEED, _SETTLE, _CLAIMED = Script(scripts.SEED), Script(scripts.SETTLE), Script(scripts.CLAIMED)
_LOOK = Script(scripts.LOOK)
_EPOCH, _BEGIN, _MARK = Script(scripts.EPOCH), Script(scripts.BEGIN), Script(scripts.MARK)
_STATES = {"0": State.OPEN, "1": State.CLOSED, "2": State.UNSEEDED}


class RedisClaims:
    """Funds and rates in a Redis. prefix: of all keys, with the hash tag that keeps them together. clock: puts the calls of
    one process in order."""

    is_shared = True

    def __init__(self, link: RedisLink, prefix: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._prefix = prefix
        self._epoch_key = f"{prefix}claims-epoch"
        self._recalls_key = f"{prefix}recalls"

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    async def epoch(self, *, deadline_s: float = DEADLINE_S) -> Epoch | None:
        found = await self._link.call(_EPOCH, (self._epoch_key,), (), deadline_s)
        if not found:
            return None
        name, began_ms, is_open, *joined = [value.decode() for value in found]
        return Epoch(name, int(began_ms), is_open == "1", frozenset(joined))

    async def begin(self, name: str, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_BEGIN, (self._epoch_key,), (name,), deadline_s)

    async def join(self, epoch: str, process: str, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_MARK, (self._epoch_key,), (epoch, f"j:{process}"), deadline_s)

    async def open(self, epoch: str, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_MARK, (self._epoch_key,), (epoch, "o"), deadline_s)

    async def claim(
        self, process: str, asks: Sequence[Ask], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Given]:
        refused: TotalTooLarge | None = None
        keys = [self._epoch_key, self._recalls_key, self._index_key(process)]
        lines: list[str] = []
        for ask in asks:
            try:
                check_ask(ask)
            except TotalTooLarge as e:
                refused = e
                continue
            keys.append(self._fund_key(ask.fund.name))
            lines.append(_ask_line(ask))
        answers: list[str] = []
        if lines:
            args = (process, processes, int(self._clock() * 1_000_000), "\n".join(lines))
            answers = (await self._link.call(_CLAIM, keys, args, deadline_s)).decode().split("\n")
        if refused is not None or "X" in answers:
            raise refused or TotalTooLarge("sums beyond 2^53 - 1")
        return [_given(answer) for answer in answers]

    async def look(self, funds: Sequence[Fund], *, deadline_s: float = DEADLINE_S) -> list[Seen]:
        if not funds:
            return []
        keys = [self._epoch_key, *[self._fund_key(fund.name) for fund in funds]]
        args = [number for fund in funds for number in (fund.since_ms, int(fund.needs_seed))]
        answers = (await self._link.call(_LOOK, keys, args, deadline_s)).decode().split("\n")
        return [_seen(answer) for answer in answers]

    async def seed(
        self, fund: Fund, spent: Mapping[str, int], *, epoch: str | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        check_numbers(0, *spent.values())
        pairs = [value for pair in spent.items() for value in pair]
        args = (epoch or "", fund.since_ms, _ms(fund.keep_s), int(fund.needs_seed), *pairs)
        _check(await self._link.call(_SEED, (self._epoch_key, self._fund_key(fund.name)), args, deadline_s))

    async def settle(
        self, process: str, spent: Mapping[str, int], *, is_last: bool = True, deadline_s: float = DEADLINE_S
    ) -> None:
        check_numbers(0, *spent.values())
        index = self._index_key(process)
        # In two steps, so that the second one names all of its keys; the process is not there to claim between them.
        claimed: list[bytes] = await self._link.call(_CLAIMED, (index,), (), deadline_s) if is_last else []
        of = dict.fromkeys((key.decode() for key in claimed), "")
        of |= {self._fund_key(name): str(amount) for name, amount in spent.items()}
        args: list[str | int] = [process, int(is_last), *of.values()]
        _check(await self._link.call(_SETTLE, (self._epoch_key, index, *of), args, deadline_s))

    async def recalled(self, *, deadline_s: float = DEADLINE_S) -> frozenset[str]:
        found: Iterable[bytes] = await self._link.call(_RECALLED, (self._recalls_key,), (), deadline_s)
        return frozenset(key.decode().removeprefix(self._prefix).partition(":")[2] for key in found)

    async def take(
        self, process: str, takes: Sequence[Take], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Taken]:
        refused: TotalTooLarge | None = None
        keys = [self._recalls_key]
        args: list[str | int] = [process, processes]
        for take in takes:
            try:
                check_take(take)
            except TotalTooLarge as e:
                refused = e
                continue
            keys += (f"{self._prefix}rate:{take.rate.name}", f"{self._prefix}takers:{take.rate.name}")
            args.append(_take_line(take))
        answers: list[str] = []
        if len(args) > 2:
            answers = (await self._link.call(_TAKE, keys, args, deadline_s)).decode().split("\n")
        if refused is not None or "X" in answers:
            raise refused or TotalTooLarge("a sum beyond 2^53 - 1")
        return [_taken(answer) for answer in answers]

    def _fund_key(self, name: str) -> str:
        return f"{self._prefix}fund:{name}"

    def _index_key(self, process: str) -> str:
        return f"{self._prefix}claimed:{process}"


def _ask_line(ask: Ask) -> str:
    fund = ask.fund
    limit = "-" if fund.limit is None else fund.limit
    numbers = f"{ask.spent} {ask.keeps} {ask.need} {ask.least} {ask.like} {limit}"
    return f"{numbers} {fund.since_ms} {_ms(fund.keep_s)} {fund.needs_seed:d}"


def _given(answer: str) -> Given:
    state, claim, got, spent, others, is_final = answer.split()
    return Given(_STATES[state], int(claim), int(got), int(spent), int(others), is_final == "1")


def _seen(answer: str) -> Seen:
    state, spent, claimed = answer.split()
    return Seen(_STATES[state], int(spent), int(claimed))


def _take_line(take: Take) -> str:
    uses = "".join([f" {max(age_ms, 0)}:{amount}" for age_ms, amount in take.uses])
    return f"{take.number} {take.has} {take.need} {take.like} {take.rate.limit}{uses}"


def _taken(answer: str) -> Taken:
    has, got, used, others, wait_ms, is_final = answer.split()
    return Taken(int(has), int(got), int(used), int(others), int(wait_ms), is_final == "1")


def _check(answer: Args | int) -> None:
    if is_refusal(answer):
        raise TotalTooLarge("sums beyond 2^53 - 1")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
