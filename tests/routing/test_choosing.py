"""What a request is tried on: stages in order, each candidate once, large pools lazily; the error where nobody may serve."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.records import Candidate
from providers.capabilities import BITS
from routing.choosing import Choices
from routing.eligible import Gate, Reason
from routing.pools import LARGE, Pool
from routing.ranking import ORDERED_LOOKS, PLAIN_LOOKS, SHORTLIST
from routing.refusal import check_choices
from routing.resolve import Caller, Stage
from routing.strategies import PRESETS
from smartrouter.lib.errors import RouterError
from tests.routing import tables as t
from tests.routing.weighing import ASK, Numbers, candidate, price

CALLER = Caller(t.router_key(1, 1), (t.tenant(1),))
TOOLS = BITS["function_calling"]


def stage(*candidates: Candidate, preset: str = "fallback", is_fallback: bool = False, **more: Any) -> Stage:
    group = more.pop("group", None)
    return Stage("auto:x", group, Pool.of(candidates), PRESETS[preset], group, is_fallback=is_fallback, **more)


def choices(
    *stages: Stage, caller: Caller = CALLER, ask: Any = ASK, live: Numbers | None = None, seed: int = 1
) -> Choices:
    return Choices(stages, caller, ask, live or Numbers(), Random(seed), {})


def drain(found: Choices, attempts_left: int = 10**6) -> list[int]:
    """Everything that is taken, one after the other."""
    taken = []
    while (one := found.take(attempts_left)) is not None:
        taken.append(one.ref)
    return taken


def test_stages_come_one_after_the_other_and_nobody_twice() -> None:
    found = choices(stage(candidate(2), candidate(1)), stage(candidate(1), candidate(3)), stage(), stage(candidate(4)))

    assert drain(found) == [1, 2, 3, 4]
    assert [[(each.candidate.ref, each.reason) for each in ranking.excluded] for ranking in found.rankings] == [
        [], [(1, Reason.REPEATED)], [], [],
    ]  # fmt: skip


def test_a_stage_is_ranked_when_it_is_reached() -> None:
    found = choices(stage(candidate(1)), stage(candidate(2)))

    assert found.look_ahead(1) == 1 and len(found.rankings) == 1
    assert found.look_ahead(5) == 2 and len(found.rankings) == 2


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((3,), [11, 12, 13]),
        ((3, 3), [11, 12, 21]),
        ((1, 3), [11, 21, 22]),
        ((3, 3, 3), [11, 21, 31]),
        ((3, 0, 3), [11, 31, 12]),
        ((0, 3), [21, 22, 23]),
        ((3, 0), [11, 12, 13]),
        ((3, 3, 3, 3), [11, 21, 31]),
    ],
)
def test_with_few_attempts_left_each_later_stage_gets_one(sizes: tuple[int, ...], expected: list[int]) -> None:
    """Three attempts: a fallback group or the next name is not kept out by the many members of the first."""
    stages = [
        stage(*(candidate(10 * place + n) for n in range(1, size + 1))) for place, size in enumerate(sizes, start=1)
    ]
    found = choices(*stages)

    taken = [one.ref for left in (3, 2, 1) if (one := found.take(left)) is not None]

    assert taken == expected


def test_after_a_refusal_for_length_only_longer_contexts_are_left() -> None:
    small, same, unknown = candidate(1, context_length=4000), candidate(2, context_length=4000), candidate(3)
    large, later = candidate(4, context_length=8000), candidate(5, context_length=16_000)
    found = choices(stage(small, same, unknown, large), stage(candidate(6, context_length=2000), later))
    first = found.take(3)

    found.keep_contexts_above(4000)

    assert first is small
    assert drain(found) == [4, 5]


# --- large pools


def many(count: int, **more: Any) -> list[Candidate]:
    return [candidate(ref, price=price(ref / 100), **more) for ref in range(1, count + 1)]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(PRESETS)), st.integers(), st.sets(st.integers(1, LARGE + 20), max_size=30), st.data())
def test_a_large_pool_yields_each_eligible_candidate_once_and_no_other(
    preset: str, seed: int, off: set[int], data: st.DataObject
) -> None:
    known = data.draw(st.dictionaries(st.integers(1, LARGE + 20), st.floats(0, 1), max_size=20))
    pool = [replace(each, is_active=each.ref not in off) for each in many(LARGE + 20)]
    live = Numbers(good=known)

    found = drain(choices(stage(*pool, preset=preset), live=live, seed=seed))
    again = drain(choices(stage(*pool, preset=preset), live=live, seed=seed))

    assert sorted(found) == sorted({each.ref for each in pool} - off)
    assert found == again


def test_of_a_large_pool_only_a_shortlist_is_weighed() -> None:
    found = choices(stage(*many(5000), preset="cost_optimized"), live=Numbers(good={4000: 1.0}))

    assert [found.take(3).ref for _turn in range(3)] == [1, 2, 3]  # type: ignore[union-attr]
    assert len(found.rankings[0].head) == SHORTLIST + 1


def test_in_a_large_pool_what_is_known_to_be_better_is_found_wherever_it_stands() -> None:
    live = Numbers(answer=dict.fromkeys(range(1, 5000), 60.0) | {4321: 0.1})
    found = choices(stage(*many(5000), preset="speed_optimized"), live=replace(live, answer={4321: 0.1, 7: 60.0}))

    assert found.take(3).ref == 4321  # type: ignore[union-attr]


def test_a_large_pool_is_as_strict_about_capabilities() -> None:
    unknown, able = many(LARGE + 50), candidate(9999, capabilities=TOOLS, price=price(500.0))
    ask = replace(ASK, needs=TOOLS)

    assert drain(choices(stage(*unknown, able), ask=ask)) == [9999]
    assert sorted(drain(choices(stage(*unknown), ask=ask))) == [each.ref for each in unknown]


class CountedGate(Gate):
    """A gate that counts how often it was asked."""

    looks = 0

    def reason_against(self, candidate: Candidate) -> Reason | None:
        CountedGate.looks += 1
        return super().reason_against(candidate)


def test_what_a_request_looks_at_is_bounded_however_large_its_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.choosing.Gate", CountedGate)
    pool = many(20_000, capabilities=0)
    stages = [stage(*pool, preset="cost_first") for _name in range(10)]
    CountedGate.looks = 0

    assert refusal(*stages, ask=replace(ASK, needs=TOOLS)) == (400, "capability_not_supported")
    assert CountedGate.looks <= ORDERED_LOOKS + PLAIN_LOOKS


def test_one_who_may_serve_is_found_wherever_it_stands_in_a_large_pool() -> None:
    """The last of all in the order, behind more than are looked at in it; and behind those of other tenants."""
    able = candidate(99_999, capabilities=TOOLS, price=price(10_000.0))
    lacking, foreign = many(4000, capabilities=0), many(4000, owner=77)
    ask = replace(ASK, needs=TOOLS)

    assert choices(stage(*lacking, able, preset="cost_first"), ask=ask).take(3) is able
    assert choices(stage(*foreign, able, preset="cost_first"), ask=ask).take(3) is able


@pytest.mark.parametrize("capabilities", [TOOLS, None])
def test_one_provider_of_a_large_pool_is_one(capabilities: int | None) -> None:
    members = [candidate(ref, provider=f"p{ref % 2}", capabilities=capabilities) for ref in range(1, LARGE + 50)]
    found = choices(stage(*members, preset="specified_provider"), ask=replace(ASK, needs=TOOLS))

    by_ref = {each.ref: each.channel.provider for each in members}
    assert len({by_ref[ref] for ref in drain(found)}) == 1


def test_the_rest_of_a_large_stage_is_still_there_after_a_later_one_was_ranked() -> None:
    short, long_ones = (
        many(LARGE + 10, context_length=4000),
        [candidate(9000, context_length=200_000, price=price(900.0))],
    )
    found = choices(stage(*short, *long_ones, preset="cost_first"), stage(candidate(8000, context_length=4000)))
    found.take(3)
    found.rank_all()

    found.keep_contexts_above(4000)

    assert drain(found) == [9000]


def test_out_of_the_question_is_what_stands_on_a_channel_that_was_tried() -> None:
    first, again, other = candidate(1), candidate(2), candidate(3)
    again = replace(again, channel=first.channel)
    found = choices(stage(first, again), stage(other))
    found.take(3)

    assert found.take(2, frozenset((first.channel.ref,))) is other
    assert found.take(1, frozenset((first.channel.ref,))) is None
    assert found.take(1) is again


# --- one provider


def test_one_provider_is_that_of_the_best_priority_or_the_one_asked_for() -> None:
    members = [
        candidate(1, provider="p1", priority=2),
        candidate(2, provider="p2"),
        candidate(3, provider="p2", priority=3),
        candidate(4, provider="p3"),
    ]
    preset = {"preset": "specified_provider"}

    assert drain(choices(stage(*members, **preset))) == [2, 3]
    assert drain(choices(stage(*members, **preset), ask=replace(ASK, provider="p1"))) == [1]
    assert drain(choices(stage(*members, preset="cost_first"), ask=replace(ASK, provider="p3"))) == [4]


# --- nobody


def refusal(*stages: Stage, **more: Any) -> tuple[int, str]:
    with pytest.raises(RouterError) as refused:
        check_choices(choices(*stages, **more))
    assert refused.value.message
    return refused.value.status, refused.value.code


GROUP = t.group(1, name="auto:x", max_cost_per_1k=0.0)


@pytest.mark.parametrize(
    ("stages", "more", "expected"),
    [
        ([stage(group=GROUP)], {}, (503, "no_available_channel")),
        ([stage(candidate(1, is_active=False))], {}, (503, "no_available_channel")),
        ([stage(candidate(1, owner=5))], {}, (503, "no_available_channel")),
        ([stage(candidate(1, price=price(1)), group=GROUP)], {}, (503, "no_available_channel")),
        ([stage(candidate(1, daily_limit=0))], {}, (503, "no_available_channel")),
        # who could do it will be there again tomorrow: the request is not what is wrong
        ([stage(candidate(1, daily_limit=0), candidate(2, context_length=10))], {}, (503, "no_available_channel")),
        (
            [stage(candidate(1, daily_limit=0, capabilities=TOOLS), candidate(2, capabilities=0))],
            {"ask": replace(ASK, needs=TOOLS)},
            (503, "no_available_channel"),
        ),
        (
            [stage(candidate(1, daily_limit=0, capabilities=0), candidate(2, capabilities=0))],
            {"ask": replace(ASK, needs=TOOLS)},
            (400, "capability_not_supported"),
        ),
        ([stage(candidate(1, capabilities=0))], {"ask": replace(ASK, needs=TOOLS)}, (400, "capability_not_supported")),
        ([stage(candidate(1, context_length=10))], {}, (400, "context_length_exceeded")),
        (
            [stage(candidate(1, context_length=10), candidate(2, capabilities=0))],
            {"ask": replace(ASK, needs=TOOLS)},
            (400, "context_length_exceeded"),
        ),
        ([stage(candidate(1, problem="x"), candidate(2, context_length=10))], {}, (503, "no_available_channel")),
        (
            [stage(candidate(1, problem="x", context_length=10), candidate(2, context_length=20))],
            {},
            (400, "context_length_exceeded"),
        ),
        (
            [stage(candidate(1))],
            {"caller": Caller(t.router_key(1, 1, denied=("o1",)), (t.tenant(1),))},
            (403, "model_not_allowed"),
        ),
    ],
)
def test_where_nobody_may_serve_the_error_says_why(
    stages: list[Stage], more: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert refusal(*stages, **more) == expected


def test_one_who_may_serve_in_a_later_stage_is_enough() -> None:
    found = choices(stage(candidate(1, is_active=False)), stage(candidate(2), is_fallback=True))

    check_choices(found)

    assert drain(found) == [2]


def test_a_daily_limit_that_is_used_up_tells_when_the_next_day_begins() -> None:
    in_berlin = candidate(1, daily_limit=0)
    in_berlin = replace(in_berlin, channel=replace(in_berlin.channel, zone=ZoneInfo("Europe/Berlin")))
    at = datetime(2026, 10, 24, 21, 30, tzinfo=UTC)  # 23:30 there, on the evening before the clocks go back
    ask = replace(ASK, at_ms=int(at.timestamp() * 1000))

    with pytest.raises(RouterError) as refused:
        check_choices(choices(stage(in_berlin), ask=ask))

    assert refused.value.retry_after_s == 1800


def test_a_channel_that_is_switched_off_meanwhile_is_passed_over() -> None:
    first, second, third = candidate(1), candidate(2), candidate(3)
    found = choices(stage(first, second, third))
    found.take(3)
    second.channel.withdraw()

    assert found.take(2) is third
