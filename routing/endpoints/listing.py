"""Hot path. What a key can use now, each name with what is known of the candidates behind it.

The list is made in slices, between which other requests run, and kept for a while: keys with the same rules share one.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from channels.records import Candidate
from providers.naming import TAG_PREFIX
from routing.asking import Ask
from routing.eligible import Gate
from routing.endpoints.summary import Summary
from routing.joining import OWN_NAME
from routing.payers import payers_of
from routing.plane import Plane
from routing.rank import Live
from routing.resolve import Caller, Stage, resolve
from routing.rows import fits
from routing.table import RoutingTable
from routing.tags import tags_now
from smartrouter.lib.errors import RouterError

SLICE_S = 0.001
CHUNK = 64
SORTED_AT_ONCE = 1000
# A changed row counts at once; what the table works out after that, prices by the clock and daily limits may be so late.
KEPT_FOR_MS = 10_000
KEPT_BYTES = 32 * 1024 * 1024
# What Python takes for a text or a small tuple beside its characters, about.
ENTRY_BYTES = 100
GROUP, MODEL, TAG = "group", "model", "tag"
OURS = "smartrouter"


class Pace:
    """Lets others run whenever a slice of time is used up."""

    def __init__(self) -> None:
        self._until = perf_counter() + SLICE_S

    async def rest(self) -> None:
        """To be awaited every few microseconds of work."""
        if perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = perf_counter() + SLICE_S


@dataclass(frozen=True, slots=True)
class Seen:
    """The table as one caller sees it at one moment."""

    table: RoutingTable
    caller: Caller
    live: Live
    at_ms: int

    @property
    def needs_price(self) -> bool:
        """Whether the caller has a budget."""
        return any(scope.limits_money for scope in payers_of(self.table, self.caller, ""))

    def gate(self, stage: Stage | None = None) -> Gate:
        """What a candidate has to pass before anything is asked of it."""
        ask = Ask(needs=0, prompt_tokens=0, output_tokens=None, is_streamed=False, at_ms=self.at_ms)
        filters, provider = (stage.filters, stage.provider) if stage else (None, "")
        needs_price = self.needs_price or (stage is not None and stage.needs_price)
        return Gate(ask, self.live, self.caller.owners, self.caller.key.denied, filters, provider, needs_price)

    def may_ask_for(self, name: str) -> bool:
        return self.caller.key.may_ask_for(name) and not self.caller.is_denied(name)


def kind_of(stages: Sequence[Stage]) -> str:
    """Whether a resolved name is a group, a tag query or a model."""
    if stages[0].group is not None:
        return GROUP
    return TAG if stages[0].name.startswith(TAG_PREFIX) else MODEL


async def summary_of(seen: Seen, stages: Iterable[Stage], pace: Pace) -> Summary:
    """What is known of all candidates that these stages may try now."""
    summary, refs = Summary(), set[int]()
    for stage in stages:
        await _add_able(summary, stage.pool, seen.gate(stage), refs, pace)
    return summary


async def _add_able(summary: Summary, candidates: Iterable[Candidate], gate: Gate, refs: set[int], pace: Pace) -> None:
    """Add to a summary who may serve now. refs: who is in it already."""
    following = iter(candidates)
    while chunk := list(islice(following, CHUNK)):
        for candidate in chunk:
            if candidate.ref not in refs and gate.reason_against(candidate) is None:
                refs.add(candidate.ref)
                summary.add(candidate)
        await pace.rest()


async def entries(seen: Seen, *, has_tags: bool) -> AsyncIterator[dict[str, Any]]:
    """Groups, then models, then what the key's rules name beside these, then tags if asked for; each with a candidate."""
    pace, listed = Pace(), set[str]()
    for name in sorted(seen.table.groups_by_name):
        group = seen.table.groups_by_name.get(name)
        if group is None or not group.is_active:
            continue
        listed.add(name)
        if seen.may_ask_for(name):
            stages = resolve(seen.table, (name,), seen.caller, at_ms=seen.at_ms)
            summary = await summary_of(seen, stages, pace)
            if summary.count:
                yield summary.entry(name, GROUP, OURS, created_s=group.created_s)
    gate = seen.gate()
    async for name in _in_order(seen.table.names, pace):
        if name in listed or name.startswith((OWN_NAME, TAG_PREFIX)) or not seen.may_ask_for(name):
            continue
        summary = Summary()
        await _add_able(summary, tuple(seen.table.names.get(name, {}).values()), gate, set(), pace)
        if summary.count:
            listed.add(name)
            yield summary.entry(name, MODEL)
    async for name in _in_order(await _named_by_rules(seen, pace), pace):
        if name not in listed and (entry := await entry_of(seen, name, pace)) is not None:
            listed.add(name)
            yield entry
    if has_tags:
        async for name, summary in _tags(seen, pace):
            if name not in listed:
                yield summary.entry(name, TAG, OURS)


