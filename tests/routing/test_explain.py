"""The account of a choice: every reason with its sentence, every layer with its number, nobody else's channel."""

import json
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from providers.capabilities import bits_of
from routing.asking import Ask
from routing.eligible import REASON_LABELS, Reason
from routing.explain import COUNTED_AT_MOST, choices_for_account, explain
from routing.orders import NothingKnown
from routing.strategies import PRESETS, Layer
from routing.table import RoutingTable
from routing.tracks import PASSED_OVER, STALE_S
from smartrouter.lib.errors import RouterError
from tests.routing import tables as t
from tests.routing.signal_bench import Bench

MINE, STRANGER = 1, 2
NOW_MS = 1_795_000_000_000


class Busy(NothingKnown):
    """Offering 2 was used 5 times today; channel 1 answers 3 requests."""

    def used_today(self, ref: int) -> int:
        return 5 if ref == 2 else 0

    def in_flight(self, channel_ref: int) -> int:
        return 3 if channel_ref == 1 else 0


def ask(**more: Any) -> Ask:
    base: dict[str, Any] = {
        "needs": 0,
        "prompt_tokens": 100,
        "output_tokens": None,
        "is_streamed": False,
        "at_ms": NOW_MS,
    }
    return Ask(**base | more)


def rows(
    *, second: dict[str, Any], model: dict[str, Any], of_group: dict[str, Any], member: dict[str, Any]
) -> Iterable[tuple[str, Any]]:
    """Two channels of two providers that offer `m`, the members of auto:g; the second one as the test wants it."""
    yield "accounts.tenant", t.tenant(MINE)
    yield "accounts.tenant", t.tenant(STRANGER)
    yield "accounts.routerkey", t.router_key(1, MINE)
    for ref in (1, 2):
        yield "providers.provider", t.provider(ref)
    yield "providers.providermodel", t.model(1, 1, context_length=100_000, capabilities=("vision",))
    yield "providers.providermodel", t.model(2, 2, **{"context_length": 100_000, "capabilities": ("vision",)} | model)
    for ref in (1, 2):
        yield "providers.modelprice", t.price(ref, ref, amount=ref)
    yield "channels.channel", t.channel(1, 1)
    yield "channels.channel", t.channel(2, 2, **{"priority": 2} | second)
    for ref in (1, 2):
        yield "channels.offering", t.offering(ref, ref, ref, name="m")
    yield "routing.modelgroup", t.group(1, name="auto:g", **of_group)
    yield "routing.groupmember", t.member(1, 1, channel=1, model="m", priority=1)
    yield "routing.groupmember", t.member(2, 1, channel=2, model="m", **{"priority": 2} | member)


def table(**parts: dict[str, Any]) -> RoutingTable:
    empty: dict[str, dict[str, Any]] = {"second": {}, "model": {}, "of_group": {}, "member": {}}
    return t.table_of(rows(**empty | parts))


def account(
    of: RoutingTable, asked: Ask | None = None, *, name: str = "auto:g", show_channels: bool = True, **more: Any
) -> dict[str, Any]:
    caller = more.pop("caller", None) or t.caller_of(of)
    limit = more.pop("limit", 100)
    choices = choices_for_account(of, [name], caller, asked or ask(), live=Busy(), turns={}, **more)
    return explain(choices, show_channels=show_channels, limit=limit)


@pytest.mark.parametrize(
    ("reason", "parts", "asked"),
    [
        (Reason.INACTIVE, {"second": {"is_active": False}}, {}),
        (Reason.PROBLEM, {"second": {"problem": "its headers cannot be opened"}}, {}),
        (Reason.COST, {"of_group": {"max_cost_per_1k": 0.001}}, {}),
        (Reason.MIN_CONTEXT, {"of_group": {"min_context_length": 5_000}, "model": {"context_length": 4_000}}, {}),
        (Reason.ABILITIES, {"of_group": {"capabilities": bits_of(["vision"])}, "model": {"capabilities": None}}, {}),
        (Reason.KIND, {"of_group": {"kinds": ("official",)}}, {}),
        (Reason.REGION, {"of_group": {"regions": ("eu",)}}, {}),
        (Reason.CAPABILITY, {"model": {"capabilities": ()}}, {"needs": bits_of(["vision"])}),
        (Reason.NOT_KNOWN, {"model": {"capabilities": None}}, {"needs": bits_of(["vision"])}),
        (Reason.CONTEXT, {"model": {"context_length": 120}}, {"output_tokens": 21}),
        (Reason.QUOTA, {"member": {"daily_limit": 5}}, {}),
        (Reason.PROVIDER, {}, {"provider": "p1"}),
    ],
)
def test_each_reason_is_told_with_its_sentence(reason: Reason, parts: dict[str, Any], asked: dict[str, Any]) -> None:
    of = table(**parts)
    if reason is Reason.KIND:
        of.put("providers.provider", 2, t.provider(2, kind="reseller"))
    if reason is Reason.REGION:
        of.put("channels.channel", 1, t.channel(1, 1, region="eu"))

    found = account(of, ask(**asked))

    assert [each["channel"] for each in found["candidates"]] == ["c1"]
    [out] = found["excluded"]
    assert (out["channel"], out["model"], out["reason"]) == ("c2", "m", reason.value)
    assert out["sentence"] == str(REASON_LABELS[reason])
    assert out["lacking"] == (["vision"] if reason is Reason.CAPABILITY else [])
    assert out["context_length"] == {Reason.CONTEXT: 120, Reason.MIN_CONTEXT: 4_000}.get(reason)
    assert found["refusal"] is None


