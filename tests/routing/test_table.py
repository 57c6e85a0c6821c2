"""The RoutingTable kept row by row is the one that is built at once from the same rows, whatever happened on the way."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.capabilities import BITS
from routing import rows as r
from routing.strategies import PRESETS
from routing.table import RoutingTable
from smartrouter.lib.sealing import Secret
from tests.routing import tables as t

Rows = dict[tuple[str, int], Any]
REFS = range(1, 4)
DAY_MS = 86_400_000
TAG_QUERIES = [("x",), ("x", "y"), ("m1",), ("free",), ("free", "x"), ("none",), ()]
STRATEGIES = [PRESETS["auto"], PRESETS["cost_first"], PRESETS["fallback"]]


def make_row(label: str, ref: int, random: Random) -> Any:
    """A row with a parent that may or may not exist, and names that rows of its kind take from one another."""

    def pick(*values: Any) -> Any:
        return random.choice(values)

    def parent() -> int:
        return random.choice(REFS)

    is_active = random.random() < 0.8
    makers: dict[str, Callable[[], Any]] = {
        "accounts.tenant": lambda: t.tenant(ref, pick(None, *REFS), is_active=is_active),
        "accounts.routerkey": lambda: t.router_key(ref, parent(), digest=pick("d1", "d2", "d3", "d4"), is_active=is_active),
        "providers.exchangerate": lambda: r.ExchangeRateRow(ref, pick("CNY", "EUR"), Decimal(ref), ref * 1000),
        "providers.provider": lambda: t.provider(
            ref, name=pick("p1", "p2", "p3"), adapter=pick("openai", "openrouter", "x"), kind=pick("official", "local"),
            region=pick("", "eu"),
        ),
        "providers.providermodel": lambda: t.model(
            ref, parent(), name=pick("m1", "m2"), is_active=is_active, is_free=pick(False, True),
            tags=pick((), ("x",), ("x", "y")), context_length=pick(None, 8000, 128_000),
            capabilities=pick(None, (), ("vision",)),
        ),
        "providers.modelprice": lambda: t.price(
            ref, parent(), random.randrange(9), random.randrange(5), currency=pick("USD", "CNY", "EUR")
        ),
        "channels.channel": lambda: t.channel(
            ref, parent(), name=pick("c1", "c2", "c3"), owner=pick(None, *REFS), is_active=is_active,
            priority=pick(1, 2), headers=pick(None, Secret({"X": "1"})), problem=pick("", "", "broken"),
        ),
        "channels.channelkey": lambda: t.channel_key(ref, parent(), is_active=is_active, opens=pick(True, True, False)),
        "channels.offering": lambda: t.offering(
            ref, parent(), parent(), name=pick("o1", "o2", "m1"), aliases=pick((), ("a1",), ("a1", "o1"), ("m2",)),
            is_active=is_active,
        ),
        "channels.offeringprice": lambda: t.price(
            ref, parent(), random.randrange(9), random.randrange(5), currency=pick("USD", "CNY", "EUR")
        ),
        "routing.strategyrule": lambda: t.rule(ref, pick("*", "o*", "o1", "m*"), pick("auto", "fallback", "hybrid")),
        "routing.modelgroup": lambda: t.group(
            ref, name=pick("auto:x", "auto:y", "o1"), is_active=is_active, strategy=pick("", "cost_first"),
            selects=pick(False, True), tags=pick((), ("x",), ("m1", "y"), ("free",)), max_cost_per_1k=pick(None, 0.0, 0.003),
            min_context_length=pick(None, 16_000), capabilities=pick(0, BITS["vision"]), kinds=pick((), (), ("local",)),
            regions=pick((), (), ("eu",)), fallback=pick(None, *REFS),
        ),
        "routing.timepolicy": lambda: t.policy(
            ref, parent(), position=pick(1, 2), strategy=pick("", "hybrid"), members_of=pick(None, *REFS),
            is_active=is_active, days=pick(frozenset(range(7)), frozenset({0})),
        ),
        "routing.groupmember": lambda: t.member(
            ref, parent(), **pick({"channel": parent()}, {"provider": parent()}, {"waiting_for": pick("p1", "c1", "c3")}),
            model=pick("o1", "m1", "a1"), position=pick(1, 2, 3), priority=pick(1, 2), is_active=is_active,
        ),
    }  # fmt: skip
    return makers[label]()


def identity(label: str, row: Any) -> Any:
    """What no two rows of a kind share in the database, beside their refs."""
    if label == "accounts.routerkey":
        return row.digest
    if label in ("providers.provider", "channels.channel", "routing.modelgroup"):
        return row.name
    if label == "routing.strategyrule":
        return row.pattern
    return row.ref


def is_consistent(rows: Rows) -> bool:
    identities = [(label, identity(label, row)) for (label, _ref), row in rows.items()]
    return len(identities) == len(set(identities))


def change_some(rows: Rows, random: Random) -> dict[tuple[str, int], Any]:
    """The changes of one transaction (None: deleted), after which the rows are consistent again."""
    while True:
        places = random.sample([(label, ref) for label in t.LABELS for ref in REFS], random.randint(1, 6))
        changes = {place: None if random.random() < 0.25 else make_row(*place, random) for place in places}
        after = {place: row for place, row in (rows | changes).items() if row is not None}
        if is_consistent(after):
            return changes


def seen(table: RoutingTable) -> dict[str, Any]:
    """All that requests can ask a table for, as it is now."""
    names = ["o1", "o2", "m1", "m2", "a1"]
    providers = [f"p{ref}" for ref in REFS]
    pools = {name: table.pool_of(row) for name, row in table.groups_by_name.items()}
    pools |= {f"tag:{tags}": table.tagged(frozenset(tags)) for tags in TAG_QUERIES}
    return {
        "keys": dict(table.keys_by_digest),
        "chains": {ref: table.chain_of(ref) for ref in REFS},
        "groups": dict(table.groups_by_name),
        "pools": {name: {c.ref: c for c in pool} for name, pool in pools.items()},
        "best first": {(name, s.name): list(pool.best_first(s)) for name, pool in pools.items() for s in STRATEGIES},
        "rules": [table.rule_for(name) for name in ("o1", "o2", "m1", "x", "")],
        "hours": {
            name: (table.strategy_of_group(row), table.policy_of(row, 0), table.policy_of(row, 5 * DAY_MS))
            for name, row in table.groups_by_name.items()
        },
        "candidates": dict(table.candidates),
        "names": {name: dict(found) for name, found in table.names.items() if found},
        "by provider": {(p, n): {c.ref: c for c in table.of_provider(p, n)} for p in providers for n in names},
        "money": {(c, at): table.usd_per_unit(c, at) for c in ("CNY", "EUR", "USD") for at in (0, 1500, 9000)},
        "places": (dict(table.provider_names), dict(table.channel_names)),
    }


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=250, deadline=None)
def test_a_table_kept_row_by_row_equals_one_built_at_once(seed: int, turns: int) -> None:
    random, rows, kept = Random(seed), {}, RoutingTable()
    for _turn in range(turns):
        changes = change_some(rows, random)
        for (label, ref), row in random.sample(sorted(changes.items(), key=lambda item: item[0]), len(changes)):
            kept.put(label, ref, row)
            seen(kept)  # what is asked for on the way must not be remembered wrongly
        rows = {place: row for place, row in (rows | changes).items() if row is not None}

        built = t.table_of((label, rows[label, ref]) for label in t.LABELS for ref in REFS if (label, ref) in rows)
        assert seen(kept) == seen(built)
        shuffled = random.sample(sorted(rows), len(rows))
        assert seen(t.table_of((place[0], rows[place]) for place in shuffled)) == seen(built)


@given(st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_deleting_everything_leaves_nothing(seed: int) -> None:
    random, table = Random(seed), RoutingTable()
    rows = {place: row for place, row in change_some({}, random).items() if row is not None}
    for (label, ref), row in rows.items():
        table.put(label, ref, row)
    for label, ref in random.sample(sorted(rows), len(rows)):
        table.put(label, ref, None)

    assert seen(table) == seen(RoutingTable())
    assert not any(table.rows.values()) and not any(table.names.values())


def test_putting_the_same_row_again_changes_nothing() -> None:
    random, rows = Random(5), {}
    for _turn in range(20):
        rows = {place: row for place, row in (rows | change_some(rows, random)).items() if row is not None}
    table = t.table_of((label, row) for (label, _ref), row in sorted(rows.items(), key=lambda item: item[0]))
    before = seen(table)

    for (label, ref), row in rows.items():
        table.put(label, ref, row)

    assert seen(table) == before


def test_the_version_moves_with_what_groups_are_made_of_and_not_with_keys() -> None:
    table = RoutingTable()
    versions = []
    for label in t.LABELS:
        table.put(label, 1, make_row(label, 1, Random(1)))
        versions.append(table.version)

    assert versions == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]


def test_a_candidate_has_the_channels_address_keys_and_prices() -> None:
    table = t.table_of(
        [
            ("providers.provider", t.provider(1, base_url="http://p/v1")),
            ("providers.providermodel", t.model(1, 1, is_free=True)),
            ("providers.modelprice", t.price(1, 1, 5, begins_ms=100)),
            ("channels.channel", t.channel(1, 1)),
            ("channels.channelkey", t.channel_key(1, 1, is_active=False)),
            ("channels.channelkey", t.channel_key(2, 1, opens=False)),
            ("channels.channelkey", t.channel_key(3, 1)),
            ("channels.offering", t.offering(1, 1, 1, aliases=("x",))),
            ("channels.offeringprice", t.price(1, 1, 2, begins_ms=200)),
        ]
    )
    found = table.candidates[1]

    assert str(found.channel.chat.url) == "http://p/v1/chat/completions"
    assert [key.name for key in found.channel.keys] == ["key3"]
    assert found.is_usable and set(table.names) == {"o1", "x", "\0m1"}
    prices = [rates.input if (rates := found.rates_at(at)) else None for at in (50, 150, 250)]
    assert prices == [0, 5, 2]


@pytest.mark.parametrize(
    ("keys", "is_usable"),
    [([], True), ([t.channel_key(1, 1)], True), ([t.channel_key(1, 1, opens=False)], False),
     ([t.channel_key(1, 1, is_active=False)], False), ([t.channel_key(1, 1, opens=False), t.channel_key(2, 1)], True)],
)  # fmt: skip
def test_a_channel_whose_every_key_is_unusable_is_not_used(keys: list[Any], is_usable: bool) -> None:
    items: list[tuple[str, Any]] = [
        ("providers.provider", t.provider(1)), ("providers.providermodel", t.model(1, 1)),
        ("channels.channel", t.channel(1, 1)), ("channels.offering", t.offering(1, 1, 1)),
        *(("channels.channelkey", key) for key in keys),
    ]  # fmt: skip

    assert t.table_of(items).candidates[1].is_usable is is_usable


def test_a_chain_of_tenants_that_bites_its_tail_ends() -> None:
    table = t.table_of([("accounts.tenant", t.tenant(1, 2)), ("accounts.tenant", t.tenant(2, 1))])

    assert len(table.chain_of(1)) <= 64


def test_a_member_means_the_public_name_and_the_providers_own_only_where_no_channel_has_that_name() -> None:
    table = t.table_of(
        [
            ("providers.provider", t.provider(1)),
            ("providers.providermodel", t.model(1, 1, name="fast")),
            ("channels.channel", t.channel(1, 1)),
            ("channels.channel", t.channel(2, 1)),
            ("channels.offering", t.offering(1, 1, 1, name="fast")),
            ("channels.offering", t.offering(2, 1, 1, name="other")),
            ("channels.offering", t.offering(3, 2, 1, name="quick")),
            ("routing.modelgroup", t.group(1)),
            ("routing.groupmember", t.member(1, 1, provider=1, model="fast")),
        ]
    )

    members = table.pool_of(table.groups_by_name["auto:g1"])

    assert sorted(candidate.ref for candidate in members) == [1, 3]