async def entry_of(seen: Seen, name: str, pace: Pace) -> dict[str, Any] | None:
    """The entry of a name; None where the caller may not ask for it, or nobody serves it now."""
    try:
        stages = resolve(seen.table, (name,), seen.caller, at_ms=seen.at_ms)
    except RouterError:
        return None
    summary, kind = await summary_of(seen, stages, pace), kind_of(stages)
    return summary.entry(name, kind, "" if kind == MODEL else OURS) if summary.count else None


async def _in_order(names: Iterable[str], pace: Pace) -> AsyncIterator[str]:
    """The names sorted, without holding anyone up."""
    found, chunks = iter(tuple(names)), []
    while chunk := list(islice(found, SORTED_AT_ONCE)):
        chunk.sort()
        chunks.append(chunk)
        await pace.rest()
    for name in merge(*chunks):
        yield name
        await pace.rest()


async def _named_by_rules(seen: Seen, pace: Pace) -> set[str]:
    """Names that are no group's and no model's, which an allow list names: tag queries, and models behind their provider."""
    found, table = set[str](), seen.table
    for pattern in seen.caller.key.allowed:
        if not pattern.endswith("*"):
            found.add(pattern)
            continue
        provider, slash, _rest = pattern.partition("/")
        if not slash or provider not in table.provider_names:
            continue
        for name in tuple(table.names):
            full = f"{provider}/{name}"
            if not name.startswith(OWN_NAME) and fits(pattern, full) and table.of_provider(provider, name):
                found.add(full)
            await pace.rest()
    return found


async def _tags(seen: Seen, pace: Pace) -> AsyncIterator[tuple[str, Summary]]:
    """Every tag of the candidates that may serve, as a query, and what is known of those that have it."""
    found: defaultdict[str, Summary] = defaultdict(Summary)
    gate, candidates = seen.gate(), iter(tuple(seen.table.candidates.values()))
    while chunk := list(islice(candidates, CHUNK)):
        for candidate in chunk:
            for tag in tags_now(candidate) if gate.reason_against(candidate) is None else ():
                found[TAG_PREFIX + tag].add(candidate)
        await pace.rest()
    async for name in _in_order(found, pace):
        if seen.may_ask_for(name):
            yield name, found[name]


# What decides about a list: owners of channels among the caller's tenants, the key's rules, with or without tags.
Rules = tuple[frozenset[int | None], tuple[str, ...], tuple[str, ...], bool, bool, int]


class Listings:
    """The lists of one table as they are sent, the least recently asked for forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Rules, tuple[int, int, bytes]] = OrderedDict()
        self._bytes = 0
        # One list is made at a time, so that many keys with rules of their own do not take up all of the event loop; whoever
        # asks meanwhile for the same finds it afterwards.
        self._lock = asyncio.Lock()

    async def body(self, seen: Seen, *, has_tags: bool) -> bytes:
        """The answer to GET /v1/models."""
        rules = _rules_of(seen, has_tags)
        body = self._find(rules, seen)
        if body is not None:
            return body
        async with self._lock:
            body = self._find(rules, seen)
            if body is None:
                version = seen.table.version
                found = [orjson.dumps(entry) async for entry in entries(seen, has_tags=has_tags)]
                body = b'{"object":"list","data":[%b]}' % b",".join(found)
                self._keep(rules, (version, seen.at_ms, body))
        return body

    def _find(self, rules: Rules, seen: Seen) -> bytes | None:
        """The list of these rules, if it is still true."""
        version, at_ms, body = self._kept.get(rules, (-1, 0, b""))
        if version != seen.table.version or not 0 <= seen.at_ms - at_ms < KEPT_FOR_MS:
            return None
        self._kept.move_to_end(rules)
        return body

    def _keep(self, rules: Rules, listing: tuple[int, int, bytes]) -> None:
        self._drop(rules)
        self._kept[rules] = listing
        self._bytes += _size_of(rules, listing[2])
        while self._bytes > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, rules: Rules) -> None:
        known = self._kept.pop(rules, None)
        if known is not None:
            self._bytes -= _size_of(rules, known[2])


def _size_of(rules: Rules, body: bytes) -> int:
    """About how many bytes a kept list takes, with the rules by which it is found."""
    owners, allowed, denied, *_others = rules
    patterns = (*allowed, *denied)
    return len(body) + ENTRY_BYTES * (1 + len(owners) + len(patterns)) + sum(map(len, patterns))


def _rules_of(seen: Seen, has_tags: bool) -> Rules:
    key = seen.caller.key
    owners = frozenset(channel.owner for channel in seen.table.rows["channels.channel"].values())
    # What has no price is kept from callers and groups with a budget.
    priced = seen.needs_price, seen.table.budgets.version
    return owners & seen.caller.owners, key.allowed, key.denied, has_tags, *priced


_listings: "WeakKeyDictionary[RoutingTable, Listings]" = WeakKeyDictionary()


async def list_models(plane: Plane, caller: Caller, at_ms: int, *, has_tags: bool) -> bytes:
    """The answer to GET /v1/models, as it is sent."""
    plane.table.refresh_prices(at_ms)
    listings = _listings.setdefault(plane.table, Listings())
    return await listings.body(Seen(plane.table, caller, plane.signals, at_ms), has_tags=has_tags)
