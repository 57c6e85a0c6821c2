"""Worker side. Which offerings a group's tags and filters let in, read from the rows; the RoutingTable has the same rule."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet
from django.utils.timezone import now

from channels.models import Channel, Offering, OfferingPrice
from providers.capabilities import bits_of
from providers.models import ExchangeRate, ModelPrice, ProviderModel
from providers.naming import FREE_TAG, context_of, tags_of_all
from providers.price_facts import FOREVER_MS, PriceFacts, price_facts
from providers.prices import Rates
from routing.members import active_offerings
from routing.models import ModelGroup
from routing.readers import READERS

COST, CONTEXT, CAPABILITIES = "max_cost_per_1k", "min_context_length", "capabilities"
KINDS, REGIONS, TAG = "provider_kinds", "regions", "tag:"


@dataclass(frozen=True, slots=True)
class Facts:
    """What tags and filters ask of an offering. tags: without `free`, which is a matter of the price.

    capabilities: bits, None where nothing is known. price: what it costs now; None: not known, or not asked for.
    """

    ref: int
    tags: frozenset[str]
    kind: str
    region: str
    context_length: int | None
    capabilities: int | None
    price: PriceFacts | None


Condition = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class Passing:
    """Who of looked_at offerings meets all conditions, in their order; met: how many meet each, whatever the others say."""

    looked_at: int
    refs: tuple[int, ...]
    met: Mapping[str, int]


def needs_prices(groups: Iterable[ModelGroup]) -> bool:
    """Whether any of the groups asks what offerings cost."""
    return any(group.max_cost_per_1k is not None or FREE_TAG in group.tags for group in groups)


def conditions_of(group: ModelGroup, *, with_tags: bool) -> dict[str, Condition]:
    """What an offering has to meet: each tag under tag:NAME (with_tags; members need none), each filter under its field."""
    conditions: dict[str, Condition] = {}
    for tag in group.tags if with_tags else ():
        conditions[TAG + tag] = _is_free if tag == FREE_TAG else lambda facts, tag=tag: tag in facts.tags  # type: ignore[misc]
    if group.max_cost_per_1k is not None:
        most = float(group.max_cost_per_1k)
        conditions[COST] = lambda facts: _costs_at_most(facts, most)
    if group.min_context_length:
        least = group.min_context_length
        conditions[CONTEXT] = lambda facts: facts.context_length is None or facts.context_length >= least
    if group.capabilities:
        needed = bits_of(group.capabilities)
        conditions[CAPABILITIES] = lambda facts: not needed & ~(facts.capabilities or 0)
    if group.provider_kinds:
        conditions[KINDS] = lambda facts: facts.kind in group.provider_kinds
    if group.regions:
        conditions[REGIONS] = lambda facts: facts.region in group.regions
    return conditions


def _is_free(facts: Facts) -> bool:
    return facts.price is not None and facts.price.is_free


def _costs_at_most(facts: Facts, most: float) -> bool:
    price = facts.price
    return price is not None and price.per_1k <= most and (most > 0 or price.is_free)


def passing(facts: Sequence[Facts], conditions: Mapping[str, Condition]) -> Passing:
    """Which of the offerings meet all conditions, and how many meet each."""
    met = {name: {entry.ref for entry in facts if is_met(entry)} for name, is_met in conditions.items()}
    refs = tuple(entry.ref for entry in facts if all(entry.ref in found for found in met.values()))
    return Passing(len(facts), refs, {name: len(found) for name, found in met.items()})


def facts_of(offerings: QuerySet[Offering] | None = None, *, with_prices: bool) -> list[Facts]:
    """The facts of these offerings, of all active ones where none are given, in the order of their names.

    Three queries, and three more with prices, however many offerings. Models and channels are read apart: each stands
    behind many offerings.
    """
    rows = active_offerings() if offerings is None else offerings
    found = list(rows.order_by("name", "pk").values_list("pk", "name", "aliases", "provider_model", "channel"))
    models = {row.pk: row for row in ProviderModel.objects.filter(pk__in=rows.order_by().values("provider_model"))}
    channels = Channel.objects.filter(pk__in=rows.order_by().values("channel")).order_by()
    places = {
        pk: (region or providers_region, kind)
        for pk, region, providers_region, kind in channels.values_list(
            "pk", "region", "provider__region", "provider__kind"
        )
    }
    prices = _prices_of(rows, models) if with_prices else {}
    return [
        _facts(pk, (name, *aliases), models[model], places[channel], prices.get(pk))
        for pk, name, aliases, model, channel in found
        if model in models and channel in places
    ]


def _facts(
    pk: int, names: Sequence[str], model: ProviderModel, place: tuple[str, str], price: PriceFacts | None
) -> Facts:
    return Facts(
        ref=pk,
        tags=tags_of_all((model.name, *names), tuple(model.tags)),
        region=place[0],
        kind=place[1],
        context_length=model.context_length or context_of(model.name),
        capabilities=None if model.capabilities is None else bits_of(model.capabilities),
        price=price,
    )


def _prices_of(offerings: QuerySet[Offering], models: Mapping[int, ProviderModel]) -> dict[int, PriceFacts | None]:
    """What each offering costs now, by its primary key."""
    at = now()
    rows = offerings.order_by()
    own: defaultdict[int, list[Rates]] = defaultdict(list)
    for price in OfferingPrice.objects.filter(offering__in=rows.values("pk"), effective_from__lte=at).order_by():
        own[price.offering_id].append(READERS["channels.offeringprice"](price).rates)
    listed: defaultdict[int, list[Rates]] = defaultdict(list)
    for list_price in ModelPrice.objects.filter(
        provider_model__in=rows.values("provider_model"), effective_from__lte=at
    ).order_by():
        listed[list_price.provider_model_id].append(READERS["providers.modelprice"](list_price).rates)
    begun = ExchangeRate.objects.filter(effective_from__lte=at).order_by("effective_from")
    rates: dict[str, Decimal] = dict(begun.values_list("currency", "usd"))
    at_ms = int(at.timestamp() * 1000)

    def price_now(model: int, own_rates: Sequence[Rates]) -> PriceFacts | None:
        return price_facts(
            own_rates,
            listed.get(model, ()),
            is_free=models[model].is_free,
            at_ms=at_ms,
            exchange=lambda currency, _at_ms: (rates.get(currency), FOREVER_MS),
        )[0]

    usual = {model: price_now(model, ()) for model in models}
    return {
        pk: price_now(model, own[pk]) if pk in own else usual[model]
        for pk, model in rows.values_list("pk", "provider_model")
        if model in models
    }
