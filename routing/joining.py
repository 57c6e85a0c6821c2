"""Hot path. How rows become what an attempt needs: a channel with its keys, a candidate with its prices."""

from collections.abc import Sequence

import aiohttp
from yarl import URL

from channels.records import Candidate, ChannelRecord
from providers.adapters.registry import ADAPTERS
from providers.capabilities import bits_of
from providers.naming import context_of, parameters_of, quality_of, tags_of_all
from providers.price_facts import PriceFacts
from routing import rows as r
from smartrouter.lib.outbound import Target

# Clients reach the provider's own model names only with the provider's prefix; see RoutingTable.names.
OWN_NAME = "\0"


def problem_of(channel: r.ChannelRow, provider: r.ProviderRow, keys: Sequence[r.ChannelKeyRow]) -> str:
    """Why the channel cannot be used. One with keys of which none is usable has a problem; one without any key may work."""
    if provider.adapter not in ADAPTERS:
        return "the provider's adapter is unknown"
    if keys and not any(key.is_active and key.record is not None for key in keys):
        return "none of its keys can be used"
    return channel.problem


def may_serve_on(
    record: ChannelRecord, channel: r.ChannelRow | None, provider: r.ProviderRow | None, keys: Sequence[r.ChannelKeyRow]
) -> bool:
    """Whether those who hold an old record may go on with it a moment, until they have the one that these rows make."""
    if channel is None or provider is None or channel.owner not in (None, record.owner):
        return False
    return channel.is_active and provider.is_active and not problem_of(channel, provider, keys)


def join_channel(channel: r.ChannelRow, provider: r.ProviderRow, keys: Sequence[r.ChannelKeyRow]) -> ChannelRecord:
    """The channel as attempts use it."""
    adapter = ADAPTERS.get(provider.adapter) or ADAPTERS["openai"]
    return ChannelRecord(
        ref=channel.ref,
        name=channel.name,
        provider=provider.name,
        kind=provider.kind,
        region=channel.region or provider.region,
        zone=channel.zone,
        adapter=adapter,
        chat=Target(URL((channel.base_url or provider.base_url) + adapter.chat_path)),
        owner=channel.owner,
        is_active=channel.is_active and provider.is_active,
        priority=channel.priority,
        weight=channel.weight,
        keys=tuple(key.record for key in keys if key.is_active and key.record is not None),
        headers=channel.headers,
        proxy_url=channel.proxy_url,
        params=channel.params,
        timeout=aiohttp.ClientTimeout(total=None, connect=channel.connect_s, sock_connect=channel.connect_s),
        first_content_s=channel.first_content_s,
        idle_s=channel.idle_s,
        total_s=channel.total_s,
        problem=problem_of(channel, provider, keys),
    )


def join_candidate(
    offering: r.OfferingRow,
    channel: ChannelRecord,
    model: r.ModelRow,
    own_prices: Sequence[r.PriceRow],
    list_prices: Sequence[r.PriceRow],
    price: PriceFacts | None,
) -> Candidate:
    """The candidate of an offering; price: what it costs now, None where that is not known."""
    return Candidate(
        ref=offering.ref,
        channel=channel,
        name=offering.name,
        names=tuple(dict.fromkeys((offering.name, *offering.aliases, OWN_NAME + model.name))),
        model=model.name,
        is_active=offering.is_active and model.is_active,
        priority=channel.priority,
        weight=channel.weight,
        own_prices=tuple(price.rates for price in own_prices),
        list_prices=tuple(price.rates for price in list_prices),
        is_free=model.is_free,
        context_length=model.context_length or context_of(model.name),
        default_output_tokens=model.default_output_tokens,
        capabilities=None if model.capabilities is None else bits_of(model.capabilities),
        tags=tags_of_all((model.name, offering.name, *offering.aliases), model.tags),
        quality=quality_of(model.name) if model.quality_score is None else model.quality_score,
        parameters=parameters_of(model.name),
        price=price,
    )
