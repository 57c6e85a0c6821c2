"""What a name means to whom: groups, names, aliases, providers; ownership and allow lists."""

from typing import Any

import pytest

from routing.resolve import resolve
from routing.table import RoutingTable
from smartrouter.lib.errors import RouterError
from tests.routing import tables as t

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


def served_by(table: RoutingTable, name: str, key: int) -> set[int] | int:
    """The channels of a name for a router key, or the status of the refusal."""
    try:
        return {c.channel.ref for c in resolve(table, name, t.caller_of(table, key)).candidates}
    except RouterError as e:
        return e.status


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

    found = resolve(table, "o1", t.caller_of(table, 1))
    assert (found.group, found.name) == ("o1", "o1")
    assert [(c.channel.ref, c.priority, c.weight) for c in found.candidates] == [(2, 7, 0.5)]
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
        resolve(table, "<b>zzz</b>", t.caller_of(table, 1))
    with pytest.raises(RouterError) as forbidden:
        resolve(table, "o1", t.caller_of(table, 1))

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert (forbidden.value.code, forbidden.value.param, forbidden.value.kind) == (
        "model_not_allowed", "model", "permission_error",
    )  # fmt: skip
    assert "zzz" in unknown.value.message and "o1" in forbidden.value.message
