"""What a name means to whom: groups, names, aliases, providers; ownership and allow lists."""

from random import Random
from typing import Any

import pytest

from routing.choosing import Choices
from routing.orders import NothingKnown
from routing.readers import patterns_of
from routing.refusal import check_choices
from routing.resolve import resolve
from routing.strategies import PRESETS
from routing.table import RoutingTable
from smartrouter.lib.errors import RouterError
from tests.routing import tables as t
from tests.routing.weighing import ASK

# Tenants: 1 above 2 above 3; 4 apart. Router key n is tenant n's.
PLATFORM, TOP, MIDDLE, APART = None, 1, 2, 4


def a_table(*more: tuple[str, Any]) -> RoutingTable:
    """Channel n offers model n as `o<n>`; channels 2, 3, 4 belong to the tenants 1, 2, 4."""
    owners = {1: PLATFORM, 2: TOP, 3: MIDDLE, 4: APART}
    items: list[tuple[str, Any]] = [
        ("accounts.tenant", t.tenant(1)), ("accounts.tenant", t.tenant(2, 1)), ("accounts.tenant", t.tenant(3, 2)),
        ("accounts.tenant", t.tenant(4)), ("providers.provider", t.provider(1)), ("providers.provider", t.provider(2)),
        *(("accounts.routerkey", t.router_key(n, n)) for n in range(1, 5)),
    ]  # fmt: skip
    for n, owner in owners.items():
        items += [
            ("providers.providermodel", t.model(n, 1 + n % 2)),
            ("channels.channel", t.channel(n, 1 + n % 2, owner=owner)),
            ("channels.offering", t.offering(n, n, n, aliases=("shared", f"a/{n}"))),
        ]
    return t.table_of([*items, *more])


def choices_of(table: RoutingTable, *names: str, key: int = 1) -> Choices:
    """What a request for these names may be tried on, all stages ranked. Raises RouterError as a request would."""
    caller = t.caller_of(table, key)
    stages = resolve(table, names, caller, at_ms=ASK.at_ms)
    choices = Choices(stages, caller, ASK, NothingKnown(), Random(1), {})
    check_choices(choices)
    choices.rank_all()
    return choices


def served_by(table: RoutingTable, name: str, key: int) -> set[int] | int:
    """The channels of a name for a router key, or the status of the refusal."""
    try:
        rankings = choices_of(table, name, key=key).rankings
    except RouterError as e:
        return e.status
    return {ranked.candidate.channel.ref for ranking in rankings for ranked in ranking.head}


@pytest.mark.parametrize(
    ("name", "by_key"),
    [
        ("o1", {1: {1}, 2: {1}, 3: {1}, 4: {1}}),
        ("o2", {1: {2}, 2: {2}, 3: {2}, 4: 404}),
        ("o3", {1: 404, 2: {3}, 3: {3}, 4: 404}),
        ("o4", {1: 404, 2: 404, 3: 404, 4: {4}}),
        ("shared", {1: {1, 2}, 2: {1, 2, 3}, 3: {1, 2, 3}, 4: {1, 4}}),
        ("a/3", {1: 404, 2: {3}, 3: {3}, 4: 404}),
        ("p2/m1", {1: {1}, 2: {1}, 3: {1}, 4: {1}}),
        ("p2/shared", {1: {1}, 2: {1, 3}, 3: {1, 3}, 4: {1}}),
        ("p1/o4", {1: 404, 2: 404, 3: 404, 4: {4}}),
        ("p1/m1", {1: 404, 4: 404}),
        ("m1", {1: 404}),
        ("\0m1", {1: 404}),
        ("p2/\0m1", {1: 404}),
        ("p3/m1", {1: 404}),
        ("p1/", {1: 404}),
        ("", {1: 404}),
    ],
)
def test_a_name_leads_to_the_platforms_channels_and_to_those_of_the_tenant_and_above(
    name: str, by_key: dict[int, set[int] | int]
) -> None:
    table = a_table()

    assert {key: served_by(table, name, key) for key in by_key} == by_key


