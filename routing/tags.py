"""Hot path. Which candidates have which tags, and which a group's tags and filters let in: kept true with each change."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import Any

from channels.records import Candidate
from providers.naming import FREE_TAG
from routing.backlog import Backlog
from routing.eligible import reason_of_filters
from routing.lots import Lots
from routing.orders import Head, Name
from routing.rows import GroupRow

# How many tag queries are remembered.
QUERIES_AT_MOST = 64
STEP = 64
# Of a group that is asked for before its selection is complete, so many are looked at right then.
AT_FIRST = 512
NO_REFS: frozenset[int] = frozenset()


def tags_now(candidate: Candidate) -> frozenset[str]:
    """The candidate's tags, with `free` where it costs nothing now."""
    is_free = candidate.price is not None and candidate.price.is_free
    return candidate.tags | {FREE_TAG} if is_free else candidate.tags


def _judged(candidate: Candidate | None) -> tuple[Any, ...] | None:
    """All that tags, filters and lots look at."""
    if candidate is None:
        return None
    price, channel = candidate.price, candidate.channel
    cost = None if price is None else (price.per_1k, price.is_free)
    facts = candidate.tags, cost, candidate.context_length, candidate.capabilities, channel.kind, channel.region
    return *facts, candidate.priority, candidate.weight


class Selection:
    """The refs of the candidates that have all of the tags and, with a group, pass its filters.

    pending: those that were not looked at yet. lots: of its candidates, from when they are first asked for; unput: those that
    are still to be put into them.
    """

    def __init__(self, tags: frozenset[str], group: GroupRow | None = None) -> None:
        self.tags, self.group = tags, group
        self.refs: set[int] = set()
        self.pending: set[int] = set()
        self.lots: Lots | None = None
        self.unput: list[int] = []
        self._heads: dict[Name, Head] = {}

    def offer(self, ref: int, candidate: Candidate | None, tags: frozenset[str]) -> None:
        """Let a candidate in or out, as it is now; None: it is gone."""
        lets_in = (
            candidate is not None
            and self.tags <= tags
            and (self.group is None or reason_of_filters(candidate, self.group) is None)
        )
        if lets_in != (ref in self.refs):
            self._heads.clear()
            (self.refs.add if lets_in else self.refs.discard)(ref)
        if self.lots is not None:
            if candidate is not None and lets_in:
                self.lots.put(ref, candidate.priority, candidate.weight)
            else:
                self.lots.drop(ref)

    def head_in(self, name: Name) -> Head:
        """What is remembered of the beginning of the selection in the order of that name."""
        head = self._heads.get(name)
        if head is None:
            head = self._heads[name] = Head()
        return head


class Selections:
    """The selections of groups and of the last tag queries, over an index of tags."""

    def __init__(self, candidates: Mapping[int, Candidate], backlog: Backlog) -> None:
        self._candidates = candidates
        self._backlog = backlog
        self._by_tag: dict[str, set[int]] = defaultdict(set)
        self._queries: OrderedDict[frozenset[str], Selection] = OrderedDict()
        self._groups: dict[int, Selection] = {}
        # Counts how often the selection that a group has is another one, or a larger one of those that grow.
        self.turnovers = 0
        # What will stand in _groups when all candidates were looked at.
        self._growing: dict[int, Selection] = {}
        # Those whose lots are not complete.
        self._filling: list[Selection] = []

    def of_tags(self, tags: frozenset[str]) -> Selection:
        """The candidates that have all of the tags."""
        known = self._queries.get(tags)
        if known is not None:
            self._queries.move_to_end(tags)
            return known
        made = Selection(tags)
        made.refs |= self._refs_of(tags)
        if made.refs:  # what is known to nobody is not worth a place
            self._queries[tags] = made
            if len(self._queries) > QUERIES_AT_MOST:
                self._queries.popitem(last=False)
        return made

    def of_group(self, group: GroupRow) -> Selection:
        """The candidates that the group selects; until all were looked at, those that it had before, else the first found."""
        known = self._groups.get(group.ref)
        if known is not None:
            return known
        if group.ref not in self._growing:
            self.put_group(group.ref, group)
        growing = self._growing.get(group.ref)
        if growing is not None and not growing.refs:
            for _ in range(AT_FIRST // STEP):
                if not self._grow(group.ref):
                    break
        return self._groups.get(group.ref) or self._growing[group.ref]

    def lots_of(self, selection: Selection) -> Lots | None:
        """The lots of a selection; None while they are being made."""
        if selection.lots is None:
            selection.lots, selection.unput = Lots(), list(selection.refs)
            self._filling.append(selection)
            self._backlog.add(self._fill)
        return None if selection.unput else selection.lots

    def put_group(self, ref: int, group: GroupRow | None) -> None:
        """A group is new, has changed or is gone."""
        self._growing.pop(ref, None)
        if group is None or not group.selects:
            self._groups.pop(ref, None)
            return
        made = self._growing[ref] = self._begin(group)
        if ref in self._groups and self._groups[ref].lots is not None:
            made.lots = Lots()  # they grow with it, and are complete when it takes its place
        self._backlog.add(self._grow_all)

    def put(self, ref: int, old: Candidate | None, new: Candidate | None) -> None:
        """A candidate is new (old is None), has changed or is gone (new is None)."""
        if _judged(old) == _judged(new):
            return
        had = tags_now(old) if old is not None else frozenset[str]()
        has = tags_now(new) if new is not None else frozenset[str]()
        for tag in had - has:
            self._by_tag[tag].discard(ref)
            if not self._by_tag[tag]:
                del self._by_tag[tag]
        for tag in has - had:
            self._by_tag[tag].add(ref)
        for selections in (self._queries, self._groups, self._growing):
            for selection in selections.values():
                selection.offer(ref, new, has)

    def _begin(self, group: GroupRow) -> Selection:
        made = Selection(frozenset(group.tags), group)
        made.pending.update(self._refs_of(made.tags))
        return made

    def _refs_of(self, tags: Iterable[str]) -> Set[int]:
        found = sorted((self._by_tag.get(tag, NO_REFS) for tag in tags), key=len)
        return found[0].intersection(*found[1:]) if found else self._candidates.keys()

    def _grow_all(self) -> bool:
        for ref in self._growing:
            self._grow(ref)
            break
        return bool(self._growing)

    def _grow(self, ref: int) -> bool:
        selection = self._growing[ref]
        for _ in range(min(STEP, len(selection.pending))):
            candidate = self._candidates.get(selection.pending.pop())
            if candidate is not None:
                selection.offer(candidate.ref, candidate, tags_now(candidate))
        if not selection.pending:
            self._groups[ref] = self._growing.pop(ref)
        if ref not in self._growing or ref not in self._groups:
            self.turnovers += 1
        return ref in self._growing

    def _fill(self) -> bool:
        if self._filling:
            selection = self._filling[0]
            for _ in range(min(STEP, len(selection.unput))):
                candidate = self._candidates.get(selection.unput.pop())
                if candidate is not None and candidate.ref in selection.refs and selection.lots is not None:
                    selection.lots.put(candidate.ref, candidate.priority, candidate.weight)
            if not selection.unput:
                self._filling.pop(0)
        return bool(self._filling)
