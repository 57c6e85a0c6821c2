"""Worker side. A tenant's router keys: what they may do, and the key that each of them replaced."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from smartrouter.accounts.models import RouterKey, Tenant, User
from smartrouter.configfile.apply_budgets import apply_budgets, holder_of
from smartrouter.configfile.parsing import Entry, refuse_doubled
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.rows import Refused, Run, save_row, take_renamed, tried
from smartrouter.configfile.schema import PreviousKeySpec, RouterKeySpec, TenantSpec
from smartrouter.configfile.secrets import read_router_key
from smartrouter.configfile.showing import printable


def apply_router_keys(run: Run, tenant: Tenant, entry: Entry[TenantSpec], users: dict[str, User]) -> None:
    """Write the keys of the tenant's list; those that it does not have stay. users: by name, with whoever is new here."""
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
            rows[spec.name] = _apply_router_key(run, row, spec, place, users)


def _apply_router_key(run: Run, row: RouterKey, spec: RouterKeySpec, place: Place, users: dict[str, User]) -> RouterKey:
    values = {
        "name": spec.name,
        **_key_values(run, row, spec, place),
        "allowed_models": spec.models,
        "denied_models": spec.denied_models,
        "default_model": spec.default_model,
        "can_choose_strategy": spec.can_choose_strategy,
        "networks": spec.networks,
        "rpm": spec.rpm,
        "tpm": spec.tpm,
        "max_parallel": spec.max_parallel,
        "owner": tried(_owner, run, spec.owner, place, users),
        "labels": spec.labels,
        "is_active": spec.active,
        "expires_at": spec.expires_at.at if spec.expires_at else None,
    }
    save_row(run, row, values, place, label=f"{row.tenant.name}/{spec.name}")
    run.key_places[row.pk] = place
    apply_budgets(run, holder_of(row), spec.budgets, place.at("budgets"))
    return row


def _key_values(run: Run, row: RouterKey, spec: RouterKeySpec, place: Place) -> dict[str, Any]:
    """The columns that come from the key and from the one before it; none where both stay what they are."""
    values = _current_values(run, row, spec, place.at("key"))
    digest = values.get("digest", row.digest)
    if spec.previous is not None:
        values |= _previous_values(run, row, digest, spec.previous, place.at("previous"))
    elif row.previous_digest is not None and row.previous_digest == digest:
        values |= {"previous_digest": None, "previous_until": None}  # the key before is the key again
    return values


def _current_values(run: Run, row: RouterKey, spec: RouterKeySpec, place: Place) -> dict[str, Any]:
    if spec.key is None:
        said = _("A new router key needs its key: env:NAME, digest:… or the key itself.")
        return {"digest": Refused((place.says(said),))} if row._state.adding else {}
    given = tried(read_router_key, spec.key, spec.hint, place)
    if isinstance(given, Refused):
        return {"digest": given}
    if taken := _taken(run, row, given.digest, place):
        return {"digest": taken}
    values: dict[str, Any] = {"digest": given.digest, "env_name": given.env_name}
    if given.hint is not None:
        values["hint"] = given.hint
    elif row.digest != given.digest:
        values["hint"] = ""  # the old key's would mislead
    return values


def _previous_values(run: Run, row: RouterKey, digest: Any, spec: PreviousKeySpec, place: Place) -> dict[str, Any]:
    """The columns of the key before. digest: of the key itself, or a Refused."""
    given = tried(read_router_key, spec.key, None, place.at("key"))
    found: Refused | str | None = given if isinstance(given, Refused) else given.digest
    if found == digest:
        said = _("This is the key itself; “previous” has the one that it replaced.")
        found = Refused((place.at("key").says(said),))
    elif isinstance(found, str):
        found = _taken(run, row, found, place.at("key")) or found
    return {"previous_digest": found, "previous_until": spec.until.at}


def _taken(run: Run, row: RouterKey, digest: str, place: Place) -> Refused | None:
    """What to say where another router key is the same key already, or was until lately; None where none is."""
    if digest in (row.digest, row.previous_digest):
        return None
    same = RouterKey.objects.filter(Q(digest=digest) | Q(previous_digest=digest))
    other = same.exclude(pk=row.pk).select_related("tenant").first()
    if other is None:
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
        users[username] = save_row(run, new_user(), {"username": username}, place, label=username)
        run.warn(place.says(_("The user “%s” did not exist and was created without a password.") % username))
    return users[username]


def new_user() -> User:
    """A user who cannot sign in until someone sets a password."""
    user = User()
    user.set_unusable_password()
    return user
