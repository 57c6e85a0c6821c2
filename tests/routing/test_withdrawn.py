"""A channel that is switched off or given to another tenant is so at once, however many candidates stand on it."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from channels.records import Candidate
from routing.choosing import Choices
from routing.resolve import resolve
from routing.table import RoutingTable
from tests.routing import tables as t
from tests.routing.test_pools import settle
from tests.routing.test_table import change_some, seen
from tests.routing.weighing import ASK, Numbers

MINE, OTHER, MANY = 1, 2, 60


def crowded() -> RoutingTable:
    """Channels 1 and 2 of a provider, channel 3 of another, each with more offerings than are rebuilt at once."""
    items: list[tuple[str, Any]] = [
        ("accounts.tenant", t.tenant(MINE)), ("accounts.tenant", t.tenant(OTHER)),
        ("accounts.routerkey", t.router_key(MINE, MINE)), ("accounts.routerkey", t.router_key(OTHER, OTHER)),
        ("providers.provider", t.provider(1)), ("providers.provider", t.provider(2)),
    ]  # fmt: skip
    items += [("providers.providermodel", t.model(ref, 1, tags=("wide",))) for ref in range(1, MANY + 1)]
    for ref, provider in ((1, 1), (2, 1), (3, 2)):
        items += [("channels.channel", t.channel(ref, provider)), ("channels.channelkey", t.channel_key(ref, ref))]
        items += [
            ("channels.offering", t.offering(ref * 1000 + place, ref, place, name=f"o{place}"))
            for place in range(1, MANY + 1)
        ]
    items += [
        ("routing.modelgroup", t.group(1, selects=True, tags=("wide",))),
        ("routing.modelgroup", t.group(2)),
        *(("routing.groupmember", t.member(ref, 2, channel=ref, model="o1")) for ref in (1, 2, 3)),
    ]
    return t.table_of(items)


def served_by(table: RoutingTable, key: int = MINE) -> set[int]:
    """The channels that might serve this key by a name, a tag and two groups; always the same ones."""
    caller = t.caller_of(table, key)
    found: list[set[int]] = []
    for name in ("o1", "o7", "tag:wide", "auto:g1", "auto:g2"):
        choices = Choices(resolve_now(table, name, key), caller, ASK, Numbers(), Random(1), turns={})
        served = set[int]()
        while (candidate := choices.take(100)) is not None:
            served.add(candidate.channel.ref)
        found.append(served)
    assert all(served == found[0] for served in found)
    return found[0]


def resolve_now(table: RoutingTable, name: str, key: int) -> Any:
    return resolve(table, (name,), t.caller_of(table, key), at_ms=ASK.at_ms)


def on_a_loop(run: Callable[[RoutingTable], Awaitable[None]]) -> None:
    table = crowded()
    assert served_by(table) == served_by(table, OTHER) == {1, 2, 3}
    asyncio.run(run(table))  # type: ignore[arg-type]  # each is a coroutine


CHANGES: dict[str, tuple[list[tuple[str, int, Any]], set[int], set[int]]] = {
    "given away": ([("channels.channel", 1, t.channel(1, 1, owner=OTHER))], {2, 3}, {1, 2, 3}),
    "switched off": ([("channels.channel", 1, t.channel(1, 1, is_active=False))], {2, 3}, {2, 3}),
    "a problem": ([("channels.channel", 1, t.channel(1, 1, problem="broken"))], {2, 3}, {2, 3}),
    "its key off": ([("channels.channelkey", 1, t.channel_key(1, 1, is_active=False))], {2, 3}, {2, 3}),
    "deleted": ([("channels.channel", 1, None)], {2, 3}, {2, 3}),
    "provider off": ([("providers.provider", 1, t.provider(1, is_active=False))], {3}, {3}),
    "no adapter": ([("providers.provider", 1, t.provider(1, adapter="x"))], {3}, {3}),
    "provider deleted": ([("providers.provider", 1, None)], {3}, {3}),
    "first another change": (
        [("channels.channel", 1, t.channel(1, 1, weight=2.0)), ("channels.channel", 1, t.channel(1, 1, owner=OTHER))],
        {2, 3}, {1, 2, 3},
    ),
    "given on": (
        [("channels.channel", 1, t.channel(1, 1, owner=MINE)), ("channels.channel", 1, t.channel(1, 1, owner=OTHER))],
        {2, 3}, {1, 2, 3},
    ),
    "off and on again": (
        [("channels.channel", 1, t.channel(1, 1, is_active=False)), ("channels.channel", 1, t.channel(1, 1))],
        {1, 2, 3}, {1, 2, 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_who_may_no_longer_serve_does_not_from_the_next_request_on(name: str) -> None:
    changes, mine, other = CHANGES[name]

    async def run(table: RoutingTable) -> None:
        table.put_many(changes)

        assert table._stale  # the candidates are still to be rebuilt
        assert served_by(table) <= mine and served_by(table, OTHER) <= other
        await settle(table)
        assert (served_by(table), served_by(table, OTHER)) == (mine, other)

    on_a_loop(run)


@pytest.mark.parametrize(
    "row",
    [
        t.channel(1, 1, weight=5.0, priority=2),
        t.channel(1, 1, name="renamed", region="eu"),
        t.channel(1, 1, base_url="http://elsewhere/v1"),
    ],
)
def test_other_changes_leave_a_channel_serving_until_its_candidates_are_rebuilt(row: Any) -> None:
    async def run(table: RoutingTable) -> None:
        table.put("channels.channel", 1, row)

        assert table._stale and served_by(table) == {1, 2, 3}
        await settle(table)
        assert served_by(table) == {1, 2, 3} and not table._outdated

    on_a_loop(run)


def test_a_channel_that_becomes_everybodys_serves_its_old_owner_all_the_time() -> None:
    async def run(table: RoutingTable) -> None:
        table.put("channels.channel", 1, t.channel(1, 1, owner=MINE))
        await settle(table)
        assert (served_by(table), served_by(table, OTHER)) == ({1, 2, 3}, {2, 3})

        table.put("channels.channel", 1, t.channel(1, 1))
        assert table._stale and served_by(table) == {1, 2, 3}
        await settle(table)
        assert served_by(table, OTHER) == {1, 2, 3}

    on_a_loop(run)


def test_a_request_that_is_under_way_sees_it_too() -> None:
    table = crowded()
    held = next(iter(table.names["o1"].values()))
    assert held.is_usable

    table.put("channels.channel", held.channel.ref, t.channel(held.channel.ref, 1, is_active=False))

    assert not held.is_usable


def test_in_the_background_a_candidate_gets_all_that_its_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.table.AT_ONCE", 2)

    async def run(table: RoutingTable) -> None:
        rows: list[tuple[str, int, Any]] = [
            ("providers.modelprice", 2, t.price(2, 2, 4)),
            ("channels.channel", 1, t.channel(1, 2, owner=MINE, priority=7, weight=3.0, region="eu", name="one")),
            ("providers.provider", 2, t.provider(2, kind="local")),
            ("providers.modelprice", 1, t.price(1, 1, 5)),
            ("providers.providermodel", 3, t.model(3, 1, context_length=9000)),
        ]
        table.put_many(rows)
        assert len(table._stale) == 120 + 3
        await settle(table)

        assert dict(table.candidates) == rebuilt(table)
        assert [table.candidates[1000 + place].price is None for place in (1, 2, 3)] == [False, False, True]

    on_a_loop(run)


def rebuilt(table: RoutingTable) -> dict[int, Candidate]:
    """The candidates of a table that is built at once from the same rows."""
    rows = [(label, row) for label in t.LABELS for _ref, row in sorted(table.rows[label].items())]
    return dict(t.table_of(rows).candidates)


@pytest.mark.parametrize("seed", range(60))
def test_a_table_that_does_everything_in_the_background_equals_one_built_at_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.table.AT_ONCE", 0)

    async def run() -> None:
        random, rows, kept = Random(seed), dict[tuple[str, int], Any](), RoutingTable()
        for turn in range(8):
            changes = change_some(rows, random)
            for (label, ref), row in changes.items():
                kept.put(label, ref, row)
            rows = {place: row for place, row in (rows | changes).items() if row is not None}
            if turn % 3 == 2:
                await settle(kept)
        await settle(kept)
        monkeypatch.undo()
        at_once = t.table_of([(label, row) for label in t.LABELS for (of, _ref), row in rows.items() if of == label])
        assert seen(kept) == seen(at_once)

    asyncio.run(run())
