"""The order of candidates: by priority, then by chance in proportion to weight."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.records import Candidate
from routing.rank import rank
from tests.routing import tables as t

TABLE = t.table_of(
    [
        ("providers.provider", t.provider(1)),
        ("providers.providermodel", t.model(1, 1)),
        ("channels.channel", t.channel(1, 1)),
        ("channels.offering", t.offering(1, 1, 1)),
    ]
)
ONE = TABLE.candidates[1]


def candidates(*terms: tuple[int, float]) -> list[Candidate]:
    """Candidates with these priorities and weights; their refs are their places."""
    return [replace(ONE, ref=ref, priority=priority, weight=weight) for ref, (priority, weight) in enumerate(terms)]


def firsts(found: list[Candidate], turns: int, seed: int = 7) -> Counter[int]:
    """How often each came first."""
    random = Random(seed)
    return Counter(rank(found, random)[0].ref for _turn in range(turns))


TERMS = st.lists(
    st.tuples(st.integers(0, 4), st.floats(0, 1e6, allow_nan=False, allow_subnormal=True)), min_size=0, max_size=12
)


@given(TERMS, st.integers())
def test_each_candidate_comes_once_and_priorities_never_mix(terms: list[tuple[int, float]], seed: int) -> None:
    found = rank(candidates(*terms), Random(seed))

    assert sorted(c.ref for c in found) == list(range(len(terms)))
    assert [c.priority for c in found] == sorted(c.priority for c in found)


@given(TERMS, st.integers())
def test_weight_0_comes_after_all_others_of_its_priority(terms: list[tuple[int, float]], seed: int) -> None:
    found = rank(candidates(*terms), Random(seed))

    for priority in {c.priority for c in found}:
        idle = [c.weight == 0 for c in found if c.priority == priority]
        assert idle == sorted(idle)


@given(TERMS, st.integers())
def test_the_same_chance_gives_the_same_order_and_changes_nothing(terms: list[tuple[int, float]], seed: int) -> None:
    given_ones = candidates(*terms)
    kept = list(given_ones)

    assert rank(given_ones, Random(seed)) == rank(tuple(given_ones), Random(seed))
    assert given_ones == kept


@pytest.mark.parametrize(
    "weights", [(1.0, 1.0), (3.0, 1.0), (0.5, 0.25, 0.25), (10.0, 1.0, 0.1), (1e-9, 3e-9), (1e9, 1e9)]
)
def test_the_share_of_first_places_is_the_share_of_the_weight(weights: tuple[float, ...]) -> None:
    turns = 20_000

    found = firsts(candidates(*((1, weight) for weight in weights)), turns)

    for ref, weight in enumerate(weights):
        share = weight / sum(weights)
        tolerance = 5 * (share * (1 - share) / turns) ** 0.5
        assert abs(found[ref] / turns - share) <= tolerance


def test_the_second_place_goes_by_the_weights_that_are_left() -> None:
    random, found = Random(3), candidates((1, 6.0), (1, 3.0), (1, 1.0))

    seconds = Counter(rank(found, random)[1].ref for _turn in range(20_000))

    # P(second = 1) = P(0 first) * 3/4 + P(2 first) * 3/9
    assert seconds[1] / 20_000 == pytest.approx(0.6 * 0.75 + 0.1 / 3, abs=0.02)


def test_those_of_weight_0_keep_their_own_order() -> None:
    assert [c.ref for c in rank(candidates((1, 0.0), (1, 0.0), (1, 1.0)), Random(1))] == [2, 0, 1]


def test_nothing_and_one_are_easy() -> None:
    assert rank([], Random(1)) == []
    assert [c.ref for c in rank(candidates((9, 0.0)), Random(1))] == [0]
