"""Small rows for tests of what is pure: a table, ranks, resolved names."""

from collections.abc import Iterable
from datetime import time
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from channels.records import KeyRecord
from providers.prices import Rates
from routing import rows as r
from routing.resolve import Caller
from routing.table import RoutingTable
from smartrouter.lib.sealing import Secret

# Parents before children, as a full load brings them.
LABELS = (
    "accounts.tenant", "accounts.routerkey", "providers.exchangerate", "providers.provider", "providers.providermodel",
    "providers.modelprice", "channels.channel", "channels.channelkey", "channels.offering", "channels.offeringprice",
    "routing.strategyrule", "routing.modelgroup", "routing.groupmember", "routing.timepolicy",
)  # fmt: skip
# Of a large table; each channel offers each model.
CHANNELS, MODELS = 20, 40


def tenant(ref: int, parent: int | None = None, **more: Any) -> r.TenantRow:
    return r.TenantRow(
        **{"ref": ref, "name": f"t{ref}", "parent": parent, "is_active": True, "can_see_channels": False} | more
    )


def router_key(ref: int, tenant: int, **more: Any) -> r.RouterKeyRow:
    base = {"ref": ref, "tenant": tenant, "name": f"k{ref}", "digest": f"d{ref}", "allowed": (), "is_active": True}
    return r.RouterKeyRow(**base | {"expires_ms": None} | more)


def provider(ref: int, **more: Any) -> r.ProviderRow:
    base = {"ref": ref, "name": f"p{ref}", "adapter": "openai", "base_url": f"http://p{ref}/v1", "is_active": True}
    return r.ProviderRow(**base | {"kind": "official", "region": ""} | more)


def model(ref: int, provider: int, **more: Any) -> r.ModelRow:
    base = {"ref": ref, "provider": provider, "name": f"m{ref}", "is_free": False, "is_active": True}
    unknown = {
        "context_length": None,
        "default_output_tokens": None,
        "capabilities": None,
        "tags": (),
        "quality_score": None,
    }
    return r.ModelRow(**base | unknown | more)


def price(ref: int, parent: int, amount: int = 1, begins_ms: int = 0, **more: Any) -> r.PriceRow:
    return r.PriceRow(
        ref, parent, Rates(input=Decimal(amount), output=Decimal(amount), effective_from_ms=begins_ms, **more)
    )


def channel(ref: int, provider: int, **more: Any) -> r.ChannelRow:
    base: dict[str, Any] = {
        "ref": ref, "name": f"c{ref}", "provider": provider, "owner": None, "base_url": "", "is_active": True, "priority": 1,
        "weight": 1.0, "headers": None, "proxy_url": None, "params": {}, "connect_s": 5, "first_content_s": 30, "idle_s": 60,
        "total_s": 600, "problem": "", "region": "", "zone": ZoneInfo("UTC"),
    }  # fmt: skip
    return r.ChannelRow(**base | more)


def channel_key(ref: int, channel: int, *, is_active: bool = True, opens: bool = True) -> r.ChannelKeyRow:
    return r.ChannelKeyRow(ref, channel, is_active, KeyRecord(ref, f"key{ref}", Secret(f"s{ref}")) if opens else None)


def offering(ref: int, channel: int, model: int, **more: Any) -> r.OfferingRow:
    base = {"ref": ref, "channel": channel, "model": model, "name": f"o{ref}", "aliases": (), "is_active": True}
    return r.OfferingRow(**base | more)


def group(ref: int, **more: Any) -> r.GroupRow:
    return r.GroupRow(**{"ref": ref, "name": f"auto:g{ref}", "is_active": True, "created_s": 0} | more)


def member(ref: int, group: int, **more: Any) -> r.MemberRow:
    base = {
        "ref": ref,
        "group": group,
        "channel": None,
        "provider": None,
        "waiting_for": "",
        "model": "o1",
        "position": ref,
    }
    return r.MemberRow(**base | {"priority": 1, "weight": 1.0, "is_active": True} | more)


def rule(ref: int, pattern: str, strategy: str = "auto") -> r.StrategyRuleRow:
    return r.StrategyRuleRow(ref, pattern, strategy, ())


def policy(ref: int, group: int, **more: Any) -> r.TimePolicyRow:
    base: dict[str, Any] = {
        "ref": ref, "group": group, "position": ref, "days": frozenset(range(7)), "start": time(), "end": time(),
        "zone": ZoneInfo("UTC"), "strategy": "", "layers": (), "members_of": None, "is_active": True,
    }  # fmt: skip
    return r.TimePolicyRow(**base | more)


def table_of(items: Iterable[tuple[str, Any]]) -> RoutingTable:
    """A table into which these rows were put, in this order."""
    table = RoutingTable()
    for label, row in items:
        table.put(label, row.ref, row)
    return table


def large_table(seed: int = 1) -> RoutingTable:
    """800 candidates of two providers; half of the models have the tag `wide`, one the tag `rare`."""
    random = Random(seed)
    items: list[tuple[str, Any]] = [
        ("providers.provider", provider(1, kind="local")),
        ("providers.provider", provider(2)),
    ]
    for ref in range(1, MODELS + 1):
        tags = ("wide",) * (ref % 2) + ("rare",) * (ref == 7)
        items.append(("providers.providermodel", model(ref, 1 + ref % 2, tags=tags, quality_score=random.random())))
        items.append(("providers.modelprice", price(ref, ref, random.randrange(5))))
    for ref in range(1, CHANNELS + 1):
        weight = random.choice((0.0, 1.0, 2.0))
        items.append(("channels.channel", channel(ref, 1 + ref % 2, priority=random.choice((1, 2)), weight=weight)))
        for place in range(1, MODELS + 1):
            items.append(("channels.offering", offering(ref * 100 + place, ref, place, name=f"o{place}")))
    return table_of(items)


def caller_of(table: RoutingTable, key: int = 1) -> Caller:
    """The caller of a router key."""
    row = table.rows["accounts.routerkey"][key]
    return Caller(row, table.chain_of(row.tenant))
