"""Hot path. One stage's candidates in order.

A small pool is weighed as a whole. Of a large one only a shortlist is weighed exactly: the first by the pool's precomputed
order, and those of which live signals are known; the rest follows in the precomputed order, should it be needed. What a
request looks at is bounded over all its stages, whatever it asks for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from random import Random

from channels.records import Candidate
from routing.eligible import Excluded, Gate, Reason, Standing, sift, standing_of
from routing.pools import Pool
from routing.rank import Ranked, rank
from routing.resolve import Stage
from routing.rows import GroupRow
from routing.strategies import Kind

SHORTLIST = 64
# Of those of which live signals are known so many are weighed; of more, others each time.
KNOWN_AT_MOST = 128
KNOWN_LOOKED_AT = 2000
# So many of large pools are looked at in their order. Where none of them may serve, so many are looked at in any order.
ORDERED_LOOKS = 1000
PLAIN_LOOKS = 20_000


@dataclass(slots=True)
class Looks:
    """How much a request may still look at in large pools. A channel of another tenant counts little: it costs little."""

    ordered: int = ORDERED_LOOKS
    plain: int = PLAIN_LOOKS


@dataclass(slots=True)
class Ranking:
    """One stage's candidates in order: `head` is weighed exactly, `rest` comes after it, unweighed.

    excluded: of a large pool those that were looked at.
    """

    stage: Stage
    index: int
    head: list[Ranked]
    excluded: list[Excluded]
    rest: Iterator[Candidate]


def rank_stage(stage: Stage, index: int, gate: Gate, random: Random, turn: int, looks: Looks) -> Ranking:
    """The ranking of the index-th stage of a request; its head is empty where nobody may serve."""
    pool, strategy = stage.pool, stage.strategy
    if pool.is_large:
        return _rank_large(stage, index, gate, random, looks)
    able, others = sift(_standing(pool, stage.filters), gate)
    if strategy.one_provider and not gate.provider:
        able, more = _of_one_provider(able)
        others += more
    return Ranking(stage, index, rank(able, strategy, gate.ask, gate.live, random, turn), others, iter(()))


def _standing(pool: Pool, filters: GroupRow | None) -> Standing:
    """Worked out once for a pool, which a group keeps as long as its members stay as they are."""
    known = pool.standing
    if known is None or known[0] is not filters:
        known = pool.standing = (filters, standing_of(pool, filters))
    return known[1]


def _rank_large(stage: Stage, index: int, gate: Gate, random: Random, looks: Looks) -> Ranking:
    pool, strategy = stage.pool, stage.strategy
    order = pool.best_first(strategy, random)
    able, unknown, others = _shortlist(order, gate, looks)
    if not able and not unknown:
        able, unknown = _anybody(stage, gate, looks)
    if strategy.one_provider and not gate.provider and (able or unknown):
        gate = replace(gate, provider=_provider_of_best(able or unknown))
        return _rank_large(stage, index, gate, random, looks)
    may_guess = not able
    if able:
        others += [Excluded(candidate, Reason.NOT_KNOWN) for candidate in unknown]
    chosen, more = (able, []) if able else (unknown[:SHORTLIST], unknown[SHORTLIST:])
    if strategy.kind is Kind.SCORE:
        seen = {candidate.ref for candidate in chosen}
        chosen += [c for c in _known(stage, gate, random) if c.ref not in seen and _passes(gate, c, may_guess)]
        head = rank(chosen, strategy, gate.ask, gate.live, random)
    else:  # the pool's order is drawn for this request already
        head = [Ranked(candidate, 0.0) for candidate in chosen]
    seen = {candidate.ref for candidate in chosen}
    behind = chain(more, _within(order, looks))
    rest = (c for c in behind if c.ref not in seen and _passes(gate, c, may_guess))
    return Ranking(stage, index, head, others, rest)


def _shortlist(
    order: Iterator[Candidate], gate: Gate, looks: Looks
) -> tuple[list[Candidate], list[Candidate], list[Excluded]]:
    """The first that may serve; those of which it is not known; the others that were looked at on the way."""
    able: list[Candidate] = []
    unknown: list[Candidate] = []
    others: list[Excluded] = []
    for candidate in _within(order, looks):
        reason = gate.reason_against(candidate)
        if reason is None:
            able.append(candidate)
            if len(able) == SHORTLIST:
                break
        elif reason is Reason.NOT_KNOWN:
            unknown.append(candidate)
        elif reason is Reason.FOREIGN:
            looks.ordered += 1
            looks.plain -= 1
        else:
            others.append(gate.excluded(candidate, reason))
    return able, unknown, others


def _within(order: Iterator[Candidate], looks: Looks) -> Iterator[Candidate]:
    """As many of them as may be looked at."""
    while looks.ordered > 0 and looks.plain > 0:
        candidate = next(order, None)
        if candidate is None:
            return
        looks.ordered -= 1
        yield candidate


def _anybody(stage: Stage, gate: Gate, looks: Looks) -> tuple[list[Candidate], list[Candidate]]:
    """Some who may serve, wherever they stand: a request is refused for what it needs only where all were looked at."""
    able: list[Candidate] = []
    unknown: list[Candidate] = []
    for candidate in stage.pool:
        if looks.plain <= 0 or len(able) == SHORTLIST:
            break
        looks.plain -= 1
        reason = gate.reason_against(candidate)
        if reason is None:
            able.append(candidate)
        elif reason is Reason.NOT_KNOWN and len(unknown) < SHORTLIST:
            unknown.append(candidate)
    return able, unknown


def _known(stage: Stage, gate: Gate, random: Random) -> list[Candidate]:
    found = [stage.pool.find(ref) for ref in islice(gate.live.known(), KNOWN_LOOKED_AT)]
    known = [candidate for candidate in found if candidate is not None]
    return known if len(known) <= KNOWN_AT_MOST else random.sample(known, KNOWN_AT_MOST)


def _passes(gate: Gate, candidate: Candidate, may_guess: bool) -> bool:
    reason = gate.reason_against(candidate)
    return reason is None or (may_guess and reason is Reason.NOT_KNOWN)


def _of_one_provider(able: list[Candidate]) -> tuple[list[Candidate], list[Excluded]]:
    if not able:
        return able, []
    chosen = _provider_of_best(able)
    kept = [c for c in able if c.channel.provider == chosen]
    return kept, [Excluded(c, Reason.PROVIDER) for c in able if c.channel.provider != chosen]


def _provider_of_best(able: list[Candidate]) -> str:
    return min(able, key=lambda c: (c.priority, c.position, c.ref)).channel.provider
