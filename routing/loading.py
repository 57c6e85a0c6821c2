"""Worker side. From database rows to the RoutingTable's rows: one reader for each model."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.apps import apps
from django.db import models

from channels.models import Channel, ChannelKey
from channels.records import KeyRecord
from providers.capabilities import bits_of
from providers.models import DatedRates
from providers.naming import canonical_name
from providers.prices import SORTS, Rates, check_tiers, check_windows
from routing import rows as r
from routing.changes import LOGGED_MODELS, range_of
from routing.follower import Entry
from routing.models import ModelGroup
from routing.strategies import read_layers
from smartrouter.lib.outbound import normalise_base_url
from smartrouter.lib.sealing import SealBroken, Secret

logger = logging.getLogger(__name__)

Item = tuple[str, int, Any]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _read_rates(row: DatedRates, source: str) -> Rates:
    return Rates(
        currency=row.currency,
        **{sort: getattr(row, sort) for sort in SORTS},
        tiers=check_tiers(row.tiers),
        windows=check_windows(row.windows),
        effective_from_ms=_ms(row.effective_from),
        source=source,
    )


def _read_channel(row: Channel) -> r.ChannelRow:
    opened: dict[str, Secret | None] = {"extra_headers": None, "proxy_url": None}
    problem = ""
    for field in opened:
        try:
            opened[field] = row.open_sealed(field)
        except SealBroken as e:
            problem = f"its {field.replace('_', ' ')} cannot be opened: {e}"
            logger.error("channel_seal_broken", extra={"channel": row.name, "field": field, "reason": str(e)})
    return r.ChannelRow(
        ref=row.pk,
        name=row.name,
        provider=row.provider_id,
        owner=row.owner_id,
        base_url=normalise_base_url(row.base_url) if row.base_url else "",
        is_active=row.is_active,
        priority=row.priority,
        weight=row.weight,
        headers=opened["extra_headers"],
        proxy_url=opened["proxy_url"],
        params=row.param_overrides,
        connect_s=row.connect_timeout_s,
        first_content_s=row.first_byte_timeout_s,
        idle_s=row.idle_timeout_s,
        total_s=row.total_timeout_s,
        problem=problem,
        region=row.region,
        zone=ZoneInfo(row.timezone),
    )


def _read_channel_key(row: ChannelKey) -> r.ChannelKeyRow:
    try:
        record = KeyRecord(row.pk, row.name, row.open_secret())
    except SealBroken as e:
        record = None
        logger.error("channel_key_seal_broken", extra={"key": row.pk, "reason": str(e)})
    return r.ChannelKeyRow(row.pk, row.channel_id, row.is_active, record)


def patterns_of(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, tag queries also in the spelling that they are compared in."""
    return tuple(dict.fromkeys(spelling for pattern in patterns for spelling in (pattern, canonical_name(pattern))))


def _read_group(row: ModelGroup) -> r.GroupRow:
    return r.GroupRow(
        ref=row.pk,
        name=row.name,
        is_active=row.is_active,
        created_s=0,
        strategy=row.strategy,
        layers=read_layers(row.layers),
        selects=row.selects,
        tags=tuple(row.tags),
        max_cost_per_1k=None if row.max_cost_per_1k is None else float(row.max_cost_per_1k),
        min_context_length=row.min_context_length,
        capabilities=bits_of(row.capabilities),
        kinds=tuple(row.provider_kinds),
        regions=tuple(row.regions),
        fallback=row.fallback_id,
    )


READERS: dict[str, Callable[[Any], Any]] = {
    "accounts.tenant": lambda x: r.TenantRow(x.pk, x.name, x.parent_id, x.is_active, x.can_see_channels),
    "accounts.routerkey": lambda x: r.RouterKeyRow(
        x.pk,
        x.tenant_id,
        x.name,
        x.digest,
        patterns_of(x.allowed_models),
        x.is_active,
        _ms(x.expires_at) if x.expires_at else None,
        patterns_of(x.denied_models),
        x.default_model,
        x.can_choose_strategy,
    ),
    "providers.exchangerate": lambda x: r.ExchangeRateRow(x.pk, x.currency, x.usd, _ms(x.effective_from)),
    "providers.provider": lambda x: r.ProviderRow(
        x.pk, x.name, x.adapter, normalise_base_url(x.base_url), x.is_active, x.kind, x.region
    ),
    "providers.providermodel": lambda x: r.ModelRow(
        x.pk,
        x.provider_id,
        x.name,
        x.is_free,
        x.is_active,
        x.context_length,
        x.default_output_tokens,
        None if x.capabilities is None else tuple(x.capabilities),
        tuple(x.tags),
        x.quality_score,
    ),
    "providers.modelprice": lambda x: r.PriceRow(x.pk, x.provider_model_id, _read_rates(x, "list")),
    "channels.channel": _read_channel,
    "channels.channelkey": _read_channel_key,
    "channels.offering": lambda x: r.OfferingRow(
        x.pk, x.channel_id, x.provider_model_id, x.name, tuple(x.aliases), x.is_active
    ),
    "channels.offeringprice": lambda x: r.PriceRow(x.pk, x.offering_id, _read_rates(x, "offering")),
    "routing.strategyrule": lambda x: r.StrategyRuleRow(x.pk, x.pattern, x.strategy, read_layers(x.layers)),
    "routing.modelgroup": _read_group,
    "routing.groupmember": lambda x: r.MemberRow(
        x.pk,
        x.group_id,
        x.channel_id,
        x.provider_id,
        x.waiting_for,
        x.model,
        x.position,
        x.priority,
        x.weight,
        x.is_active,
        x.daily_limit,
    ),
    "routing.timepolicy": lambda x: r.TimePolicyRow(
        x.pk,
        x.group_id,
        x.position,
        frozenset(x.days),
        x.start,
        x.end,
        ZoneInfo(x.timezone),
        x.strategy,
        read_layers(x.layers),
        x.members_of_id,
        x.is_active,
    ),
}
assert tuple(READERS) == LOGGED_MODELS

