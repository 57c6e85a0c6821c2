"""What groups select, and what rules, time policies and prices say at a moment."""

from datetime import datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from providers.capabilities import BITS
from providers.prices import Window
from routing import rows as r
from routing.pools import Pool
from routing.strategies import PRESETS, Layer
from routing.table import RoutingTable
from tests.routing import tables as t


def refs_of(pool: Pool) -> list[int]:
    return sorted(candidate.ref for candidate in pool)


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_filters_select_whom_they_let_in() -> None:
    items: list[tuple[str, Any]] = [
        ("providers.provider", t.provider(1, kind="local", region="eu")),
        ("channels.channel", t.channel(1, 1)),
    ]
    models = {
        1: {"context_length": 128_000, "capabilities": ("vision",)},
        2: {"context_length": 4_000, "capabilities": ()},
        3: {},
    }
    for ref, facts in models.items():
        items += [("providers.providermodel", t.model(ref, 1, **facts)), ("channels.offering", t.offering(ref, 1, ref))]
    items += [("providers.modelprice", t.price(1, 1, 2)), ("providers.modelprice", t.price(2, 2, 0))]
    table = t.table_of(items)

    def let_in(**filters: Any) -> list[int]:
        group = t.group(1, selects=True, **filters)
        table.put("routing.modelgroup", 1, group)
        return refs_of(table.pool_of(group))

    assert let_in() == [1, 2, 3]
    assert let_in(max_cost_per_1k=0.002) == [1, 2]
    assert let_in(max_cost_per_1k=0.0019) == [2]
    assert let_in(max_cost_per_1k=0.0) == let_in(tags=("free",)) == [2]
    assert let_in(min_context_length=4_000) == [1, 2, 3]
    assert let_in(min_context_length=4_001) == [1, 3]
    assert let_in(capabilities=BITS["vision"]) == [1]
    assert let_in(kinds=("local",)) == let_in(regions=("eu", "us")) == [1, 2, 3]
    assert let_in(kinds=("official",)) == let_in(regions=("us",)) == let_in(tags=("none",)) == []


def test_an_explicit_member_stays_whatever_the_filters_say() -> None:
    table = t.large_table()
    table.put("routing.modelgroup", 1, t.group(1, selects=True, max_cost_per_1k=0.0, tags=("none",)))
    table.put("routing.groupmember", 1, t.member(1, 1, channel=1, model="o1"))

    assert refs_of(table.pool_of(table.groups_by_name["auto:g1"])) == [101]


def test_a_model_joins_and_leaves_the_groups_that_select_it_by_itself() -> None:
    table = t.large_table()
    group = t.group(1, selects=True, tags=("brand", "new"))
    table.put("routing.modelgroup", 1, group)
    assert table.pool_of(group).size == 0

    table.put("providers.providermodel", 99, t.model(99, 1, name="brand-new"))
    table.put("channels.offering", 9999, t.offering(9999, 1, 99))
    assert refs_of(table.pool_of(group)) == [9999]

    table.put("channels.offering", 9999, None)
    assert table.pool_of(group).size == table.tagged(frozenset({"brand"})).size == 0


def test_free_in_a_name_is_no_tag_and_a_price_of_nothing_is() -> None:
    table = t.table_of(
        [
            ("providers.provider", t.provider(1)),
            ("providers.providermodel", t.model(1, 1, name="qwen3:free", tags=("free", "Mine"))),
            ("providers.modelprice", t.price(1, 1, 1)),
            ("channels.channel", t.channel(1, 1)),
            ("channels.channel", t.channel(2, 1)),
            ("channels.offering", t.offering(1, 1, 1)),
            ("channels.offering", t.offering(2, 2, 1)),
            ("channels.offeringprice", t.price(1, 2, 0)),
        ]
    )

    assert refs_of(table.tagged(frozenset({"qwen3", "mine"}))) == [1, 2]
    assert refs_of(table.tagged(frozenset({"free"}))) == [2]
    table.put("channels.offeringprice", 1, t.price(1, 2, 3))
    assert table.tagged(frozenset({"free"})).size == 0


# --- rules


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("gpt-4o", "cost_first"), ("gpt-4o-mini", "balanced"), ("gpt-4", "hybrid"), ("gpt-", "hybrid"),
        ("gpt", "auto"), ("claude", "auto"), ("", "auto"), ("gpt-4o*", "balanced"), ("*", "auto"),
    ],
)  # fmt: skip
def test_of_all_rules_that_fit_the_longest_counts_and_a_name_before_a_beginning(name: str, strategy: str) -> None:
    rules = {"gpt-4o": "cost_first", "gpt-4o*": "balanced", "gpt-*": "hybrid", "*": "auto"}
    table = t.table_of(("routing.strategyrule", t.rule(ref, *rule)) for ref, rule in enumerate(rules.items(), 1))

    assert table.rule_for(name) is PRESETS[strategy]


