"""Worker side. The block tenants: the tree, its router keys, its users."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from smartrouter.configfile.parsing import Entry, refuse_doubled
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.rows import Refused, Run, save_row, take_renamed, tried
from smartrouter.configfile.schema import RouterKeySpec, TenantSpec, UserSpec
from smartrouter.configfile.secrets import read_router_key
from smartrouter.configfile.showing import printable

_ABOUT_A_USER = ("email", "first_name", "last_name")


def apply_tenants(run: Run, entries: Sequence[Entry[TenantSpec]]) -> None:
    """Write the tenants, parents first, then their users, then their keys; run.tenants knows them afterwards."""
    run.tenants = {row.name: row for row in Tenant.objects.all()}
    for entry in _parents_first(run, entries):
        with run.entry("tenants", entry.spec.name):
            _apply_tenant(run, entry.spec, entry.place)
    written = [
        (run.tenants[entry.spec.name], entry) for entry in entries if ("tenants", entry.spec.name) not in run.refused
    ]
    users = {row.username: row for row in User.objects.all()}
    said: dict[tuple[str, str], str] = {}  # what the document said of a user before
    for tenant, entry in written:
        with run.entry():
            _apply_members(run, tenant, entry, users, said)
    for tenant, entry in written:
        with run.entry():
            _apply_router_keys(run, tenant, entry, users)


def _parents_first(run: Run, entries: Sequence[Entry[TenantSpec]]) -> list[Entry[TenantSpec]]:
    """The entries in an order in which each comes after its parent; those in a circle are refused."""
    waiting = {entry.spec.name: entry for entry in entries}
    ordered: list[Entry[TenantSpec]] = []
    while waiting:
        ready = [entry for entry in waiting.values() if entry.spec.parent not in waiting]
        if not ready:
            for entry in waiting.values():
                run.problems.append(entry.place.at("parent").says(_("A tenant cannot be below itself.")))
                run.refused.add(("tenants", entry.spec.name))
            break
        for entry in ready:
            ordered.append(waiting.pop(entry.spec.name))
    return ordered


def _apply_tenant(run: Run, spec: TenantSpec, place: Place) -> None:
    row = take_renamed(run.tenants, spec.name, spec.was, place) or Tenant()
    values = {
        "name": spec.name,
        "display_name": spec.display_name,
        "kind": spec.kind,
        "parent": tried(_parent, run, spec.parent, place.at("parent")),
        "timezone": spec.timezone,
        "is_active": spec.active,
        "can_see_channels": spec.can_see_channels,
    }
    run.tenants[spec.name] = save_row(run, row, values, place, label=spec.name)


def _parent(run: Run, name: str | None, place: Place) -> Tenant | None:
    return run.find("tenants", run.tenants, name, place) if name else None


def _apply_members(
    run: Run, tenant: Tenant, entry: Entry[TenantSpec], users: dict[str, User], said: dict[tuple[str, str], str]
) -> None:
    specs = entry.spec.users or []
    places = [entry.place.at("users", index) for index in range(len(specs))]
    refuse_doubled([(spec.username, place) for spec, place in zip(specs, places, strict=True)])
    if not specs:
        return
    memberships = {row.user_id: row for row in Membership.objects.filter(tenant=tenant)}
    for spec, place in zip(specs, places, strict=True):
        with run.entry():
            user = _apply_user(run, spec, place, users, said)
            row = memberships.get(user.pk) or Membership(user=user, tenant=tenant)
            save_row(run, row, {"role": spec.role}, place, label=f"{spec.username} @ {tenant.name}")


def _apply_user(
    run: Run, spec: UserSpec, place: Place, users: dict[str, User], said: dict[tuple[str, str], str]
) -> User:
    """The user, with what the entry says of them; what it does not say stays. Raises ConfigError."""
    values: dict[str, Any] = {}
    for name in _ABOUT_A_USER:
        value = getattr(spec, name)
        if value is None:
            continue
        if said.setdefault((spec.username, name), value) != value:
            raise ConfigError([place.at(name).says(_("Another tenant's entry says something else of this user."))])
        values[name] = value
    row = users.get(spec.username) or _new_user()
    users[spec.username] = save_row(run, row, {"username": spec.username, **values}, place, label=spec.username)
    return row


def _new_user() -> User:
    """A user who cannot sign in until someone sets a password."""
    user = User()
    user.set_unusable_password()
    return user


def _apply_router_keys(run: Run, tenant: Tenant, entry: Entry[TenantSpec], users: dict[str, User]) -> None:
    specs = entry.spec.router_keys or []
    places = [entry.place.at("router_keys", index) for index in range(len(specs))]
    refuse_doubled([(spec.name, place) for spec, place in zip(specs, places, strict=True)])
    if not specs:
        return
    rows = {row.name: row for row in RouterKey.objects.filter(tenant=tenant)}
    for spec, place in zip(specs, places, strict=True):
        with run.entry():
            if spec.was and spec.was != spec.name and any(spec.was == other.name for other in specs):
                raise ConfigError([place.at("was").says(_("“%s” is also an entry of its own; choose one.") % spec.was)])
            row = take_renamed(rows, spec.name, spec.was, place) or RouterKey(tenant=tenant)
            values = {
                "name": spec.name,
                **_key_values(run, row, spec, place),
                "allowed_models": spec.models,
                "denied_models": spec.denied_models,
                "default_model": spec.default_model,
                "can_choose_strategy": spec.can_choose_strategy,
                "owner": tried(_owner, run, spec.owner, place, users),
                "is_active": spec.active,
                "expires_at": spec.expires_at.at if spec.expires_at else None,
            }
            rows[spec.name] = save_row(run, row, values, place, label=f"{tenant.name}/{spec.name}")
            run.key_places[rows[spec.name].pk] = place


def _key_values(run: Run, row: RouterKey, spec: RouterKeySpec, place: Place) -> dict[str, Any]:
    """The columns that come from the key; none where an existing key keeps its own."""
    if spec.key is None:
        said = _("A new router key needs its key: env:NAME, digest:… or the key itself.")
        return {"digest": Refused((place.at("key").says(said),))} if row._state.adding else {}
    given = tried(read_router_key, spec.key, spec.hint, place.at("key"))
    if isinstance(given, Refused):
        return {"digest": given}
    if taken := _taken(run, row, given.digest, place.at("key")):
        return {"digest": taken}
    values: dict[str, Any] = {"digest": given.digest, "env_name": given.env_name}
    if given.hint is not None:
        values["hint"] = given.hint
    elif row.digest != given.digest:
        values["hint"] = ""  # the old key's would mislead
    return values


def _taken(run: Run, row: RouterKey, digest: str, place: Place) -> Refused | None:
    """What to say where another router key is the same key already; None where it is not."""
    other = RouterKey.objects.filter(digest=digest).exclude(pk=row.pk).select_related("tenant").first()
    if row.digest == digest or other is None:
        return None
    said = _("This key is there already, as the router key “%s”.") % printable(str(other))
    if other.pk in run.key_places:
        said = _("This key is there twice; first at %s.") % run.key_places[other.pk]
    return Refused((place.says(said),))


def _owner(run: Run, username: str | None, place: Place, users: dict[str, User]) -> User | None:
    if username is None:
        return None
    if username not in users:
        place = place.at("owner")
        users[username] = save_row(run, _new_user(), {"username": username}, place, label=username)
        run.warn(place.says(_("The user “%s” did not exist and was created without a password.") % username))
    return users[username]
