"""Hot path. The order in which candidates are tried: a pure function of the candidates, the request, the live signals, a
source of chance and the turn.
"""

from collections.abc import Callable, Collection, Sequence
from math import log
from random import Random
from typing import NamedTuple, Protocol

from channels.records import Candidate
from routing.asking import Ask
from routing.strategies import ASC, DESC, FIELDS, HALF_ANSWER_S, HALF_USD_PER_1K, Kind, Layer, Strategy

# What a request writes that sets no limit.
USUAL_OUTPUT_TOKENS = 500
# Turns that follow one another by the golden section spread evenly, whatever the weights.
_GOLDEN = 0.6180339887498949


class Live(Protocol):
    """The live signals. ref: a candidate's. None: not known."""

    def in_flight(self, channel_ref: int) -> int: ...
    def response_ms(self, ref: int, is_streamed: bool) -> float | None: ...
    def answer_s(self, ref: int) -> float | None: ...
    def reliability(self, ref: int) -> float | None: ...
    def used_today(self, ref: int) -> int: ...
    def known(self) -> Collection[int]: ...


class Ranked(NamedTuple):
    """A candidate and its score, the member's weight in it; 0 where the strategy has no layers."""

    candidate: Candidate
    score: float


class Weighed(NamedTuple):
    """What one layer found: the number, None where it is not known, and its value from 0 to 1."""

    field: str
    number: float | None
    value: float


def _cost(c: Candidate, ask: Ask, live: Live) -> float | None:
    if c.price is None:
        return None
    output = ask.output_tokens or USUAL_OUTPUT_TOKENS
    return c.price.usd(ask.prompt_tokens, output) * 1000 / (ask.prompt_tokens + output)


def _quota(c: Candidate, ask: Ask, live: Live) -> float | None:
    if c.daily_limit is None:
        return None
    return max(0.0, 1 - live.used_today(c.ref) / c.daily_limit) if c.daily_limit else 0.0


Read = Callable[[Candidate, Ask, Live], float | None]
_READ: dict[str, Read] = {
    "effective_cost": _cost,
    "speed_score": lambda c, ask, live: live.answer_s(c.ref),
    "quality_score": lambda c, ask, live: c.quality,
    "reliability_score": lambda c, ask, live: live.reliability(c.ref),
    "quota_remaining": _quota,
    "priority": lambda c, ask, live: c.priority,
    "local": lambda c, ask, live: c.channel.kind == "local",
    "free": lambda c, ask, live: c.price is not None and c.price.is_free,
    "connections": lambda c, ask, live: live.in_flight(c.channel.ref),
    "response_time": lambda c, ask, live: live.response_ms(c.ref, ask.is_streamed),
}
assert _READ.keys() == FIELDS.keys()

# What a layer adds to the scores of candidates, in their order.
Column = Callable[[Sequence[Candidate]], list[float]]


def _columns_of(strategy: Strategy, ask: Ask, live: Live) -> list[Column]:
    """What each layer adds: the same as weigh() says, layer by layer, so that a candidate costs no call."""
    return [_FAST.get((layer.field, layer.order), _column_of)(layer, ask, live) for layer in strategy.layers]


def _column_of(layer: Layer, ask: Ask, live: Live) -> Column:
    read, weight = _READ[layer.field], layer.weight
    return lambda candidates: [weight * layer.value(read(c, ask, live)) for c in candidates]


def _cost_column(layer: Layer, ask: Ask, live: Live) -> Column:
    prompt, output = ask.prompt_tokens, ask.output_tokens or USUAL_OUTPUT_TOKENS
    half = HALF_USD_PER_1K * (prompt + output) / 1000
    top, unknown = layer.weight * half, layer.weight * FIELDS[layer.field].unknown

    def column(candidates: Sequence[Candidate]) -> list[float]:
        found = []
        for c in candidates:
            price = c.price
            if price is None:
                found.append(unknown)
            elif price.tiers:
                found.append(top / (price.usd(prompt, output) + half))
            else:
                each_input, each_output, each_request = price.flat
                found.append(top / (each_input * prompt + each_output * output + each_request + half))
        return found

    return column


def _quality_column(layer: Layer, ask: Ask, live: Live) -> Column:
    weight = layer.weight
    return lambda candidates: [weight * c.quality for c in candidates]


def _speed_column(layer: Layer, ask: Ask, live: Live) -> Column:
    seconds, top, unknown = live.answer_s, layer.weight * HALF_ANSWER_S, layer.weight * FIELDS[layer.field].unknown
    return lambda candidates: [
        unknown if (found := seconds(c.ref)) is None else top / (HALF_ANSWER_S + found) for c in candidates
    ]


def _reliability_column(layer: Layer, ask: Ask, live: Live) -> Column:
    share, weight, unknown = live.reliability, layer.weight, layer.weight * FIELDS[layer.field].unknown
    return lambda candidates: [unknown if (found := share(c.ref)) is None else weight * found**4 for c in candidates]


