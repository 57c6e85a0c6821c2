"""Worker side. Parts of a choice as pages show them: strategies, layers, numbers with their units, what was excluded."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from routing.eligible import REASON_LABELS, Reason
from routing.strategies import FIELDS, PRESET_LABELS
from smartrouter.admin.labels import hint, listed

_SENTENCES: Mapping[str, Any] = {reason.value: sentence for reason, sentence in REASON_LABELS.items()}
assert _SENTENCES.keys() == {reason.value for reason in Reason} - {Reason.FOREIGN.value}


def strategy_label(name: str) -> str:
    """A strategy as people know it; "layers" stands for those of a group or a rule."""
    return _("Own layers") if name == "layers" else str(PRESET_LABELS.get(name, name))


def field_label(name: str) -> str:
    """What a layer weighs, in the reader's language; a field that is no more keeps its name."""
    return str(FIELDS[name].label) if name in FIELDS else name


def reason_label(code: str) -> str:
    """Why a candidate took no part, in the reader's language."""
    return str(_SENTENCES.get(code, code))


def layers_text(layers: Iterable[Mapping[str, Any]]) -> str:
    """The layers in one line: cost × 1, speed × 0.9 (small is good)."""
    texts = []
    for layer in layers:
        text = f"{field_label(layer['field'])} × {layer['weight']:g}"
        if layer["field"] in FIELDS and layer["order"] != FIELDS[layer["field"]].order:
            good = _("small is good") if layer["order"] == "asc" else _("large is good")
            text = _("%(title)s (%(content)s)") % {"title": text, "content": good}
        texts.append(text)
    return listed(texts)


def number_text(field: str, number: float | None) -> str:
    """A layer's number with its unit."""
    if number is None:
        return _("not known")
    match field:
        case "effective_cost":
            return _("$%s / 1k tokens") % f"{number:.9f}".rstrip("0").rstrip(".")
        case "speed_score":
            return f"{number:.1f} s"
        case "response_time":
            return f"{number:.0f} ms"
        case "reliability_score" | "quota_remaining":
            return f"{number * 100:.1f} %"
        case "local" | "free":
            return _("yes") if number else _("no")
    return f"{number:g}"


def two_lines(first: object, second: object) -> SafeString:
    """Two lines in one cell, from the left at every width, the second one quieter."""
    text = (
        '<span class="flex flex-col"><span class="whitespace-nowrap">{}</span>'
        '<span class="text-subtle text-xs whitespace-nowrap">{}</span></span>'
    )
    return format_html(text, first, second)


def value_cell(layer: Mapping[str, Any]) -> SafeString:
    """A layer's value from 0 to 1, below it the number that it comes from; what it adds to the score on hover."""
    shown = two_lines(f"{layer['value']:.3f}", number_text(layer["field"], layer["number"]))
    return hint(shown, _("adds %s to the score") % f"{layer['weighted']:.3f}")


def live_texts(live: Mapping[str, Any]) -> list[str]:
    """What is known of a candidate now, one sentence part each."""
    texts = []
    if "in_flight" in live:
        texts.append(_("%d in flight") % live["in_flight"])
    if live.get("daily_limit") is not None:
        texts.append(_("%(used)d of %(limit)d today") % {"used": live["used_today"], "limit": live["daily_limit"]})
    elif live.get("used_today"):
        texts.append(_("%d today") % live["used_today"])
    milliseconds = (
        (_("first content %s"), "first_content_ms"), (_("whole answer %s"), "answer_ms"), ("p50 %s", "p50_ms"),
        ("p95 %s", "p95_ms"),
    )  # fmt: skip
    texts += [text % f"{live[name]:.0f} ms" for text, name in milliseconds if name in live]
    if "tokens_per_s" in live:
        texts.append(_("%s tokens/s") % f"{live['tokens_per_s']:.0f}")
    if "reliability" in live:
        texts.append(pgettext("share of good answers", "%s good") % f"{live['reliability'] * 100:.1f} %")
    return texts
