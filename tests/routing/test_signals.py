"""What the live signals say of an offering after so many answers and failures, on a clock that is moved."""

import gc
import time
from collections.abc import Callable

import pytest

from routing.rank import Live
from routing.signals import FAULTS, Flight
from routing.tracks import PASSED_OVER, STALE_S, UNTRIED_MS, Histogram, quantile
from smartrouter.lib.errors import ErrorClass
from tests.routing import tables as t
from tests.routing.signal_bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_signals_are_what_ranking_reads(bench: Bench) -> None:
    live: Live = bench.signals  # for mypy as much as for this

    assert live.known() == set()
    assert (live.in_flight(1), live.response_ms(1, True), live.answer_s(1), live.reliability(1)) == (
        0,
        None,
        None,
        None,
    )
    assert live.used_today(1) == 0


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize(
    "end", [lambda f: f.answered(5), lambda f: f.left(), *(lambda f, kind=kind: f.failed(kind) for kind in ErrorClass)]
)
def test_each_end_of_an_attempt_counts_once_however_often_it_is_told(
    bench: Bench, end: Callable[[Flight], None], is_streamed: bool
) -> None:
    first, second = bench.begin(1, is_streamed=is_streamed), bench.begin(1, is_streamed=is_streamed)
    assert bench.signals.in_flight(1) == 2

    end(first)
    for _again in range(2):
        end(first)
        first.left()
        first.answered(1)
        first.failed(ErrorClass.TRANSIENT)
    assert bench.signals.in_flight(1) == 1
    share = bench.signals.reliability(1)

    end(second)
    assert bench.signals.in_flight(1) == 0
    assert bench.signals.own_in_flight == {}
    once = Bench()
    end(once.begin(1, is_streamed=is_streamed))
    assert share == once.signals.reliability(1)


def test_offerings_of_one_channel_share_its_connections() -> None:
    bench = Bench(1)
    rows = [("providers.provider", t.provider(1)), ("providers.providermodel", t.model(1, 1)),
            ("channels.channel", t.channel(7, 1)), ("channels.offering", t.offering(1, 7, 1)),
            ("channels.offering", t.offering(2, 7, 1))]  # fmt: skip
    bench.candidates = dict(t.table_of(rows).candidates)

    flights = [bench.begin(1), bench.begin(2), bench.begin(2)]

    assert bench.signals.in_flight(7) == 3
    for flight in flights:
        flight.left()
    assert bench.signals.in_flight(7) == 0


def test_only_faults_of_the_upstream_count_against_it() -> None:
    shares = {}
    for kind in ErrorClass:
        bench = Bench()
        bench.answer(1, 50)
        bench.fail(1, kind)
        shares[kind] = bench.signals.reliability(1)

    assert {kind for kind, share in shares.items() if share == 1.0} == set(ErrorClass) - FAULTS.keys()
    assert {kind for kind, share in shares.items() if share == pytest.approx(0.9)} == FAULTS.keys() - {ErrorClass.RATE}
    assert 0.95 < shares[ErrorClass.RATE] < 1.0  # type: ignore[operator]


def test_first_content_of_streams_and_the_whole_of_plain_answers_are_kept_apart(bench: Bench) -> None:
    bench.answer(1, 80, rest_s=3)
    assert bench.signals.response_ms(1, True) == pytest.approx(80)
    assert bench.signals.response_ms(1, False) is None

    bench.answer(1, 900, is_streamed=False)
    assert bench.signals.response_ms(1, True) == pytest.approx(80)
    assert bench.signals.response_ms(1, False) == pytest.approx(900)


def test_recent_answers_count_most(bench: Bench) -> None:
    for _answer in range(50):
        bench.answer(1, 50)
    for _answer in range(5):
        bench.answer(1, 500)

    figure = bench.signals.response_ms(1, True)
    assert figure is not None and 300 < figure < 500


def test_an_answer_of_300_tokens_is_the_wait_and_the_writing(bench: Bench) -> None:
    bench.answer(1, 500, tokens=100, rest_s=2)  # 50 a second
    bench.answer(2, 2000, tokens=100, is_streamed=False)  # as well, without a wait
    bench.answer(3, 500, tokens=5, is_streamed=False)  # too few to tell

    assert bench.signals.answer_s(1) == pytest.approx(0.5 + 6)
    assert bench.signals.answer_s(2) == pytest.approx(6)
    assert bench.signals.answer_s(3) == pytest.approx(0.5 + 6)
    assert bench.signals.snapshot(1).tokens_per_s == pytest.approx(50)
    assert bench.signals.snapshot(3).tokens_per_s is None


def test_a_client_that_reads_slowly_does_not_make_its_channel_slow(bench: Bench) -> None:
    flight = bench.begin(1)
    bench.clock.now += 0.5
    flight.first_content()
    bench.clock.now += 32
    flight.held_up_s = 30.0
    flight.answered(100)

    assert bench.signals.answer_s(1) == pytest.approx(0.5 + 6)


def test_an_untried_offering_is_tried_by_one_request_at_a_time(bench: Bench) -> None:
    bench.answer(2, 5000)
    assert bench.signals.response_ms(1, True) is None

    first = bench.begin(1)
    assert bench.signals.response_ms(1, True) == UNTRIED_MS
    first.left()  # it told nothing: the next one may try
    assert bench.signals.response_ms(1, True) is None

    bench.answer(1, 70)
    assert bench.signals.response_ms(1, True) == pytest.approx(70)


def test_an_offering_that_only_fails_comes_last_until_it_is_worth_another_try(bench: Bench) -> None:
    bench.fail(1)
    assert set(bench.pass_over()) == {UNTRIED_MS}
    assert bench.signals.response_ms(1, True) == UNTRIED_MS

    bench.clock.now += STALE_S
    assert set(bench.pass_over()) == {UNTRIED_MS}
    assert bench.signals.response_ms(1, True) is None


