"""How often an old figure is passed over, whichever layers of a strategy read it."""

from collections.abc import Sequence

import pytest

from routing.signals import Signals
from routing.tracks import PASSED_OVER, STALE_S
from tests.routing.signal_bench import Bench

LAYERS = ("answer_s", "reliability")


def rank(signals: Signals, layers: Sequence[str]) -> list[float | None]:
    """What a ranking by these layers reads of the first offering."""
    return [getattr(signals, layer)(1) for layer in layers]


@pytest.mark.parametrize("layers", [LAYERS, LAYERS[::-1], LAYERS[:1], LAYERS[1:]], ids=" ".join)
def test_an_old_figure_holds_for_as_many_rankings_however_many_layers_read_it(layers: Sequence[str]) -> None:
    bench = Bench()
    bench.answer(1, 80, tokens=100, rest_s=2)
    fresh = rank(bench.signals, layers)
    worth_a_try = {"answer_s": 0.0, "reliability": None}

    for _trial in range(2):
        bench.clock.now += STALE_S
        assert [rank(bench.signals, layers) for _ranking in range(PASSED_OVER)] == [fresh] * PASSED_OVER
        assert rank(bench.signals, layers) == [worth_a_try[layer] for layer in layers]
        trial = bench.begin(1)
        assert rank(bench.signals, layers) == fresh
        trial.left()
