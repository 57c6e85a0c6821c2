"""Who may serve a request, and the reason against each of the others."""

from dataclasses import replace
from typing import Any

import pytest

from channels.records import Candidate
from providers.capabilities import BITS
from routing.eligible import REASON_LABELS, Reason, sift, standing_of
from tests.routing import tables as t
from tests.routing.weighing import ASK, Numbers, candidate, gate, price

TOOLS, VISION, CODE = BITS["function_calling"], BITS["vision"], BITS["code_generation"]


def filters(**more: Any) -> dict[str, Any]:
    return {"filters": t.group(1, **more)}


def needing(needs: int) -> dict[str, Any]:
    return {"ask": replace(ASK, needs=needs)}


@pytest.mark.parametrize(
    ("candidate_has", "gate_has", "reason"),
    [
        ({}, {}, None),
        ({"is_active": False}, {}, Reason.INACTIVE),
        ({"channel_active": False}, {}, Reason.INACTIVE),
        ({"problem": "none of its keys can be used"}, {}, Reason.PROBLEM),
        ({"owner": 7}, {"owners": frozenset((7, 1))}, None),
        ({"owner": 7}, {"owners": frozenset((1,))}, Reason.FOREIGN),
        ({"owner": 7, "is_active": False}, {"owners": frozenset((1,))}, Reason.FOREIGN),
        # deny lists: every name that it has
        ({"name": "fast"}, {"denied": ("slow",)}, None),
        ({"name": "fast", "names": ("fast",)}, {"denied": ("fast",)}, Reason.DENIED),
        ({"names": ("fast", "alias")}, {"denied": ("alias",)}, Reason.DENIED),
        ({"model": "vendor/gpt-4o"}, {"denied": ("vendor/*",)}, Reason.DENIED),
        ({"model": "gpt-4o", "provider": "openai"}, {"denied": ("openai/gpt-4o",)}, Reason.DENIED),
        ({"names": ("a",), "provider": "openai"}, {"denied": ("openai/*",)}, Reason.DENIED),
        ({"model": "gpt-4o"}, {"denied": ("gpt-4",)}, None),
        ({"model": "gpt-4o"}, {"denied": ("gpt-4*",)}, Reason.DENIED),
        ({}, {"denied": ("*",)}, Reason.DENIED),
        # the provider that was asked for
        ({"provider": "p1"}, {"provider": "p1"}, None),
        ({"provider": "p1"}, {"provider": "p2"}, Reason.PROVIDER),
        # filters
        ({"price": price(1.0)}, filters(max_cost_per_1k=0.001), None),
        ({"price": price(1.0, 1.1)}, filters(max_cost_per_1k=0.001), Reason.COST),
        ({"price": price(0.0)}, filters(max_cost_per_1k=0.0), None),
        ({"price": price(1e-9)}, filters(max_cost_per_1k=0.0), Reason.COST),
        ({"price": None}, filters(max_cost_per_1k=9.0), Reason.COST),
        ({"context_length": 4000}, filters(min_context_length=4000), None),
        ({"context_length": 3999}, filters(min_context_length=4000), Reason.MIN_CONTEXT),
        ({"context_length": None}, filters(min_context_length=4000), None),
        ({"capabilities": TOOLS | VISION}, filters(capabilities=TOOLS | VISION), None),
        ({"capabilities": TOOLS}, filters(capabilities=TOOLS | VISION), Reason.ABILITIES),
        ({"capabilities": None}, filters(capabilities=CODE), Reason.ABILITIES),
        ({"kind": "local"}, filters(kinds=("local", "official")), None),
        ({"kind": "reseller"}, filters(kinds=("local", "official")), Reason.KIND),
        ({"region": "eu"}, filters(regions=("eu",)), None),
        ({"region": ""}, filters(regions=("eu",)), Reason.REGION),
        # what the request needs
        ({"capabilities": TOOLS}, needing(TOOLS), None),
        ({"capabilities": TOOLS}, needing(TOOLS | VISION), Reason.CAPABILITY),
        ({"capabilities": 0}, needing(TOOLS), Reason.CAPABILITY),
        ({"capabilities": None}, needing(TOOLS), Reason.NOT_KNOWN),
        ({"capabilities": None}, needing(0), None),
        ({"context_length": 1500}, {}, None),
        ({"context_length": 1499}, {}, Reason.CONTEXT),
        ({"context_length": None}, {"ask": replace(ASK, prompt_tokens=10**9)}, None),
        ({"context_length": 1000}, {"ask": replace(ASK, output_tokens=None)}, None),
        # quota
        ({"daily_limit": 10}, {"live": Numbers(used={1: 9})}, None),
        ({"daily_limit": 10}, {"live": Numbers(used={1: 10})}, Reason.QUOTA),
        ({"daily_limit": 0}, {}, Reason.QUOTA),
        ({"daily_limit": None}, {"live": Numbers(used={1: 10**6})}, None),
    ],
)
def test_reasons(candidate_has: dict[str, Any], gate_has: dict[str, Any], reason: Reason | None) -> None:
    assert gate(**gate_has).reason_against(candidate(1, **candidate_has)) == reason


def test_every_reason_that_is_told_has_a_sentence() -> None:
    assert set(REASON_LABELS) == set(Reason) - {Reason.FOREIGN}


def refs(candidates: list[Candidate]) -> list[int]:
    return [each.ref for each in candidates]


def test_one_of_whom_nothing_is_known_serves_only_where_nobody_is_known_to_be_able_to() -> None:
    able, unknown, unable = (
        candidate(1, capabilities=VISION),
        candidate(2, capabilities=None),
        candidate(3, capabilities=0),
    )
    at = gate(**needing(VISION))

    known = sift(standing_of([unknown, able, unable], None), at)
    guessed = sift(standing_of([unknown, unable], None), at)
    nobody = sift(standing_of([unable], None), at)

    assert refs(known[0]) == [1] and {each.candidate.ref: each.reason for each in known[1]} == {
        2: Reason.NOT_KNOWN, 3: Reason.CAPABILITY,
    }  # fmt: skip
    assert refs(guessed[0]) == [2]
    assert nobody[0] == [] and nobody[1][0].lacking == ("vision",)


def test_what_belongs_to_another_tenant_is_in_no_list() -> None:
    able, excluded = sift(standing_of([candidate(1, owner=9), candidate(2)], None), gate(owners=frozenset((1,))))

    assert refs(able) == [2] and excluded == []


def test_what_belongs_to_another_tenant_and_cannot_serve_anyway_is_in_no_list_either() -> None:
    standing = standing_of(
        [candidate(1, owner=9, is_active=False), candidate(2, owner=9, price=price(5))], t.group(1, max_cost_per_1k=0.0)
    )

    assert sift(standing, gate(owners=frozenset((1,)))) == ([], [])
    assert [each.reason for each in sift(standing, gate(owners=frozenset((9,))))[1]] == [Reason.INACTIVE, Reason.COST]


def test_a_channel_that_is_switched_off_is_out_though_its_standing_is_known() -> None:
    one = candidate(1)
    standing = standing_of([one], None)
    one.channel.withdraw()

    able, others = sift(standing, gate())

    assert able == [] and [each.reason for each in others] == [Reason.INACTIVE]
