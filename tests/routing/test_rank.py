"""The order of candidates: each preset, each field, chance in proportion to weight."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.records import Candidate
from providers.price_facts import PriceFacts
from routing.rank import rank, weigh
from routing.strategies import AUTO, FIELDS, PRESETS, Layer, strategy_of
from tests.routing.weighing import ASK, Numbers, candidate, price

TIERED = [name for name, strategy in PRESETS.items() if strategy.has_tiers]


def candidates(*terms: tuple[int, float]) -> list[Candidate]:
    """Candidates with these priorities and weights; their refs are their places."""
    return [candidate(ref, priority=priority, weight=weight) for ref, (priority, weight) in enumerate(terms)]


def order(found: list[Candidate], preset: str = "auto", seed: int = 7, turn: int = 1, **live: Any) -> list[int]:
    """The refs in the order in which they are tried."""
    return [ranked.candidate.ref for ranked in rank(found, PRESETS[preset], ASK, Numbers(**live), Random(seed), turn)]


TERMS = st.lists(
    st.tuples(st.integers(0, 4), st.floats(0, 1e6, allow_nan=False, allow_subnormal=True)), min_size=0, max_size=12
)
LIVE = st.fixed_dictionaries(
    {
        "flying": st.dictionaries(st.integers(0, 11), st.integers(0, 1000)),
        "response": st.dictionaries(st.integers(0, 11), st.floats(0, 1e6)),
        "answer": st.dictionaries(st.integers(0, 11), st.floats(0, 1e6)),
        "good": st.dictionaries(st.integers(0, 11), st.floats(0, 1)),
        "used": st.dictionaries(st.integers(0, 11), st.integers(0, 1000)),
    }
)
STRATEGIES = st.sampled_from(sorted(PRESETS))


@given(TERMS, STRATEGIES, LIVE, st.integers(), st.integers(0, 10**6))
def test_each_candidate_comes_once_whatever_the_strategy_and_the_live_state(
    terms: list[tuple[int, float]], preset: str, live: dict[str, Any], seed: int, turn: int
) -> None:
    found = order(candidates(*terms), preset, seed, turn, **live)

    assert sorted(found) == list(range(len(terms)))


@given(TERMS, st.sampled_from(TIERED), LIVE, st.integers(), st.integers(0, 10**6))
def test_priorities_never_mix_where_a_strategy_has_tiers(
    terms: list[tuple[int, float]], preset: str, live: dict[str, Any], seed: int, turn: int
) -> None:
    found = [terms[ref][0] for ref in order(candidates(*terms), preset, seed, turn, **live)]

    assert found == sorted(found)


@given(TERMS, STRATEGIES, LIVE, st.integers(), st.integers(0, 10**6))
def test_the_same_chance_gives_the_same_order_and_changes_nothing(
    terms: list[tuple[int, float]], preset: str, live: dict[str, Any], seed: int, turn: int
) -> None:
    given_ones = candidates(*terms)
    kept = list(given_ones)

    assert order(given_ones, preset, seed, turn, **live) == order(list(given_ones), preset, seed, turn, **live)
    assert given_ones == kept


@given(TERMS, st.integers())
def test_weight_0_comes_after_all_others_of_its_priority(terms: list[tuple[int, float]], seed: int) -> None:
    found = order(candidates(*terms), seed=seed)

    for priority in {priority for priority, _weight in terms}:
        idle = [terms[ref][1] == 0 for ref in found if terms[ref][0] == priority]
        assert idle == sorted(idle)


# --- shares


def firsts(found: list[Candidate], preset: str, turns: int, seed: int = 7) -> Counter[int]:
    """How often each came first."""
    random = Random(seed)
    return Counter(rank(found, PRESETS[preset], ASK, Numbers(), random, turn)[0].candidate.ref for turn in range(turns))


@pytest.mark.parametrize(
    "weights", [(1.0, 1.0), (3.0, 1.0), (0.5, 0.25, 0.25), (10.0, 1.0, 0.1), (1e-9, 3e-9), (1e9, 1e9)]
)
def test_the_share_of_first_places_is_the_share_of_the_weight(weights: tuple[float, ...]) -> None:
    turns = 20_000

    found = firsts(candidates(*((1, weight) for weight in weights)), "auto", turns)

    for ref, weight in enumerate(weights):
        share = weight / sum(weights)
        tolerance = 5 * (share * (1 - share) / turns) ** 0.5
        assert abs(found[ref] / turns - share) <= tolerance


@pytest.mark.parametrize("preset", ["auto", "weighted_round_robin", "specified_provider"])
def test_ten_thousand_picks_by_5_3_2_stay_within_2_points(preset: str) -> None:
    found = firsts(candidates((1, 5.0), (1, 3.0), (1, 2.0), (2, 100.0)), preset, 10_000)

    assert [found[ref] / 100 for ref in range(4)] == [
        pytest.approx(50, abs=2),
        pytest.approx(30, abs=2),
        pytest.approx(20, abs=2),
        0,
    ]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 10**6))
def test_round_robin_keeps_to_the_weights_over_every_stretch(weights: list[int], begin: int) -> None:
    found = candidates(*((1, float(weight)) for weight in weights))
    turns = 60 * sum(weights)

    counted = Counter(order(found, "weighted_round_robin", turn=begin + turn)[0] for turn in range(turns))

    for ref, weight in enumerate(weights):
        assert abs(counted[ref] - 60 * weight) <= 8


def test_the_second_place_goes_by_the_weights_that_are_left() -> None:
    random, found = Random(3), candidates((1, 6.0), (1, 3.0), (1, 1.0))

    seconds = Counter(rank(found, AUTO, ASK, Numbers(), random)[1].candidate.ref for _turn in range(20_000))

    # P(second = 1) = P(0 first) * 3/4 + P(2 first) * 3/9
    assert seconds[1] / 20_000 == pytest.approx(0.6 * 0.75 + 0.1 / 3, abs=0.02)


def test_those_of_weight_0_keep_their_own_order() -> None:
    assert order(candidates((1, 0.0), (1, 0.0), (1, 1.0))) == [2, 0, 1]


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_and_one_are_easy(preset: str) -> None:
    assert order([], preset) == []
    assert order(candidates((9, 0.0)), preset) == [0]


# --- presets

CHEAP = candidate(1, price=price(0.1), quality=0.4, provider="p1")
GOOD = candidate(2, price=price(10.0), quality=0.95, provider="p2")
FREE = candidate(3, price=price(0.0), quality=0.28, provider="p3")
OURS = candidate(4, price=price(0.5), quality=0.5, provider="p4", kind="local")
UNPRICED = candidate(5, price=None, quality=0.6, provider="p5")
TIERED_PRICE = PriceFacts((1e-6, 2e-6, 0.001), 0.002, False, tiers=((1000, (2e-6, 3e-6, 0.002)),))
ALL = [GOOD, UNPRICED, OURS, CHEAP, FREE]


@pytest.mark.parametrize(
    ("preset", "live", "expected"),
    [
        ("fallback", {}, [1, 2, 3, 4, 5]),
        ("cost_optimized", {}, [3, 1, 4, 2, 5]),
        ("cost_first", {}, [3, 1, 4, 2, 5]),
        ("cost_first", {"good": {3: 0.5}}, [1, 4, 3, 2, 5]),
        ("free_first", {}, [3, 1, 4, 2, 5]),
        ("free_first", {"answer": {3: 100.0, 1: 0.5}}, [3, 1, 4, 2, 5]),
        ("local_first", {}, [4, 3, 1, 2, 5]),
        ("local_first", {"good": {4: 0.2}, "answer": {4: 60.0}}, [4, 3, 1, 2, 5]),
        ("quality_optimized", {}, [2, 5, 4, 1, 3]),
        ("speed_optimized", {"answer": {1: 9.0, 2: 1.0, 3: 4.0, 4: 30.0, 5: 0.5}}, [5, 2, 3, 1, 4]),
        ("balanced", {}, [1, 4, 3, 2, 5]),
        ("balanced", {"good": {1: 0.7, 3: 0.7}}, [4, 2, 5, 1, 3]),
        ("hybrid", {}, [1, 3, 4, 2, 5]),
        ("hybrid", {"flying": {3: 9, 1: 9}, "answer": {3: 20.0, 1: 20.0}}, [4, 2, 1, 3, 5]),
        ("least_connections", {"flying": {1: 3, 2: 1, 3: 0, 4: 2, 5: 9}}, [3, 2, 4, 1, 5]),
        ("response_time", {"response": {1: 50.0, 2: 500.0, 3: 51.0, 4: 5.0, 5: 5000.0}}, [4, 1, 3, 2, 5]),
        ("response_time", {"response": {1: 50.0, 2: 500.0, 3: 51.0, 5: 5000.0}}, [4, 1, 3, 2, 5]),
    ],
)
def test_presets(preset: str, live: dict[str, Any], expected: list[int]) -> None:
    found = order(ALL, preset, **live)

    assert found == expected


@pytest.mark.parametrize("preset", ["auto", "weighted_round_robin", "specified_provider"])
def test_presets_of_chance_keep_the_priorities(preset: str) -> None:
    found = [candidate(1, priority=2), candidate(2, priority=1), candidate(3, priority=3)]

    assert order(found, preset) == [2, 1, 3]


def test_every_preset_has_a_test() -> None:
    tested = {args[0] for mark in test_presets.pytestmark for args in mark.args[1]}  # type: ignore[attr-defined]

    assert tested | {"auto", "weighted_round_robin", "specified_provider"} == set(PRESETS)


# --- fields


@pytest.mark.parametrize(
    ("field", "better", "worse", "live"),
    [
        ("effective_cost", {"price": price(0.5)}, {"price": price(0.6)}, {}),
        ("effective_cost", {"price": price(9.0)}, {"price": None}, {}),
        ("speed_score", {}, {}, {"answer": {1: 2.0, 2: 3.0}}),
        ("speed_score", {}, {}, {"answer": {2: 6.0}}),  # not known counts as 5 s
        ("quality_score", {"quality": 0.61}, {"quality": 0.6}, {}),
        ("reliability_score", {}, {}, {"good": {1: 0.99, 2: 0.9}}),
        ("reliability_score", {}, {}, {"good": {2: 0.999}}),
        ("quota_remaining", {"daily_limit": 100}, {"daily_limit": 10}, {"used": {1: 5, 2: 5}}),
        ("quota_remaining", {}, {"daily_limit": 10}, {"used": {1: 5, 2: 5}}),
        ("priority", {"priority": 1}, {"priority": 2}, {}),
        ("local", {"kind": "local"}, {"kind": "official"}, {}),
        ("free", {"price": price(0.0)}, {"price": price(0.01)}, {}),
        ("free", {"price": price(0.0)}, {"price": None}, {}),
        ("connections", {}, {}, {"flying": {1: 3, 2: 4}}),
        ("response_time", {}, {}, {"response": {1: 200.0, 2: 201.0}}),
        ("response_time", {}, {}, {"response": {2: 1.0}}),
    ],
)
def test_fields(field: str, better: dict[str, Any], worse: dict[str, Any], live: dict[str, Any]) -> None:
    """What is usually wanted of a field comes first; turned round, last, unless the number is not known."""
    found = [candidate(2, **worse), candidate(1, **better)]
    usual = strategy_of("", (Layer(field, FIELDS[field].order, 1.0),))
    assert usual is not None

    scores = rank(found, usual, ASK, Numbers(**live), Random(1))

    assert [ranked.candidate.ref for ranked in scores] == [1, 2]
    assert 0 <= scores[1].score < scores[0].score <= 1


def test_every_field_has_a_test() -> None:
    assert {args[0] for mark in test_fields.pytestmark for args in mark.args[1]} == set(FIELDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("field", "number", "value"),
    [
        ("effective_cost", 0.0, 1.0),
        ("effective_cost", 0.002, 0.5),
        ("effective_cost", None, 0.0),
        ("speed_score", 0.0, 1.0),
        ("speed_score", 5.0, 0.5),
        ("speed_score", None, 0.5),
        ("quality_score", 0.7, 0.7),
        ("reliability_score", 1.0, 1.0),
        ("reliability_score", 0.9, 0.6561),
        ("reliability_score", None, 1.0),
        ("quota_remaining", 0.25, 0.25),
        ("quota_remaining", None, 1.0),
        ("priority", 1, 1.0),
        ("priority", 4, 0.25),
        ("local", True, 1.0),
        ("free", False, 0.0),
        ("connections", 0, 1.0),
        ("connections", 3, 0.25),
        ("response_time", 500.0, 0.5),
        ("response_time", None, 1.0),
    ],
)
def test_curves_are_fixed(field: str, number: float | None, value: float) -> None:
    assert Layer(field, FIELDS[field].order, 1.0).value(number) == pytest.approx(value)


def test_the_score_is_the_weighted_sum_times_the_members_weight() -> None:
    strategy = strategy_of("", (Layer("quality_score", "desc", 2.0), Layer("effective_cost", "asc", 3.0)))
    assert strategy is not None
    one = candidate(1, quality=0.6, price=price(2.0), weight=1.5)

    [ranked] = rank([one], strategy, ASK, Numbers(), Random(1))
    weighed = weigh(one, strategy, ASK, Numbers())

    assert ranked.score == pytest.approx(1.5 * (2.0 * 0.6 + 3.0 * 0.5))
    assert [(w.field, w.number, w.value) for w in weighed] == [
        ("quality_score", 0.6, 0.6),
        ("effective_cost", pytest.approx(0.002), pytest.approx(0.5)),
    ]


@given(STRATEGIES, LIVE, st.integers(0, 10**6), st.none() | st.integers(1, 10**6))
def test_the_score_is_what_the_layers_say(preset: str, live: dict[str, Any], prompt: int, output: int | None) -> None:
    """In every strategy; the layers are weighed one by one for people, and all at once for requests."""
    strategy, ask = PRESETS[preset], replace(ASK, prompt_tokens=prompt, output_tokens=output)
    found = [*ALL, candidate(6, daily_limit=500), candidate(7, daily_limit=0, weight=3.0, price=TIERED_PRICE)]

    for ranked in rank(found, strategy, ask, Numbers(**live), Random(1)):
        weighed = weigh(ranked.candidate, strategy, ask, Numbers(**live))
        total = sum(layer.weight * each.value for layer, each in zip(strategy.layers, weighed, strict=True))
        assert ranked.score == pytest.approx(total * ranked.candidate.weight)


@given(st.sampled_from(sorted(FIELDS)), st.sampled_from(["asc", "desc"]), LIVE)
def test_so_is_that_of_every_layer_alone(field: str, order_: str, live: dict[str, Any]) -> None:
    strategy = strategy_of("", (Layer(field, order_, 2.5),))
    assert strategy is not None

    for ranked in rank(ALL, strategy, ASK, Numbers(**live), Random(1)):
        [weighed] = weigh(ranked.candidate, strategy, ASK, Numbers(**live))
        assert ranked.score == pytest.approx(2.5 * weighed.value * ranked.candidate.weight)


def test_others_who_are_present_change_no_score() -> None:
    alone = rank([GOOD], PRESETS["balanced"], ASK, Numbers(), Random(1))[0].score
    among = {r.candidate.ref: r.score for r in rank(ALL, PRESETS["balanced"], ASK, Numbers(), Random(1))}

    assert among[GOOD.ref] == alone


def test_equal_scores_go_by_priority_and_then_by_chance() -> None:
    equals = [candidate(1, priority=2), candidate(2), candidate(3)]
    firsts_of = Counter(order(equals, "cost_optimized", seed=seed)[0] for seed in range(400))

    assert set(firsts_of) == {2, 3}
    assert abs(firsts_of[2] - 200) < 60


def test_the_cost_is_that_of_this_requests_size() -> None:
    """Cheap to read and dear to write goes first for a long prompt, last for a long answer."""
    reader = candidate(1, price=price(0.1, 10.0))
    writer = candidate(2, price=price(2.0, 2.0))
    long_prompt = ASK.__class__(0, 50_000, 100, False, ASK.at_ms)
    long_answer = ASK.__class__(0, 100, 4000, False, ASK.at_ms)
    strategy = PRESETS["cost_optimized"]

    def first(ask: Any) -> int:
        return rank([writer, reader], strategy, ask, Numbers(), Random(1))[0].candidate.ref

    assert (first(long_prompt), first(long_answer)) == (1, 2)
