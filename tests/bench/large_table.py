"""Worker side. The rows of a large table: 1,000 channels with 20 offerings each, 100,000 keys, 50 groups."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from channels.records import KeyRecord
from providers.prices import Rates
from routing import rows as r
from smartrouter.lib.sealing import Secret

PROVIDERS, MODELS, CHANNELS, OFFERINGS, KEYS, GROUPS = 40, 200, 1_000, 20, 100_000, 50
FAMILIES = ("qwen3", "llama-3.1", "gemma-3", "mistral", "deepseek-v3", "gpt-4o", "claude", "glm-4")
SIZES = ("1b", "8b", "30b-a3b", "70b", "670b")
SELECTING = 10
MEMBERS = 20


def rows() -> Iterator[tuple[str, Any]]:
    """A table's rows, parents first: one offering in four has the tag `wide`."""
    random = Random(4)
    yield "accounts.tenant", r.TenantRow(1, "acme", None, True, False)
    for ref in range(1, KEYS + 1):
        yield "accounts.routerkey", r.RouterKeyRow(ref, 1, f"key-{ref}", f"{ref:064x}", (), True, None)
    yield "providers.exchangerate", r.ExchangeRateRow(1, "CNY", Decimal("0.14"), 0)
    for ref in range(1, PROVIDERS + 1):
        kind = random.choice(("official", "aggregator", "reseller", "local"))
        yield "providers.provider", r.ProviderRow(ref, f"vendor{ref}", "openai", f"https://v{ref}/v1", True, kind, "")
    models = [(provider, place) for provider in range(1, PROVIDERS + 1) for place in range(MODELS)]
    for ref, (provider, place) in enumerate(models, 1):
        yield "providers.providermodel", _model(ref, provider, place, random)
        price = Rates(
            currency="CNY" if ref % 5 == 0 else "USD",
            input=Decimal(random.randrange(0, 500)) / 100,
            output=Decimal(random.randrange(0, 2000)) / 100,
        )
        yield "providers.modelprice", r.PriceRow(ref, ref, price)
    yield from _channels(random)
    yield from _groups(random)


def _model(ref: int, provider: int, place: int, random: Random) -> r.ModelRow:
    name = f"{FAMILIES[place % 8]}-{SIZES[place // 8 % 5]}-v{place}"
    tags = ("wide",) if place % 4 == 0 else ()
    capabilities = random.choice((None, (), ("function_calling",), ("function_calling", "vision")))
    return r.ModelRow(ref, provider, name, False, True, random.choice((None, 128_000)), None, capabilities, tags, None)


def _channels(random: Random) -> Iterator[tuple[str, Any]]:
    zone = ZoneInfo("UTC")
    for ref in range(1, CHANNELS + 1):
        provider = (ref - 1) % PROVIDERS + 1
        yield (
            "channels.channel",
            r.ChannelRow(
                ref, f"channel{ref}", provider, None, "", True, random.choice((1, 1, 2)), 1.0, None, None, {},
                5, 30, 60, 600, "", "", zone,
            ),
        )  # fmt: skip
        yield "channels.channelkey", r.ChannelKeyRow(ref, ref, True, KeyRecord(ref, "main", Secret(f"sk-{ref}")))
        first = random.randrange(MODELS)
        for place in range(OFFERINGS):
            model = (provider - 1) * MODELS + (first + place) % MODELS + 1
            own = (ref - 1) * OFFERINGS + place + 1
            yield "channels.offering", r.OfferingRow(own, ref, model, f"m{(first + place) % MODELS}", (), True)


def _groups(random: Random) -> Iterator[tuple[str, Any]]:
    for ref in range(1, GROUPS + 1):
        base = r.GroupRow(ref, f"auto:g{ref}", True, 0)
        if ref <= SELECTING:
            filters: dict[str, Any] = {"max_cost_per_1k": 0.004 * ref, "tags": ("wide",) if ref % 2 else ()}
            base = replace(base, selects=True, strategy=("cost_first", "balanced", "auto")[ref % 3], **filters)
        yield "routing.modelgroup", base
        for place in range(MEMBERS):
            member = ref * MEMBERS + place
            to = (None, random.randrange(PROVIDERS) + 1) if place % 2 else (random.randrange(CHANNELS) + 1, None)
            model = f"m{random.randrange(MODELS)}"
            yield "routing.groupmember", r.MemberRow(member, ref, *to, "", model, place, 1, 1.0, True)
