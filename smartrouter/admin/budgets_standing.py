"""Worker side. How budgets stand: what is used in the present window, what is left, and when it begins anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    DateField,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat

from billing.models import Budget, BudgetScope, ScopeUsage
from billing.scopes import EACH, EVER, WINDOWS, day_after, first_day, local_day, scope_key, starts_ms
from channels.models import Channel
from smartrouter.accounts.models import Tenant

_SUMS = {Budget.Unit.USD: "money_nusd", Budget.Unit.REQUESTS: "requests", Budget.Unit.TOKENS: "tokens"}
# Whom a scope of a kind points to, or who points to it.
_REFS = {
    BudgetScope.Kind.TENANT: "scope__tenant_id",
    BudgetScope.Kind.ROUTER_KEY: "scope__router_key_id",
    BudgetScope.Kind.USER: "scope__user_id",
    BudgetScope.Kind.GROUP: "scope__model_group__id",
    BudgetScope.Kind.CHANNEL: "scope__channel_id",
}
# Those of the other kinds have the platform's.
_ZONES = {
    BudgetScope.Kind.TENANT: "scope__tenant__timezone",
    BudgetScope.Kind.END_USER: "scope__tenant__timezone",
    BudgetScope.Kind.ROUTER_KEY: "scope__router_key__tenant__timezone",
    BudgetScope.Kind.CHANNEL: "scope__channel__timezone",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How one budget stands, in nano-USD, requests or tokens. left: None where there is only a soft limit. percent: of the
    limit, or of the soft one where there is no other. resets_at: in the scope's zone; None: never. who: the end user who
    has used most, where each has the budget for himself."""

    used: int
    left: int | None
    percent: int
    is_over: bool
    is_near: bool
    resets_at: datetime | None
    who: str = ""


def with_standing(budgets: QuerySet, at: datetime) -> QuerySet:
    """The budgets with zone, used_from (a local day) and used: one query, whose sums an index serves row by row.

    What each end user has used is not there: see add_highest().
    """
    found: QuerySet = budgets.annotate(
        zone=Case(
            *(When(scope__kind=kind, then=F(path)) for kind, path in _ZONES.items()),
            default=Value(settings.TIME_ZONE),
            output_field=CharField(),
        ),
        used_from=_first_days(at),
        usage_key=Case(
            *(
                When(scope__kind=kind, then=Concat(Value(f"{kind.value}:"), Cast(path, CharField())))
                for kind, path in _REFS.items()
            ),
            default=Concat(Value("end_user:"), Cast("scope__tenant_id", CharField()), Value(":"), F("scope__end_user")),
            output_field=CharField(),
        ),
        used=Coalesce(
            Case(
                *(When(unit=unit, then=_sum_of(field)) for unit, field in _SUMS.items()), output_field=BigIntegerField()
            ),
            0,
        ),
    )
    return found


def _first_days(at: datetime) -> Case:
    """The first day of a budget's window: of the zones in use at most three dates are today's."""
    zones = {settings.TIME_ZONE}
    for model in (Tenant, Channel):
        zones.update(model._default_manager.order_by().values_list("timezone", flat=True).distinct())
    of_day: dict[date, list[str]] = {}
    for zone in sorted(zones):
        of_day.setdefault(local_day(ZoneInfo(zone), at.timestamp() * 1000), []).append(zone)
    return Case(
        *(
            When(window=window, zone__in=names, then=Value(first_day(window, day)))
            for window in WINDOWS
            for day, names in of_day.items()
        ),
        default=Value(EVER),
        output_field=DateField(),
    )


def _sum_of(field: str) -> Subquery:
    rows = ScopeUsage.objects.filter(scope=OuterRef("usage_key"), day__gte=OuterRef("used_from"))
    return Subquery(rows.order_by().values("scope").annotate(n=Sum(field)).values("n"), output_field=BigIntegerField())


def add_highest(budgets: Sequence[Any]) -> None:
    """Give those of the budgets that each end user has for himself the sum of whoever has used most, and his name: at most
    two queries for all of them."""
    each = [b for b in budgets if b.scope.kind == BudgetScope.Kind.END_USER and b.scope.end_user == EACH]
    if not each:
        return
    named = set(
        BudgetScope.objects.filter(kind=BudgetScope.Kind.END_USER, tenant__in={b.scope.tenant_id for b in each})
        .exclude(end_user=EACH)
        .filter(budgets__isnull=False)
        .values_list("tenant_id", "end_user")
    )
    starts = {(_prefix(b), b.used_from) for b in each}
    wanted = Q()
    for prefix, start in starts:
        wanted |= Q(scope__startswith=prefix, day__gte=start)
    days = {start for _prefix_, start in starts}
    sums = {
        f"{field}_{start:%Y%m%d}": Sum(field, filter=Q(day__gte=start)) for field in _SUMS.values() for start in days
    }
    found: Any = ScopeUsage.objects.filter(wanted).order_by("scope").values("scope").annotate(**sums)
    for row in found:
        _kind, tenant, name = row["scope"].split(":", 2)
        if (int(tenant), name) in named:
            continue
        for budget in each:
            used = row[f"{_SUMS[budget.unit]}_{budget.used_from:%Y%m%d}"] or 0
            if budget.scope.tenant_id == int(tenant) and used > budget.used:
                budget.used, budget.who = used, name


def _prefix(budget: Budget) -> str:
    return scope_key("end_user", budget.scope.tenant_id or 0) + ":"


def standing_of(budget: Any) -> Standing:
    """How a budget from with_standing() stands."""
    # A form that is shown again may have no limit at all.
    used, bound = budget.used, (budget.soft_limit if budget.limit is None else budget.limit) or 0
    zone, after = ZoneInfo(budget.zone), day_after(budget.window, budget.used_from)
    return Standing(
        used=used,
        left=None if budget.limit is None else max(budget.limit - used, 0),
        percent=min(used * 100 // bound, 999) if bound else 100,
        is_over=budget.limit is not None and used >= budget.limit,
        is_near=used >= bound - bound // 5 or (budget.soft_limit is not None and used >= budget.soft_limit),
        resets_at=None if after is None else datetime.fromtimestamp(starts_ms(after, zone) / 1000, zone),
        who=getattr(budget, "who", ""),
    )


# What standing_of() calls over and near, as the database sees it.
IS_OVER = Q(limit__isnull=False, used__gte=F("limit"))
_BOUND = Coalesce("limit", "soft_limit")
IS_NEAR = Q(used__gte=_BOUND - _BOUND / 5) | Q(soft_limit__isnull=False, used__gte=F("soft_limit"))


def where_standing(budgets: QuerySet, *, is_over: bool) -> QuerySet:
    """Those of the budgets of with_standing() that are over their limit; or near it, or over."""
    of_each = list(budgets.filter(scope__kind=BudgetScope.Kind.END_USER, scope__end_user=EACH))
    add_highest(of_each)
    found = [b.pk for b in of_each if (standing_of(b).is_over if is_over else standing_of(b).is_near)]
    return budgets.filter(Q(pk__in=found) | (IS_OVER if is_over else IS_NEAR))
