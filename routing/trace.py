"""Hot path. The compact trace of a choice, which stays with each usage record.

A trace has at most FIRST_AT_MOST + NAMED_AT_MOST pairs of names, of 100 and 200 characters at most, the ten fields that
layers can weigh, and the count of each reason: 300 bytes as a rule, 12 kB where every name is as long as it can be and has
no ASCII in it.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from channels.records import Candidate
from routing.choosing import Choices
from routing.eligible import Excluded, Reason
from routing.glance import glance_at
from routing.rank import values_of
from routing.ranking import Ranking
from routing.strategies import Kind

FIRST_AT_MOST = 5
NAMED_AT_MOST = 3
# Of a stage's excluded ones, so many are counted.
COUNTED_AT_MOST = 1000
Trace = Mapping[str, Any]


def trace_of(choices: Choices, candidate: Candidate, made: dict[int, dict[str, Any]]) -> Trace | None:
    """The trace for an attempt on the candidate; None where there was nothing to choose: one candidate, nobody excluded.

    made: the request's traces so far, one a stage, so that all of its attempts tell what was seen when it was ranked.

    strategy, fields: by what it was weighed. name: where what serves is not the first that was tried; group: where it is a
    fallback group. first: the first candidates as [channel, offered name, score or null, value of each field, priority,
    weight]. candidates: how many there were; has_more: and others behind them. place: which of them this attempt was, from
    1. excluded: how many for which reason; named: some of them as [channel, offered name, reason].
    """
    rankings = choices.rankings
    if len(choices.stages) == 1:
        only = rankings[0]
        if len(only.head) == 1 and not only.excluded and not only.stage.pool.is_large:
            return None
    ranking, place = _place_of(rankings, candidate)
    trace = made.get(ranking.index)
    if trace is None:
        trace = made[ranking.index] = _made(choices, ranking)
    return trace if place is None else {"place": place, **trace}


def _place_of(rankings: list[Ranking], candidate: Candidate) -> tuple[Ranking, int | None]:
    for ranking in rankings:
        for place, ranked in enumerate(ranking.head, start=1):
            if ranked.candidate is candidate:
                return ranking, place
    return rankings[-1], None  # one of many behind those that were weighed


def _made(choices: Choices, ranking: Ranking) -> dict[str, Any]:
    stage, head = ranking.stage, ranking.head
    strategy, ask, live = stage.strategy, choices.ask, glance_at(choices.live)
    first, is_scored = head[:FIRST_AT_MOST], strategy.kind is Kind.SCORE
    trace: dict[str, Any] = {
        "strategy": strategy.name,
        "fields": [layer.field for layer in strategy.layers],
        "candidates": len(head),
        "first": [
            [c.channel.name, c.name, round(score, 3) if is_scored else None, values, c.priority, c.weight]
            for (c, score), values in zip(
                first, values_of([c for c, _score in first], strategy, ask, live), strict=True
            )
        ],
    }
    if stage.pool.is_large:
        trace["has_more"] = True
    if ranking.index > 0:
        trace["name"] = stage.name
    if stage.is_fallback and stage.group is not None:
        trace["group"] = stage.group.name
    excluded = [
        each
        for earlier in choices.rankings[: ranking.index + 1]
        for each in islice(earlier.excluded, COUNTED_AT_MOST)
        if each.reason is not Reason.REPEATED
    ]
    if excluded:
        trace["excluded"] = _counted(excluded)
        trace["named"] = [
            [each.candidate.channel.name, each.candidate.name, each.reason.value] for each in excluded[:NAMED_AT_MOST]
        ]
    return trace


def _counted(excluded: list[Excluded]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in excluded:
        reason = each.reason.value
        counts[reason] = counts.get(reason, 0) + 1
    return counts
