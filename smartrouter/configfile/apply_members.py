"""Worker side. The members of groups, also those that wait for a provider or channel."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from channels.models import Channel, Offering
from providers.models import Provider
from routing.models import GroupMember, ModelGroup
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import Action, ConfigError
from smartrouter.configfile.rows import Run, save_row
from smartrouter.configfile.schema import MemberSpec

# What a member points at: a channel, a provider, or the name of what it waits for.
Target = Channel | Provider | str


def join_waiting(run: Run) -> None:
    """Point the members that wait for a provider or channel at it where it exists by now."""
    for member in GroupMember.objects.exclude(waiting_for="").select_related("group").order_by("pk"):
        target = run.providers.get(member.waiting_for) or run.channels.get(member.waiting_for)
        if target is not None:
            label = f"{member.group.name}: {member.waiting_for}/{member.model}"
            save_row(run, member, _columns(target), Place(label), label=label)


def apply_members(
    run: Run, group: ModelGroup, specs: Sequence[MemberSpec], place: Place, offered: set[tuple[str, int, str]]
) -> None:
    """Make the group's members those of the list, in its order, keeping the rows that fit."""
    rows = [] if group._state.adding else list(group.members.select_related("channel", "provider"))
    for index, spec in enumerate(specs):
        with run.entry():
            where = place.at(index)
            target = _target_of(run, spec, where)
            name = target if isinstance(target, str) else target.name
            row = _take_equal(rows, target, spec.model) or GroupMember(group=group)
            values = {
                **_columns(target),
                "model": spec.model,
                "position": index,
                "priority": spec.priority,
                "weight": spec.weight,
                "daily_limit": spec.daily_limit,
                "is_active": spec.active,
            }
            save_row(run, row, values, where, label=f"{group.name}: {name}/{spec.model}")
            _warn_if_unserved(run, target, spec.model, where, offered)
    for row in rows:
        run.note(row, Action.REMOVED, f"{group.name}: {row}")
        row.delete()


def _target_of(run: Run, spec: MemberSpec, place: Place) -> Target:
    """What the member names. `provider` may also name a channel: so it was in the older form. Raises ConfigError."""
    if (spec.channel is None) == (spec.provider is None):
        raise ConfigError([place.says(_("Give either channel or provider."))])
    found: Channel | Provider | None
    if spec.channel is not None:
        block, name, found = "channels", spec.channel, run.channels.get(spec.channel)
    else:
        name = spec.provider or ""
        block, found = "providers", run.providers.get(name) or run.channels.get(name)
    if found is None and run.is_refused(block, name):
        raise ConfigError([])
    return found or name


def _columns(target: Target) -> dict[str, Any]:
    return {
        "channel": target if isinstance(target, Channel) else None,
        "provider": target if isinstance(target, Provider) else None,
        "waiting_for": target if isinstance(target, str) else "",
    }


def _take_equal(rows: list[GroupMember], target: Target, model: str) -> GroupMember | None:
    """The first row for the same target and model, taken out of rows."""
    for index, row in enumerate(rows):
        if row.model == model and (row.channel or row.provider or row.waiting_for) == target:
            return rows.pop(index)
    return None


def offered_names() -> set[tuple[str, int, str]]:
    """Every name under which a channel or a provider can be asked for a model, as (kind, row id, name)."""
    names = set()
    for row in Offering.objects.select_related("channel", "provider_model"):
        for name in (row.name, row.provider_model.name, *row.aliases):
            names.add(("Channel", row.channel_id, name))
            names.add(("Provider", row.channel.provider_id, name))
    return names


def _warn_if_unserved(run: Run, target: Target, model: str, place: Place, offered: set[tuple[str, int, str]]) -> None:
    if isinstance(target, str):
        run.warn(place.says(_("There is no provider or channel “%s” yet; the member waits for it.") % target))
    elif (type(target).__name__, target.pk, model) not in offered:
        said = _("No channel offers “%(model)s” through “%(target)s” yet; the member waits for it.")
        run.warn(place.says(said % {"model": model, "target": target.name}))