def _connections_column(layer: Layer, ask: Ask, live: Live) -> Column:
    weight, in_flight = layer.weight, live.in_flight
    return lambda candidates: [weight / (1 + in_flight(c.channel.ref)) for c in candidates]


def _quota_column(layer: Layer, ask: Ask, live: Live) -> Column:
    weight, used_today = layer.weight, live.used_today

    def column(candidates: Sequence[Candidate]) -> list[float]:
        found = []
        for c in candidates:
            limit = c.daily_limit
            found.append(weight * max(0.0, 1 - used_today(c.ref) / limit) if limit else 0.0 if limit == 0 else weight)
        return found

    return column


# The layers that most strategies have, in their usual order.
_FAST: dict[tuple[str, str], Callable[[Layer, Ask, Live], Column]] = {
    ("effective_cost", ASC): _cost_column,
    ("quality_score", DESC): _quality_column,
    ("speed_score", DESC): _speed_column,
    ("reliability_score", DESC): _reliability_column,
    ("connections", ASC): _connections_column,
    ("quota_remaining", DESC): _quota_column,
}


def weigh(candidate: Candidate, strategy: Strategy, ask: Ask, live: Live) -> list[Weighed]:
    """What each layer of the strategy says of the candidate."""
    found = []
    for layer in strategy.layers:
        number = _READ[layer.field](candidate, ask, live)
        found.append(Weighed(layer.field, number, layer.value(number)))
    return found


def values_of(candidates: Sequence[Candidate], strategy: Strategy, ask: Ask, live: Live) -> list[list[float]]:
    """The value of each layer for each candidate, to three digits: as weigh() finds it, at the pace of every request."""
    weights = [layer.weight for layer in strategy.layers]
    if not weights:
        return [[] for _candidate in candidates]
    if not all(weights):
        return [[round(found.value, 3) for found in weigh(c, strategy, ask, live)] for c in candidates]
    columns = [column(candidates) for column in _columns_of(strategy, ask, live)]
    return [
        [int(value / weight * 1000 + 0.5) / 1000 for value, weight in zip(row, weights, strict=True)]
        for row in zip(*columns, strict=True)
    ]


def rank(
    candidates: Sequence[Candidate], strategy: Strategy, ask: Ask, live: Live, random: Random, turn: int = 0
) -> list[Ranked]:
    """Each candidate once, the first to be tried first. turn: how often the name was asked for, for Kind.ROTATION."""
    if strategy.kind is Kind.SCORE:
        return _by_score(candidates, strategy, ask, live, random)
    if len(candidates) == 1:
        return [Ranked(candidates[0], 0.0)]
    if strategy.kind is Kind.LISTED:
        order = sorted(candidates, key=lambda c: (c.priority, c.position, c.channel.ref, c.ref))
    else:
        order = _by_weight(candidates, random)
        if strategy.kind is Kind.ROTATION:
            _put_in_turn(order, turn)
    return [Ranked(candidate, 0.0) for candidate in order]


def _by_score(
    candidates: Sequence[Candidate], strategy: Strategy, ask: Ask, live: Live, random: Random
) -> list[Ranked]:
    scores, has_tiers, draw = [0.0] * len(candidates), strategy.has_tiers, random.random
    for column in _columns_of(strategy, ask, live):
        scores = [score + value for score, value in zip(scores, column(candidates), strict=True)]
    keyed = [
        (c.priority if has_tiers else 0, -score * c.weight, c.priority, draw(), index)
        for index, (c, score) in enumerate(zip(candidates, scores, strict=True))
    ]
    keyed.sort()
    return [Ranked(candidates[index], -score) for _tier, score, _priority, _draw, index in keyed]


def _by_weight(candidates: Sequence[Candidate], random: Random) -> list[Candidate]:
    """By priority (1 first), within one priority at random by weight.

    A candidate of weight w comes first among its equals with probability w / sum of weights; weight 0 comes last.
    """
    # Efraimidis and Spirakis: sorting by exponential draws of rate w is weighted sampling without replacement.
    drawn = [
        (c.priority, c.weight <= 0, -log(1 - random.random()) / c.weight if c.weight > 0 else 0.0, index)
        for index, c in enumerate(candidates)
    ]
    return [candidates[index] for _priority, _is_idle, _draw, index in sorted(drawn)]


def _put_in_turn(order: list[Candidate], turn: int) -> None:
    """Bring the one whose turn it is to the front: within the best priority, each as often as its weight says."""
    best = sorted((c for c in order if c.priority == order[0].priority), key=lambda c: (c.position, c.ref))
    point = (turn * _GOLDEN % 1.0) * sum(c.weight for c in best)
    for candidate in best:
        point -= candidate.weight
        if point < 0 and candidate.weight > 0:
            order.remove(candidate)
            order.insert(0, candidate)
            return