def test_a_group_goes_before_a_name_and_keeps_to_what_the_caller_may_use() -> None:
    table = a_table(
        ("routing.modelgroup", t.group(1, name="o1")),
        ("routing.groupmember", t.member(1, 1, channel=2, model="o2", priority=7, weight=0.5)),
        ("routing.groupmember", t.member(2, 1, channel=4, model="shared")),
    )

    (ranking,) = choices_of(table, "o1").rankings
    assert ranking.stage.name == "o1" and ranking.stage.group is table.groups_by_name["o1"]
    assert [(c.channel.ref, c.priority, c.weight) for c, _score in ranking.head] == [(2, 7, 0.5)]
    assert served_by(table, "o1", 4) == {4}


def test_an_inactive_group_is_not_there() -> None:
    table = a_table(("routing.modelgroup", t.group(1, name="o1", is_active=False)), ("routing.modelgroup", t.group(2)))

    assert served_by(table, "o1", 1) == {1}
    assert served_by(table, "auto:g2", 1) == 503


@pytest.mark.parametrize(
    ("allowed", "statuses"),
    [
        ((), {"o1": 200, "auto:x": 200, "p2/m1": 200, "zzz": 404}),
        (("o1",), {"o1": 200, "a/1": 403, "auto:x": 403, "p2/m1": 403, "zzz": 404, "o4": 404}),
        (("auto:*", "p2/*"), {"o1": 403, "auto:x": 200, "p2/m1": 200, "p2/o1": 200, "p2": 404}),
        (("*",), {"o1": 200, "auto:x": 200, "p2/m1": 200}),
        (("O1", "o", "o1*x"), {"o1": 403}),
    ],
)
def test_an_allow_list_is_about_the_name_that_was_asked_for(allowed: tuple[str, ...], statuses: dict[str, int]) -> None:
    table = a_table(
        ("accounts.routerkey", t.router_key(1, 1, allowed=allowed)),
        ("routing.modelgroup", t.group(1, name="auto:x")),
        ("routing.groupmember", t.member(1, 1, channel=1, model="o1")),
    )

    found = {name: served_by(table, name, 1) for name in statuses}

    assert {name: 200 if isinstance(got, set) else got for name, got in found.items()} == statuses


def test_what_is_there_and_cannot_be_used_is_503_and_a_stranger_is_not_told() -> None:
    table = a_table(("channels.channel", t.channel(4, 1, owner=APART, is_active=False)))

    assert served_by(table, "o4", 4) == 503
    assert served_by(table, "o4", 1) == 404


def test_refusals_name_the_parameter_and_the_model() -> None:
    table = a_table(("accounts.routerkey", t.router_key(1, 1, allowed=("o2",))))
    with pytest.raises(RouterError) as unknown:
        choices_of(table, "<b>zzz</b>")
    with pytest.raises(RouterError) as forbidden:
        choices_of(table, "o1")

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert (forbidden.value.code, forbidden.value.param, forbidden.value.kind) == (
        "model_not_allowed", "model", "permission_error",
    )  # fmt: skip
    assert "zzz" in unknown.value.message and "o1" in forbidden.value.message


TAGGED = (
    ("providers.providermodel", t.model(1, 2, tags=("Blue",))),
    ("providers.providermodel", t.model(2, 1, tags=("blue", "big"))),
    ("providers.providermodel", t.model(4, 1, tags=("theirs", "big"))),
    ("channels.offeringprice", t.price(1, 2, 0)),
    ("channels.offering", t.offering(5, 1, 1, name="qwen/qwen3-8b:free")),
)


@pytest.mark.parametrize(
    ("query", "served"),
    [
        ("tag:blue", {1, 2}), ("tag:BLUE", {1, 2}), ("tag: blue , big ", {2}), ("tag:big,blue", {2}), ("tag:big", {2}),
        ("tag:free", {2}), ("tag:qwen3", {1}), ("tag:qwen3,free", 404), ("tag:shared", {1, 2}), ("tag:theirs", 404),
        ("tag:nothing", 404), ("tag:", 400), ("tag:,", 400), ("tag:blue,", 400), ("tag:blue,,big", 400), ("tag: ", 400),
        ("tag:a/b", 400), ("tag:blue-big", 400), ("tag:" + ",".join("abcdefghijk"), 400), ("TAG:blue", 404),
    ],
)  # fmt: skip
def test_a_tag_query_finds_what_has_all_its_tags_and_free_is_about_the_price(
    query: str, served: set[int] | int
) -> None:
    assert served_by(a_table(*TAGGED), query, 1) == served


