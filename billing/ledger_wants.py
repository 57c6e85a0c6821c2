"""Hot path. Requests that want more than this process has claimed, and what becomes of them.

A want first asks for all of it; when the store has refused that for good, it asks for as much as it can have, if it would
make do with less. Only the store refuses, but for what cannot be asked: without it, or before it is open, quotas of requests
and tokens go by this process's share of them, and money is not known.

A want needs several funds at once, and what is claimed of one while another one lacks is missing elsewhere. So a want that
lacks something tight claims nothing else meanwhile: first all that is tight, in one call and for one want at a time, then the
rest; and what did not help goes back.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from billing.funds import Allotment, Answers, Needs, Order
from billing.ledger import BudgetRefused, Refusal
from billing.ledger_holds import BudgetHold
from billing.scopes import UNITS
from smartrouter.lib.counters import LARGEST
from smartrouter.lib.counters.claims import RECALL_S, Given, State

# For so long a request waits for an epoch that is not open yet, and for records that are being read.
UNKNOWN_S = 2.0
# For so long money waits for a store that does not answer, which is asked every half second.
AWAY_S = 1.0
# For so long it waits for a refusal that is final. The store says so after RECALL_S; this is for one that does not.
UNDECIDED_S = RECALL_S + 1.0
_MONEY = UNITS.index("usd")


class Want:
    """A hold that wants more. least: with how much of it it would make do, None: with nothing less."""

    __slots__ = ("began", "hold", "least", "more", "outcome", "since", "takes_less")

    def __init__(self, hold: BudgetHold, more: Needs, least: Needs | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.hold = hold
        self.more = more
        self.least = least
        self.began = self.since = loop.time()
        self.takes_less = False
        self.outcome: asyncio.Future[None] = loop.create_future()

    @property
    def bounds(self) -> list[Allotment]:
        """The allotments that have to give something."""
        return [a for a in self.hold.allotments if a.is_hard and self.more[a.unit]]

    @property
    def is_granted(self) -> bool:
        """Whether it holds what it wants."""
        return self.outcome.done() and not self.outcome.cancelled() and self.outcome.exception() is None

    def fewest(self, unit: int) -> int:
        """With how much it makes do now."""
        if self.takes_less and self.least is not None:
            return min(self.least[unit], self.more[unit])
        return self.more[unit]

    def decide(self, answers: Answers | None, processes: int) -> None:
        """Go by what the store has answered; None: it did not. Where nothing is decided it is asked again."""
        if self.outcome.done():
            return
        if not self.hold.is_open:  # settled while it asked for more
            self.outcome.set_exception(_Ended())
            return
        if self._fits():
            return
        lacking = [a for a in self.bounds if a.free < self.more[a.unit]]
        if answers is None:
            is_money = any(a.unit == _MONEY for a in lacking)
            # A store that only was slow answers again when it is asked the next time.
            if not is_money or asyncio.get_running_loop().time() - self.began > AWAY_S:
                self._decide_alone(lacking, processes)
        else:
            self._decide_by(lacking, answers, processes)

    def refuse(self, lacking: Sequence[Allotment], *, is_known: bool) -> None:
        """End it, with the budget that lacks most."""
        worst = max(lacking, key=lambda a: (1 - a.left / max(1, self.fewest(a.unit)), a.ends_ms or float("inf")))
        scope = next(scope for scope in self.hold.scopes if scope.key == worst.key)
        self.outcome.set_exception(BudgetRefused(Refusal(scope, worst.limit, worst.ends_ms, worst.left, is_known)))

    def _fits(self) -> bool:
        """Whether what was claimed is enough by now; then it is held."""
        more = list(self.more)
        for allotment in self.bounds:
            unit = allotment.unit
            if allotment.free < more[unit]:
                if allotment.free < self.fewest(unit):
                    return False
                more[unit] = allotment.free
        self._take((more[0], more[1], more[2]))
        return True

    def _take(self, more: Needs) -> None:
        self.hold.take(more)
        self.outcome.set_result(None)

    def _decide_by(self, lacking: Sequence[Allotment], answers: Answers, processes: int) -> None:
        now = asyncio.get_running_loop().time()
        final = [a for a in lacking if a in answers and self._is_final(a, answers[a], now)]
        unknown = [a for a in lacking if a in answers and answers[a].state is not State.OPEN]
        undecided = [a for a in lacking if a not in final and a not in unknown]
        # What was not asked for yet is no reason.
        if undecided and now - self.since > (UNDECIDED_S if any(a in answers for a in undecided) else UNKNOWN_S):
            final += undecided
        if final and self.least is not None and not self.takes_less:
            self.takes_less, self.since = True, now
        elif final:
            self.refuse(final, is_known=True)
        elif unknown and not undecided and self._is_over(unknown, answers, now):
            self._decide_alone(unknown, processes)

    def _is_final(self, allotment: Allotment, given: Given, now: float) -> bool:
        """Whether a refusal stands. Where the claims of others would do, they have time to hear of this want, too: the recall
        may be older than what has become idle meanwhile."""
        if given.state is not State.OPEN or not given.is_final:
            return False
        could_help = (allotment.limit.limit or 0) - given.spent - allotment.held >= self.fewest(allotment.unit)
        return not could_help or now - self.began > RECALL_S

    def _is_over(self, unknown: Sequence[Allotment], answers: Answers, now: float) -> bool:
        """Whether nobody waits any longer for what the store does not know: quotas do not wait for an epoch at all."""
        if now - self.since > UNKNOWN_S:
            return True
        return all(a.unit != _MONEY and answers[a].state is State.CLOSED for a in unknown)

    def _decide_alone(self, lacking: Sequence[Allotment], processes: int) -> None:
        money = [a for a in lacking if a.unit == _MONEY]
        if money:
            self.refuse(money, is_known=False)
            return
        over = [a for a in lacking if a.spent + a.held + self.more[a.unit] > (a.limit.limit or 0) // processes]
        if over:
            self.refuse(over, is_known=True)
        else:
            self._take(self.more)


class _Ended(Exception):
    """What asked for more has ended meanwhile."""


class Wants:
    """All wants of this process, in the order in which they came: what there is goes to the one who came first."""

    def __init__(self) -> None:
        self._open: list[Want] = []
        self.came = asyncio.Event()

    async def wait_for(self, want: Want) -> bool:
        """Whether it holds what it wants; False where it was settled meanwhile. Raises BudgetRefused."""
        self._open.append(want)
        bounds = want.bounds
        for allotment in bounds:
            allotment.waiting += 1
        self.came.set()
        try:
            await want.outcome
        except _Ended:
            return False
        except asyncio.CancelledError:
            if want.outcome.done() and not want.outcome.cancelled():
                want.outcome.exception()  # nobody else will ask for it
            raise
        finally:
            self._open.remove(want)
            for allotment in bounds:
                allotment.waiting -= 1
        return True

    def end_all(self) -> None:
        """Nobody will ask for them any more: refuse those that need the store; the others need nothing of it."""
        for want in self._open:
            if want.outcome.done():
                continue
            if bounds := want.bounds:
                want.refuse(bounds, is_known=False)
            else:
                want.decide({}, 1)

    def gather(self) -> tuple[list[Want], list[Order]]:
        """The wants that are open, and what has to be asked for them together; of each fund once."""
        wants = [want for want in self._open if not want.outcome.done()]
        needs: dict[Allotment, _Demand] = {}
        now = asyncio.get_running_loop().time()
        planned: dict[Allotment, int] = {}
        for want in wants:
            is_stuck = not _plan(want, planned, now)
            for allotment in want.bounds:
                if is_stuck and not allotment.is_tight(now):
                    continue
                needs.setdefault(allotment, _Demand()).add(want, allotment.unit, is_stuck=is_stuck)
        return wants, [
            Order(allotment, demand.need, demand.least, allotment.wish(demand.largest))
            for allotment, demand in needs.items()
            if demand.need > allotment.free
        ]

    def spare(self, allotments: Iterable[Allotment]) -> list[Order]:
        """What of these is idle gives back all that no want can use now."""
        now = asyncio.get_running_loop().time()
        planned: dict[Allotment, int] = {}
        for want in self._open:
            if not want.outcome.done():
                _plan(want, planned, now)
        return [Order(a, planned.get(a, 0)) for a in allotments if a.free > planned.get(a, 0)]

    def spare_of_tight(self) -> list[Order]:
        """What wants claimed of tight funds and cannot use now, for others may wait for it."""
        now = asyncio.get_running_loop().time()
        return self.spare({a for want in self._open for a in want.bounds if a.is_tight(now)})


@dataclass(slots=True)
class _Demand:
    """What wants need of one fund together."""

    least: int = LARGEST
    largest: int = 0
    _sum: int = 0
    _stuck: int = 0

    @property
    def need(self) -> int:
        """Of those that are stuck, for the largest one only: what it gets may go back a moment later."""
        return self._sum + self._stuck

    def add(self, want: Want, unit: int, *, is_stuck: bool) -> None:
        more = want.more[unit]
        self.least, self.largest = min(self.least, want.fewest(unit)), max(self.largest, more)
        if is_stuck:
            self._stuck = max(self._stuck, more)
        else:
            self._sum += more


def _plan(want: Want, planned: dict[Allotment, int], now_s: float) -> bool:
    """Whether a want may go on with what those before it leave, which is its own then; not so where something tight lacks."""
    bounds = want.bounds
    for a in bounds:
        if a.is_tight(now_s) and a.free - planned.get(a, 0) < want.fewest(a.unit):
            return False
    for a in bounds:
        planned[a] = planned.get(a, 0) + want.more[a.unit]
    return True