def test_a_denied_candidate_is_told_as_denied_and_a_denied_name_is_refused() -> None:
    of = table()
    of.put("accounts.routerkey", 1, t.router_key(1, MINE, denied=("p2/*",)))

    assert [(each["channel"], each["reason"]) for each in account(of)["excluded"]] == [("c2", "denied")]

    of.put("accounts.routerkey", 1, t.router_key(1, MINE, denied=("auto:g",)))
    with pytest.raises(RouterError) as refused:
        account(of)
    assert refused.value.code == "model_not_allowed"


def test_every_stage_is_told_and_whoever_stands_further_up_is_repeated() -> None:
    of = table(of_group={"fallback": 2})
    of.put("routing.modelgroup", 2, t.group(2, name="auto:spare", strategy="cost_first"))
    of.put("routing.groupmember", 3, t.member(3, 2, channel=1, model="m"))

    found = account(of)

    assert [(s["group"], s["strategy"], s["is_fallback"]) for s in found["stages"]] == [
        ("auto:g", "auto", False),
        ("auto:spare", "cost_first", True),
    ]
    assert [(each["rank"], each["stage"], each["channel"]) for each in found["candidates"]] == [
        (1, 0, "c1"),
        (2, 0, "c2"),
    ]
    assert [(each["stage"], each["reason"]) for each in found["excluded"]] == [(1, "repeated")]


def test_the_score_is_the_sum_of_the_layers_times_the_weight() -> None:
    layers = (
        Layer("effective_cost", "asc", 2.0),
        Layer("connections", "asc", 1.0),
        Layer("quality_score", "desc", 0.5),
    )
    of = table(of_group={"layers": layers}, member={"weight": 2.0})

    found = account(of, ask(output_tokens=400))

    assert found["stages"][0]["layers"][0] == {"field": "effective_cost", "order": "asc", "weight": 2.0}
    for each in found["candidates"]:
        assert each["score"] == pytest.approx(sum(layer["weighted"] for layer in each["layers"]) * each["weight"])
        assert [layer["field"] for layer in each["layers"]] == ["effective_cost", "connections", "quality_score"]
    by_channel = {each["channel"]: each for each in found["candidates"]}
    first = by_channel["c1"]
    assert first["layers"][0]["number"] == pytest.approx(0.001)  # 1 USD per million tokens
    assert first["layers"][1]["number"] == first["live"]["in_flight"] == 3
    assert first["estimated_charge_usd"] == "0.0005"
    assert by_channel["c2"]["estimated_charge_usd"] == "0.001"
    assert by_channel["c2"]["live"]["used_today"] == 5
    assert json.dumps(found)


def test_an_unknown_number_and_an_unknown_price_are_null_and_not_zero() -> None:
    of = table(of_group={"strategy": "cost_optimized"})
    of.put("providers.modelprice", 2, None)

    last = account(of)["candidates"][-1]

    assert (last["channel"], last["layers"][0]["number"], last["estimated_charge_usd"]) == ("c2", None, None)


def test_channels_and_how_busy_they_are_stay_unsaid_where_the_reader_may_not_see_them() -> None:
    of = table(second={"is_active": False})

    found = account(of, show_channels=False)

    assert "channel" not in found["candidates"][0] | found["excluded"][0]
    assert found["candidates"][0]["live"] == {}
    assert "c1" not in json.dumps(found) and "c2" not in json.dumps(found)


