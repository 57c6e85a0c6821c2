"""Worker side. What the files do not have: switched off, never deleted, but for strategy rules, which nothing hangs on.

A block counts only if the files have it, if only as an empty list; likewise a tenant's list of keys. What cannot be switched
off is left alone: prices and exchange rates are history, users and memberships are people.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from channels.models import ChannelKey, Offering
from routing.models import ModelGroup, StrategyRule
from smartrouter.accounts.models import Membership, RouterKey
from smartrouter.configfile.parsing import Configuration, Entry
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import Action
from smartrouter.configfile.rows import Run, switch, switch_off
from smartrouter.configfile.schema import ModelGroupSpec

# A block and the name of one of its rows.
Named = tuple[str, str]


def prune(run: Run, configuration: Configuration) -> None:
    """Switch off the rows that the applied configuration does not have, and warn of what that does to those it has."""
    missing: set[Named] = set()
    if place := configuration.given.get("providers"):
        listed = {entry.spec.name for entry in configuration.providers}
        missing |= _prune_rows(run, "providers", run.providers, listed, place)
    if place := configuration.given.get("models"):
        _prune_models(run, configuration, place)
    if place := configuration.given.get("tenants"):
        listed = {entry.spec.name for entry in configuration.tenants}
        missing |= _prune_rows(run, "tenants", run.tenants, listed, place)
        _prune_router_keys(run, configuration, place)
        _warn_of_members(run, configuration)
    if place := configuration.given.get("channels"):
        listed = {entry.spec.name for entry in configuration.channels}
        missing |= _prune_rows(run, "channels", run.channels, listed, place)
        _prune_parts(run, listed, place)
    if place := configuration.given.get("model_groups"):
        groups = {row.name: row for row in ModelGroup.objects.all()}
        listed = {entry.spec.name for entry in configuration.model_groups}
        missing |= _prune_rows(run, "model_groups", groups, listed, place)
    if place := configuration.given.get("strategies"):
        _prune_strategies(run, {entry.spec.names for entry in configuration.strategies}, place)
    for name, block, where in _references(configuration):
        if (block, name) in missing:
            said = _("The files name “%(name)s” here but have no such entry in %(block)s: it is switched off.")
            run.warn(where.says(said % {"name": name, "block": block}))


def _prune_rows(run: Run, block: str, rows: Mapping[str, Any], listed: set[str], place: Place) -> set[Named]:
    """The rows that the files do not have, all of them off now."""
    missing = sorted(name for name in rows if name not in listed)
    off = [name for name in missing if rows[name].is_active]
    if not listed:
        _warn_of_all(run, block, len(off), place)
    for name in off:
        switch_off(run, rows[name], place, name)
    return {(block, name) for name in missing}


def _warn_of_all(run: Run, block: str, count: int, place: Place) -> None:
    if count:
        said = _("The files have no entry in %(block)s: everything in it is switched off (%(count)d rows).")
        run.warn(place.says(said % {"block": block, "count": count}))


def _prune_strategies(run: Run, listed: set[str], place: Place) -> None:
    """Rules cannot be switched off: those that the files do not have are removed."""
    missing = [row for row in StrategyRule.objects.order_by("pk") if row.pattern not in listed]
    if missing and not listed:
        said = _("The files have no entry in %(block)s: everything in it is removed (%(count)d rows).")
        run.warn(place.says(said % {"block": "strategies", "count": len(missing)}))
    for row in sorted(missing, key=lambda row: row.pattern):
        run.note(row, Action.REMOVED, row.pattern)
        row.delete()


def _prune_models(run: Run, configuration: Configuration, place: Place) -> None:
    """Models that neither the block nor a channel's list has are switched off; those that only a channel has, on."""
    listed = {(entry.spec.provider, entry.spec.model) for entry in configuration.models}
    offered = {(e.spec.provider, offering.model) for e in configuration.channels for offering in e.spec.models or []}
    if not listed | offered:
        _warn_of_all(run, "models", sum(row.is_active for row in run.models.values()), place)
    for name, row in sorted(run.models.items()):
        if name not in listed:
            switch(run, row, place, "/".join(name), on=name in offered)


def _prune_router_keys(run: Run, configuration: Configuration, place: Place) -> None:
    """Keys of tenants that the files do not have, and those that a tenant's list of keys does not have."""
    lists = {entry.spec.name: entry for entry in configuration.tenants}
    for row in _sorted(RouterKey.objects.filter(is_active=True).select_related("tenant"), "tenant"):
        entry = lists.get(row.tenant.name)
        if entry is None:
            switch_off(run, row, place, str(row))
        elif entry.spec.router_keys is not None and row.name not in {key.name for key in entry.spec.router_keys}:
            switch_off(run, row, entry.place.at("router_keys"), str(row))


def _prune_parts(run: Run, listed: set[str], place: Place) -> None:
    """The keys and offerings of channels that the files do not have; a channel's own lists were applied before."""
    for rows in (ChannelKey.objects.all(), Offering.objects.all()):
        for row in _sorted(rows.filter(is_active=True).select_related("channel"), "channel"):
            if row.channel.name not in listed:
                switch_off(run, row, place, f"{row.channel.name}/{row.name}")


def _sorted(rows: Iterable[Any], above: str) -> list[Any]:
    """In an order that does not depend on the database's way of sorting text."""
    return sorted(rows, key=lambda row: (getattr(row, above).name, row.name))


def _warn_of_members(run: Run, configuration: Configuration) -> None:
    """Say who is in a tenant and not in its list: a membership can only be deleted, and this deletes nothing."""
    lists = {entry.spec.name: entry for entry in configuration.tenants if entry.spec.users is not None}
    for row in Membership.objects.select_related("tenant", "user").order_by("pk"):
        entry = lists.get(row.tenant.name)
        if entry and row.user.username not in {user.username for user in entry.spec.users or []}:
            said = _("“%s” is a member and not in this list; memberships are not switched off.") % row.user.username
            run.warn(entry.place.at("users").says(said))


def _references(configuration: Configuration) -> Iterator[tuple[str, str, Place]]:
    """The names by which active entries refer to others, with the block and the place."""
    for model in configuration.models:
        if model.spec.active:
            yield model.spec.provider, "providers", model.place.at("provider")
    for tenant in configuration.tenants:
        if tenant.spec.active and tenant.spec.parent:
            yield tenant.spec.parent, "tenants", tenant.place.at("parent")
    for channel in configuration.channels:
        if channel.spec.active:
            yield channel.spec.provider, "providers", channel.place.at("provider")
            if channel.spec.owner:
                yield channel.spec.owner, "tenants", channel.place.at("owner")
    for group in configuration.model_groups:
        yield from _groups_named(group)
        for index, member in enumerate(group.spec.channels or []):
            where = group.place.at("channels", index)
            if member.active and member.channel:
                yield member.channel, "channels", where.at("channel")
            elif member.active and member.provider:
                yield member.provider, "providers", where.at("provider")


def _groups_named(group: Entry[ModelGroupSpec]) -> Iterator[tuple[str, str, Place]]:
    """The groups that an active group names."""
    if group.spec.active and group.spec.fallback:
        yield group.spec.fallback, "model_groups", group.place.at("fallback")
    for index, policy in enumerate(group.spec.time_policies or []):
        if group.spec.active and policy.active and policy.members_of:
            yield policy.members_of, "model_groups", group.place.at("time_policies", index, "members_of")
