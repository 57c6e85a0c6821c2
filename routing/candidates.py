"""Hot path. All candidates and what they are found by: ref, name, currency, tags, the order of a strategy."""

from collections import defaultdict
from collections.abc import Set
from itertools import count

from channels.records import Candidate
from routing.backlog import Backlog
from routing.joining import OWN_NAME
from routing.lots import KeptLots
from routing.orders import Orders, facts_of
from routing.tags import Selections


class Candidates:
    """Every candidate, and indexes that are kept true with each that changes."""

    def __init__(self, backlog: Backlog) -> None:
        self.by_ref: dict[int, Candidate] = {}
        self.by_name: dict[str, dict[int, Candidate]] = defaultdict(dict)
        # name -> a number that is another after each change of who has the name
        self.name_stamps: dict[str, int] = {}
        self._stamps = count()
        self.selections = Selections(self.by_ref, backlog)
        self.orders = Orders(self.by_ref, backlog)
        self.lots = KeptLots()
        self._by_currency: dict[str, set[int]] = defaultdict(set)

    def put(self, ref: int, new: Candidate | None) -> None:
        """Add, change or (None) take out a candidate."""
        old = self.by_ref.pop(ref, None)
        if old is None and new is None:
            return
        if old is not None:
            for name in old.names:
                named = self.by_name[name]
                del named[ref]
                self.name_stamps[name] = next(self._stamps)
                if not named:
                    del self.by_name[name], self.name_stamps[name]
            for currency in _currencies_of(old):
                self._by_currency[currency].discard(ref)
        if new is not None:
            self.by_ref[ref] = new
            for name in new.names:
                self.by_name[name][ref] = new
                self.name_stamps[name] = next(self._stamps)
            for currency in _currencies_of(new):
                self._by_currency[currency].add(ref)
        self.selections.put(ref, old, new)
        if facts_of(old) != facts_of(new):
            self.orders.note(ref)

    def of_provider(self, provider: str, model: str) -> list[Candidate]:
        """What a provider's channels offer under a name or alias; on a channel that has no such name, the model's."""
        found = [c for c in self.by_name.get(model, {}).values() if c.channel.provider == provider]
        named = {candidate.channel.ref for candidate in found}
        own = self.by_name.get(OWN_NAME + model, {}).values()
        return found + [c for c in own if c.channel.provider == provider and c.channel.ref not in named]

    def priced_in(self, currency: str) -> Set[int]:
        """The refs of those with a price in a currency other than USD."""
        return self._by_currency.get(currency, frozenset())


def _currencies_of(candidate: Candidate) -> set[str]:
    return {rates.currency for rates in (*candidate.own_prices, *candidate.list_prices)} - {"USD"}