# There may be hundreds of thousands of these: only what is needed is read, without making model instances.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "accounts.routerkey": (
        "pk", "tenant_id", "name", "digest", "allowed_models", "is_active", "expires_at",
        "denied_models", "default_model", "can_choose_strategy",
    ),
}  # fmt: skip
# What is read from the database at once while the process serves.
PIECE_ROWS = 500
ANY_ID = (0, 2**63 - 1)


def _rows_of(label: str) -> models.QuerySet[Any]:
    """All rows of a model, in the order of their ids."""
    rows = apps.get_model(label)._default_manager.order_by("pk")
    found: models.QuerySet[Any] = rows.values_list(*_COLUMNS[label], named=True) if label in _COLUMNS else rows
    return found


def _read(label: str, row: Any) -> Any:
    """The table's row; None (as if deleted) for one that cannot be read, which is logged and must not stop the others."""
    try:
        return READERS[label](row)
    except (ValueError, TypeError, AttributeError) as e:
        logger.error("row_unreadable", extra={"model": label, "row": row.pk, "reason": str(e)})
        return None


def load_all() -> Iterator[Item]:
    """Every row of every model, parents first."""
    for label in LOGGED_MODELS:
        for row in _rows_of(label).iterator(chunk_size=1000):
            yield label, row.pk, _read(label, row)


class NamedRows:
    """These rows of a model as they are when their turn comes; None for those that no longer exist."""

    def __init__(self, label: str, refs: Iterable[int]) -> None:
        self._label = label
        self._refs = deque(refs)

    @property
    def is_small(self) -> bool:
        """Whether one piece is all."""
        return len(self._refs) <= PIECE_ROWS

    def next_piece(self) -> list[Item]:
        """The next rows; an empty list when all were read."""
        refs = [self._refs.popleft() for _ in range(min(PIECE_ROWS, len(self._refs)))]
        found = {row.pk: row for row in _rows_of(self._label).filter(pk__in=refs)} if refs else {}
        return [(self._label, ref, _read(self._label, found[ref]) if ref in found else None) for ref in refs]


class RowRange:
    """The rows of a model between two ids, piece by piece; None for those of the known ones that no longer exist.

    known: the refs that the table has now. Rows that are added or deleted meanwhile have log entries of their own.
    """

    def __init__(self, label: str, span: tuple[int, int], known: Iterable[int]) -> None:
        self._label = label
        self._low, self._high = span
        self._known = deque(sorted(ref for ref in known if self._low <= ref <= self._high))

    @property
    def is_small(self) -> bool:
        """Whether one piece is all."""
        return self._high - self._low < PIECE_ROWS

    def next_piece(self) -> list[Item]:
        """The next rows; an empty list when all were read."""
        if self._low > self._high:
            return []
        rows = list(_rows_of(self._label).filter(pk__range=(self._low, self._high))[:PIECE_ROWS])
        last = rows[-1].pk if len(rows) == PIECE_ROWS else self._high
        self._low = last + 1
        items: list[Item] = [(self._label, row.pk, _read(self._label, row)) for row in rows]
        found = {row.pk for row in rows}
        while self._known and self._known[0] <= last:
            ref = self._known.popleft()
            if ref not in found:
                items.append((self._label, ref, None))
        return items or self.next_piece()


Reading = NamedRows | RowRange


def readings_of(entries: Iterable[Entry], known: Callable[[str], Iterable[int]]) -> Iterator[Reading]:
    """What has to be read for these change log entries, parents first; known: the refs that the table has of a model."""
    named: dict[str, dict[int, None]] = defaultdict(dict)
    spans: dict[str, dict[tuple[int, int], None]] = defaultdict(dict)
    for label, row in entries:
        low, high = range_of(row) or ANY_ID
        if low == high:
            named[label][low] = None
        else:
            spans[label][low, high] = None
    for label in LOGGED_MODELS:
        if label in named:
            yield NamedRows(label, named[label])
        for span in [ANY_ID] if ANY_ID in spans[label] else spans[label]:
            yield RowRange(label, span, known(label))
