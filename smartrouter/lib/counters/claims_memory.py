"""Hot path. The funds and rates of one process, on its event loop; nothing here waits.

It begins without an epoch, as a Redis does that was emptied: what earlier processes have spent is in the records.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from smartrouter.lib.counters.base import DEADLINE_S, LARGEST, TotalTooLarge
from smartrouter.lib.counters.claims import (
    RECALL_S,
    RECALLED_S,
    SEED_MARGIN_S,
    UNUSED_S,
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
from smartrouter.lib.counters.claims_window import Window, share_of

SWEEP_EVERY_S = 60.0


@dataclass(slots=True)
class _Fund:
    until: float
    is_seeded: bool = False
    spent: int = 0
    claimed: int = 0
    spent_by: dict[str, int] = field(default_factory=dict)
    claimed_by: dict[str, int] = field(default_factory=dict)

    def check(self, spent: int, claimed: int) -> None:
        """Raise TotalTooLarge for sums that could not be exact everywhere."""
        if spent + claimed > LARGEST:
            raise TotalTooLarge("sums beyond 2^53 - 1")

    def kept_s(self, keep_s: float) -> float:
        """How long it is kept."""
        return keep_s if self.spent or self.claimed else min(keep_s, UNUSED_S)

    def tell(self, process: str, spent: int) -> None:
        self.spent += spent - self.spent_by.get(process, 0)
        self.spent_by[process] = spent

    def claim(self, process: str, claim: int) -> None:
        self.claimed += claim - self.claimed_by.pop(process, 0)
        if claim:
            self.claimed_by[process] = claim


class MemoryClaims:
    """Funds and rates in memory; clock: seconds that only ever grow, wall: seconds since the epoch of Unix."""

    is_shared = False
    is_up = True

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self._epoch: Epoch | None = None
        self._funds: dict[str, _Fund] = {}
        self._windows: dict[str, Window] = {}
        self._recalls: dict[str, tuple[float, float]] = {}  # when it began, when it ends
        self._sweep_at = clock() + SWEEP_EVERY_S

    async def epoch(self, *, deadline_s: float = DEADLINE_S) -> Epoch | None:
        return self._epoch

    async def begin(self, name: str, *, deadline_s: float = DEADLINE_S) -> None:
        if self._epoch is None:
            self._epoch = Epoch(name, int(self._wall() * 1000), False, frozenset())

    async def join(self, epoch: str, process: str, *, deadline_s: float = DEADLINE_S) -> None:
        if self._epoch is not None and self._epoch.name == epoch:
            self._epoch = self._epoch._replace(joined=self._epoch.joined | {process})

    async def open(self, epoch: str, *, deadline_s: float = DEADLINE_S) -> None:
        if self._epoch is not None and self._epoch.name == epoch:
            self._epoch = self._epoch._replace(is_open=True)

    async def claim(
        self, process: str, asks: Sequence[Ask], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Given]:
        refused: TotalTooLarge | None = None
        given: list[Given] = []
        self._sweep()
        for ask in asks:
            try:
                check_ask(ask)
                given.append(self._claim(process, ask, processes))
            except TotalTooLarge as e:
                refused = e
        if refused is not None:
            raise refused
        return given

    async def look(self, funds: Sequence[Fund], *, deadline_s: float = DEADLINE_S) -> list[Seen]:
        if self._epoch is None or not self._epoch.is_open:
            return [Seen(State.CLOSED, 0, 0)] * len(funds)
        found = [self._fund(fund) for fund in funds]
        return [Seen(State.OPEN if one.is_seeded else State.UNSEEDED, one.spent, one.claimed) for one in found]

    async def seed(
        self, fund: Fund, spent: Mapping[str, int], *, epoch: str | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        check_numbers(0, *spent.values())
        now = self._epoch
        if now is None or not now.is_open or (epoch is not None and epoch != now.name):
            return
        found = self._fund(fund)
        if not found.is_seeded:
            self._seed(found, spent)
        found.until = self._clock() + found.kept_s(fund.keep_s)
        self._funds[fund.name] = found

    def _seed(self, found: _Fund, spent: Mapping[str, int]) -> None:
        new = {process: amount for process, amount in spent.items() if process not in found.spent_by}
        found.check(found.spent + sum(new.values()), found.claimed)
        for process, amount in new.items():
            found.tell(process, amount)
        found.is_seeded = True

    async def settle(
        self, process: str, spent: Mapping[str, int], *, is_last: bool = True, deadline_s: float = DEADLINE_S
    ) -> None:
        check_numbers(0, *spent.values())
        now = self._clock()
        named = {name: fund for name in spent if (fund := self._funds.get(name)) is not None and fund.until > now}
        for name, amount in spent.items():
            if (found := named.get(name)) is not None:
                claimed = found.claimed - found.claimed_by.get(process, 0)
                found.check(found.spent - found.spent_by.get(process, 0) + amount, claimed)
        for name, found in named.items():
            found.tell(process, spent[name])
            found.claim(process, 0)
        if not is_last:
            return
        for found in self._funds.values():
            found.claim(process, 0)
        if self._epoch is not None:
            self._epoch = self._epoch._replace(joined=self._epoch.joined - {process})

    async def recalled(self, *, deadline_s: float = DEADLINE_S) -> frozenset[str]:
        now = self._clock()
        self._recalls = {name: recall for name, recall in self._recalls.items() if recall[1] > now}
        return frozenset(self._recalls)

    async def take(
        self, process: str, takes: Sequence[Take], processes: int, *, deadline_s: float = DEADLINE_S
    ) -> list[Taken]:
        refused: TotalTooLarge | None = None
        taken: list[Taken] = []
        self._sweep()
        for take in takes:
            try:
                check_take(take)
                taken.append(self._take(process, take, processes))
            except TotalTooLarge as e:
                refused = e
        if refused is not None:
            raise refused
        return taken

    def _claim(self, process: str, ask: Ask, processes: int) -> Given:
        limit = ask.fund.limit
        if self._epoch is None:
            got = ask.need if limit is None else 0
            return Given(State.CLOSED, ask.keeps + got, got, 0, 0, False)
        fund = self._fund(ask.fund)
        others = fund.claimed - fund.claimed_by.get(process, 0)
        told = max(ask.spent, fund.spent_by.get(process, 0))
        spent = fund.spent - fund.spent_by.get(process, 0) + told
        state = State.CLOSED if not self._epoch.is_open else State.OPEN if fund.is_seeded else State.UNSEEDED
        least = min(ask.least, ask.need) or ask.need
        got, slack, is_refused = ask.need if limit is None else 0, 0, False
        if limit is not None and state is State.OPEN:
            room = limit - spent - others - ask.keeps
            is_refused = ask.need > 0 and room < least
            got = 0 if is_refused else max(min(ask.need, room), 0)
            if not is_refused and not self._is_recalled(ask.fund.name):
                slack = share_of(room - got, ask.like, processes)
        has = ask.keeps + got + slack
        fund.check(spent, others + (0 if limit is None else has))
        fund.tell(process, told)
        fund.claim(process, 0 if limit is None else has)
        fund.until = self._clock() + fund.kept_s(ask.fund.keep_s)
        self._funds[ask.fund.name] = fund
        is_final = limit is not None and is_refused and self._refuse(ask.fund.name, limit - spent - ask.keeps >= least)
        return Given(state, has, got, spent, others, is_final)

    def _take(self, process: str, take: Take, processes: int) -> Taken:
        now_ms = int(self._clock() * 1000)
        name = take.rate.name
        window = self._windows.get(name) or Window()
        is_late = not window.tell(process, take, now_ms)
        self._windows[name] = window
        has, used, others = window.known(process, now_ms), window.used, window.others(process, now_ms)
        if is_late:
            return Taken(has, 0, used, others, 0, False)
        has = min(has, take.has)
        room = take.rate.limit - used - others - has
        got = slack = wait_ms = 0
        is_final = False
        if take.need > room and take.need:
            is_final = self._refuse(name, take.rate.limit - used - has >= take.need)
            wait_ms = window.wait_ms(process, take.need - room, now_ms)
        else:
            got = take.need
            slack = 0 if self._is_recalled(name) else share_of(room - got, take.like, processes)
        window.keep(process, take.number, has + got + slack, now_ms)
        return Taken(has + got + slack, got, used, others, wait_ms, is_final)

    def _fund(self, fund: Fund) -> _Fund:
        """The fund as it is, or as it begins, which is not kept yet."""
        assert self._epoch is not None
        now = self._clock()
        found = self._funds.get(fund.name)
        if found is None or found.until <= now:
            found = _Fund(now + fund.keep_s)
        is_young = fund.since_ms >= self._epoch.began_ms + SEED_MARGIN_S * 1000
        found.is_seeded = found.is_seeded or not fund.needs_seed or is_young
        return found

    def _refuse(self, name: str, can_others_help: bool) -> bool:
        """Whether a refusal is final; if not for want of anything idle, the others are called."""
        if not can_others_help:
            return True
        now = self._clock()
        began = self._recalls[name][0] if self._is_recalled(name) else now
        self._recalls[name] = began, now + RECALLED_S
        return now - began >= RECALL_S

    def _is_recalled(self, name: str) -> bool:
        recall = self._recalls.get(name)
        return recall is not None and recall[1] > self._clock()

    def _sweep(self) -> None:
        """Drop what is over, now and then."""
        now = self._clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_EVERY_S
        self._funds = {name: fund for name, fund in self._funds.items() if fund.until > now}
        self._windows = {name: window for name, window in self._windows.items() if window.until_ms > now * 1000}
        self._recalls = {name: recall for name, recall in self._recalls.items() if recall[1] > now}
