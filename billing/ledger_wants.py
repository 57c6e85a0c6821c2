"""Hot path. Requests that want more than this process has claimed, and what becomes of them.

A want first asks for all of it; when the store has refused that for good, it asks for as much as it can have, if it would
make do with less. Only the store refuses, but for what cannot be asked: without it, or before it is open, quotas of requests
and tokens go by this process's share of them, and money is not known.
"""

import asyncio
from collections.abc import Sequence

from billing.funds import Allotment, Answers, Needs, Order
from billing.ledger import BudgetRefused, Refusal
from billing.ledger_holds import BudgetHold
from billing.scopes import UNITS
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
        if undecided and now - self.since > UNDECIDED_S:
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

    def __bool__(self) -> bool:
        return bool(self._open)

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
        needs: dict[Allotment, tuple[int, int, int]] = {}
        for want in wants:
            for allotment in want.bounds:
                more, fewest = want.more[allotment.unit], want.fewest(allotment.unit)
                need, least, largest = needs.get(allotment, (0, fewest, 0))
                needs[allotment] = need + more, min(least, fewest), max(largest, more)
        return wants, [
            Order(allotment, need, least, allotment.wish(largest))
            for allotment, (need, least, largest) in needs.items()
            if need > allotment.free
        ]
