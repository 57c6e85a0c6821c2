"""Worker side. From a database row to the RoutingTable's row: one reader for each model."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from channels.models import Channel, ChannelKey
from channels.records import KeyRecord
from providers.capabilities import bits_of
from providers.models import DatedRates
from providers.naming import canonical_name
from providers.prices import SORTS, Rates, check_tiers, check_windows
from routing import rows as r
from routing.changes import LOGGED_MODELS
from routing.models import ModelGroup
from routing.strategies import read_layers
from smartrouter.lib.outbound import normalise_base_url
from smartrouter.lib.sealing import SealBroken, Secret

logger = logging.getLogger(__name__)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _read_rates(row: DatedRates, source: str) -> Rates:
    return Rates(
        currency=row.currency,
        **{sort: getattr(row, sort) for sort in SORTS},
        tiers=check_tiers(row.tiers),
        windows=check_windows(row.windows),
        effective_from_ms=_ms(row.effective_from),
        source=source,
    )


def _read_channel(row: Channel) -> r.ChannelRow:
    opened: dict[str, Secret | None] = {"extra_headers": None, "proxy_url": None}
    problem = ""
    for field in opened:
        try:
            opened[field] = row.open_sealed(field)
        except SealBroken as e:
            problem = f"its {field.replace('_', ' ')} cannot be opened: {e}"
            logger.error("channel_seal_broken", extra={"channel": row.name, "field": field, "reason": str(e)})
    return r.ChannelRow(
        ref=row.pk,
        name=row.name,
        provider=row.provider_id,
        owner=row.owner_id,
        base_url=normalise_base_url(row.base_url) if row.base_url else "",
        is_active=row.is_active,
        priority=row.priority,
        weight=row.weight,
        headers=opened["extra_headers"],
        proxy_url=opened["proxy_url"],
        params=row.param_overrides,
        connect_s=row.connect_timeout_s,
        first_content_s=row.first_byte_timeout_s,
        idle_s=row.idle_timeout_s,
        total_s=row.total_timeout_s,
        problem=problem,
        region=row.region,
        zone=ZoneInfo(row.timezone),
    )


def _read_channel_key(row: ChannelKey) -> r.ChannelKeyRow:
    try:
        record = KeyRecord(row.pk, row.name, row.open_secret())
    except SealBroken as e:
        record = None
        logger.error("channel_key_seal_broken", extra={"key": row.pk, "reason": str(e)})
    return r.ChannelKeyRow(row.pk, row.channel_id, row.is_active, record)


def patterns_of(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, tag queries also in the spelling that they are compared in."""
    return tuple(dict.fromkeys(spelling for pattern in patterns for spelling in (pattern, canonical_name(pattern))))


def _read_group(row: ModelGroup) -> r.GroupRow:
    return r.GroupRow(
        ref=row.pk,
        name=row.name,
        is_active=row.is_active,
        created_s=0,
        strategy=row.strategy,
        layers=read_layers(row.layers),
        selects=row.selects,
        tags=tuple(row.tags),
        max_cost_per_1k=None if row.max_cost_per_1k is None else float(row.max_cost_per_1k),
        min_context_length=row.min_context_length,
        capabilities=bits_of(row.capabilities),
        kinds=tuple(row.provider_kinds),
        regions=tuple(row.regions),
        fallback=row.fallback_id,
        max_cost_nusd=row.max_cost_per_request_nusd,
        budget_scope=row.budget_scope_id,
    )


READERS: dict[str, Callable[[Any], Any]] = {
    "accounts.tenant": lambda x: r.TenantRow(
        x.pk,
        x.name,
        x.parent_id,
        x.is_active,
        x.can_see_channels,
        ZoneInfo(x.timezone),
        x.rpm,
        x.tpm,
        x.max_parallel,
        x.end_user_rpm,
        x.end_user_tpm,
        x.can_shorten_answers,
        x.can_see_budgets,
        x.budget_status,
    ),
    "accounts.routerkey": lambda x: r.RouterKeyRow(
        x.pk,
        x.tenant_id,
        x.name,
        x.digest,
        patterns_of(x.allowed_models),
        x.is_active,
        _ms(x.expires_at) if x.expires_at else None,
        patterns_of(x.denied_models),
        x.default_model,
        x.can_choose_strategy,
        x.owner_id,
        x.rpm,
        x.tpm,
        x.max_parallel,
        tuple(x.networks),
        x.labels,
        x.previous_digest,
        _ms(x.previous_until) if x.previous_until else None,
    ),
    "providers.exchangerate": lambda x: r.ExchangeRateRow(x.pk, x.currency, x.usd, _ms(x.effective_from)),
    "providers.provider": lambda x: r.ProviderRow(
        x.pk, x.name, x.adapter, normalise_base_url(x.base_url), x.is_active, x.kind, x.region
    ),
    "providers.providermodel": lambda x: r.ModelRow(
        x.pk,
        x.provider_id,
        x.name,
        x.is_free,
        x.is_active,
        x.context_length,
        x.default_output_tokens,
        None if x.capabilities is None else tuple(x.capabilities),
        tuple(x.tags),
        x.quality_score,
    ),
    "providers.modelprice": lambda x: r.PriceRow(x.pk, x.provider_model_id, _read_rates(x, "list")),
    "channels.channel": _read_channel,
    "channels.channelkey": _read_channel_key,
    "channels.offering": lambda x: r.OfferingRow(
        x.pk, x.channel_id, x.provider_model_id, x.name, tuple(x.aliases), x.is_active
    ),
    "channels.offeringprice": lambda x: r.PriceRow(x.pk, x.offering_id, _read_rates(x, "offering")),
    "billing.budgetscope": lambda x: r.ScopeRow(
        x.pk, x.kind, x.router_key_id or x.user_id or x.channel_id or x.tenant_id, x.end_user
    ),
    "billing.budget": lambda x: r.BudgetRow(
        x.pk, x.scope_id, x.unit, x.window, x.limit, x.soft_limit, _ms(x.counted_from)
    ),
    "routing.strategyrule": lambda x: r.StrategyRuleRow(x.pk, x.pattern, x.strategy, read_layers(x.layers)),
    "routing.modelgroup": _read_group,
    "routing.groupmember": lambda x: r.MemberRow(
        x.pk,
        x.group_id,
        x.channel_id,
        x.provider_id,
        x.waiting_for,
        x.model,
        x.position,
        x.priority,
        x.weight,
        x.is_active,
        x.daily_limit,
    ),
    "routing.timepolicy": lambda x: r.TimePolicyRow(
        x.pk,
        x.group_id,
        x.position,
        frozenset(x.days),
        x.start,
        x.end,
        ZoneInfo(x.timezone),
        x.strategy,
        read_layers(x.layers),
        x.members_of_id,
        x.is_active,
    ),
}
assert tuple(READERS) == LOGGED_MODELS
