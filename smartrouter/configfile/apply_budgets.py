"""Worker side. Budgets, wherever the document has them: each list is all the budgets of whom it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from billing.models import Budget, BudgetScope
from billing.scopes import UNITS
from channels.models import Channel
from routing.models import ModelGroup
from smartrouter.accounts.models import RouterKey, Tenant, User
from smartrouter.configfile.parsing import refuse_doubled
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import Action, ConfigError
from smartrouter.configfile.rows import Refused, Run, save_row, tried, write
from smartrouter.configfile.schema import BudgetSpec, EndUserSpec
from smartrouter.configfile.showing import printable
from smartrouter.lib.money import NUSD_PER_USD

# A column holds 2**63 - 1 nano-USD.
USD_AT_MOST = 9_000_000_000
# Digits enough for every amount up to there and beyond; whatever would be rounded is refused.
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])
_NUSD = Decimal(1).scaleb(-9)
Kind = BudgetScope.Kind


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom budgets are for. label: how reports name it. columns: what its scope is found by; of a group the group itself."""

    label: str
    kind: str
    columns: Mapping[str, Any]
    group: ModelGroup | None = None


def holder_of(row: Tenant | RouterKey | User | Channel | ModelGroup) -> Holder:
    """The row as somebody who has budgets."""
    match row:
        case Tenant():
            return Holder(row.name, Kind.TENANT, {"tenant": row, "end_user": ""})
        case RouterKey():
            return Holder(str(row), Kind.ROUTER_KEY, {"router_key": row})
        case User():
            return Holder(_("user %s") % row.username, Kind.USER, {"user": row})
        case Channel():
            return Holder(row.name, Kind.CHANNEL, {"channel": row})
    return Holder(row.name, Kind.GROUP, {}, row)


def end_user_of(tenant: Tenant, name: str) -> Holder:
    """The tenant's end user of that name, or all of them, each for himself."""
    label = _("end user %s") % f"{tenant.name}/{printable(name)}"
    return Holder(label, Kind.END_USER, {"tenant": tenant, "end_user": name})


def apply_budgets(run: Run, holder: Holder, specs: Sequence[BudgetSpec] | None, place: Place) -> None:
    """Make the holder's budgets those of the list at the place, keeping the rows for the same window and unit; without a
    list they stay as they are. Raises ConfigError."""
    if specs is None:
        return
    units = [tried(_unit_of, spec, place.at(index)) for index, spec in enumerate(specs)]
    refuse_doubled(
        [((s.window, u), place.at(i)) for i, (s, u) in enumerate(zip(specs, units, strict=True)) if isinstance(u, str)]
    )
    scope = _scope_of(holder)
    rows = {(row.window, row.unit): row for row in scope.budgets.select_related("scope")} if scope.pk else {}
    for index, (spec, unit) in enumerate(zip(specs, units, strict=True)):
        with run.entry():
            if isinstance(unit, Refused):
                raise ConfigError(unit.problems)
            where = place.at(index)
            if scope.pk is None:
                _save_scope(run, holder, scope, where)
            row = rows.pop((spec.window, unit), None) or Budget(scope=scope)
            values = {
                "window": spec.window,
                "unit": unit,
                "limit": tried(_amount, spec, f"limit_{unit}", where),
                "soft_limit": tried(_amount, spec, f"soft_limit_{unit}", where),
            }
            spelled = {"limit": f"limit_{unit}", "soft_limit": f"soft_limit_{unit}"}
            save_row(run, row, values, where, label=_label(holder, spec.window, unit), spelled=spelled)
    _remove(run, holder, rows)


def apply_end_users(run: Run, tenant: Tenant, specs: Sequence[EndUserSpec] | None, place: Place) -> None:
    """Make the budgets of the tenant's end users those of the list; without a list they stay. Raises ConfigError."""
    if specs is None:
        return
    refuse_doubled([(spec.user, place.at(index)) for index, spec in enumerate(specs)])
    for index, spec in enumerate(specs):
        with run.entry():
            where = place.at(index)
            _check_end_user(spec.user, where.at("user"))
            apply_budgets(run, end_user_of(tenant, spec.user), spec.budgets, where.at("budgets"))
    listed = {spec.user for spec in specs}
    scopes = BudgetScope.objects.filter(kind=Kind.END_USER, tenant=tenant).exclude(end_user__in=listed)
    for scope in sorted(scopes.prefetch_related("budgets__scope"), key=lambda scope: scope.end_user):
        rows = {(row.window, row.unit): row for row in scope.budgets.all()}
        _remove(run, end_user_of(tenant, scope.end_user), rows)


def read_usd(amount: Decimal | None, place: Place) -> int | None:
    """The nano-USD of an amount in USD, exactly; None for none. Raises ConfigError."""
    if amount is None:
        return None
    if not amount.is_finite():
        raise ConfigError([place.says(_("This is not a number."))])
    if amount.copy_abs() > USD_AT_MOST:  # abs() would round, or overflow
        raise ConfigError([place.says(_("This number is too large."))])
    try:
        return int(amount.quantize(_NUSD, context=_EXACT) * NUSD_PER_USD)
    except Inexact as e:
        said = _("Write at most nine digits after the point: amounts are counted in nano-USD.")
        raise ConfigError([place.says(said)]) from e


def _unit_of(spec: BudgetSpec, place: Place) -> str:
    """What the budget counts. Raises ConfigError for nothing and for several."""
    given = [unit for unit in UNITS if {getattr(spec, f"limit_{unit}"), getattr(spec, f"soft_limit_{unit}")} != {None}]
    if not given:
        said = _("Give a limit or a soft limit: limit_usd, limit_requests, limit_tokens, soft_limit_usd and so on.")
        raise ConfigError([place.says(said)])
    if len(given) > 1:
        said = _("A budget has one unit; write one entry for %(first)s and one for %(second)s.")
        raise ConfigError([place.says(said % {"first": given[0], "second": given[1]})])
    return given[0]


def _amount(spec: BudgetSpec, name: str, place: Place) -> int | None:
    """The limit of that name in its unit, nano-USD for money. Raises ConfigError."""
    value: Decimal | int | None = getattr(spec, name)
    return read_usd(value, place.at(name)) if isinstance(value, Decimal) else value


def _check_end_user(name: str, place: Place) -> None:
    longest = BudgetScope._meta.get_field("end_user").max_length
    if not name or len(name) > (longest or 0):
        said = _("Write what requests have in their field “user” (at most %d characters), or * for each of them.")
        raise ConfigError([place.says(said % longest)])


def _scope_of(holder: Holder) -> BudgetScope:
    """The holder's scope, new and not saved where it has none."""
    if holder.group is not None:
        return holder.group.budget_scope or BudgetScope(kind=holder.kind)
    found = BudgetScope.objects.filter(kind=holder.kind, **holder.columns).first()
    return found or BudgetScope(kind=holder.kind, **holder.columns)


def _save_scope(run: Run, holder: Holder, scope: BudgetScope, place: Place) -> None:
    write(run, place, scope.save)
    if (group := holder.group) is not None:
        group.budget_scope = scope
        write(run, place, lambda: group.save(update_fields=["budget_scope"]))


def _remove(run: Run, holder: Holder, rows: Mapping[tuple[str, str], Budget]) -> None:
    """Take away what the list does not have. What was used stays counted."""
    for (window, unit), row in sorted(rows.items()):
        run.note(row, Action.REMOVED, _label(holder, window, unit))
        row.delete()


def _label(holder: Holder, window: str, unit: str) -> str:
    """How a report names a budget, in the document's words: acme/ci: day usd."""
    return f"{holder.label}: {printable(window)} {unit}"
