"""Worker side. How a usage record's candidate was chosen, from the trace that it keeps (routing.trace)."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import UsageRecord
from smartrouter.admin.choice_parts import field_label, reason_label, strategy_label
from smartrouter.admin.labels import label, listed
from smartrouter.admin.why import why_url


def show_chosen(record: UsageRecord) -> dict[str, Any]:
    """The section's context; without a strategy where the record has no trace."""
    trace = record.trace
    if not trace:
        return {"why_url": why_url(record)}
    place, first = trace.get("place"), trace.get("first", [])
    return {
        "why_url": why_url(record),
        "strategy": strategy_label(trace.get("strategy", "")),
        "group": trace.get("group", ""),
        "name": trace.get("name", ""),
        "headers": [field_label(field) for field in trace.get("fields", [])],
        "rows": [_row(number, entry, is_this=number == place) for number, entry in enumerate(first, start=1)],
        "notes": _notes(trace, place, len(first)),
    }


def _row(number: int, entry: Sequence[Any], *, is_this: bool) -> dict[str, Any]:
    channel, offered, score, values, priority, weight = entry
    return {
        "place": number,
        "name": f"{channel} · {offered}",
        "is_this": is_this,
        "mark": label(_("this attempt"), "info") if is_this else "",
        "score": "-" if score is None else f"{score:.3f}",
        "values": [f"{value:.3f}" for value in values],
        "terms": f"{priority} · {weight:g}",
    }


def _notes(trace: Mapping[str, Any], place: int | None, shown: int) -> list[str]:
    """What the table does not show: how many there were, where this one stood, who was excluded and why."""
    notes, count = [], trace.get("candidates", shown)
    if trace.get("has_more"):
        notes.append(_("The best %d of many were weighed.") % count)
    elif count > shown:
        notes.append(ngettext("There was %d candidate.", "There were %d candidates.", count) % count)
    if place is None:
        notes.append(_("This attempt went to one that came behind them, unweighed."))
    elif place > shown:
        notes.append(_("This attempt went to number %d.") % place)
    for reason, number in trace.get("excluded", {}).items():
        names = listed(f"{each[0]} · {each[1]}" for each in trace.get("named", []) if each[2] == reason)
        text = ngettext("%(number)d excluded: %(reason)s", "%(number)d excluded: %(reason)s", number)
        text %= {"number": number, "reason": reason_label(reason)}
        notes.append(_("%(title)s (%(content)s)") % {"title": text, "content": names} if names else text)
    return notes
