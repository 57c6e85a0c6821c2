"""Worker side. What changed in a row, as people read it: never a secret, and the same text for the same value."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.translation import gettext as _

from billing.models import Budget
from smartrouter.configfile.cleaning import same
from smartrouter.configfile.moments import Moment
from smartrouter.configfile.report import Action, FieldChange, Report
from smartrouter.configfile.schema import BLOCKS
from smartrouter.lib.money import plain_number, usd_of

# Columns that hold or stem from a secret; their values are never shown.
SECRET = frozenset(("secret", "last_four", "digest", "previous_digest", "hint", "proxy_url", "extra_headers"))
# Weekdays as the document writes them, Monday first.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Two columns, of which one counts: the document has one word for them.
_STRATEGY = ("strategy", "layers")
# Columns of a new row that its line names already, in all models and in some.
_NAMED = frozenset(("name", "username", "pattern", "position"))
_NAMED_IN = {
    "providermodel": frozenset(("provider",)),
    "exchangerate": frozenset(("currency",)),
    "groupmember": frozenset(("channel", "provider", "waiting_for", "model")),
    "budget": frozenset(("unit", "window")),
    "timepolicy": frozenset(("days", "start", "end", "timezone")),
}
_PLAIN = re.compile(r"[^\W\d][\w./:@+*-]*")
# Longer texts are cut to what differs, with this much around it.
_LONG, _AROUND = 100, 20


def changes_of(
    row: models.Model, old: Mapping[str, Any], names: Iterable[str], spelled: Mapping[str, str]
) -> Iterator[FieldChange]:
    """The columns of these names, each from its old value to what the row has now."""
    names = list(names)
    yield from _key_changes(row, old, names, spelled)
    for name in names:
        word, new = spelled.get(name, name), getattr(row, name)
        if name in SECRET or name == "env_name" or (name == "layers" and "strategy" in names):
            continue
        if name in _STRATEGY:
            before, after = ([each.get(column, getattr(row, column)) for column in _STRATEGY] for each in (old, {}))
            yield FieldChange(word, *_pair(_shown_strategy(*before), _shown_strategy(*after)))
        elif isinstance(old[name], dict) and isinstance(new, dict):
            yield from _parts(word, old[name], new)
        else:
            yield FieldChange(word, *_pair(*(shown(_in_usd(row, name, value)) for value in (old[name], new))))


def fields_of(
    row: models.Model, names: Iterable[str], spelled: Mapping[str, str], follows: models.Model | None
) -> Iterator[FieldChange]:
    """What there is to say of a new row: what is not a default, or differs from the row that it takes over from."""
    names = [name for name in names if follows is None or getattr(follows, name) != getattr(row, name)]
    if follows is not None:
        yield from changes_of(row, {name: getattr(follows, name) for name in names}, names, spelled)
        return
    hidden = _NAMED | _NAMED_IN.get(row._meta.model_name or "", frozenset())
    words = {spelled.get(name, name): _("(set)") for name in names if name in SECRET and getattr(row, name)}
    if env_name := getattr(row, "env_name", ""):
        words["key"] = f"env:{env_name}"
    yield from (FieldChange(word, said=said) for word, said in words.items() if word != "hint")
    for name in names:
        field = row._meta.get_field(name)
        assert isinstance(field, models.Field)
        value = getattr(row, name)
        if name in hidden or name in SECRET or name == "env_name" or value == field.get_default():
            continue
        if name == "provider_model" and value.name == getattr(row, "name", ""):
            continue
        text = _shown_strategy(row.strategy, row.layers) if name in _STRATEGY else shown(_in_usd(row, name, value))  # type: ignore[attr-defined]  # only models with both columns have one
        yield FieldChange(spelled.get(name, name), new=text)


def _key_changes(
    row: models.Model, old: Mapping[str, Any], names: list[str], spelled: Mapping[str, str]
) -> Iterator[FieldChange]:
    """One change for each secret; one that only comes from another variable now is told from one that is new."""
    words = dict.fromkeys(spelled.get(name, name) for name in names if name in SECRET)
    if "key" in words:
        words.pop("hint", None)
    yield from (FieldChange(word, said=_("(changed)")) for word in words)
    if "env_name" in names and "key" not in words:
        before, now = (f"env:{name}" if name else _("(written out)") for name in (old["env_name"], row.env_name))  # type: ignore[attr-defined]  # only models that have it are written with it
        yield FieldChange("key", said=_("(the same) %(old)s -> %(new)s") % {"old": before, "new": now})


def _parts(word: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[FieldChange]:
    """The changes inside an object, field by field."""
    for name in sorted({*old, *new}):
        if name in old and name in new and same(old[name], new[name]):
            continue
        before, after = (shown(values[name]) if name in values else _("(none)") for values in (old, new))
        yield FieldChange(f"{word}.{printable(name)}", *_pair(before, after))


def _in_usd(row: models.Model, name: str, value: Any) -> Any:
    """An amount of nano-USD in USD, as the document has it; any other value as it is."""
    is_money = name.endswith("_nusd") or (
        isinstance(row, Budget) and row.unit == Budget.Unit.USD and name in ("limit", "soft_limit")
    )
    return usd_of(value) if is_money and value is not None else value


def shown(value: Any) -> str:
    """The value on one line."""
    if value is None or value == "":
        return _("(none)")
    if isinstance(value, models.Model):
        return printable(getattr(value, "name", None) or str(value))
    if isinstance(value, datetime):
        return str(Moment(value))
    if isinstance(value, Decimal):
        return plain_number(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value not in ("true", "false", "null"):
        return value
    return _as_json(value)


def shown_days(days: Iterable[int]) -> str:
    """Weekdays in their order: mon, tue."""
    if set(days) == set(range(len(DAYS))):
        return _("every day")
    return ", ".join(DAYS[day] for day in sorted(set(days)) if 0 <= day < len(DAYS))


def shown_time(at: time) -> str:
    """A time of day without what is 0 of it: 08:00."""
    return at.isoformat() if at.microsecond else at.isoformat("seconds" if at.second else "minutes")


def _shown_strategy(strategy: str, layers: list[Mapping[str, Any]]) -> str:
    """A preset's name, or layers on one line: effective_cost asc 1, speed_score 0.9."""
    if not layers:
        return shown(strategy)
    return ", ".join(
        " ".join(shown(layer[name]) for name in ("field", "order", "weight") if name in layer) for layer in layers
    )


