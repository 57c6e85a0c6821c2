"""Hot path. Strategies: what candidates are weighed by, the curves that make numbers comparable, and the presets.

A layer takes one number of a candidate and makes a value from 0 to 1 of it, by a fixed curve: who else is present changes
nothing. A candidate's score is the sum of weight x value over the layers, times the candidate's own weight.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

ASC, DESC = "asc", "desc"
WEIGHT_AT_MOST = 1000.0
# Where each curve is at one half.
HALF_USD_PER_1K = 0.002
HALF_ANSWER_S = 5.0
HALF_RESPONSE_MS = 500.0


@dataclass(frozen=True, slots=True)
class Field:
    """What a layer may weigh. place: the curve, 0 for the smallest number and 1 for the largest.

    order: what is usually wanted of it. unknown: the value, whatever the order, where the number is not known. is_live:
    whether it changes from request to request.
    """

    label: Promise
    order: str
    place: Callable[[float], float]
    unknown: float
    is_live: bool = False


def _same(number: float) -> float:
    return min(1.0, max(0.0, number))


FIELDS: Mapping[str, Field] = {
    # USD for 1,000 tokens of this request
    "effective_cost": Field(gettext_lazy("cost"), ASC, lambda usd: usd / (usd + HALF_USD_PER_1K), 0.0, True),
    # seconds to an answer of 300 tokens
    "speed_score": Field(gettext_lazy("speed"), DESC, lambda s: HALF_ANSWER_S / (HALF_ANSWER_S + s), 0.5, True),
    # from 0 to 1
    "quality_score": Field(gettext_lazy("quality"), DESC, _same, 0.5),
    # share of good answers; the power tells 99 % from 90 %
    "reliability_score": Field(gettext_lazy("reliability"), DESC, lambda share: _same(share) ** 4, 1.0, True),
    # share of the day's quota that is left; 1 without a quota
    "quota_remaining": Field(gettext_lazy("quota left"), DESC, _same, 1.0, True),
    # 1 is the first
    "priority": Field(gettext_lazy("priority"), ASC, lambda n: 1 - 1 / max(n, 1), 0.0),
    # 1 or 0
    "local": Field(gettext_lazy("local"), DESC, _same, 0.0),
    "free": Field(gettext_lazy("free"), DESC, _same, 0.0),
    # requests that the channel is answering
    "connections": Field(gettext_lazy("connections"), ASC, lambda n: n / (n + 1), 1.0, True),
    # milliseconds to the first content, or to the whole answer where it is not streamed
    "response_time": Field(gettext_lazy("response time"), ASC, lambda ms: ms / (ms + HALF_RESPONSE_MS), 1.0, True),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One criterion; weight: how much its value counts."""

    field: str
    order: str
    weight: float

    def value(self, number: float | None) -> float:
        """From 0 to 1, 1 for the best."""
        field = FIELDS[self.field]
        if number is None:
            return field.unknown
        place = field.place(number)
        return place if self.order == DESC else 1.0 - place


