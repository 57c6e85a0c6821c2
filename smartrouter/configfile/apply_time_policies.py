"""Worker side. Time policies: another strategy or other members for a group, at set hours."""

import re
from collections.abc import Mapping
from datetime import time
from typing import Any

from django.utils.translation import gettext as _

from routing.models import ModelGroup, TimePolicy
from routing.strategies import AUTO
from routing.validators import every_day
from smartrouter.configfile.apply_strategies import strategy_values
from smartrouter.configfile.parsing import Entry
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import Action, ConfigError
from smartrouter.configfile.rows import Refused, Run, save_row, tried
from smartrouter.configfile.schema import ModelGroupSpec, TimePolicySpec
from smartrouter.configfile.showing import DAYS, shown_days, shown_time

_FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {word: number for words in (DAYS, _FULL) for number, word in enumerate(words)}
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?", re.ASCII)


def apply_time_policies(
    run: Run, group: ModelGroup, entry: Entry[ModelGroupSpec], groups: Mapping[str, ModelGroup]
) -> None:
    """Make the group's time policies those of the list, in its order, keeping the rows for the same hours."""
    rows = list(group.time_policies.all())
    for index, spec in enumerate(entry.spec.time_policies or []):
        with run.entry():
            _apply_policy(run, group, rows, (index, spec), entry.place.at("time_policies", index), groups)
    for row in rows:
        run.note(row, Action.REMOVED, policy_label(group, row))
        row.delete()


def policy_label(group: ModelGroup, row: TimePolicy) -> str:
    """How a report names a time policy: auto:fast: mon, tue 08:00-18:00 UTC."""
    return f"{group.name}: {shown_days(row.days)} {shown_time(row.start)}-{shown_time(row.end)} {row.timezone}"


def _apply_policy(
    run: Run,
    group: ModelGroup,
    rows: list[TimePolicy],
    numbered: tuple[int, TimePolicySpec],
    place: Place,
    groups: Mapping[str, ModelGroup],
) -> None:
    index, spec = numbered
    hours = {
        "days": tried(_days_of, spec.days, place.at("days")),
        "start": tried(_time_of, spec.start, place.at("from"), can_be_24=False),
        "end": tried(_time_of, spec.end, place.at("to"), can_be_24=True),
        "timezone": spec.timezone,
    }
    row = _take_equal(rows, hours) or TimePolicy(group=group)
    if row.pk and not isinstance(hours["days"], Refused):
        hours["days"] = row.days  # the same days, perhaps in another order
    values = {
        **hours,
        "position": index,
        **strategy_values(row, spec.routing_strategy, place),
        "members_of": tried(_members_of, run, groups, spec.members_of, place.at("members_of")),
        "is_active": spec.active,
    }
    if isinstance(values["members_of"], Refused) and not values["layers"]:
        values["strategy"] = values["strategy"] or AUTO.name  # it is refused already, and not for changing nothing
    label = "" if any(isinstance(value, Refused) for value in hours.values()) else _label(group, hours)
    save_row(run, row, values, place, label=label)


def _label(group: ModelGroup, hours: Mapping[str, Any]) -> str:
    return policy_label(group, TimePolicy(**hours))


def _take_equal(rows: list[TimePolicy], hours: Mapping[str, Any]) -> TimePolicy | None:
    """The first row for the same days and hours, taken out of rows."""
    if any(isinstance(value, Refused) for value in hours.values()):
        return None
    wanted = (set(hours["days"]), hours["start"], hours["end"], hours["timezone"])
    for index, row in enumerate(rows):
        if (set(row.days), row.start, row.end, row.timezone) == wanted:
            return rows.pop(index)
    return None


def _members_of(run: Run, groups: Mapping[str, ModelGroup], name: str | None, place: Place) -> ModelGroup | None:
    return None if name is None else run.find("model_groups", groups, name, place)


def _days_of(written: list[Any] | None, place: Place) -> list[int]:
    """The weekdays as numbers, Monday 0, in order. Raises ConfigError."""
    if written is None:
        return every_day()
    if not written:
        raise ConfigError([place.says(_("Give at least one weekday, such as mon; leave “days” out for all of them."))])
    numbers = [_NUMBERS.get(day.lower()) if isinstance(day, str) else day for day in written]
    wrong = [index for index, day in enumerate(numbers) if type(day) is not int or not 0 <= day <= 6]
    if wrong:
        said = _("Write weekdays as mon, tue, wed, thu, fri, sat, sun, or as numbers from 0 (Monday) to 6 (Sunday).")
        raise ConfigError([place.at(index).says(said) for index in wrong])
    return sorted({day for day in numbers if day is not None})


def _time_of(written: str, place: Place, *, can_be_24: bool) -> time:
    """The time of day. 24:00 is the end of a day. Raises ConfigError."""
    found = _TIME.fullmatch(written)
    if can_be_24 and written == "24:00":
        return time(0, 0)
    try:
        if found is None:
            raise ValueError
        hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3))
        return time(hour, minute, second, int((found[4] or "").ljust(6, "0")))
    except ValueError as e:
        raise ConfigError([place.says(_("Write a time of day such as 08:00 or 17:30."))]) from e
