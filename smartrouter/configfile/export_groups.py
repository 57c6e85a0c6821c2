"""Worker side. Groups and strategies as the document has them, sorted here as in export_rows."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Prefetch

from routing.models import GroupMember, ModelGroup, StrategyFields, StrategyRule, TimePolicy
from routing.strategies import FIELDS
from routing.validators import every_day
from smartrouter.configfile.export_budgets import budget_lists, usd_or_none
from smartrouter.configfile.export_fields import Fields, without_defaults
from smartrouter.configfile.export_rows import plain_float
from smartrouter.configfile.schema import (
    FiltersSpec,
    LayerSpec,
    MemberSpec,
    ModelGroupSpec,
    TimePolicySpec,
)
from smartrouter.configfile.showing import DAYS, shown_time


def group_entries() -> Iterator[Fields]:
    budgets = budget_lists()
    members = GroupMember.objects.select_related("channel", "provider").order_by("position", "pk")
    policies = TimePolicy.objects.select_related("members_of").order_by("position", "pk")
    rows = ModelGroup.objects.select_related("fallback").prefetch_related(
        Prefetch("members", members), Prefetch("time_policies", policies)
    )
    for row in sorted(rows, key=lambda row: row.name):
        yield without_defaults(
            ModelGroupSpec,
            name=row.name,
            display_name=row.display_name,
            description=row.description,
            active=row.is_active,
            routing_strategy=_routing_strategy(row),
            select=None if row.selects == bool(row.tags) else row.selects,
            tags=row.tags,
            filters=_filters(row),
            max_cost_per_request_usd=usd_or_none(row.max_cost_per_request_nusd),
            budgets=budgets.get(("group", row.budget_scope_id, "")),
            channels=_members(row),
            fallback=row.fallback.name if row.fallback else None,
            time_policies=[_time_policy(policy) for policy in row.time_policies.all()] or None,
        )


def strategy_entries() -> Iterator[Fields]:
    for row in sorted(StrategyRule.objects.all(), key=lambda row: row.pattern):
        yield {"names": row.pattern, "routing_strategy": _routing_strategy(row)}


def _routing_strategy(row: StrategyFields) -> str | list[Fields] | None:
    """A preset's name, or the layers; None for neither."""
    return [_layer(layer) for layer in row.layers] or row.strategy or None


def _layer(layer: Fields) -> Fields:
    """The layer without what its field says anyway."""
    usual = FIELDS[layer["field"]].order if layer.get("field") in FIELDS else None
    order = layer.get("order")
    return without_defaults(
        LayerSpec,
        field=layer.get("field"),
        order=None if order == usual else order,
        weight=plain_float(float(layer.get("weight", 1.0))),
    )


def _filters(row: ModelGroup) -> Any:
    fields = without_defaults(
        FiltersSpec,
        max_cost_per_1k=row.max_cost_per_1k,
        min_context_length=row.min_context_length,
        capabilities=row.capabilities,
        provider_kinds=row.provider_kinds,
        regions=row.regions,
    )
    return fields or FiltersSpec()


def _members(row: ModelGroup) -> list[Fields] | None:
    """The members; of a group that selects none is what is usual."""
    return [_member(member) for member in row.members.all()] or (None if row.selects else [])


def _member(row: GroupMember) -> Fields:
    return without_defaults(
        MemberSpec,
        channel=row.channel.name if row.channel else None,
        provider=row.provider.name if row.provider else row.waiting_for or None,
        model=row.model,
        priority=row.priority,
        weight=plain_float(row.weight),
        daily_limit=row.daily_limit,
        active=row.is_active,
    )


def _time_policy(row: TimePolicy) -> Fields:
    return without_defaults(
        TimePolicySpec,
        days=None if sorted(row.days) == every_day() else [DAYS[day] for day in sorted(row.days)],
        start=shown_time(row.start),
        end=shown_time(row.end),
        timezone=row.timezone,
        routing_strategy=_routing_strategy(row),
        members_of=row.members_of.name if row.members_of else None,
        active=row.is_active,
    )
