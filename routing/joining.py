"""Hot path. How rows become what an attempt needs: a channel with its keys, a candidate with its prices."""

from collections.abc import Sequence

import aiohttp
from yarl import URL

from channels.records import Candidate, ChannelRecord
from providers.adapters.registry import ADAPTERS
from routing import rows as r

# Clients reach the provider's own model names only with the provider's prefix; see RoutingTable.names.
OWN_NAME = "\0"


def join_channel(channel: r.ChannelRow, provider: r.ProviderRow, keys: Sequence[r.ChannelKeyRow]) -> ChannelRecord:
    """The channel as attempts use it. One with keys of which none is usable has a problem; one without any key may work."""
    adapter = ADAPTERS.get(provider.adapter)
    usable = tuple(key.record for key in keys if key.is_active and key.record is not None)
    problem = channel.problem
    if adapter is None:
        problem = "the provider's adapter is unknown"
    elif keys and not usable:
        problem = "none of its keys can be used"
    adapter = adapter or ADAPTERS["openai"]
    return ChannelRecord(
        ref=channel.ref,
        name=channel.name,
        provider=provider.name,
        adapter=adapter,
        chat_url=URL((channel.base_url or provider.base_url) + adapter.chat_path),
        owner=channel.owner,
        is_active=channel.is_active and provider.is_active,
        priority=channel.priority,
        weight=channel.weight,
        keys=usable,
        headers=channel.headers,
        proxy_url=channel.proxy_url,
        params=channel.params,
        timeout=aiohttp.ClientTimeout(total=None, connect=channel.connect_s, sock_connect=channel.connect_s),
        first_content_s=channel.first_content_s,
        idle_s=channel.idle_s,
        total_s=channel.total_s,
        problem=problem,
    )


def join_candidate(
    offering: r.OfferingRow,
    channel: ChannelRecord,
    model: r.ModelRow,
    own_prices: Sequence[r.PriceRow],
    list_prices: Sequence[r.PriceRow],
) -> Candidate:
    """The candidate of an offering."""
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
        context_length=model.context_length,
        default_output_tokens=model.default_output_tokens,
        capabilities=model.capabilities,
    )
