"""Many connections at once want ten times what there is: nothing is spent beyond any limit, and nearly all of it is.

With servers four web processes share each budget, else there is one.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.stack import Stack, running_stack
from tests.stores import IS_SERVER
from tests.survival.budget_books import check_journal, check_refused, check_world, is_exhausted
from tests.survival.budget_worlds import KINDS, TYPICAL_NUSD, World, error_of, overload, rows_of, worlds_document
from tests.survival.traffic import run_clients

pytestmark = pytest.mark.slow

PROCESSES = 4 if IS_SERVER else 1
CLIENTS = 50 * PROCESSES
LEAST = 4 if IS_SERVER else 10
LIMIT_NUSD = CLIENTS * LEAST // 10 * TYPICAL_NUSD
WORLDS = {
    (kind, shortens): World(f"{kind.replace('_', '')}-{'short' if shortens else 'whole'}", kind, LIMIT_NUSD, shortens)
    for kind in KINDS
    for shortens in (False, True)
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(worlds_document(list(WORLDS.values())), WEB_CONCURRENCY=str(PROCESSES)) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.mark.parametrize("shortens", [False, True], ids=["refused", "shortened"])
@pytest.mark.parametrize("tight", KINDS)
def test_nothing_is_spent_beyond_the_tightest_budget(stack: Stack, tight: str, shortens: bool) -> None:
    world = WORLDS[tight, shortens]

    answers = run_clients(lambda session: overload(session, [stack], [world], clients=CLIENTS, least=LEAST))[world.name]

    rows = [row for row in rows_of(stack) if row["tenant"] == world.name]
    spent = check_world(stack, world, rows)
    refused = check_refused(stack, answers)
    unsure = [each for each in answers if each.is_unsure]
    served = Counter(row["process"] for row in rows)
    print(f"\n{tight} {'shortened' if shortens else 'refused'}: {len(answers)} requests on {CLIENTS} connections,"
          f" {len(rows)} served by {len(served)} processes, {refused} refused,"
          f" {len(unsure)} told to try again, {spent / world.limit_nusd:.2%} of the limit spent")  # fmt: skip
    assert {(each.heard.status, each.code) for each in answers if not each.is_good and not each.is_unsure} == {
        (503, "no_available_channel") if tight == "channel" else (402, "budget_exceeded")
    }
    told = {error_of(each)["metadata"]["scope"] for each in answers if each.code == "budget_exceeded"}
    assert tight == "channel" or {"parent": "tenant"}.get(tight, tight) in told
    assert check_journal(stack, rows) == len(rows) == len(answers) - refused - len(unsure)
    assert is_exhausted(world, spent)
    assert len(served) > 1 or PROCESSES == 1
