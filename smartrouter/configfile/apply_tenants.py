"""Worker side. The block tenants: the tree, its users and end users; apply_router_keys has its keys."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from smartrouter.accounts.models import Membership, Tenant, User
from smartrouter.configfile.apply_budgets import apply_budgets, apply_end_users, holder_of
from smartrouter.configfile.apply_router_keys import apply_router_keys, new_user
from smartrouter.configfile.parsing import Entry, refuse_doubled
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.rows import Run, save_row, take_renamed, tried
from smartrouter.configfile.schema import TenantSpec, UserSpec

_ABOUT_A_USER = ("email", "first_name", "last_name", "budgets")
# Columns that the document has under the same words.
_LIMITS = (
    "can_see_budgets",
    "can_shorten_answers",
    "budget_status",
    "rpm",
    "tpm",
    "max_parallel",
    "end_user_rpm",
    "end_user_tpm",
)


def apply_tenants(run: Run, entries: Sequence[Entry[TenantSpec]]) -> None:
    """Write the tenants, parents first, then their budgets, users and keys; run.tenants knows them afterwards."""
    run.tenants = {row.name: row for row in Tenant.objects.all()}
    for entry in _parents_first(run, entries):
        with run.entry("tenants", entry.spec.name):
            _apply_tenant(run, entry.spec, entry.place)
    written = [
        (run.tenants[entry.spec.name], entry) for entry in entries if ("tenants", entry.spec.name) not in run.refused
    ]
    for tenant, entry in written:
        with run.entry():
            apply_budgets(run, holder_of(tenant), entry.spec.budgets, entry.place.at("budgets"))
        with run.entry():
            apply_end_users(run, tenant, entry.spec.end_users, entry.place.at("end_users"))
    users = {row.username: row for row in User.objects.all()}
    said: dict[tuple[str, str], Any] = {}  # what the document said of a user before
    for tenant, entry in written:
        with run.entry():
            _apply_members(run, tenant, entry, users, said)
    for tenant, entry in written:
        with run.entry():
            apply_router_keys(run, tenant, entry, users)


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
        **{name: getattr(spec, name) for name in _LIMITS},
    }
    run.tenants[spec.name] = save_row(run, row, values, place, label=spec.name)


def _parent(run: Run, name: str | None, place: Place) -> Tenant | None:
    return run.find("tenants", run.tenants, name, place) if name else None


def _apply_members(
    run: Run, tenant: Tenant, entry: Entry[TenantSpec], users: dict[str, User], said: dict[tuple[str, str], Any]
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
    run: Run, spec: UserSpec, place: Place, users: dict[str, User], said: dict[tuple[str, str], Any]
) -> User:
    """The user, with what the entry says of them; what it does not say stays. Raises ConfigError."""
    given = {name: value for name in _ABOUT_A_USER if (value := getattr(spec, name)) is not None}
    for name, value in given.items():
        if said.setdefault((spec.username, name), value) != value:
            raise ConfigError([place.at(name).says(_("Another tenant's entry says something else of this user."))])
    budgets = given.pop("budgets", None)
    row = users.get(spec.username) or new_user()
    users[spec.username] = save_row(run, row, {"username": spec.username, **given}, place, label=spec.username)
    with run.entry():
        apply_budgets(run, holder_of(row), budgets, place.at("budgets"))
    return row
