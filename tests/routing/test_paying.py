"""Budgets as clients meet them: refused before anything is sent, settled to the nano-USD, kept short where that is wanted."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.routing.paying import Got, ask, key_info, key_of, paying_document
from tests.stack import Stack, running_stack
from tests.stores import IS_SERVER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(paying_document()) as made:
        yield made
        assert "Traceback" not in made.log


def told() -> None:
    """Return once every web process knows what the others have used; they tell each other once a second."""
    time.sleep(2.5 if IS_SERVER else 0)


def sent(stack: Stack, got: Got) -> list[dict[str, Any]]:
    """What reached the upstreams of a request."""
    tag = got.headers["x-request-id"]
    return [entry for entry in stack.alpha.journal() + stack.beta.journal() if entry["attempt_id"].startswith(tag)]


def test_a_request_that_may_cost_more_than_is_left_is_refused_and_reaches_nobody(stack: Stack) -> None:
    got = ask(stack, "small")  # 4,096 tokens of output may cost 0.008 USD

    assert got.status == 402
    assert got.error["code"] == "budget_exceeded"
    assert got.error["metadata"]["scope"] == "router_key"
    assert got.error["metadata"]["window"] == "day"
    assert got.error["metadata"]["resets_at"].endswith("T00:00:00Z")
    assert got.error["metadata"]["limit_usd"] == 0.001
    assert got.headers["x-should-retry"] == "false"
    assert sent(stack, got) == []


def test_the_same_request_with_a_shorter_answer_is_served(stack: Stack) -> None:
    got = ask(stack, "small", max_tokens=30)

    assert got.status == 200
    assert sent(stack, got)[0]["body"]["max_tokens"] == 30


def test_what_was_used_is_the_sum_of_the_charges_to_the_nano_usd(stack: Stack) -> None:
    charges = [Decimal(str(ask(stack, "counted").doc["usage"]["cost"])) for _ in range(5)]
    stack.post({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}, key_of("counted"))
    failed = ask(stack, "counted", "broken")
    stack.ingest()

    rows = stack.query("SELECT charge_nusd FROM billing_usagerecord WHERE router_key = ?", "counted")
    used = key_info(stack, "counted")["budgets"][0]["used"]
    assert failed.status == 502
    assert len(rows) == 7
    assert round(Decimal(str(used)) * 10**9) == sum(row["charge_nusd"] for row in rows)
    assert sum(charges) <= Decimal(str(used))
    usage = stack.query("SELECT scope, money_nusd, requests FROM billing_scopeusage WHERE money_nusd > 0")
    key = [row for row in usage if row["scope"].startswith("router_key:")]
    assert sum(row["money_nusd"] for row in rows_of(stack, usage, "counted")) == sum(row["charge_nusd"] for row in rows)
    assert key


def rows_of(stack: Stack, usage: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    (key,) = stack.query("SELECT id FROM accounts_routerkey WHERE name = ?", name)
    return [row for row in usage if row["scope"] == f"router_key:{key['id']}"]


def test_an_answer_without_a_limit_gets_the_one_that_was_held_for(stack: Stack) -> None:
    got = ask(stack, "counted")

    assert sent(stack, got)[0]["body"]["max_tokens"] == 4096


def test_nothing_is_added_for_a_caller_without_budgets(stack: Stack) -> None:
    got = ask(stack, "free")

    assert "max_tokens" not in sent(stack, got)[0]["body"]


def test_an_answer_is_made_shorter_where_the_tenant_wants_that(stack: Stack) -> None:
    got = ask(stack, "shortened")

    limit = sent(stack, got)[0]["body"]["max_tokens"]
    assert got.status == 200
    assert 16 <= limit < 250
    while got.status == 200:
        got = ask(stack, "shortened")
    assert got.error["code"] == "budget_exceeded"
    used = Decimal(str(key_info(stack, "shortened")["budgets"][0]["used"]))
    assert used <= Decimal("0.0005")


def test_a_budget_above_refuses_without_its_name_and_amounts_as_its_tenant_says(stack: Stack) -> None:
    got = ask(stack, "child")

    assert got.status == 429
    assert got.error["code"] == "budget_exceeded"
    assert got.error["metadata"].keys() == {"scope", "window", "resets_at"}
    assert "above" not in got.error["message"]
    assert got.headers["x-should-retry"] == "false"


def test_a_tenant_that_shows_its_amounts(stack: Stack) -> None:
    metadata = ask(stack, "shown").error["metadata"]

    assert metadata["limit_usd"] == 0.001
    assert metadata["remaining_usd"] == 0.001
    assert metadata["window"] == "total"
    assert metadata["resets_at"] is None


def test_a_channel_that_has_spent_its_budget_is_passed_over(stack: Stack) -> None:
    got = ask(stack, "free")

    assert got.headers["x-smartrouter-channel"] == "alpha"
    assert got.headers["x-smartrouter-attempts"] == "1"


def test_where_no_channel_has_money_the_caller_is_told_to_wait(stack: Stack) -> None:
    got = ask(stack, "free", "spent")

    assert got.status == 503
    assert got.error["code"] == "no_available_channel"
    assert int(got.headers["retry-after"]) > 0
    assert sent(stack, got) == []


def test_a_quota_of_requests(stack: Stack) -> None:
    got = [ask(stack, "two") for _ in range(3)]

    assert [each.status for each in got] == [200, 200, 429]
    assert got[2].error["code"] == "rate_limit_exceeded"
    assert got[2].error["metadata"]["unit"] == "requests"
    assert got[2].headers["x-should-retry"] == "false" or int(got[2].headers["retry-after"]) <= 600


def test_a_request_that_fails_over_is_held_for_once(stack: Stack) -> None:
    """The first channel answers 500; the quota is one request."""
    got = ask(stack, "once", "moved")

    told()

    (quota,) = key_info(stack, "once")["budgets"]
    assert (got.status, got.headers["x-smartrouter-attempts"]) == (200, "2")
    assert (quota["used"], quota["remaining"]) == (1, 0)


def test_a_free_model_is_used_where_the_budget_allows_no_other(stack: Stack) -> None:
    got = ask(stack, "nothing", "auto:mixed")

    assert got.status == 200
    assert got.doc["usage"]["cost"] == 0
    assert ask(stack, "nothing", "m").status == 402


def test_a_dearer_candidate_raises_the_hold_also_where_answers_may_be_shortened(stack: Stack) -> None:
    got = ask(stack, "rich", "auto:longer", max_tokens=50, messages=[{"role": "user", "content": "a" * 5000}])

    assert (got.status, got.headers["x-smartrouter-attempts"]) == (200, "2")


def test_of_two_limits_the_larger_one_is_held_for_and_one_is_sent(stack: Stack) -> None:
    got = ask(stack, "counted", max_completion_tokens=16, max_tokens=40)

    body = sent(stack, got)[0]["body"]
    assert body["max_tokens"] == 40
    assert "max_completion_tokens" not in body


def test_a_refusal_does_not_ask_for_every_candidate(stack: Stack) -> None:
    """Two dozen channels of one price: the second one is not asked for any more."""
    began = time.monotonic()
    got = ask(stack, "small", "auto:many", messages=[{"role": "user", "content": "a" * 50_000}])

    assert got.status == 402
    assert time.monotonic() - began < 5


def test_a_quota_of_tokens_is_never_passed(stack: Stack) -> None:
    got = ask(stack, "words", max_tokens=100)
    while got.status == 200:
        got = ask(stack, "words", max_tokens=100)

    assert got.status == 429
    assert got.error["metadata"]["unit"] == "tokens"
    assert key_info(stack, "words")["budgets"][0]["used"] <= 600


def test_a_soft_limit_warns_and_refuses_nothing(stack: Stack) -> None:
    assert [ask(stack, "soft").status for _ in range(3)] == [200, 200, 200]


def test_a_model_of_unknown_price_is_not_for_callers_with_a_budget(stack: Stack) -> None:
    got = ask(stack, "counted", "n")

    assert (got.status, got.error["code"]) == (400, "price_not_known")
    assert ask(stack, "free", "n").status == 200


def test_the_highest_cost_of_a_request_of_a_group(stack: Stack) -> None:
    dear, cheap = ask(stack, "free", "auto:cheap"), ask(stack, "free", "auto:cheap", max_tokens=20)
    shortened = ask(stack, "shortcheap", "auto:cheap")

    assert (dear.status, dear.error["code"], dear.error["metadata"]["scope"]) == (402, "budget_exceeded", "group")
    assert cheap.status == 200
    assert shortened.status == 200
    assert sent(stack, shortened)[0]["body"]["max_tokens"] < 120


def test_the_budget_of_a_group_holds_for_all_its_callers(stack: Stack) -> None:
    spent = 0
    while (got := ask(stack, "free", "auto:limited", max_tokens=60)).status == 200:
        spent += round(Decimal(str(got.doc["usage"]["cost"])) * 10**9)

    assert (got.status, got.error["metadata"]["scope"]) == (402, "group")
    assert 250_000 < spent <= 500_000


def test_each_end_user_has_his_own_quota(stack: Stack) -> None:
    users = ["alice", "bob", "alice"]

    assert [ask(stack, "shared", user=user).status for user in users] == [200, 200, 429]
    assert ask(stack, "shared").status == 200


def test_requests_a_minute_and_their_headers(stack: Stack) -> None:
    got = []
    for _ in range(4):
        got.append(ask(stack, "minute", max_tokens=10))
        told()

    assert [each.status for each in got] == [200, 200, 200, 429]
    assert [each.headers["x-ratelimit-limit-requests"] for each in got] == ["3"] * 4
    assert [each.headers["x-ratelimit-remaining-requests"] for each in got] == ["2", "1", "0", "0"]
    assert got[0].headers["x-ratelimit-limit-tokens"] == "100000"
    assert got[3].error["code"] == "rate_limit_exceeded"
    assert 0 < int(got[3].headers["retry-after"]) <= 61
    assert got[3].headers["x-should-retry"] == "true"


def test_tokens_a_minute_are_reserved_and_then_settled(stack: Stack) -> None:
    first, second = ask(stack, "tokens", max_tokens=900), ask(stack, "tokens", max_tokens=900)
    used = first.doc["usage"]["total_tokens"]

    assert (first.status, second.status) == (200, 200)
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 1000 - 900
    assert int(second.headers["x-ratelimit-remaining-tokens"]) <= 1000 - 900 - used
    assert ask(stack, "tokens", max_tokens=1000).status == 429