def printable(text: str) -> str:
    """The text, with escapes for line breaks and whatever else could trick a terminal."""
    return text if text.isprintable() else _as_json(text)


def _as_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if text.isprintable() else json.dumps(value, sort_keys=True, default=str)


def _pair(old: str, new: str) -> tuple[str, str]:
    """Both texts, long ones cut to the part where they differ."""
    if max(len(old), len(new)) <= _LONG:
        return old, new
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, start - _AROUND) if start > _AROUND else 0
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    end = start + _LONG
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def action_words() -> dict[Action, str]:
    """What happened to a row, as its line begins."""
    return {
        Action.ADDED: _("added"),
        Action.CHANGED: _("changed"),
        Action.RENAMED: _("renamed"),
        Action.SWITCHED_OFF: _("switched off"),
        Action.REMOVED: _("removed"),
    }


def report_lines(report: Report) -> Iterator[str]:
    """The report as people read it: block by block, each row with its fields, then how many rows in all."""
    if report.is_unchanged:
        yield _("No changes.")
        return
    words = action_words()
    for block, lines in report.blocks(list(BLOCKS)):
        yield f"{block}:"
        for line in lines:
            was = " " + _("(was %s)") % printable(line.was) if line.was else ""
            row = f"{line.kind} {printable(line.name)}{was}"
            yield "  " + _("%(name)s: %(value)s") % {"name": words[line.action], "value": row}
            for change in line.fields:
                yield f"      {change}"
    yield summary(report)


def summary(report: Report) -> str:
    """How many rows of each sort, on one line."""
    counts = {action: len(report.of(action)) for action in Action}
    texts = {
        Action.ADDED: _("%d added"),
        Action.CHANGED: _("%d changed"),
        Action.RENAMED: _("%d renamed"),
        Action.SWITCHED_OFF: _("%d switched off"),
        Action.REMOVED: _("%d removed"),
    }
    return _(", ").join(texts[action] % count for action, count in counts.items() if count) + _(".")
