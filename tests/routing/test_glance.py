"""Whoever tells of live signals sees what ranking saw, and does not hasten the next try of an old figure."""

import pytest

from routing.glance import Glance, glance_at
from routing.orders import NothingKnown
from routing.tracks import PASSED_OVER, STALE_S
from tests.routing.signal_bench import Bench

READINGS = ("response_ms", "answer_s", "reliability")


def read(signals: object, name: str) -> float | None:
    found: float | None = getattr(signals, name)(1, *((True,) if name == "response_ms" else ()))
    return found


@pytest.mark.parametrize("name", READINGS)
def test_a_glance_sees_what_ranking_sees_at_every_age_of_a_figure(name: str) -> None:
    bench = Bench()
    glance = glance_at(bench.signals)
    assert isinstance(glance, Glance)
    assert read(bench.signals, name) is read(glance, name) is None
    bench.answer(1, 80.0, tokens=100, rest_s=2.0)

    for age_s in (0.0, STALE_S + 1):
        bench.clock.now += age_s
        for _reading in range(PASSED_OVER + 3):
            assert read(bench.signals, name) == read(glance, name)
    trial = bench.begin(1)
    assert read(bench.signals, name) == read(glance, name)
    trial.left()
    assert read(bench.signals, name) == read(glance, name)


@pytest.mark.parametrize("name", READINGS)
def test_no_number_of_glances_makes_an_old_figure_due(name: str) -> None:
    bench = Bench()
    bench.answer(1, 80.0, tokens=100, rest_s=2.0)
    bench.clock.now += STALE_S + 1
    glance = glance_at(bench.signals)

    seen = {read(glance, name) for _look in range(10 * PASSED_OVER)}

    assert seen == {read(bench.signals, name)}
    assert seen - {None, 0.0}


def test_an_offering_whose_first_attempt_is_in_flight_is_seen_alike() -> None:
    bench = Bench()
    bench.begin(1)
    glance = glance_at(bench.signals)

    assert bench.signals.response_ms(1, True) == glance.response_ms(1, True)
    assert (glance.in_flight(1), glance.used_today(1), list(glance.known())) == (1, 1, [1])


def test_signals_that_count_nothing_are_left_as_they_are() -> None:
    nothing = NothingKnown()

    assert glance_at(nothing) is nothing
    assert glance_at(glanced := glance_at(Bench().signals)) is glanced
