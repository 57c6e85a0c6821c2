"""Hot path. The order of all candidates under a strategy before any live value is known: worked out ahead of requests.

A strategy's order is made when it is first needed and kept true in the background. One that is not complete yet serves all
the same: what it does not have comes last.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from math import inf, log
from random import Random
from typing import Any

from sortedcontainers import SortedList

from channels.records import Candidate
from routing.asking import Ask
from routing.backlog import Backlog
from routing.rank import rank
from routing.strategies import Kind, Layer, Strategy

# The request by which costs are compared before the real one is known.
REFERENCE = Ask(needs=0, prompt_tokens=1000, output_tokens=500, is_streamed=True, at_ms=0)
# More than the presets and the groups that one installation has; each takes about 4 MB with 20,000 candidates.
ORDERS_AT_MOST = 64
STEP = 16
# How many of the order are looked at in one go, at first and at most.
LOOK_FIRST, LOOK_MOST = 64, 2048
# A selection that has less than this share of all candidates is sorted by itself.
SMALL_SHARE = 20
# How many of the best of a selection are remembered.
HEAD = 128
# Sorts by priority, score and chance; the last is always the candidate's ref.
Key = tuple[float, float, float, float, int]
# Strategies that differ only in their names have one order.
Name = tuple[Kind, tuple[Layer, ...], bool]
_stamps = count()


class NothingKnown:
    """Live signals before anything was measured."""

    def in_flight(self, channel_ref: int) -> int:
        return 0

    def response_ms(self, ref: int, is_streamed: bool) -> float | None:
        return None

    def answer_s(self, ref: int) -> float | None:
        return None

    def reliability(self, ref: int) -> float | None:
        return None

    def used_today(self, ref: int) -> int:
        return 0

    def known(self) -> Collection[int]:
        return ()


_NOTHING_KNOWN = NothingKnown()
_CHANCE = Random(0)  # noqa: S311  (rank draws for equals; here the ref decides about them)


def _draw(ref: int) -> float:
    """A number from 0 to 1 that looks random and is always the same for a ref."""
    return ((ref * 0x9E3779B97F4A7C15 + 0x7F4A7C15) >> 16 & 0xFFFFFFFF) / 2**32


def name_of(strategy: Strategy) -> Name:
    """What the strategy's order depends on."""
    return strategy.kind, strategy.layers, strategy.has_tiers


def key_of(candidate: Candidate, strategy: Strategy) -> Key:
    """What candidates are sorted by, the smallest first: as routing.rank sorts them, with a fixed draw in place of chance.

    Kind.LISTED knows no chance: by priority, position, channel and offering, exactly as there.
    """
    ref, priority = candidate.ref, candidate.priority
    match strategy.kind:
        case Kind.SCORE:
            score = rank([candidate], strategy, REFERENCE, _NOTHING_KNOWN, _CHANCE)[0].score
            return priority if strategy.has_tiers else 0, -score, priority, _draw(ref), ref
        case Kind.LISTED:
            return priority, candidate.position, candidate.channel.ref, 0, ref
        case _:
            if candidate.weight <= 0:
                return priority, 1, 0, _draw(ref), ref
            return priority, 0, -log(1 - _draw(ref)) / candidate.weight, 0, ref


def facts_of(candidate: Candidate | None) -> tuple[Any, ...] | None:
    """All that key_of looks at."""
    if candidate is None:
        return None
    c = candidate
    return c.priority, c.weight, c.position, c.quality, c.price, c.daily_limit, c.channel.ref, c.channel.kind


def turned(keys: Sequence[Key], start: float) -> Iterator[Key]:
    """The sorted keys; among those that are equal but for their draw, the draws from start on come first."""
    at = 0
    while at < len(keys):
        here, end = keys[at][:3], at + 1
        if end < len(keys) and keys[end][:3] == here:
            end = bisect_right(keys, (*here, inf, 0), end)
        middle = bisect_left(keys, (*here, start, 0), at, end)
        yield from keys[middle:end]
        yield from keys[at:middle]
        at = end


