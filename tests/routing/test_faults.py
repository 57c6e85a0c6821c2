"""Each fault of the simulator on the first channel, the second one healthy: answers, records, money; 200 calls each way."""

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest

from billing.pricing import cost_of
from providers.prices import Rates
from providers.simulator.modes import MODES
from providers.usage import Usage
from tests.routing.faults import CALLS, HEAVY, Played, fault_document, play
from tests.routing.replies import Reply
from tests.stack import running_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

FINAL = {"REQUEST", "CONTEXT", "CONTENT"}
ALPHA = Rates(input=Decimal(1), output=Decimal(2))
BETA = Rates(input=Decimal(3), output=Decimal(4))
# Modes that are healthy to the simulator and not to us, and the other way round, with the reason.
# big-headers, gzip: refused as GARBAGE before the first content. giant: one event of a megabyte is within our limit.
# no-done: a stream is whole when it says so; one that ends without [DONE] may have been cut by something on the way.
REFUSED = {"big-headers", "gzip"}
UNREPORTED = {"no-usage", "usage-null", "no-finish"}


def stage_of(played: Played) -> str:
    """Where the first attempt breaks for us: ok, before or after the first content."""
    mode = played.mode
    if mode.name in REFUSED:
        return "before"
    if mode.name == "no-done" and played.is_streamed:
        return "after"
    stage = mode.streamed if played.is_streamed else mode.plain
    return "ok" if stage == "either" else stage


@pytest.fixture(scope="module")
def played() -> Iterator[dict[tuple[str, bool], Played]]:
    with running_stack(fault_document()) as stack:
        yield play(stack, "f-", MODES, CALLS, CALLS)
        assert "Traceback" not in stack.log


def each(*stages: str) -> pytest.MarkDecorator:
    """The modes that break at one of these stages, streamed or plain."""
    found = []
    for name, mode in MODES.items():
        for is_streamed in (False, True):
            stage = "final" if mode.expects in FINAL else stage_of(Played(mode, is_streamed, []))
            if stage in stages:
                found.append(pytest.param(name, is_streamed, id=f"{name}-{'streamed' if is_streamed else 'plain'}"))
    return pytest.mark.parametrize(("mode", "is_streamed"), found)


def answered(found: Played) -> list[Reply]:
    """The replies whose first attempt reached the first channel.

    Some modes close a connection after a complete body, without having said so. A request that was just being sent on it
    never arrives, and is answered by the second channel: seldom, and as it should be, but no news of the mode.
    """
    replies = []
    for reply in found.replies:
        if found.mode.waits or f"{reply.request_id}-1" in found.journal:
            replies.append(reply)
        else:
            expect_whole(reply, "beta")
            first, _second = found.rows_of(reply)
            assert (first["status"], first["error_message"]) == ("failed", "the upstream closed the connection")
    assert len(found.replies) == HEAVY.get(found.mode.name, CALLS)
    assert len(replies) > 0.8 * len(found.replies)
    return replies


def expect_whole(reply: Reply, speaker: str, mode: str = "ok") -> None:
    """A whole answer in one upstream's words."""
    assert reply.status == 200 and not reply.is_cut, reply
    assert reply.bad is None and reply.error is None, reply.bad or reply.error
    other = "beta" if speaker == "alpha" else "alpha"
    assert other not in reply.text
    if mode == "giant":
        assert reply.text == "x" * 1024 * 1024
    else:
        assert reply.text.startswith(f"[{speaker}]") and reply.text.endswith(f"({speaker})")
        assert reply.text.count("[") == reply.text.count("(") == 1
    assert reply.finishes == ([] if mode == "no-finish" else ["stop"])
    assert reply.is_done == reply.is_streamed
    assert reply.usage and "cost" in reply.usage


def expect_bill(row: dict[str, object], entry: dict[str, object], reply: Reply, *, is_exact: bool = True) -> None:
    """A billable row whose tokens are those of the simulator's journal, charged at the channel's price."""
    rates = ALPHA if str(row["channel"]).startswith("alpha") else BETA
    assert row["is_billable"] == 1
    assert bool(row["is_estimated"]) is not is_exact
    if is_exact:
        assert row["prompt_tokens"] == entry["prompt_tokens"]
        assert row["completion_tokens"] == entry["completion_tokens"]
    used = Usage(int(str(row["prompt_tokens"])), int(str(row["completion_tokens"])))
    assert row["charge_nusd"] == row["cost_nusd"] == cost_of(used, rates, None, 0) > 0  # type: ignore[operator]
    if reply.usage:
        assert round(reply.usage["cost"] * 10**9) == row["charge_nusd"]


