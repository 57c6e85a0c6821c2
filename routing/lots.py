"""Hot path. Lots: the candidates of a pool by priority and weight, from which each request draws an order of its own.

A draw is exact and costs about the same whatever the weights and however many there are: one of the few bags of a priority
by its mass, then in the bag, where no weight is twice another, one by chance.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from math import frexp, ldexp
from operator import is_
from random import Random
from sys import float_info

from channels.records import Candidate

# Of so many pools of names the lots are kept.
KEPT_AT_MOST = 64


class _Bag:
    """Refs of one priority whose weights have one binary exponent, with the fractions (0.5 to 1) that go with it.

    exponent: None for those of weight 0, whose fractions are 1.
    """

    __slots__ = ("exponent", "fractions", "mass", "places", "refs", "top")

    def __init__(self, exponent: int | None) -> None:
        self.exponent = exponent
        self.refs: list[int] = []
        self.fractions: list[float] = []
        self.places: dict[int, int] = {}
        self.mass = 0.0
        self.top = 0.0

    def add(self, refs: Sequence[int], fraction: float) -> None:
        self.places.update(zip(refs, count(len(self.refs)), strict=False))
        self.refs += refs
        self.fractions += [fraction] * len(refs)
        self.mass += fraction * len(refs)
        self.top = max(self.top, fraction)

    def remove(self, ref: int) -> None:
        place = self.places.pop(ref)
        self.mass -= self.fractions[place]
        last, fraction = self.refs.pop(), self.fractions.pop()
        if last != ref:
            self.refs[place], self.fractions[place] = last, fraction
            self.places[last] = place


class Lots:
    """What can be drawn. stamp: another after each change."""

    def __init__(self) -> None:
        self.stamp = 0
        # priority -> exponent -> bag
        self.tiers: defaultdict[int, dict[int | None, _Bag]] = defaultdict(dict)
        self._held: dict[int, tuple[int, float]] = {}

    @classmethod
    def of(cls, candidates: Iterable[Candidate]) -> "Lots":
        """The lots of these candidates."""
        alike: defaultdict[tuple[int, float], list[int]] = defaultdict(list)
        for candidate in candidates:
            alike[candidate.priority, candidate.weight].append(candidate.ref)
        made = cls()
        for (priority, weight), refs in alike.items():
            made._add(refs, priority, weight)
        return made

    def __contains__(self, ref: int) -> bool:
        return ref in self._held

    def put(self, ref: int, priority: int, weight: float) -> None:
        """Add a candidate, or tell its present priority and weight."""
        held = self._held.get(ref)
        if held != (priority, weight):
            if held is not None:
                self.drop(ref)
            self._add((ref,), priority, weight)

    def drop(self, ref: int) -> None:
        """Take a candidate out, if it is in."""
        held = self._held.pop(ref, None)
        if held is not None:
            priority, weight = held
            bags, (exponent, _fraction) = self.tiers[priority], _split(weight)
            bags[exponent].remove(ref)
            if not bags[exponent].refs:
                del bags[exponent]
            if not bags:
                del self.tiers[priority]
            self.stamp += 1

    def _add(self, refs: Sequence[int], priority: int, weight: float) -> None:
        bags, (exponent, fraction) = self.tiers[priority], _split(weight)
        if exponent not in bags:
            bags[exponent] = _Bag(exponent)
        bags[exponent].add(refs, fraction)
        self._held.update(dict.fromkeys(refs, (priority, weight)))
        self.stamp += 1


_NOTHING = Lots()


def _split(weight: float) -> tuple[int | None, float]:
    """Exponent and fraction of a weight; of weight 0 None, all alike."""
    if weight <= 0:
        return None, 1.0
    fraction, exponent = frexp(min(weight, float_info.max))
    return exponent, fraction


class _Draw:
    """What one request has left in one bag. is_more: whether the bag is of the second lots."""

    __slots__ = ("bag", "is_more", "left", "mass", "moved", "unit")

    def __init__(self, bag: _Bag, unit: float, *, is_more: bool) -> None:
        self.bag = bag
        self.is_more = is_more
        self.left = len(bag.refs)
        self.unit = unit
        self.mass = bag.mass * unit
        self.moved: dict[int, int] = {}  # the places that a shuffle of the bag would have changed

    def take(self, draw: Callable[[], float]) -> int:
        bag, moved, left = self.bag, self.moved, self.left
        while True:
            place = int(draw() * left)
            index = moved.get(place, place)
            fraction = bag.fractions[index]
            if fraction >= bag.top or draw() * bag.top < fraction:
                break
        self.left = left = left - 1
        moved[place] = moved.get(left, left)
        # No fraction is below 0.5: what rounding has taken from the mass of the others is given back.
        self.mass = max(self.mass - fraction * self.unit, 0.5 * left * self.unit)
        return bag.refs[index]


def drawn(random: Random, first: Lots, more: Lots | None = None) -> Iterator[int]:
    """Refs by priority; within one, each next with a probability that goes with its weight, weight 0 last.

    Who is in both lots is there as the first says. Ends before all were drawn where the lots change on the way.
    """
    more = more or _NOTHING
    draw, stamp = random.random, first.stamp + more.stamp
    for draws in _parts_of(first, more):
        while draws:
            one = draws[0]
            if len(draws) > 1:
                point = draw() * sum([each.mass for each in draws])
                for one in draws:
                    point -= one.mass
                    if point < 0:
                        break
            ref = one.take(draw)
            if not one.left:
                draws.remove(one)
            if not (one.is_more and ref in first):
                yield ref
                if first.stamp + more.stamp != stamp:
                    return


def _parts_of(first: Lots, more: Lots) -> Iterator[list[_Draw]]:
    """What is drawn from together, one after the other: a priority's bags, then those of weight 0."""
    tiers = ((False, first.tiers), (True, more.tiers))
    for priority in sorted(first.tiers.keys() | more.tiers.keys()):
        bags = [(is_more, bag) for is_more, of in tiers if priority in of for bag in of[priority].values()]
        weighty = [(is_more, bag) for is_more, bag in bags if bag.exponent is not None]
        top = max([bag.exponent or 0 for _is_more, bag in weighty], default=0)
        yield [_Draw(bag, ldexp(1.0, (bag.exponent or 0) - top), is_more=is_more) for is_more, bag in weighty]
        yield [_Draw(bag, 1.0, is_more=is_more) for is_more, bag in bags if bag.exponent is None]


class KeptLots:
    """The lots of pools that are put together anew for each request, as long as nobody in them changes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], tuple[list[Candidate], Lots]] = OrderedDict()

    def of(self, candidates: list[Candidate]) -> Lots:
        """The lots of these candidates."""
        place = (candidates[0].ref if candidates else 0, len(candidates))
        known = self._kept.get(place)
        if known is None or not all(map(is_, known[0], candidates)):
            known = self._kept[place] = (candidates, Lots.of(candidates))
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT_AT_MOST:
            self._kept.popitem(last=False)
        return known[1]