class Kind(Enum):
    """How candidates of one priority, or all, are put in order."""

    SCORE = "score"  # by the layers
    WEIGHTS = "weights"  # at random, by weight
    LISTED = "listed"  # as they are listed
    ROTATION = "rotation"  # in turn, by weight


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a name's candidates are put in order. has_tiers: priority goes before all else.

    one_provider: only the candidates of one provider take part, the one asked for or that of the best priority.
    """

    name: str
    kind: Kind
    layers: tuple[Layer, ...] = ()
    has_tiers: bool = False
    one_provider: bool = False


def _scored(name: str, has_tiers: bool = False, **weights: float) -> Strategy:
    layers = tuple(Layer(field, FIELDS[field].order, weight) for field, weight in weights.items())
    return Strategy(name, Kind.SCORE, layers, has_tiers)


PRESETS: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("auto", Kind.WEIGHTS, has_tiers=True),
        Strategy("specified_provider", Kind.WEIGHTS, has_tiers=True, one_provider=True),
        Strategy("fallback", Kind.LISTED, has_tiers=True),
        Strategy("weighted_round_robin", Kind.ROTATION, has_tiers=True),
        _scored("least_connections", has_tiers=True, connections=1.0),
        _scored("response_time", has_tiers=True, response_time=1.0),
        _scored("cost_optimized", effective_cost=1.0),
        _scored(
            "hybrid", effective_cost=0.3, speed_score=0.2, quality_score=0.2, reliability_score=0.2, connections=0.1
        ),
        _scored("cost_first", effective_cost=1.0, reliability_score=0.2, speed_score=0.1, quality_score=0.1),
        _scored("free_first", free=10.0, quota_remaining=0.5, effective_cost=1.0, speed_score=0.3),
        _scored("local_first", local=10.0, reliability_score=0.5, speed_score=0.5, effective_cost=0.5),
        _scored("balanced", effective_cost=1.0, speed_score=1.0, quality_score=1.0, reliability_score=1.0),
        _scored("speed_optimized", speed_score=1.0, response_time=0.3, reliability_score=0.3, effective_cost=0.1),
        _scored("quality_optimized", quality_score=1.0, reliability_score=0.3, speed_score=0.1, effective_cost=0.1),
    )
}
AUTO = PRESETS["auto"]
PRESET_LABELS: Mapping[str, Promise] = {
    "auto": gettext_lazy("Automatic: the group's layers, else priority and weight"),
    "specified_provider": gettext_lazy("Specified provider: one provider only"),
    "fallback": gettext_lazy("Fallback: strictly in order"),
    "weighted_round_robin": gettext_lazy("Weighted round robin"),
    "least_connections": gettext_lazy("Least connections"),
    "response_time": gettext_lazy("Response time"),
    "cost_optimized": gettext_lazy("Cost optimised: the cheapest for this request"),
    "hybrid": gettext_lazy("Hybrid: cost, speed, quality, reliability, load"),
    "cost_first": gettext_lazy("Cost first"),
    "free_first": gettext_lazy("Free first"),
    "local_first": gettext_lazy("Local first"),
    "balanced": gettext_lazy("Balanced"),
    "speed_optimized": gettext_lazy("Speed optimised"),
    "quality_optimized": gettext_lazy("Quality optimised"),
}


def strategy_of(preset: str, layers: tuple[Layer, ...]) -> Strategy | None:
    """The strategy that a row stands for: its layers, else its preset; None where it has neither."""
    if layers:
        return Strategy("layers", Kind.SCORE, layers)
    return PRESETS.get(preset)


def check_preset(name: str) -> None:
    """Raise ValueError with a sentence unless a preset has this name."""
    if name not in PRESETS:
        text = _("“%(name)s” is not a strategy; there are: %(known)s.")
        raise ValueError(text % {"name": name, "known": ", ".join(PRESETS)})


def read_layers(value: Any) -> tuple[Layer, ...]:
    """The layers of a JSON list of {field, order, weight}. Raises ValueError with a sentence for people."""
    if not isinstance(value, list):
        raise ValueError(_("Layers are a list of objects with field, order and weight."))
    layers: list[Layer] = []
    for entry in value:
        if not isinstance(entry, Mapping):
            raise ValueError(_("Each layer is an object with field, order and weight."))
        layers.append(_read_layer(entry))
        if sum(layer.field == layers[-1].field for layer in layers) > 1:
            raise ValueError(_("The field “%s” is there twice; once is enough.") % layers[-1].field)
    if layers and not any(layer.weight for layer in layers):
        raise ValueError(_("At least one layer needs a weight above 0."))
    return tuple(layers)


def _read_layer(entry: Mapping[str, Any]) -> Layer:
    unknown = sorted(map(str, entry.keys() - {"field", "order", "weight"}))
    if unknown:
        raise ValueError(_("A layer has field, order and weight; “%s” is none of them.") % unknown[0])
    name = entry.get("field")
    if not isinstance(name, str) or name not in FIELDS:
        text = _("“%(name)s” is not a field that layers can weigh; there are: %(known)s.")
        raise ValueError(text % {"name": name, "known": ", ".join(FIELDS)})
    order = entry.get("order", FIELDS[name].order)
    if order not in (ASC, DESC):
        raise ValueError(_("The order of “%s” is asc (small is good) or desc (large is good).") % name)
    weight = entry.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= WEIGHT_AT_MOST:
        raise ValueError(
            _("The weight of “%(name)s” is a number from 0 to %(most)d.") % {"name": name, "most": WEIGHT_AT_MOST}
        )
    return Layer(name, order, float(weight))