@pytest.mark.parametrize(
    ("query", "code", "part"),
    [
        ("tag:", "invalid_tag", "empty"),
        ("tag:a-b", "invalid_tag", "parts"),
        ("tag:blue,nothing", "model_not_found", "nothing"),
        ("tag:theirs", "model_not_found", "tag"),
        ("tag:big,qwen3", "model_not_found", "all of these"),
    ],
)
def test_a_tag_query_that_finds_nothing_says_why(query: str, code: str, part: str) -> None:
    with pytest.raises(RouterError) as error:
        choices_of(a_table(*TAGGED), query)

    assert (error.value.code, error.value.param) == (code, "model")
    assert part in error.value.message


def test_a_tag_that_only_others_have_is_not_told_from_one_that_nobody_has() -> None:
    table = a_table(*TAGGED)
    found = []
    for query in ("tag:theirs", "tag:nobody"):
        with pytest.raises(RouterError) as error:
            choices_of(table, query)
        found.append(error.value.message.replace("theirs", "X").replace("nobody", "X"))

    assert found[0] == found[1]


def groups_in_a_row(**rules: Any) -> RoutingTable:
    """auto:g1 falls back on auto:g2, this on auto:g3, this on auto:g1; group n has the member o<n> on channel n."""
    items: list[tuple[str, Any]] = [("accounts.routerkey", t.router_key(3, 3, **rules))]
    for n in (1, 2, 3):
        items.append(("routing.modelgroup", t.group(n, fallback=n % 3 + 1)))
        items.append(("routing.groupmember", t.member(n, n, channel=n, model=f"o{n}")))
    return a_table(*items)


def stages_of(table: RoutingTable, *names: str, key: int = 3) -> list[tuple[str, str | None, bool]]:
    stages = choices_of(table, *names, key=key).stages
    return [(stage.name, stage.group.name if stage.group else None, stage.is_fallback) for stage in stages]


def test_fallback_groups_follow_each_group_once_even_in_a_ring() -> None:
    assert stages_of(groups_in_a_row(), "auto:g2") == [
        ("auto:g2", "auto:g2", False),
        ("auto:g2", "auto:g3", True),
        ("auto:g2", "auto:g1", True),
    ]


def test_names_are_tried_in_their_order_each_with_its_fallback_groups() -> None:
    table = groups_in_a_row()
    table.put("routing.modelgroup", 1, t.group(1, fallback=2))
    table.put("routing.modelgroup", 2, t.group(2))

    assert stages_of(table, "o1", "auto:g1", "o2") == [
        ("o1", None, False),
        ("auto:g1", "auto:g1", False),
        ("auto:g1", "auto:g2", True),
        ("o2", None, False),
    ]


def test_a_fallback_group_that_is_denied_or_off_is_passed_over() -> None:
    denied = groups_in_a_row(denied=("auto:g2",))
    off = groups_in_a_row()
    off.put("routing.modelgroup", 2, t.group(2, fallback=3, is_active=False))

    assert [group for _name, group, _is_fallback in stages_of(denied, "auto:g1")] == ["auto:g1", "auto:g3"]
    assert [group for _name, group, _is_fallback in stages_of(off, "auto:g1")] == ["auto:g1", "auto:g3"]
    assert served_by(denied, "auto:g2", 3) == 403


def test_a_fallback_group_needs_not_be_allowed_itself() -> None:
    table = groups_in_a_row(allowed=("auto:g1",))

    assert served_by(table, "auto:g1", 3) == {1, 2, 3}
    assert served_by(table, "auto:g2", 3) == 403


def test_each_name_of_a_list_is_checked() -> None:
    table = groups_in_a_row(allowed=("auto:g1", "o*"), denied=("o3",))

    for names, status in ((("o1", "auto:g2"), 403), (("o1", "zzz"), 404), (("o1", "o3"), 403), (("o1", "tag:"), 400)):
        with pytest.raises(RouterError) as error:
            choices_of(table, *names, key=3)
        assert error.value.status == status


