"""Hot path. What the RoutingTable looks up beside names: rules by pattern, time policies by the hour, prices that end."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from heapq import heappop, heappush

from providers.price_facts import FOREVER_MS
from providers.prices import Window
from routing.rows import ExchangeRateRow, StrategyRuleRow, TimePolicyRow
from routing.strategies import Strategy, strategy_of


class RuleIndex:
    """Strategy rules by their patterns: whole names, and beginnings by their lengths."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[StrategyRuleRow, Strategy | None]] = {}
        self._lengths: tuple[int, ...] = ()

    def put(self, row: StrategyRuleRow) -> None:
        self._rules[row.pattern] = (row, strategy_of(row.strategy, row.layers))
        self._measure()

    def remove(self, row: StrategyRuleRow) -> None:
        known = self._rules.get(row.pattern)
        if known is not None and known[0] is row:  # else another row has the pattern by now
            del self._rules[row.pattern]
            self._measure()

    def strategy_for(self, name: str) -> Strategy | None:
        """The strategy of the name itself, else of the longest beginning; None where no rule fits."""
        rules = self._rules
        if name in rules and not name.endswith("*"):
            return rules[name][1]
        for length in self._lengths:
            if len(name) >= length:
                found = rules.get(name[:length] + "*")
                if found is not None:
                    return found[1]
        return None

    def _measure(self) -> None:
        self._lengths = tuple(sorted({len(p) - 1 for p in self._rules if p.endswith("*")}, reverse=True))


class Policies:
    """A group's time policies, in their order."""

    def __init__(self, rows: Iterable[TimePolicyRow]) -> None:
        self._policies = tuple(
            (Window(row.days, row.start, row.end, row.zone, {}), strategy_of(row.strategy, row.layers), row.members_of)
            for row in sorted(rows, key=lambda row: (row.position, row.ref))
            if row.is_active
        )

    def at(self, at_ms: int) -> tuple[Strategy | None, int | None]:
        """The strategy and the stand-in group's ref of the first policy that holds at the moment."""
        if self._policies:
            moment = datetime.fromtimestamp(at_ms / 1000, UTC)
            for window, strategy, members_of in self._policies:
                if window.holds_at(moment):
                    return strategy, members_of
        return None, None


class PriceEnds:
    """When the price of which candidate ends, the earliest first."""

    def __init__(self) -> None:
        self.next_ms = FOREVER_MS
        self._heap: list[tuple[int, int]] = []
        self._ends: dict[int, int] = {}

    def put(self, ref: int, until_ms: int) -> None:
        """The candidate's price ends then; FOREVER_MS: it does not, or the candidate is gone."""
        if until_ms == FOREVER_MS:
            self._ends.pop(ref, None)
        elif self._ends.get(ref) != until_ms:
            self._ends[ref] = until_ms
            heappush(self._heap, (until_ms, ref))
            self.next_ms = self._heap[0][0]

    def pop_due(self, now_ms: int, at_most: int) -> list[int]:
        """Some of the candidates whose price has ended by now."""
        due: list[int] = []
        while self._heap and self._heap[0][0] <= now_ms and len(due) < at_most:
            until_ms, ref = heappop(self._heap)
            if self._ends.get(ref) == until_ms:  # else it was put anew since
                del self._ends[ref]
                due.append(ref)
        self.next_ms = self._heap[0][0] if self._heap else FOREVER_MS
        return due


def exchange_at(rates: Sequence[ExchangeRateRow], at_ms: int) -> tuple[Decimal | None, int]:
    """What one unit of a currency is worth at a moment, None where no rate has begun; and until when."""
    begun = [row for row in rates if row.effective_from_ms <= at_ms]
    until_ms = min((row.effective_from_ms for row in rates if row.effective_from_ms > at_ms), default=FOREVER_MS)
    return (max(begun, key=lambda row: row.effective_from_ms).usd if begun else None), until_ms