def test_an_old_figure_holds_while_few_pass_it_over_and_then_one_may_try(bench: Bench) -> None:
    bench.answer(1, 500)
    bench.clock.now += STALE_S - 1
    assert bench.pass_over() * 2 == [pytest.approx(500)] * (2 * PASSED_OVER)

    bench.clock.now += 1
    assert bench.pass_over() == [pytest.approx(500)] * PASSED_OVER
    assert bench.signals.response_ms(1, True) is None
    trial = bench.begin(1)
    other = bench.begin(1)
    assert bench.pass_over() * 2 == [pytest.approx(500)] * (2 * PASSED_OVER)

    bench.clock.now += 0.05
    trial.first_content()
    assert bench.signals.response_ms(1, True) == pytest.approx(50)
    trial.answered(10)
    other.left()
    assert bench.signals.response_ms(1, True) == pytest.approx(50)


def test_a_trial_whose_client_leaves_says_nothing_and_another_follows(bench: Bench) -> None:
    bench.answer(1, 500)
    bench.clock.now += STALE_S
    bench.pass_over()
    bench.begin(1).left()

    assert bench.pass_over() == [pytest.approx(500)] * PASSED_OVER
    assert bench.signals.response_ms(1, True) is None


def test_failures_make_a_channel_slower_by_what_they_cost(bench: Bench) -> None:
    for _answer in range(20):
        bench.answer(1, 100)
    for _failure in range(7):
        bench.fail(1)

    share = bench.signals.reliability(1)
    assert share == pytest.approx(0.9**7)
    assert bench.signals.response_ms(1, True) == pytest.approx(100 / 0.9**7)
    assert bench.signals.snapshot(1).first_content_ms == pytest.approx(100)


def test_a_broken_offering_gets_another_chance_and_is_forgiven_when_it_takes_it(bench: Bench) -> None:
    for _failure in range(30):
        bench.fail(1)
    broken = bench.signals.reliability(1)
    assert broken is not None and broken < 0.05

    bench.clock.now += STALE_S
    for _reading in range(PASSED_OVER):
        assert bench.signals.reliability(1) == broken
    assert bench.signals.reliability(1) is None
    trial = bench.begin(1)
    assert bench.signals.reliability(1) == broken
    trial.answered(10)

    assert bench.signals.reliability(1) == 1.0


def test_a_chance_that_fails_leaves_things_as_they_were(bench: Bench) -> None:
    for _failure in range(30):
        bench.fail(1)
    before = bench.signals.reliability(1)
    bench.clock.now += STALE_S
    bench.fail(1)

    after = bench.signals.reliability(1)
    assert before is not None and after is not None and after < before


def test_quantiles_are_those_of_the_latest_hundred_or_so(bench: Bench) -> None:
    for _answer in range(300):
        bench.answer(1, 5000)
    for number in range(300):
        bench.answer(1, 1000 if number % 10 == 9 else 100)

    seen = bench.signals.snapshot(1)
    assert seen.p50_ms == pytest.approx(100, rel=0.2)
    assert seen.p95_ms is not None and 800 < seen.p95_ms < 6000


@pytest.mark.parametrize("ms", [0.0, 0.5, 1.0, 10.0, 123.0, 5_000.0, 599_000.0, 1e9])
def test_any_time_has_its_bucket(ms: float) -> None:
    histogram = Histogram()
    for _sample in range(5000):  # past the point where the weights are brought down again
        histogram.add(ms)

    found = quantile(histogram.relative(), 0.5)
    assert found == pytest.approx(min(max(ms, 1.15), 560_000), rel=0.2)


def test_nothing_is_known_of_the_quantiles_of_no_samples() -> None:
    assert quantile(Histogram().relative(), 0.5) is None


def test_a_snapshot_has_what_is_shown(bench: Bench) -> None:
    flight = bench.begin(1)
    bench.answer(1, 200, tokens=100, rest_s=2)

    seen = bench.signals.snapshot(1)
    assert (seen.in_flight, seen.samples, seen.used_today, seen.quota) == (1, 2, 2, None)
    assert (seen.reliability, seen.answer_ms) == (1.0, None)
    assert bench.signals.snapshot(99).p50_ms is None
    flight.left()


def test_what_nobody_asks_for_is_forgotten_and_what_is_in_flight_is_not(bench: Bench) -> None:
    bench.answer(1, 50)
    flight = bench.begin(2)
    bench.clock.now += 7 * 3600
    bench.answer(3, 50)
    bench.signals.forget_old()

    assert set(bench.signals.known()) == {2, 3}
    flight.answered(1)
    assert bench.signals.in_flight(2) == 0


def test_reading_costs_about_as_much_as_a_look_into_a_dict() -> None:
    bench = Bench(20)
    for ref in range(1, 21):
        bench.answer(ref, 50)
    signals, plain = bench.signals, dict.fromkeys(range(1, 21), 0)

    def read_signals() -> None:
        for ref in range(1, 21):
            signals.in_flight(ref)
            signals.response_ms(ref, True)
            signals.reliability(ref)

    def read_dict() -> None:
        for ref in range(1, 21):
            _three = plain.get(ref), plain.get(ref), plain.get(ref)

    gc.disable()
    ours, theirs = (min(_measured(read) for _round in range(200)) for read in (read_signals, read_dict))
    gc.enable()
    print(f"\n20 candidates x 3 readings: {ours * 1e6:.1f} us; of a dict: {theirs * 1e6:.1f} us")
    assert ours < 20 * theirs


def _measured(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
