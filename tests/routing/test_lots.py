"""Lots: everybody is drawn once, as often first as the weights say, whatever was put in and taken out before."""

from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.lots import KEPT_AT_MOST, KeptLots, Lots, drawn
from tests.routing import tables as t
from tests.routing.weighing import candidate

WEIGHTS = (0.0, 1e-300, 0.3, 1.0, 1.5, 1.9, 100.0, 1e308, float("inf"))


def lots_of(weights: dict[int, float], priority: int = 1) -> Lots:
    return Lots.of([candidate(ref, weight=weight, priority=priority) for ref, weight in weights.items()])


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from([None, 1, 2]), st.sampled_from(WEIGHTS)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_everybody_is_drawn_once_by_priority_and_the_idle_last(steps: list[tuple[int, int | None, float]]) -> None:
    lots, now = Lots(), dict[int, tuple[int, float]]()
    for ref, priority, weight in steps:
        if priority is None:
            lots.drop(ref)
            now.pop(ref, None)
        else:
            lots.put(ref, priority, weight)
            now[ref] = (priority, weight)

    found = list(drawn(Random(1), lots))

    assert sorted(found) == sorted(now) and all(ref in lots for ref in now)
    places = [(now[ref][0], now[ref][1] <= 0) for ref in found]
    assert places == sorted(places)


@pytest.mark.parametrize("is_kept_up", [False, True])
def test_each_comes_first_and_next_as_often_as_its_weight_says(is_kept_up: bool) -> None:
    weights = {1: 1.0, 2: 2.0, 3: 3.0, 4: 14.0, 5: 0.0}
    lots = lots_of(weights)
    if is_kept_up:
        for ref in (*range(1, 60), *range(6, 60)):
            lots.put(ref, 1, 70.0 / ref)
            (lots.drop if ref > 5 else lambda ref: lots.put(ref, 1, weights[ref]))(ref)
    random, firsts, after_4 = Random(7), Counter[int](), Counter[int]()

    for _draw in range(20_000):
        one, two = islice(drawn(random, lots), 2)
        firsts[one] += 1
        after_4[two] += one == 4

    assert all(abs(firsts[ref] / 20_000 - weight / 20) < 0.02 for ref, weight in weights.items())
    assert all(abs(after_4[ref] / firsts[4] - weights[ref] / 6) < 0.02 for ref in (1, 2, 3, 5))


def test_who_is_in_both_lots_has_the_place_and_weight_of_the_first() -> None:
    selected = lots_of({1: 1e9, 2: 1.0, 3: 1.0})
    members = Lots.of([candidate(1, weight=1.0, priority=2), candidate(4, weight=1.0, priority=0)])

    found = [tuple(drawn(Random(seed), members, selected)) for seed in range(20)]

    assert set(found) == {(4, 2, 3, 1), (4, 3, 2, 1)}


def test_a_draw_ends_where_the_lots_change_on_the_way() -> None:
    changes: list[Callable[[Lots], None]] = [
        lambda lots: lots.drop(3),
        lambda lots: lots.put(9, 1, 1.0),
        lambda lots: lots.put(2, 1, 5.0),
    ]
    for change in changes:
        lots = lots_of(dict.fromkeys(range(1, 9), 1.0))
        walk = drawn(Random(1), lots)
        begun = [next(walk), next(walk)]

        change(lots)

        assert len(set(begun)) == 2 and list(walk) == []


def test_lots_of_a_name_are_kept_as_long_as_nobody_in_them_changes() -> None:
    kept, alike = KeptLots(), [candidate(ref, weight=1.0) for ref in range(1, 5)]
    lots = kept.of(list(alike))

    assert kept.of(list(alike)) is lots
    alike[2] = candidate(3, weight=0.0)
    changed = kept.of(list(alike))
    assert changed is not lots and list(drawn(Random(1), changed))[-1] == 3
    assert list(drawn(Random(1), kept.of([]))) == []
    for ref in range(10, 10 + KEPT_AT_MOST):
        kept.of([candidate(ref)])
    assert kept.of(list(alike)) is not changed


def test_a_large_table_keeps_the_lots_of_what_it_selects_true_to_changes() -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True, tags=("wide",)))
    pool = table.pool_of(table.groups_by_name["auto:g1"])
    selection = pool._selection
    assert selection is not None
    lots = table._all.selections.lots_of(selection)
    assert lots is not None
    for ref in range(1, t.CHANNELS + 1):
        table.put("channels.channel", ref, t.channel(ref, 1 + ref % 2, priority=1 + ref % 3, weight=float(ref % 5)))
    table.put("channels.offering", 101, None)
    table.put("providers.providermodel", 3, t.model(3, 1 + 3 % 2))
    table.put("providers.providermodel", 2, t.model(2, 1 + 2 % 2, tags=("wide",)))

    found = [table.candidates[ref] for ref in drawn(Random(1), lots)]

    assert {candidate.ref for candidate in found} == selection.refs and len(found) == len(selection.refs) == 399
    places = [(candidate.priority, candidate.weight <= 0) for candidate in found]
    assert places == sorted(places) and len(set(places)) == 6
