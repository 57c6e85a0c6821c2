"""Hot path. Channels and what they offer as the data plane sees them: frozen, without the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from providers.adapters.base import Adapter
from providers.price_facts import PriceFacts
from providers.prices import FREE, Rates, rates_at
from smartrouter.lib.outbound import Target
from smartrouter.lib.sealing import Secret


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One usable key of a channel."""

    ref: int
    name: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """One channel. problem says why it cannot be used at all (a seal that does not open); empty: it can.

    headers and proxy_url are Secrets, for they may carry credentials. owner: a tenant's ref, None for the platform's.
    It never changes but for withdraw().
    """

    ref: int
    name: str
    provider: str
    kind: str
    region: str
    zone: ZoneInfo
    adapter: Adapter
    chat: Target
    owner: int | None
    is_active: bool
    priority: int
    weight: float
    keys: tuple[KeyRecord, ...]
    headers: Secret | None
    proxy_url: Secret | None
    params: Mapping[str, Any]
    timeout: aiohttp.ClientTimeout
    first_content_s: float
    idle_s: float
    total_s: float
    problem: str = ""

    def withdraw(self) -> None:
        """Switch it off for whoever still holds it: by its row it may serve no longer, or not the same tenants."""
        object.__setattr__(self, "is_active", False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One (channel, offering) that may serve a request.

    priority, weight, position and daily_limit are the group member's where there is one. capabilities: bits
    (providers.capabilities), None where nothing is known. tags: without `free`, which is a matter of the price. quality:
    from 0 to 1. parameters: how many the model's name claims. price: what it costs now; None: not known.
    """

    ref: int
    channel: ChannelRecord
    name: str
    names: tuple[str, ...]
    model: str
    is_active: bool
    priority: int
    weight: float
    own_prices: tuple[Rates, ...] = ()
    list_prices: tuple[Rates, ...] = ()
    is_free: bool = False
    context_length: int | None = None
    default_output_tokens: int | None = None
    capabilities: int | None = None
    created_s: int = 0
    tags: frozenset[str] = frozenset()
    quality: float = 0.5
    parameters: int | None = None
    price: PriceFacts | None = None
    position: int = 0
    daily_limit: int | None = None

    @property
    def is_usable(self) -> bool:
        """Whether an attempt makes sense at all."""
        return self.is_active and self.channel.is_active and not self.channel.problem

    def rates_at(self, at_ms: int) -> Rates | None:
        """The rates in force: the offering's own, else the list price, else free if marked so; None: unknown."""
        return rates_at(self.own_prices, at_ms) or rates_at(self.list_prices, at_ms) or (FREE if self.is_free else None)
