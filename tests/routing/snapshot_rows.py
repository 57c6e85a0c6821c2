"""Rows of every model, with every kind of value that a snapshot has to hold."""

from datetime import time as clock
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from channels.records import KeyRecord
from providers.prices import Rates, Tier, Window
from routing import rows as r
from routing.changes import LOGGED_MODELS
from routing.strategies import Layer
from smartrouter.lib.sealing import Secret
from tests.routing import tables as t

Tables = dict[str, dict[int, Any]]
CANARIES = ("canaryChannelKey7731", "canaryHeaderValue8890", "canaryProxyWord1147")


def rates() -> Rates:
    """Rates in which everything is used that rates can have."""
    window = Window(frozenset((0, 6)), clock(22), clock(6, 30), ZoneInfo("Asia/Shanghai"), {"input": Decimal("0.10")})
    tier = Tier(128_000, {"output": Decimal("2.50")})
    return Rates("EUR", Decimal("1.000000001"), Decimal(2), tiers=(tier,), windows=(window,), effective_from_ms=7)


def full_tables() -> Tables:
    """At least one row of every model, with every kind of value that there is."""
    headers, proxy = Secret({"x-canary": CANARIES[1]}), Secret(f"http://user:{CANARIES[2]}@127.0.0.1:1")
    layers = (Layer("quality_score", "desc", 2.5), Layer("effective_cost", "asc", 1.0))
    rows: dict[str, list[Any]] = {
        "accounts.tenant": [t.tenant(1), t.tenant(2, 1)],
        "accounts.routerkey": [t.router_key(n, 1, allowed=("auto:*", "模型")) for n in range(1, 901)],
        "providers.exchangerate": [r.ExchangeRateRow(1, "EUR", Decimal("1.0825"), 0)],
        "providers.provider": [t.provider(1)],
        "providers.providermodel": [t.model(1, 1, capabilities=("vision",), context_length=8192)],
        "providers.modelprice": [t.price(1, 1), r.PriceRow(2, 1, rates())],
        "channels.channel": [t.channel(1, 1, headers=headers, proxy_url=proxy, params={"a": [1, {"b": None}]})],
        "channels.channelkey": [
            r.ChannelKeyRow(1, 1, True, KeyRecord(1, "main", Secret(CANARIES[0]))),
            t.channel_key(2, 1, opens=False),
        ],
        "channels.offering": [t.offering(1, 1, 1)],
        "channels.offeringprice": [r.PriceRow(1, 1, rates())],
        "billing.budgetscope": [r.ScopeRow(1, "tenant", 1), r.ScopeRow(2, "end_user", 1, "*")],
        "billing.budget": [r.BudgetRow(1, 1, "usd", "month", 10**11, None, 0)],
        "routing.strategyrule": [t.rule(1, "*", "hybrid"), r.StrategyRuleRow(2, "gpt-*", "", layers)],
        "routing.modelgroup": [
            r.GroupRow(1, "auto", True, 0),
            t.group(2, layers=layers, selects=True, tags=("free",), max_cost_per_1k=0.5, kinds=("local",), fallback=1),
        ],
        "routing.groupmember": [r.MemberRow(1, 1, 1, None, "", "m", 0, 1, 0.5, True, daily_limit=9)],
        "routing.timepolicy": [
            t.policy(1, 1, days=frozenset({0, 6}), start=clock(22), end=clock(6, 30), layers=layers, members_of=2),
        ],
    }
    assert tuple(rows) == LOGGED_MODELS
    return {label: {row.ref: row for row in found} for label, found in rows.items()}
