"""Hot path. The order in which candidates are tried: a pure function of the candidates and a source of chance."""

from collections.abc import Sequence
from math import log
from random import Random

from channels.records import Candidate


def rank(candidates: Sequence[Candidate], random: Random) -> list[Candidate]:
    """Each candidate once: by priority (1 first), within one priority at random by weight.

    A candidate of weight w comes first among its equals with probability w / sum of weights; weight 0 comes last.
    """
    if len(candidates) == 1:
        return list(candidates)
    # Efraimidis and Spirakis: sorting by exponential draws of rate w is weighted sampling without replacement.
    drawn = [
        (c.priority, c.weight <= 0, -log(1 - random.random()) / c.weight if c.weight > 0 else 0.0, index)
        for index, c in enumerate(candidates)
    ]
    return [candidates[index] for _priority, _is_idle, _draw, index in sorted(drawn)]