@each("ok")
def test_a_healthy_answer_is_relayed_whole_and_billed_exactly(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    found = played[mode, is_streamed]

    for reply in answered(found):
        expect_whole(reply, "alpha", mode)
        (row,) = found.rows_of(reply)
        assert (row["attempt"], row["status"], row["channel"]) == (1, "ok", "alpha")
        assert row["error_class"] == "" and row["is_model_mismatch"] == (mode == "other-model")
        expect_bill(row, found.entry_of(reply, 1), reply, is_exact=mode not in UNREPORTED)
        assert reply.headers["x-smartrouter-attempts"] == "1"


@each("before")
def test_a_fault_before_the_first_content_is_not_seen_by_the_caller(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    found = played[mode, is_streamed]

    for reply in answered(found):
        expect_whole(reply, "beta")
        assert reply.headers["x-smartrouter-attempts"] == "2"
        assert reply.headers["x-smartrouter-channel"] == "beta"
        first, second = found.rows_of(reply)
        assert (first["attempt"], first["status"], first["is_billable"]) == (1, "failed", 0)
        assert first["channel"] == (f"alpha-{found.mode.waits}" if found.mode.waits else "alpha")
        assert (first["cost_nusd"], first["charge_nusd"]) == (0, 0)
        assert (second["attempt"], second["status"], second["channel"]) == (2, "ok", "beta")
        expect_bill(second, found.entry_of(reply, 2), reply)


@each("before")
def test_a_failed_attempt_is_recorded_with_its_class(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    found = played[mode, is_streamed]
    expected = found.mode.expects
    if mode == "endless" and not is_streamed:
        expected = "TRANSIENT"  # to a reader with a deadline a plain body without end is an answer that is late

    classes = {found.rows_of(reply)[0]["error_class"] for reply in answered(found)}
    messages = {found.rows_of(reply)[0]["error_message"] for reply in answered(found)}

    assert expected and classes == {expected.lower()}
    assert all(messages) and not any("sim-key" in text or "org-simulator" in text for text in messages)


@each("after")
def test_a_fault_after_the_first_content_ends_with_an_error_event_and_a_row_for_what_was_delivered(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    found = played[mode, is_streamed]

    for reply in answered(found):
        assert reply.status == 200 and not reply.is_cut and reply.bad is None, reply
        assert not reply.is_done
        assert reply.error and set(reply.error) >= {"message", "type", "param", "code"}
        assert reply.error["code"] == ("upstream_timeout" if found.mode.waits else "upstream_error")
        assert reply.text.startswith("[alpha]" if mode != "endless" else " The") and "beta" not in reply.text
        (row,) = found.rows_of(reply)
        assert (row["attempt"], row["status"], row["is_billable"]) == (1, "cut", 1)
        assert row["error_class"] == (found.mode.expects or "TRANSIENT").lower()
        entry = found.entry_of(reply, 1)
        assert abs(row["completion_tokens"] - reply.pieces) <= 1
        assert abs(row["completion_tokens"] - entry["completion_tokens"]) <= 1
        expect_bill(row, entry, reply, is_exact=mode == "no-done")


@each("final")
def test_the_callers_own_fault_goes_back_without_failover(
    played: dict[tuple[str, bool], Played], mode: str, is_streamed: bool
) -> None:
    found = played[mode, is_streamed]
    code, param = {
        "400": ("unsupported_parameter", "max_tokens"),
        "context": ("context_length_exceeded", "messages"),
        "content-filter": ("content_filter", None),
    }[mode]

    for reply in answered(found):
        assert reply.status == 400 and reply.headers["content-type"] == "application/json"
        assert reply.headers["x-should-retry"] == "false"
        error = reply.json["error"]
        assert (error["code"], error["param"]) == (code, param)
        assert set(error) >= {"message", "type", "param", "code"}
        (row,) = found.rows_of(reply)
        assert (row["status"], row["is_billable"], row["charge_nusd"]) == ("failed", 1, 0)
        assert row["error_class"] == str(found.mode.expects).lower()


def test_every_request_has_exactly_one_billable_row_and_every_attempt_one_row(
    played: dict[tuple[str, bool], Played],
) -> None:
    any_played = played["ok", False]
    asked = {reply.request_id.replace("-", "") for found in played.values() for reply in found.replies}

    billable = {request: sum(row["is_billable"] for row in rows) for request, rows in any_played.rows.items()}
    attempts = {f"{row['request_id']}-{row['attempt']}" for rows in any_played.rows.values() for row in rows}
    journalled = {tag.replace("-", "", 4) for tag in any_played.journal}
    unheard = [row for rows in any_played.rows.values() for row in rows
               if f"{row['request_id']}-{row['attempt']}" not in journalled]  # fmt: skip

    assert set(billable) == asked
    assert set(billable.values()) == {1}
    assert journalled <= attempts
    # Not heard of: a connection that was being closed, and attempts that a busy machine did not begin in time.
    messages = {row["error_message"] for row in unheard}
    assert {
        text
        for text in messages
        if not re.match("the upstream closed the connection|no content came|the whole answer did not come", text)
    } == set()
    assert len(unheard) < len(attempts) / 50