def test_without_a_rule_that_fits_there_is_no_strategy() -> None:
    table = t.table_of([("routing.strategyrule", t.rule(1, "gpt-*"))])
    assert table.rule_for("claude") is None

    table.put("routing.strategyrule", 1, t.rule(1, "*", "hybrid"))
    assert table.rule_for("claude") is PRESETS["hybrid"]
    table.put("routing.strategyrule", 1, None)
    assert table.rule_for("gpt-4o") is None


def test_rules_that_change_places_keep_their_patterns() -> None:
    table = t.table_of(
        [("routing.strategyrule", t.rule(1, "a*", "auto")), ("routing.strategyrule", t.rule(2, "b*", "hybrid"))]
    )

    table.put("routing.strategyrule", 1, t.rule(1, "b*", "auto"))
    table.put("routing.strategyrule", 2, t.rule(2, "a*", "hybrid"))

    assert (table.rule_for("a1"), table.rule_for("b1")) == (PRESETS["hybrid"], PRESETS["auto"])


def test_a_groups_own_layers_go_before_its_preset() -> None:
    layer = Layer("quality_score", "desc", 1.0)
    table = t.table_of(
        [
            ("routing.modelgroup", t.group(1)),
            ("routing.modelgroup", t.group(2, strategy="hybrid")),
            ("routing.modelgroup", t.group(3, strategy="hybrid", layers=(layer,))),
        ]
    )
    plain, preset, layered = (table.strategy_of_group(table.groups_by_name[f"auto:g{ref}"]) for ref in (1, 2, 3))

    assert plain is None and preset is PRESETS["hybrid"]
    assert layered is not None and layered.layers == (layer,)


# --- time policies


def policies(*rows: r.TimePolicyRow) -> RoutingTable:
    groups: list[tuple[str, Any]] = [("routing.modelgroup", t.group(1)), ("routing.modelgroup", t.group(2))]
    return t.table_of([*groups, *(("routing.timepolicy", row) for row in rows)])


def strategy_at(table: RoutingTable, text: str, zone: str = "UTC") -> str | None:
    found = table.policy_of(table.groups_by_name["auto:g1"], ms(text, zone))[0]
    return found.name if found is not None else None


