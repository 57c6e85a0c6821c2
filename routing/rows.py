"""Hot path. The configuration's rows as the RoutingTable takes them: plain, frozen, loaded elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from channels.records import KeyRecord
from providers.prices import Rates
from routing.strategies import Layer
from smartrouter.lib.sealing import Secret

UTC = ZoneInfo("UTC")


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern (a name, or a prefix with a * at its end) fits a name."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@dataclass(frozen=True, slots=True)
class TenantRow:
    ref: int
    name: str
    parent: int | None
    is_active: bool
    can_see_channels: bool
    zone: ZoneInfo = UTC
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    end_user_rpm: int | None = None
    end_user_tpm: int | None = None
    can_shorten: bool = False
    can_see_budgets: bool = False
    budget_status: int = 402


@dataclass(frozen=True, slots=True)
class RouterKeyRow:
    """expires_ms: since the epoch, None for never. allowed, denied: names, or prefixes with a * at their end; empty for all.

    allowed is about what is asked for, denied about what would serve it.
    """

    ref: int
    tenant: int
    name: str
    digest: str
    allowed: tuple[str, ...]
    is_active: bool
    expires_ms: int | None
    denied: tuple[str, ...] = ()
    default_model: str = ""
    can_choose_strategy: bool = False
    owner: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    networks: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    previous_digest: str | None = None
    previous_until_ms: int | None = None

    def may_ask_for(self, model: str) -> bool:
        """Whether the allow list has this name."""
        return not self.allowed or any(fits(pattern, model) for pattern in self.allowed)


@dataclass(frozen=True, slots=True)
class ExchangeRateRow:
    ref: int
    currency: str
    usd: Decimal
    effective_from_ms: int


@dataclass(frozen=True, slots=True)
class ProviderRow:
    ref: int
    name: str
    adapter: str
    base_url: str
    is_active: bool
    kind: str
    region: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """capabilities: None where nothing is known."""

    ref: int
    provider: int
    name: str
    is_free: bool
    is_active: bool
    context_length: int | None
    default_output_tokens: int | None
    capabilities: tuple[str, ...] | None
    tags: tuple[str, ...]
    quality_score: float | None


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A dated price of a provider model or of an offering; parent is that row's ref."""

    ref: int
    parent: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class ChannelRow:
    ref: int
    name: str
    provider: int
    owner: int | None
    base_url: str
    is_active: bool
    priority: int
    weight: float
    headers: Secret | None
    proxy_url: Secret | None
    params: Mapping[str, Any]
    connect_s: float
    first_content_s: float
    idle_s: float
    total_s: float
    problem: str
    region: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class ChannelKeyRow:
    """record is None where the seal does not open."""

    ref: int
    channel: int
    is_active: bool
    record: KeyRecord | None


@dataclass(frozen=True, slots=True)
class OfferingRow:
    ref: int
    channel: int
    model: int
    name: str
    aliases: tuple[str, ...]
    is_active: bool


@dataclass(frozen=True, slots=True)
class StrategyRuleRow:
    """pattern: a name, or a prefix with a * at its end."""

    ref: int
    pattern: str
    strategy: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """max_cost_per_1k in USD; capabilities as bits; of kinds and regions none means all. fallback: another group's ref."""

    ref: int
    name: str
    is_active: bool
    created_s: int
    strategy: str = ""
    layers: tuple[Layer, ...] = ()
    selects: bool = False
    tags: tuple[str, ...] = ()
    max_cost_per_1k: float | None = None
    min_context_length: int | None = None
    capabilities: int = 0
    kinds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    fallback: int | None = None
    max_cost_nusd: int | None = None
    budget_scope: int | None = None


@dataclass(frozen=True, slots=True)
class MemberRow:
    ref: int
    group: int
    channel: int | None
    provider: int | None
    waiting_for: str
    model: str
    position: int
    priority: int
    weight: float
    is_active: bool
    daily_limit: int | None = None


@dataclass(frozen=True, slots=True)
class TimePolicyRow:
    """Another strategy or another group's members for a group, at set hours."""

    ref: int
    group: int
    position: int
    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo
    strategy: str
    layers: tuple[Layer, ...]
    members_of: int | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """Whom budgets are for; of: the ref of the tenant, key, user or channel, None for a group, which points here."""

    ref: int
    kind: str
    of: int | None
    end_user: str = ""


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget; limits in nano-USD, requests or tokens. counted_ms: since when it is as it is."""

    ref: int
    scope: int
    unit: str
    window: str
    limit: int | None
    soft_limit: int | None
    counted_ms: int


Row = (
    TenantRow
    | RouterKeyRow
    | ExchangeRateRow
    | ProviderRow
    | ModelRow
    | PriceRow
    | ChannelRow
    | ChannelKeyRow
    | OfferingRow
    | StrategyRuleRow
    | GroupRow
    | MemberRow
    | TimePolicyRow
    | ScopeRow
    | BudgetRow
)