def test_at_set_hours_another_groups_members_stand_in_unless_that_group_is_denied_or_off() -> None:
    table = groups_in_a_row()
    table.put("routing.timepolicy", 1, t.policy(1, 1, members_of=3))
    table.put("routing.modelgroup", 1, t.group(1))
    served = {"always": served_by(table, "auto:g1", 3)}
    table.put("accounts.routerkey", 3, t.router_key(3, 3, denied=("auto:g3",)))
    served["denied"] = served_by(table, "auto:g1", 3)
    table.put("accounts.routerkey", 3, t.router_key(3, 3))
    table.put("routing.modelgroup", 3, t.group(3, is_active=False))
    served["off"] = served_by(table, "auto:g1", 3)

    assert served == {"always": {3}, "denied": {1}, "off": {1}}


def strategy_for(table: RoutingTable, name: str, override: str = "") -> str:
    caller = t.caller_of(table, 3)
    stages = resolve(table, (name,), caller, at_ms=ASK.at_ms, override=PRESETS[override] if override else None)
    return stages[0].strategy.name


def test_the_strategy_is_the_requests_else_the_hours_else_the_groups_else_a_rules_else_the_default() -> None:
    table = groups_in_a_row()
    found = [strategy_for(table, "auto:g1")]
    table.put("routing.strategyrule", 1, t.rule(1, "*", "hybrid"))
    found.append(strategy_for(table, "auto:g1"))
    table.put("routing.strategyrule", 2, t.rule(2, "auto:*", "balanced"))
    found.append(strategy_for(table, "auto:g1"))
    table.put("routing.modelgroup", 1, t.group(1, strategy="cost_first"))
    found.append(strategy_for(table, "auto:g1"))
    table.put("routing.timepolicy", 1, t.policy(1, 1, strategy="free_first"))
    found.append(strategy_for(table, "auto:g1"))
    found.append(strategy_for(table, "auto:g1", "local_first"))

    assert found == ["auto", "hybrid", "balanced", "cost_first", "free_first", "local_first"]
    assert [strategy_for(table, name) for name in ("o1", "auto:g2")] == ["hybrid", "balanced"]


@pytest.mark.parametrize("name", ["tag:m1", "tag:M1", "tag: m1", "tag:m1,M1", "tag:m1, m1"])
def test_a_tag_query_is_the_same_in_every_spelling(name: str) -> None:
    def status(**rules: Any) -> int:
        patterns = {rule: patterns_of([*value]) for rule, value in rules.items()}
        table = a_table(("accounts.routerkey", t.router_key(1, 1, **patterns)))
        found = served_by(table, name, 1)
        return found if isinstance(found, int) else 200

    assert status() == 200
    assert status(denied=["tag:m1"]) == 403
    assert status(denied=["tag:M1"]) == 403
    assert status(allowed=["tag:M1"]) == 200
    assert status(allowed=["tag:m2"]) == 403


@pytest.mark.parametrize(
    ("label", "ref", "row", "before", "after"),
    [
        ("accounts.routerkey", 2, t.router_key(2, 2, allowed=patterns_of(["o1"])), {2}, 403),
        ("accounts.routerkey", 2, t.router_key(2, 2, denied=patterns_of(["o*"])), {2}, 403),
        ("accounts.routerkey", 2, t.router_key(2, 4), {2}, 404),
        ("accounts.tenant", 2, t.tenant(2, None), {2}, 404),
        ("channels.channel", 2, t.channel(2, 1, owner=APART), {2}, 404),
        ("channels.offering", 2, t.offering(2, 2, 2, aliases=("other",)), {2}, {2}),
        ("channels.offering", 2, None, {2}, 404),
        ("channels.offering", 3, t.offering(3, 3, 2, aliases=("o2",)), {2}, {2, 3}),
    ],
    ids=["allowed", "denied", "other tenant", "tenant moved", "other owner", "same", "gone", "one more"],
)
def test_what_a_name_has_meant_is_not_remembered_beyond_a_change(
    label: str, ref: int, row: Any, before: set[int], after: set[int] | int
) -> None:
    table = a_table()
    for _request in range(3):
        assert served_by(table, "o2", 2) == before

    table.put(label, ref, row)

    for _request in range(3):
        assert served_by(table, "o2", 2) == after


def test_what_one_key_may_ask_for_says_nothing_of_another() -> None:
    table = a_table(("accounts.routerkey", t.router_key(9, 2, allowed=patterns_of(["o1"]))))

    assert [served_by(table, "o2", key) for key in (2, 9, 4, 2, 9, 4)] == [{2}, 403, 404, {2}, 403, 404]