@pytest.mark.parametrize(
    ("start", "end", "days", "moments"),
    [
        # Monday is 2024-05-06
        ("09:00", "18:00", {0}, {"05-06 08:59": False, "05-06 09:00": True, "05-06 18:00": False, "05-07 10:00": False}),
        # over midnight: the hours after it belong to the day before
        ("22:00", "06:00", {0}, {"05-06 05:59": False, "05-06 22:00": True, "05-07 05:59": True, "05-07 06:00": False}),
        # the whole day
        ("00:00", "00:00", {0}, {"05-05 23:59": False, "05-06 00:00": True, "05-06 23:59": True, "05-07 00:00": False}),
        # a whole day that begins at eight
        ("08:00", "08:00", {6}, {"05-05 07:59": False, "05-05 08:00": True, "05-06 07:59": True, "05-06 08:00": False}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Los_Angeles"])
def test_a_policy_holds_on_its_weekdays_and_hours_in_its_zone(
    start: str, end: str, days: set[int], moments: dict[str, bool], zone: str
) -> None:
    clock = {"start": time.fromisoformat(start), "end": time.fromisoformat(end), "zone": ZoneInfo(zone)}
    table = policies(t.policy(1, 1, strategy="hybrid", days=frozenset(days), **clock))

    assert {at: strategy_at(table, f"2024-{at}", zone) == "hybrid" for at in moments} == moments


def test_a_policy_follows_the_clocks_when_they_are_put() -> None:
    zone = ZoneInfo("Europe/Berlin")
    table = policies(t.policy(1, 1, strategy="hybrid", start=time(2, 30), end=time(4), zone=zone))

    # from 02:00 to 03:00 on the last Sunday of March, from 03:00 back to 02:00 on that of October
    moments = {"03-31 00:59": False, "03-31 01:00": True, "03-31 02:00": False}
    moments |= {
        "10-27 00:29": False,
        "10-27 00:30": True,
        "10-27 01:00": False,
        "10-27 01:30": True,
        "10-27 03:00": False,
    }
    assert {at: strategy_at(table, f"2024-{at}") == "hybrid" for at in moments} == moments


def test_the_first_policy_that_holds_counts_and_one_that_is_switched_off_does_not() -> None:
    table = policies(
        t.policy(1, 1, position=3, strategy="hybrid"),
        t.policy(2, 1, position=2, strategy="balanced", members_of=2, start=time(8), end=time(9)),
        t.policy(3, 1, position=1, strategy="fallback", is_active=False),
    )
    group, other = table.groups_by_name["auto:g1"], table.groups_by_name["auto:g2"]

    assert table.policy_of(group, ms("2024-05-06 08:30")) == (PRESETS["balanced"], other)
    assert table.policy_of(group, ms("2024-05-06 09:30")) == (PRESETS["hybrid"], None)
    assert table.policy_of(other, ms("2024-05-06 08:30")) == (None, None)

    table.put("routing.timepolicy", 1, None)
    assert table.policy_of(group, ms("2024-05-06 09:30")) == (None, None)
    table.put("routing.modelgroup", 2, None)
    assert table.policy_of(group, ms("2024-05-06 08:30")) == (PRESETS["balanced"], None)
    assert table.group(1) is group and table.group(2) is None and table.group(None) is None


# --- prices that change by themselves


def priced_table(clock_ms: int, price: r.PriceRow) -> RoutingTable:
    table = RoutingTable(clock_ms=lambda: clock_ms)
    rows: list[tuple[str, Any]] = [
        ("providers.exchangerate", r.ExchangeRateRow(1, "CNY", Decimal("0.1"), 0)),
        ("providers.provider", t.provider(1)),
        ("providers.providermodel", t.model(1, 1)),
        ("providers.modelprice", price),
        ("channels.channel", t.channel(1, 1)),
        ("channels.offering", t.offering(1, 1, 1)),
        ("routing.modelgroup", t.group(1, selects=True, max_cost_per_1k=0.001)),
    ]
    for label, row in rows:
        table.put(label, row.ref, row)
    return table


def cheap_and_free(table: RoutingTable, at_ms: int) -> tuple[int, int]:
    table.refresh_prices(at_ms)
    return table.pool_of(table.groups_by_name["auto:g1"]).size, table.tagged(frozenset({"free"})).size


def test_a_window_lets_a_model_in_and_out_as_the_hours_pass() -> None:
    nothing = {"input": Decimal(0), "output": Decimal(0)}
    night = Window(frozenset(range(7)), time(22), time(6), ZoneInfo("UTC"), nothing)
    table = priced_table(ms("2024-05-06 12:00"), t.price(1, 1, 5, windows=(night,)))
    at = [
        "05-06 12:00",
        "05-06 21:59",
        "05-06 22:00",
        "05-07 01:00",
        "05-07 05:59",
        "05-07 06:00",
        "05-09 23:00",
        "05-10 07:00",
    ]

    found = [cheap_and_free(table, ms(f"2024-{moment}")) for moment in at]

    assert found == [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1), (0, 0), (1, 1), (0, 0)]


def test_a_dated_price_begins_on_its_day() -> None:
    table = priced_table(0, t.price(1, 1, 5))
    table.put("providers.modelprice", 2, t.price(2, 1, 0, begins_ms=1000))

    assert [cheap_and_free(table, at_ms) for at_ms in (0, 999, 1000, 2000)] == [(0, 0), (0, 0), (1, 1), (1, 1)]


def test_an_exchange_rate_moves_the_prices_in_its_currency_at_once_and_when_it_begins() -> None:
    table = priced_table(0, t.price(1, 1, 5, currency="CNY"))
    assert cheap_and_free(table, 0) == (1, 0)

    table.put("providers.exchangerate", 1, r.ExchangeRateRow(1, "CNY", Decimal("0.3"), 0))
    assert cheap_and_free(table, 0) == (0, 0)
    table.put("providers.exchangerate", 2, r.ExchangeRateRow(2, "CNY", Decimal("0.2"), 1000))
    assert [cheap_and_free(table, at_ms) for at_ms in (999, 1000)] == [(0, 0), (1, 0)]
    table.put("providers.exchangerate", 2, None)
    assert cheap_and_free(table, 1000) == (0, 0)
    table.put("providers.exchangerate", 1, None)
    assert table.candidates[1].price is None


def test_nothing_is_rebuilt_while_no_price_ends() -> None:
    table = priced_table(0, t.price(1, 1, 5))
    table.put("providers.modelprice", 2, t.price(2, 1, 0, begins_ms=1000))
    before, version = table.candidates[1], table.version

    table.refresh_prices(999)
    assert table.candidates[1] is before and table.version == version

    table.refresh_prices(1000)
    after, version = table.candidates[1], table.version
    table.refresh_prices(5000)
    assert after is not before and table.candidates[1] is after and table.version == version