class Order:
    """All candidates in the order of one strategy; those in `pending` are still to be put where they belong."""

    def __init__(self, strategy: Strategy, candidates: Mapping[int, Candidate]) -> None:
        self.strategy = strategy
        self.pending: dict[int, None] = dict.fromkeys(candidates)
        self.stamp = next(_stamps)  # another after each change, and never that of another order
        self._candidates = candidates
        self._keys: dict[int, Key] = {}
        self._sorted: SortedList[Key] = SortedList()

    def grow(self) -> bool:
        """Put a few that are pending where they belong; whether more are."""
        for _ in range(min(STEP, len(self.pending))):
            ref, _none = self.pending.popitem()
            candidate, old = self._candidates.get(ref), self._keys.get(ref)
            new = None if candidate is None else key_of(candidate, self.strategy)
            if new == old:
                continue
            self.stamp = next(_stamps)
            if old is not None:
                self._sorted.remove(old)
                del self._keys[ref]
            if new is not None:
                self._sorted.add(new)
                self._keys[ref] = new
        return bool(self.pending)

    def best_of(self, refs: Collection[int], head: "Head", start: float = 0.0) -> Iterator[Key]:
        """Keys of these refs, each ref once, the best first. head: what is remembered of this selection and order.

        start: the draw (0 to 1) with which it begins among those that are equal. Rows may change between one and the next:
        who moves back meanwhile is not seen twice, who moves ahead comes late.
        """
        if head.stamp != self.stamp:
            is_small = len(refs) * SMALL_SHARE < len(self._candidates)
            known = self._sorted_of(refs) if is_small else list(islice(self._walk(refs), HEAD))
            head.renew(self.stamp, known, is_whole=is_small or len(known) < HEAD)
        keys, seen = head.keys, set[int]()
        if head.is_whole:
            found: Iterator[Key] = turned(keys, start) if start else iter(keys)
        else:
            found = self._turned(refs, keys, start) if start else chain(keys, self._walk(refs, keys[-1]))
        for key in found:
            if key[-1] not in seen:
                seen.add(key[-1])
                yield key
        for ref in tuple(refs):
            candidate = self._candidates.get(ref) if ref not in seen else None
            if candidate is not None:
                yield key_of(candidate, self.strategy)

    def _sorted_of(self, refs: Collection[int]) -> list[Key]:
        return sorted(self._keys[ref] for ref in refs if ref in self._keys)

    def _turned(self, refs: Collection[int], keys: Sequence[Key], start: float) -> Iterator[Key]:
        """As turned() says, of all refs; keys: the first of them."""
        while keys:
            if len(keys) < HEAD:
                yield from turned(keys, start)
                return
            # Those that are equal to the last may go on beyond these keys.
            here = keys[-1][:3]
            yield from turned(keys[: bisect_left(keys, (*here, -1.0, 0))], start)
            yield from self._walk(refs, (*here, start, -1), (*here, inf, 0))
            yield from self._walk(refs, (*here, -1.0, 0), (*here, start, 0))
            keys = list(islice(self._walk(refs, (*here, inf, 0)), HEAD))

    def _walk(self, refs: Collection[int], last: Key | None = None, before: Key | None = None) -> Iterator[Key]:
        """Keys of these refs after the last and before another."""
        look = LOOK_FIRST
        while True:
            part = list(islice(self._sorted.irange(last, before, inclusive=(False, False)), look))
            if not part:
                return
            yield from [key for key in part if key[-1] in refs]
            last, look = part[-1], min(look * 2, LOOK_MOST)


class Head:
    """The first keys of a selection in an order, as long as neither changes. Whoever changes the selection forgets it.

    is_whole: whether there are no more than these.
    """

    __slots__ = ("is_whole", "keys", "stamp")

    def __init__(self) -> None:
        self.stamp, self.keys, self.is_whole = -1, list[Key](), True

    def renew(self, stamp: int, keys: list[Key], *, is_whole: bool) -> None:
        self.stamp, self.keys, self.is_whole = stamp, keys, is_whole


class Orders:
    """The orders that are in use, the longest unused forgotten first."""

    def __init__(self, candidates: Mapping[int, Candidate], backlog: Backlog) -> None:
        self._candidates = candidates
        self._backlog = backlog
        self._known: OrderedDict[Name, Order] = OrderedDict()

    def of(self, strategy: Strategy) -> Order:
        """The strategy's order; a new one grows from now on."""
        name = name_of(strategy)
        order = self._known.get(name)
        if order is None:
            order = self._known[name] = Order(strategy, self._candidates)
            if len(self._known) > ORDERS_AT_MOST:
                self._known.popitem(last=False)
            self._backlog.add(self._grow)
        else:
            self._known.move_to_end(name)
        return order

    def note(self, ref: int) -> None:
        """A candidate is new, has changed or is gone."""
        if self._known:
            for order in self._known.values():
                order.pending[ref] = None
            self._backlog.add(self._grow)

    def _grow(self) -> bool:
        order = next((order for order in self._known.values() if order.pending), None)
        if order is not None:
            order.grow()
        return order is not None
