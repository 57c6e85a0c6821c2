"""Worker side. Presets and layers as rows keep them, and the block strategies."""

from collections.abc import Iterator, Sequence
from typing import Any

from routing.models import StrategyFields, StrategyRule
from routing.strategies import AUTO, read_layers
from smartrouter.configfile.parsing import Entry
from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.rows import Refused, Run, save_row
from smartrouter.configfile.schema import LayerSpec, RoutingStrategy, StrategySpec


def apply_strategies(run: Run, entries: Sequence[Entry[StrategySpec]]) -> None:
    """Write the rules for names that no group says anything about."""
    rows = {row.pattern: row for row in StrategyRule.objects.all()} if entries else {}
    for entry in entries:
        spec, place = entry.spec, entry.place
        with run.entry("strategies", spec.names):
            row = rows.get(spec.names) or StrategyRule()
            values = {"pattern": spec.names, **strategy_values(row, spec.routing_strategy, place)}
            save_row(run, row, values, place, label=spec.names)


def strategy_values(row: StrategyFields, written: RoutingStrategy | None, entry: Place) -> dict[str, Any]:
    """The columns for what the entry's routing_strategy says: a preset's name, layers, or nothing."""
    if not isinstance(written, list):
        return {"strategy": written or "", "layers": []}
    layers = [_as_column(layer) for layer in written]
    problems = list(_layer_problems(layers, entry.at("routing_strategy")))
    if problems:
        row.layers = []  # the row is refused: nothing is to say that it has no strategy, or two
        return {"strategy": AUTO.name, "layers": Refused(tuple(problems))}
    return {"strategy": "", "layers": row.layers if _is_same(row.layers, layers) else layers}


def _as_column(layer: LayerSpec) -> dict[str, Any]:
    return {"field": layer.field, **({"order": layer.order} if layer.order is not None else {}), "weight": layer.weight}


def _is_same(old: Any, new: Any) -> bool:
    """Whether both mean the same layers; orders that are left out are the fields' usual ones."""
    try:
        return read_layers(old) == read_layers(new)
    except ValueError:
        return False  # the row's own layers are older than a rule


def _layer_problems(layers: list[dict[str, Any]], place: Place) -> Iterator[Problem]:
    """What is wrong with the layers: each one at its field, then what is wrong with them together."""
    found = [problem for index, layer in enumerate(layers) for problem in _problems_of(layer, place.at(index))]
    yield from found
    if found:
        return
    try:
        read_layers(layers)
    except ValueError as e:
        doubled = _first_doubled([layer["field"] for layer in layers])
        yield (place if doubled is None else place.at(doubled, "field")).says(e)


def _problems_of(layer: dict[str, Any], place: Place) -> Iterator[Problem]:
    """What is wrong with one layer, looked at field by field; the order and weight of an unknown field are not."""
    name = {"field": layer["field"]}
    for word in ("field", "order", "weight"):
        if word not in layer or layer[word] == 0:
            continue  # a weight of 0 is wrong only where no other layer has one
        try:
            read_layers([name | {word: layer[word]}])
        except ValueError as e:
            yield place.at(word).says(e)
            if word == "field":
                return


def _first_doubled(names: list[str]) -> int | None:
    return next((index for index, name in enumerate(names) if name in names[:index]), None)