def test_where_nobody_may_serve_the_account_says_what_a_request_would_be_told() -> None:
    of = table(second={"is_active": False})
    of.put("channels.channel", 1, t.channel(1, 1, is_active=False))

    found = account(of)

    assert (found["refusal"]["status"], found["refusal"]["code"]) == (503, "no_available_channel")
    assert found["candidates"] == []
    assert [each["reason"] for each in found["excluded"]] == ["inactive", "inactive"]


def large(count: int, *, owner: int | None, offset: int = 0) -> Iterable[tuple[str, Any]]:
    """Many channels that offer `many`."""
    for ref in range(offset + 10, offset + 10 + count):
        yield "channels.channel", t.channel(ref, 1, name=f"many{ref}", owner=owner)
        yield "channels.offering", t.offering(ref, ref, 1, name="many", aliases=("many-x",))


@pytest.mark.parametrize("count", [3, 300])
def test_a_strangers_channel_appears_nowhere_however_many_there_are(count: int) -> None:
    of = table()
    of.put_many([(label, row.ref, row) for label, row in large(count, owner=None)])
    of.put_many([(label, row.ref, row) for label, row in large(count, owner=STRANGER, offset=5_000)])
    theirs = [f"many{ref}" for ref in range(5_010, 5_010 + count)]

    for name in ("many", "tag:many"):
        found = account(of, name=name, limit=1_000)
        told = json.dumps(found)
        assert not [channel for channel in theirs if f'"{channel}"' in told]
        assert len(found["candidates"]) + found["more_candidates"] == count
        assert found["excluded"] == []


def test_of_a_long_list_the_first_are_told_and_the_rest_is_counted() -> None:
    of = table()
    of.put_many([(label, row.ref, row) for label, row in large(1_500, owner=None)])

    found = account(of, name="tag:many", limit=20, override=PRESETS["cost_first"])

    assert [each["rank"] for each in found["candidates"]] == list(range(1, 21))
    assert len({each["channel"] for each in found["candidates"]}) == 20
    assert (found["more_candidates"], found["has_uncounted"]) == (COUNTED_AT_MOST, True)
    everyone = account(of, name="tag:many", limit=2_000)
    assert len(everyone["candidates"]) == 1_500
    assert (everyone["more_candidates"], everyone["has_uncounted"]) == (0, False)
    assert {each["is_weighed"] for each in everyone["candidates"][100:]} == {False}


def test_an_account_takes_no_turn_from_the_requests() -> None:
    of = table(of_group={"strategy": "weighted_round_robin"}, member={"priority": 1})
    turns = {"auto:g": 7}

    firsts = set()
    for _again in range(5):
        choices = choices_for_account(of, ["auto:g"], t.caller_of(of), ask(), live=Busy(), turns=turns)
        firsts.add(explain(choices, show_channels=True)["candidates"][0]["channel"])

    assert turns == {"auto:g": 7}
    assert len(firsts) == 1


def test_what_is_known_live_is_told_and_telling_it_leaves_no_mark() -> None:
    bench = Bench()
    bench.answer(1, 80.0, tokens=100, rest_s=2.0)
    bench.clock.now += STALE_S + 1
    of = table(of_group={"strategy": "hybrid"})

    def told(*, show_channels: bool) -> dict[str, Any]:
        choices = choices_for_account(of, ["auto:g"], t.caller_of(of), ask(), live=bench.signals, turns={})
        found = explain(choices, show_channels=show_channels)["candidates"]
        return next(each for each in found if each["provider"] == "p1")

    accounts = [told(show_channels=True) for _again in range(PASSED_OVER + 5)]

    assert all(account == accounts[0] for account in accounts)
    assert accounts[0]["live"]["first_content_ms"] == pytest.approx(80)
    assert {"in_flight", "used_today", "tokens_per_s", "p95_ms", "reliability"} <= accounts[0]["live"].keys()
    assert not {"in_flight", "used_today", "daily_limit"} & told(show_channels=False)["live"].keys()
    assert bench.signals.answer_s(1) not in (None, 0.0)


def test_numbers_beyond_all_bounds_are_told_as_the_largest_that_json_has() -> None:
    of = table(model={"context_length": None})
    found = account(of, ask(output_tokens=(2**64 - 1) * 128, prompt_tokens=2**70, answers=128))

    asked = orjson.loads(orjson.dumps(found))["asked"]
    largest = 2**53 - 1
    assert [each["channel"] for each in found["candidates"]] == ["c2"]
    assert (asked["prompt_tokens"], asked["output_tokens"], asked["assumed_output_tokens"]) == (largest,) * 3
