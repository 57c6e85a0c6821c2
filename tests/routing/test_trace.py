"""The compact trace: what it holds, that it is small, and that it is absent where there was nothing to choose."""

import json
from random import Random
from typing import Any

from routing.asking import Ask
from routing.choosing import Choices
from routing.orders import NothingKnown
from routing.resolve import resolve
from routing.strategies import PRESETS, Layer
from routing.table import RoutingTable
from routing.trace import trace_of
from tests.routing import tables as t

ASK = Ask(needs=0, prompt_tokens=100, output_tokens=None, is_streamed=False, at_ms=1_795_000_000_000)


def table(count: int, *, name: str = "c", **of_group: Any) -> RoutingTable:
    """A group of this many channels, the first one the cheapest and of the best priority."""
    made = t.table_of([("accounts.tenant", t.tenant(1)), ("accounts.routerkey", t.router_key(1, 1))])
    made.put("routing.modelgroup", 1, t.group(1, name="auto:g", **of_group))
    for ref in range(1, count + 1):
        made.put("providers.provider", ref, t.provider(ref))
        made.put("providers.providermodel", ref, t.model(ref, ref))
        made.put("providers.modelprice", ref, t.price(ref, ref, amount=ref))
        made.put("channels.channel", ref, t.channel(ref, ref, name=f"{name}{ref}"))
        made.put("channels.offering", ref, t.offering(ref, ref, ref, name="m"))
        made.put("routing.groupmember", ref, t.member(ref, 1, channel=ref, model="m", priority=ref))
    return made


def choices_of(made: RoutingTable, name: str = "auto:g") -> Choices:
    caller = t.caller_of(made)
    return Choices(resolve(made, [name], caller, at_ms=ASK.at_ms), caller, ASK, NothingKnown(), Random(3), {})


def take(choices: Choices) -> Any:
    candidate = choices.take(3)
    assert candidate is not None
    return candidate


def test_one_candidate_and_nobody_excluded_leave_no_trace() -> None:
    choices = choices_of(table(1))

    assert trace_of(choices, take(choices), {}) is None


def test_one_candidate_leaves_a_trace_where_another_was_excluded() -> None:
    made = table(2)
    made.put("channels.channel", 2, t.channel(2, 2, is_active=False))
    choices = choices_of(made)

    trace = trace_of(choices, take(choices), {})

    assert trace is not None
    assert (trace["candidates"], trace["excluded"], trace["named"]) == (1, {"inactive": 1}, [["c2", "m", "inactive"]])


def test_the_trace_says_by_what_the_first_five_were_weighed_and_which_one_this_was() -> None:
    layers = (Layer("effective_cost", "asc", 1.0), Layer("priority", "asc", 0.5))
    choices = choices_of(table(7, layers=layers))
    made: dict[int, dict[str, Any]] = {}

    first = trace_of(choices, take(choices), made)
    second = trace_of(choices, take(choices), made)

    assert first is not None and second is not None
    assert first["strategy"] == "layers"
    assert first["fields"] == ["effective_cost", "priority"]
    assert first["candidates"] == 7
    assert [entry[:2] for entry in first["first"]] == [[f"c{n}", "m"] for n in range(1, 6)]
    # 1 USD per million tokens: 0.002 / (0.001 + 0.002); priority 1 is the best
    assert first["first"][0][2:] == [1.167, [0.667, 1.0], 1, 1.0]
    assert (first["place"], second["place"]) == (1, 2)
    assert {**first, "place": 0} == {**second, "place": 0}
    assert not {"has_more", "group", "excluded"} & first.keys()


def test_without_layers_there_is_no_score_and_priority_and_weight_tell() -> None:
    choices = choices_of(table(2))

    trace = trace_of(choices, take(choices), {})

    assert trace is not None
    assert trace["first"] == [["c1", "m", None, [], 1, 1.0], ["c2", "m", None, [], 2, 1.0]]


def test_an_attempt_in_a_fallback_group_tells_that_group_and_who_was_excluded_before() -> None:
    made = table(2, fallback=2)
    made.put("channels.channel", 1, t.channel(1, 1, name="c1", is_active=False))
    made.put("channels.channel", 2, t.channel(2, 2, name="c2", is_active=False))
    made.put("routing.modelgroup", 2, t.group(2, name="auto:spare", strategy="cost_first"))
    made.put("providers.providermodel", 9, t.model(9, 1))
    made.put("channels.channel", 9, t.channel(9, 1, name="spare"))
    made.put("channels.offering", 9, t.offering(9, 9, 9, name="s"))
    made.put("routing.groupmember", 9, t.member(9, 2, channel=9, model="s"))
    choices = choices_of(made)

    trace = trace_of(choices, take(choices), {})

    assert trace is not None
    assert (trace["group"], trace["strategy"], trace["place"]) == ("auto:spare", "cost_first", 1)
    assert trace["excluded"] == {"inactive": 2}


def test_many_candidates_with_long_names_make_no_long_trace() -> None:
    hybrid = PRESETS["hybrid"].layers
    made = table(400, name="通" * 97, layers=hybrid)
    for ref in range(300, 401):
        made.put("channels.channel", ref, t.channel(ref, ref, name=f"{'通' * 97}{ref}", is_active=False))
    choices = choices_of(made)

    trace = trace_of(choices, take(choices), {})

    assert trace is not None
    assert trace["has_more"] is True
    assert len(json.dumps(trace, ensure_ascii=False).encode()) < 12_000


def test_an_attempt_for_a_later_name_tells_that_name_and_no_fallback_group() -> None:
    made = table(2)
    for ref in (1, 2):
        made.put("channels.channel", ref, t.channel(ref, ref, name=f"c{ref}", is_active=False))
    made.put("routing.modelgroup", 2, t.group(2, name="auto:later"))
    made.put("providers.providermodel", 9, t.model(9, 1))
    made.put("channels.channel", 9, t.channel(9, 1, name="spare"))
    made.put("channels.offering", 9, t.offering(9, 9, 9, name="s"))
    made.put("routing.groupmember", 9, t.member(9, 2, channel=9, model="s"))
    caller = t.caller_of(made)
    stages = resolve(made, ["auto:g", "auto:later"], caller, at_ms=ASK.at_ms)
    choices = Choices(stages, caller, ASK, NothingKnown(), Random(3), {})

    trace = trace_of(choices, take(choices), {})

    assert trace is not None
    assert trace["name"] == "auto:later" and "group" not in trace
