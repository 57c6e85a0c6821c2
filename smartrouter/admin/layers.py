"""Worker side. Strategies in forms and lists: a preset to select, layers as a table of what can be weighed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import BASE_CLASSES

from routing.defaults import default_preset
from routing.models import StrategyRule
from routing.strategies import ASC, DESC, FIELDS, PRESET_LABELS, WEIGHT_AT_MOST, read_layers
from smartrouter.admin.labels import hint, listed

_ABOUT: Mapping[str, Promise] = {
    "effective_cost": gettext_lazy("what 1,000 tokens of this request cost"),
    "speed_score": gettext_lazy("how soon an answer of 300 tokens is complete"),
    "quality_score": gettext_lazy("the model's quality score, or a guess from its name"),
    "reliability_score": gettext_lazy("the share of good answers lately"),
    "quota_remaining": gettext_lazy("how much of today's limit is left"),
    "priority": gettext_lazy("the member's or channel's priority; 1 is the first"),
    "local": gettext_lazy("whether its provider is local"),
    "free": gettext_lazy("whether it costs nothing now"),
    "connections": gettext_lazy("how many requests its channel is answering"),
    "response_time": gettext_lazy("how soon the first content comes"),
}
ORDERS = ((ASC, gettext_lazy("less is better")), (DESC, gettext_lazy("more is better")))


@dataclass(frozen=True, slots=True)
class Typed:
    """One row of the table as it was typed."""

    field: str
    order: str
    weight: str


class LayersWidget(forms.Widget):
    """A row for each field that layers can weigh: its order, and its weight, empty where it is not used."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        typed = {entry.field: entry for entry in (value or ())}
        rows = [
            {
                "name": f"{name}_{field}",
                "label": capfirst(str(about.label)),
                "about": _ABOUT.get(field, ""),
                "order": typed[field].order if field in typed else about.order,
                "weight": typed[field].weight if field in typed else "",
            }
            for field, about in FIELDS.items()
        ]
        context = {"rows": rows, "orders": ORDERS, "most": int(WEIGHT_AT_MOST), "classes": " ".join(BASE_CLASSES)}
        return render_to_string("admin/layers.html", {**context, "id": (attrs or {}).get("id", f"id_{name}")})

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Typed]:
        typed = [
            Typed(field, data.get(f"{name}_{field}_order", about.order), data.get(f"{name}_{field}_weight", "").strip())
            for field, about in FIELDS.items()
        ]
        return [entry for entry in typed if entry.weight]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return not any(f"{name}_{field}_weight" in data for field in FIELDS)

    def id_for_label(self, id_: str) -> str:
        return ""


class LayersField(forms.Field):
    """A JSON list of layers, edited as a table, in the order in which fields stand there."""

    widget = LayersWidget

    def prepare_value(self, value: Any) -> Any:
        """The rows to show, of stored layers or of what was typed."""
        return [entry if isinstance(entry, Typed) else _typed(entry) for entry in value or ()]

    def to_python(self, value: Any) -> list[dict[str, Any]]:
        layers = []
        for entry in value or ():
            if not isinstance(entry, Typed):
                layers.append(entry)
                continue
            try:
                weight = float(entry.weight.replace(",", "."))
            except ValueError as e:
                text = _("The weight of “%s” is not a number.") % FIELDS[entry.field].label
                raise ValidationError(text, code="weight") from e
            if not 0 <= weight <= WEIGHT_AT_MOST:
                text = _("The weight of “%(field)s” is a number from 0 to %(most)d.")
                shown = {"field": FIELDS[entry.field].label, "most": WEIGHT_AT_MOST}
                raise ValidationError(text % shown, code="weight")
            layers.append({"field": entry.field, "order": entry.order, "weight": weight})
        try:
            read_layers(layers)
        except ValueError as e:
            raise ValidationError(str(e), code="layers") from e
        return layers

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(_compared(self.to_python(data)) != _compared(initial))
        except ValidationError:
            return True


def _typed(entry: Any) -> Typed:
    """The row of a stored layer."""
    field = str(entry.get("field"))
    usual = FIELDS[field].order if field in FIELDS else DESC
    return Typed(field, str(entry.get("order", usual)), show_weight(entry.get("weight", 1.0)))


def _compared(layers: Any) -> Any:
    """The layers without what makes no difference: their order, and what they leave to be understood."""
    try:
        return sorted(read_layers(layers or []), key=lambda layer: layer.field)
    except ValueError:
        return layers


def show_weight(weight: Any) -> str:
    """The weight in full, as it is saved again with the form; without needless decimals, and without an exponent."""
    if not isinstance(weight, int | float):
        return str(weight)
    text = f"{Decimal(repr(weight)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_layers(layers: Sequence[Mapping[str, Any]]) -> str:
    """The layers in one line: cost 1, speed 0.9."""
    return listed(
        f"{FIELDS[entry.field].label} {entry.weight}" for entry in map(_typed, layers) if entry.field in FIELDS
    )


def name_preset(preset: str) -> str:
    """The preset's label, without what follows the colon; its name where it is not known."""
    return str(PRESET_LABELS.get(preset, preset)).partition(":")[0].partition("：")[0]


def say_strategy(strategy: str, layers: Sequence[Mapping[str, Any]]) -> str:
    """What a row says about choosing: its layers, else its preset; nothing where it has neither."""
    return _("layers: %s") % show_layers(layers) if layers else name_preset(strategy)


def show_strategy(strategy: str, layers: Sequence[Mapping[str, Any]], otherwise: str = "-") -> SafeString:
    """The same in a list, with the preset's whole label on hover; otherwise: where a row has neither."""
    return hint(say_strategy(strategy, layers) or otherwise, "" if layers else str(PRESET_LABELS.get(strategy, "")))


def say_default(rule: StrategyRule | None) -> str:
    """The strategy that a rule gives, the setting's without one."""
    return say_strategy(rule.strategy, rule.layers) if rule else say_strategy(default_preset(), ())


class StrategyForm(forms.ModelForm):
    """A row with a preset or layers of its own."""

    empty_strategy: str | Promise = gettext_lazy("None: the layers below")

    layers = LayersField(
        label=gettext_lazy("Layers"),
        required=False,
        help_text=gettext_lazy(
            "Each number becomes a value from 0 to 1, the best 1; the sum of weight × value decides, times the "
            "candidate's own weight. An empty weight: not weighed."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = list(PRESET_LABELS.items())
        stored = self.instance.strategy
        if stored and stored not in PRESET_LABELS:
            known.append((stored, stored))  # of an earlier version: shown, refused when saved
        field: Any = self.fields["strategy"]
        field.choices = [("", self.say_empty()), *known]

    def say_empty(self) -> str:
        """What no preset stands for."""
        return str(self.empty_strategy)
