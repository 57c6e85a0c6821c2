"""Hot path. Pools: the candidates of a requested name, and which of them to look at first where they are many."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import chain
from random import Random

from channels.records import Candidate
from routing.candidates import Candidates
from routing.eligible import Standing
from routing.lots import Lots, drawn
from routing.orders import Head, Key, Name, key_of, name_of, turned
from routing.rows import GroupRow
from routing.strategies import Kind, Strategy
from routing.tags import Selection

LARGE = 256
# These go by chance and weight alone.
_DRAWN = frozenset((Kind.WEIGHTS, Kind.ROTATION))


class Pool:
    """The candidates that a name means, usable or not: named ones, and those that are selected from all.

    It is for one request: the next asks the table anew, and may get the same where nothing has changed.
    """

    def __init__(
        self, named: Mapping[int, Candidate], selection: Selection | None = None, among: Candidates | None = None
    ) -> None:
        self.named = named
        self._selection = selection
        self._among = among
        selected = selection.refs if selection is not None else frozenset[int]()
        self.size = len(selected) + sum(ref not in selected for ref in named)
        self._all: tuple[Candidate, ...] | None = None
        # routing.ranking's: what stands against its candidates by a group's filters.
        self.standing: tuple[GroupRow | None, Standing] | None = None
        self._lots: Lots | None = None  # of the named ones
        self._keys: dict[Name, list[Key]] = {}  # likewise

    @classmethod
    def of(cls, candidates: Iterable[Candidate], among: Candidates | None = None) -> "Pool":
        """A pool of these candidates; among: where they are as they are here, so that many are put in order quickly."""
        return cls({candidate.ref: candidate for candidate in candidates}, None, among)

    @property
    def is_large(self) -> bool:
        """Whether it is too large to look at each candidate for each request."""
        return self.size > LARGE

    def __iter__(self) -> Iterator[Candidate]:
        if self._all is not None:
            return iter(self._all)
        if self.is_large:
            return chain(self.named.values(), self._selected())
        self._all = (*self.named.values(), *self._selected())
        return iter(self._all)

    def find(self, ref: int) -> Candidate | None:
        """The candidate of an offering as it is in this pool; None where it is not in it."""
        named = self.named.get(ref)
        if named is not None or self._selection is None or self._among is None:
            return named
        return self._among.by_ref.get(ref) if ref in self._selection.refs else None

    def best_first(self, strategy: Strategy, random: Random | None = None) -> Iterator[Candidate]:
        """Each candidate once, the best first as far as the strategy can say without live values.

        random: where the strategy goes by weight, an order is drawn with it as routing.rank draws one (it is not to be drawn
        once more from a part of it, for that would count the weights twice); where several have the same score, it says with
        which of them to begin. Without it the order is always the same.
        """
        if random is None or strategy.kind is Kind.LISTED:
            return self._in_order(strategy)
        return self._drawn(strategy, random) if strategy.kind in _DRAWN else self._in_order(strategy, random.random())

    def prepare(self, strategy: Strategy) -> None:
        """Work out beforehand what best_first needs."""
        if self._among is not None and self._selection is not None:
            self._among.orders.of(strategy)
            if strategy.kind in _DRAWN:
                self._among.selections.lots_of(self._selection)

    def _drawn(self, strategy: Strategy, random: Random) -> Iterator[Candidate]:
        seen = set[int]()
        selected = None
        if self._selection is not None and self._among is not None:
            selected = self._among.selections.lots_of(self._selection)
        if self._selection is None or selected is not None:
            for ref in drawn(random, self._lots_of_named(), selected):
                seen.add(ref)
                candidate = self.find(ref)
                if candidate is not None:
                    yield candidate
        if len(seen) < self.size:  # rows have changed on the way, or not all lots are ready yet
            yield from (candidate for candidate in self._in_order(strategy) if candidate.ref not in seen)

    def _in_order(self, strategy: Strategy, start: float = 0.0) -> Iterator[Candidate]:
        named, among = self.named, self._among
        if among is None:
            keys: Iterable[Key] = turned(self._keys_of_named(strategy), start)
        elif self._selection is None:
            keys = among.orders.of(strategy).best_of(named.keys(), Head(), start)
        else:
            selection = self._selection
            keys = among.orders.of(strategy).best_of(selection.refs, selection.head_in(name_of(strategy)), start)
            if named:
                others = (key for key in keys if key[-1] not in named)
                first = turned(self._keys_of_named(strategy), start)
                keys = merge(first, others, key=lambda key: (*key[:3], (key[3] - start) % 1.0, key[4]))
        for key in keys:
            candidate = self.find(key[-1])
            if candidate is not None:  # it may have gone since
                yield candidate

    def _keys_of_named(self, strategy: Strategy) -> list[Key]:
        name = name_of(strategy)
        if name not in self._keys:
            self._keys[name] = sorted(key_of(candidate, strategy) for candidate in self.named.values())
        return self._keys[name]

    def _lots_of_named(self) -> Lots:
        if self._lots is None:
            is_kept = self._among is not None and self._selection is None
            candidates = list(self.named.values())
            self._lots = self._among.lots.of(candidates) if self._among and is_kept else Lots.of(candidates)
        return self._lots

    def _selected(self) -> Iterator[Candidate]:
        """What is selected beside the named ones."""
        if self._selection is not None and self._among is not None:
            everything = self._among.by_ref
            for ref in tuple(self._selection.refs):
                if ref not in self.named and ref in everything:
                    yield everything[ref]
