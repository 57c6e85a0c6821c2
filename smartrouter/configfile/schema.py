"""Worker side. The document's blocks and fields. Defaults are those of the models: the export leaves them out.

A list that is None was not given, which is not the same as an empty one.
"""

from decimal import Decimal
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from smartrouter.configfile.moments import Moment
from smartrouter.lib.sealing import Secret


def decode(kind: type, value: Any) -> Any:
    """The types that msgspec does not know. Raises ValueError with a sentence."""
    if kind is Moment:
        return Moment.parse(value)
    if kind is Secret and isinstance(value, str | Secret):
        return value if isinstance(value, Secret) else Secret(value)
    raise ValueError(_("Write this as text, in quotes."))


class Spec(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of the document."""


class PriceSpec(Spec, kw_only=True):
    """Prices per million tokens (per_request: for each request)."""

    effective_from: Moment | None = None
    currency: str = "USD"
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    per_request: Decimal | None = None
    tiers: list[dict[str, Any]] = []
    windows: list[dict[str, Any]] = []
    source: str = ""


class ProviderSpec(Spec, kw_only=True):
    name: str
    display_name: str = ""
    kind: str = "official"
    adapter: str = "openai"
    base_url: str
    region: str = ""
    active: bool = True
    was: str | None = None


class ModelSpec(Spec, kw_only=True):
    provider: str
    model: str
    display_name: str = ""
    context_length: int | None = None
    default_output_tokens: int | None = None
    capabilities: list[str] | None = None  # None: nothing is known; an empty list: none of them
    tags: list[str] = []
    quality_score: float | None = None
    free: bool = False
    active: bool = True
    price: PriceSpec | None = None
    prices: list[PriceSpec] | None = None
    was: str | None = None


class ExchangeRateSpec(Spec, kw_only=True):
    currency: str
    usd: Decimal
    effective_from: Moment | None = None


class BudgetSpec(Spec, kw_only=True):
    """One unit only: which it is, the limits say."""

    window: str
    limit_usd: Decimal | None = None
    soft_limit_usd: Decimal | None = None
    limit_requests: int | None = None
    soft_limit_requests: int | None = None
    limit_tokens: int | None = None
    soft_limit_tokens: int | None = None


class PreviousKeySpec(Spec, kw_only=True):
    """The key that was replaced, and until when it is accepted beside the new one."""

    key: Secret
    until: Moment


class RouterKeySpec(Spec, kw_only=True):
    name: str
    key: Secret | None = None
    hint: str | None = None
    previous: PreviousKeySpec | None = None
    models: list[str] = []
    denied_models: list[str] = []
    default_model: str = ""
    can_choose_strategy: bool = False
    networks: list[str] = []
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    budgets: list[BudgetSpec] | None = None
    owner: str | None = None
    labels: dict[str, str] = {}
    expires_at: Moment | None = None
    active: bool = True
    was: str | None = None


class UserSpec(Spec, kw_only=True):
    username: str
    role: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    budgets: list[BudgetSpec] | None = None


class EndUserSpec(Spec, kw_only=True):
    """user: the text that requests give, or * for each of them."""

    user: str
    budgets: list[BudgetSpec]


class TenantSpec(Spec, kw_only=True):
    name: str
    display_name: str = ""
    kind: str = "organisation"
    parent: str | None = None
    timezone: str = "UTC"
    active: bool = True
    can_see_channels: bool = False
    can_see_budgets: bool = False
    can_shorten_answers: bool = False
    budget_status: int = 402
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    end_user_rpm: int | None = None
    end_user_tpm: int | None = None
    budgets: list[BudgetSpec] | None = None
    end_users: list[EndUserSpec] | None = None
    router_keys: list[RouterKeySpec] | None = None
    users: list[UserSpec] | None = None
    was: str | None = None


class ChannelKeySpec(Spec, kw_only=True):
    name: str | None = None
    key: Secret | None = None
    active: bool = True


class OfferingSpec(Spec, kw_only=True):
    name: str | None = None
    model: str
    aliases: list[str] = []
    active: bool = True
    price: PriceSpec | None = None
    prices: list[PriceSpec] | None = None


class TimeoutsSpec(Spec, kw_only=True):
    connect_s: float = 5
    first_content_s: float = 30
    idle_s: float = 60
    total_s: float = 600


class ChannelSpec(Spec, kw_only=True):
    name: str
    provider: str
    owner: str | None = None
    base_url: str = ""
    keys: list[ChannelKeySpec] | None = None
    models: list[OfferingSpec] | None = None
    priority: int = 1
    weight: float = 1.0
    region: str = ""
    timezone: str = "UTC"
    proxy_url: Secret | None = None
    extra_headers: dict[str, Secret] = {}
    param_overrides: dict[str, Any] = {}
    timeouts: TimeoutsSpec = msgspec.field(default_factory=TimeoutsSpec)
    budgets: list[BudgetSpec] | None = None
    active: bool = True
    was: str | None = None


class LayerSpec(Spec, kw_only=True):
    """order None: the field's usual one."""

    field: str
    order: str | None = None
    weight: float = 1.0


# A preset's name, or layers of one's own.
RoutingStrategy = str | list[LayerSpec]


class FiltersSpec(Spec, kw_only=True):
    max_cost_per_1k: Decimal | None = None
    min_context_length: int | None = None
    capabilities: list[str] = []
    provider_kinds: list[str] = []
    regions: list[str] = []


class TimePolicySpec(Spec, kw_only=True):
    """days: names or numbers, all of them where the list is missing."""

    days: list[Any] | None = None
    start: str = msgspec.field(default="00:00", name="from")
    end: str = msgspec.field(default="00:00", name="to")
    timezone: str = "UTC"
    routing_strategy: RoutingStrategy | None = None
    members_of: str | None = None
    active: bool = True


class MemberSpec(Spec, kw_only=True):
    channel: str | None = None
    provider: str | None = None
    model: str
    priority: int = 1
    weight: float = 1.0
    daily_limit: int | None = None
    active: bool = True


class ModelGroupSpec(Spec, kw_only=True):
    """select None: where there are tags."""

    name: str
    display_name: str = ""
    description: str = ""
    active: bool = True
    routing_strategy: RoutingStrategy | None = None
    select: bool | None = None
    tags: list[str] = []
    filters: FiltersSpec = msgspec.field(default_factory=FiltersSpec)
    max_cost_per_request_usd: Decimal | None = None
    budgets: list[BudgetSpec] | None = None
    channels: list[MemberSpec] | None = None
    fallback: str | None = None
    time_policies: list[TimePolicySpec] | None = None
    was: str | None = None


class StrategySpec(Spec, kw_only=True):
    names: str
    routing_strategy: RoutingStrategy


# In the order in which they are applied and exported: what is named comes before what names it.
BLOCKS: dict[str, type[Spec]] = {
    "providers": ProviderSpec,
    "models": ModelSpec,
    "exchange_rates": ExchangeRateSpec,
    "tenants": TenantSpec,
    "channels": ChannelSpec,
    "model_groups": ModelGroupSpec,
    "strategies": StrategySpec,
}

# Every word that may be a key of the document.
_PARTS: tuple[type[Spec], ...] = (
    RouterKeySpec,
    PreviousKeySpec,
    UserSpec,
    EndUserSpec,
    BudgetSpec,
    ChannelKeySpec,
    OfferingSpec,
    PriceSpec,
    TimeoutsSpec,
    LayerSpec,
    FiltersSpec,
    TimePolicySpec,
    MemberSpec,
)
WORDS = frozenset(BLOCKS).union(*(spec.__struct_encode_fields__ for spec in (*BLOCKS.values(), *_PARTS)))
