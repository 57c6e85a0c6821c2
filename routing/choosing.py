"""Hot path. What a request may be tried on, in order: the ranked candidates of its stages, each candidate once."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from channels.records import Candidate
from routing.asking import Ask
from routing.eligible import Excluded, Gate, Reason
from routing.rank import Live
from routing.ranking import SHORTLIST, Looks, Ranking, rank_stage
from routing.resolve import Caller, Stage
from routing.strategies import Kind

# Names whose channels take turns; clients make up names of tag queries.
TURNS_AT_MOST = 4096


@dataclass(slots=True)
class Choices:
    """What is left to try, stage after stage; each stage is ranked when it is reached."""

    stages: Sequence[Stage]
    caller: Caller
    ask: Ask
    live: Live
    random: Random
    turns: MutableMapping[str, int]
    needs_price: bool = False  # the caller has a budget: nothing of unknown price
    looks: Looks = field(default_factory=Looks)
    rankings: list[Ranking] = field(default_factory=list)
    _at: int = 0  # the stage of what was taken last
    _above: int = -1  # only contexts longer than this
    _has_begun: bool = False
    _is_exhausted: bool = False  # everything was ranked and handed out to those that wait
    _waiting: list[tuple[Candidate, Ranking]] = field(default_factory=list)  # the last one is the next one
    _seen: set[int] = field(default_factory=set)

    def look_ahead(self, at_most: int) -> int:
        """How many candidates are left to try; counted no further than at_most."""
        while len(self._waiting) < at_most and self._fill():
            pass
        return min(len(self._waiting), at_most)

    @property
    def current(self) -> Stage:
        """The stage of what was taken last."""
        return self.stages[self._at]

    def peek(self, at_most: int) -> list[Candidate]:
        """The next candidates, as far as that can be said now."""
        self.look_ahead(at_most)
        return [candidate for candidate, _ranking in self._waiting[-at_most:]]

    def take(self, attempts_left: int, not_on: frozenset[int] = frozenset()) -> Candidate | None:
        """The next candidate. attempts_left: with this one. Each later stage gets one of them, if they are few.

        not_on: refs of channels that are out of the question.
        """
        # A channel that was switched off or given away meanwhile is out at once.
        self._waiting = [entry for entry in self._waiting if entry[0].channel.is_active]
        if self.look_ahead(1) == 0:
            return None
        entry = self._of_later_stage() if attempts_left <= len(self.stages) - 1 - self._at and self._has_begun else None
        if not_on and (entry or self._waiting[-1])[0].channel.ref in not_on:
            if entry is not None:
                self._waiting.append(entry)
            entry = self._on_another(not_on)
            if entry is None:
                return None
        candidate, ranking = entry or self._waiting.pop()
        self._at = ranking.index
        self._has_begun = True
        return candidate

    def _on_another(self, not_on: frozenset[int]) -> tuple[Candidate, Ranking] | None:
        """The first on another channel than these, of what waits and of the next stage that has one."""
        while True:
            for place in range(len(self._waiting) - 1, -1, -1):
                if self._waiting[place][0].channel.ref not in not_on:
                    return self._waiting.pop(place)
            if not self._rank_next_stage():
                return None

    def keep_contexts_above(self, context_length: int) -> None:
        """Leave only candidates that are known to take more than this many tokens."""
        self._above = context_length
        self._waiting = [entry for entry in self._waiting if (entry[0].context_length or 0) > context_length]

    def rank_all(self) -> None:
        """Rank every stage now, for an account of all of them."""
        while self._rank_next_stage():
            pass

    def _of_later_stage(self) -> tuple[Candidate, Ranking] | None:
        while True:
            for place in range(len(self._waiting) - 1, -1, -1):
                if self._waiting[place][1].index > self._at:
                    return self._waiting.pop(place)
            if not self._rank_next_stage():
                return None

    def _fill(self) -> bool:
        """Whether there was more to put behind those that wait: the rest of what was ranked, or the next stage's."""
        if self._is_exhausted:
            return False
        for ranking in self.rankings:
            if more := list(islice(ranking.rest, SHORTLIST)):
                self._append(more, ranking)
                return True
        self._is_exhausted = not self._rank_next_stage()
        return not self._is_exhausted

    def _rank_next_stage(self) -> bool:
        index = len(self.rankings)
        if index == len(self.stages):
            return False
        stage = self.stages[index]
        ranking = rank_stage(stage, index, self._gate(stage), self.random, self._turn(stage), self.looks)
        if self._seen:
            again = [ranked.candidate for ranked in ranking.head if ranked.candidate.ref in self._seen]
            ranking.excluded += [Excluded(candidate, Reason.REPEATED) for candidate in again]
            ranking.head = [ranked for ranked in ranking.head if ranked.candidate.ref not in self._seen]
        self.rankings.append(ranking)
        self._append([ranked.candidate for ranked in ranking.head], ranking)
        return True

    def _append(self, candidates: Sequence[Candidate], ranking: Ranking) -> None:
        entries = [
            (c, ranking)
            for c in reversed(candidates)
            if c.ref not in self._seen and (self._above < 0 or (c.context_length or 0) > self._above)
        ]
        self._seen.update([c.ref for c in candidates])
        self._waiting[:0] = entries

    def _gate(self, stage: Stage) -> Gate:
        caller = self.caller
        provider = self.ask.provider or stage.provider
        needs_price = self.needs_price or stage.needs_price
        return Gate(self.ask, self.live, caller.owners, caller.key.denied, stage.filters, provider, needs_price)

    def _turn(self, stage: Stage) -> int:
        if stage.strategy.kind is not Kind.ROTATION:
            return 0
        name = stage.group.name if stage.group else stage.name
        if len(self.turns) >= TURNS_AT_MOST:
            self.turns.clear()
        turn = self.turns[name] = self.turns.get(name, 0) + 1
        return turn
