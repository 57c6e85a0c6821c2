"""Hot path. The configuration's rows as the RoutingTable takes them: plain, frozen, loaded elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from channels.records import KeyRecord
from providers.prices import Rates
from smartrouter.lib.sealing import Secret


@dataclass(frozen=True, slots=True)
class TenantRow:
    ref: int
    name: str
    parent: int | None
    is_active: bool
    can_see_channels: bool


@dataclass(frozen=True, slots=True)
class RouterKeyRow:
    """expires_ms: since the epoch, None for never. allowed: names, or prefixes with a * at their end; empty for all."""

    ref: int
    tenant: int
    name: str
    digest: str
    allowed: tuple[str, ...]
    is_active: bool
    expires_ms: int | None

    def may_ask_for(self, model: str) -> bool:
        """Whether the allow list has this name."""
        if not self.allowed:
            return True
        return any(model.startswith(p[:-1]) if p.endswith("*") else model == p for p in self.allowed)


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


@dataclass(frozen=True, slots=True)
class ModelRow:
    ref: int
    provider: int
    name: str
    is_free: bool
    is_active: bool
    context_length: int | None
    default_output_tokens: int | None
    capabilities: tuple[str, ...]


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
class GroupRow:
    ref: int
    name: str
    is_active: bool
    created_s: int


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
    | GroupRow
    | MemberRow
)
