"""Hot path. The first candidate that answers, within one deadline.

REQUEST and CONTENT go back to the caller; so does CONTEXT where nobody is left who is known to take more; what follows any
other failure is routing.plan's. A failed attempt is closed in the spool by the same write that opens the next one, so that
whenever the process dies exactly one attempt of the request is the billable one.
"""

import asyncio
import dataclasses
import logging
import time

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from msgspec.structs import replace

from billing.attempts import AnswerFacts, AttemptAccount, RequestFacts
from billing.spool import CloseLine, SpoolError
from channels.records import Candidate, KeyRecord
from channels.upstream import EventStream, headers_of, read_answer, send_request
from routing.call import Answer, Call
from routing.holding import OUTPUT_TOKENS, Sending, Unaffordable, finish, prepare
from routing.plan import ATTEMPTS_AT_MOST, Plan
from routing.refusal import failure_for_caller
from routing.trace import trace_of
from smartrouter.lib.deadlines import Deadline
from smartrouter.lib.errors import ErrorClass, RouterError, UpstreamError

logger = logging.getLogger(__name__)

UNKNOWN_CONTEXT_TOKENS = 128_000


async def find_answer(call: Call) -> Answer:
    """The first answer. Raises RouterError when nobody answered or the fault is the caller's; every attempt is accounted."""
    plan, retries = Plan(call.choices, call.plane.random), call.plane.retries
    until = call.began + call.plane.request_timeout_s
    failed: list[UpstreamError] = []
    close: CloseLine | None = None
    candidate, key = plan.first()
    is_retry = False
    while True:
        try:
            sending = await prepare(call, candidate)
        except Unaffordable as e:
            other = None if _now() >= until else plan.instead(ATTEMPTS_AT_MOST - call.attempts)
            if other is not None:
                candidate, key = other
                continue
            _close_as_billable(call, close)
            first = call.refused[1] if call.refused is not None else e.error
            raise (failure_for_caller(failed) if failed else first) from e
        except BaseException:
            _close_as_billable(call, close)
            raise
        if call.has_left:  # while the ledger was asked: nothing is sent for nobody
            _close_as_billable(call, close)
            raise RouterError(499, "client_closed_request", _("The client has left."))
        account = _open_account(call, candidate, key, close, sending)
        retries.retrying += is_retry
        try:
            return await _attempt(call, account, key, sending.payload, _limit_of(call, candidate, plan, until))
        except asyncio.CancelledError:
            close_unanswered(call, account)
            raise
        except Exception as e:
            # Whatever an upstream sends, its attempt is closed and the next one tried.
            error = upstream_error_of(e)
            failed.append(error)
            if call.flight is not None:
                call.flight.failed(error.kind)
            # Nobody waits any more for a client that has left.
            is_over = call.attempts >= ATTEMPTS_AT_MOST or _now() >= until or call.has_left
            left = ATTEMPTS_AT_MOST - call.attempts
            following = None if is_over else plan.after(error, can_retry=retries.allows(), attempts_left=left)
            if following is None:
                call.plane.spool.append(account.failed_line(error, is_billable=True), keep=True)
                raise failure_for_caller(failed) from e
            close = account.failed_line(error, is_billable=False)
        finally:
            retries.retrying -= is_retry
        if following[0] is candidate and following[1] is key:
            await _back_off(call, close)
        candidate, key, is_retry = following


def upstream_error_of(error: Exception) -> UpstreamError:
    """The error itself if it is classified; else GARBAGE, logged: an answer that none of our readers has foreseen."""
    if isinstance(error, UpstreamError):
        return error
    logger.error("answer_unreadable", exc_info=error)
    return UpstreamError(ErrorClass.GARBAGE, gettext_noop("the answer could not be read"))


def _close_as_billable(call: Call, close: CloseLine | None) -> None:
    """The attempt that failed last is the one that the request ends with; None: there was none."""
    if close is not None and call.account is not None:
        call.plane.spool.append(replace(close, is_billable=True), keep=True)
        call.account.settle_as_billable()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _limit_of(call: Call, candidate: Candidate, plan: Plan, until: float) -> float:
    """When this attempt has to have shown its first content (a stream) or its whole answer.

    A plain answer shows nothing before its end, so it gets its share of the time, not all of it.
    """
    now, channel = _now(), candidate.channel
    if call.is_streamed:
        return min(until, now + channel.first_content_s)
    shares = 1 + plan.left(ATTEMPTS_AT_MOST - call.attempts)
    return now + min(channel.total_s, (until - now) / shares)


def _open_account(
    call: Call, candidate: Candidate, key: KeyRecord | None, close: CloseLine | None, sending: Sending
) -> AttemptAccount:
    call.attempts += 1
    at_ms, table = call.facts.admitted_ms, call.plane.table
    rates = candidate.rates_at(at_ms)
    account = AttemptAccount(
        facts=_facts_of(call),
        number=call.attempts,
        candidate=candidate,
        key_name=key.name if key else "",
        rates=rates,
        usd_per_unit=table.usd_per_unit(rates.currency, at_ms) if rates and rates.currency != "USD" else None,
        trace=trace_of(call.choices, candidate, call.traces),
        payer=sending.payer,
        group_payer=sending.group_payer,
        channel_payer=sending.channel_payer,
        output=sending.output,
    )
    try:
        if close is None:
            call.plane.spool.append(account.open_line())
        else:
            call.plane.spool.append(close, account.open_line())
    except SpoolError as e:
        _close_as_billable(call, close)
        message = _("Usage cannot be recorded now, so nothing is sent.")
        raise RouterError(503, "usage_unavailable", message, kind="server_error", retry_after_s=5) from e
    call.account = account
    call.flight = call.plane.signals.begin(candidate, account.attempt_id, is_streamed=call.is_streamed)
    return account


def _facts_of(call: Call) -> RequestFacts:
    """The request's facts, with the group that serves now: a fallback group, or that of a later name."""
    stage, facts = call.choices.current, call.facts
    group = stage.group.name if stage.group is not None else ""
    return facts if group == facts.group else dataclasses.replace(facts, group=group)


def close_leftover(call: Call) -> None:
    """Close the attempt that an error of our own has left open: an open line of a living process is never ingested.

    What is still held is given back.
    """
    account = call.account
    if call.flight is not None:
        call.flight.left()
    if account is not None and not account.is_closed:
        logger.error("attempt_left_open", extra={"attempt": account.tag})
        error = UpstreamError(ErrorClass.GARBAGE, gettext_noop("the router failed while it read the answer"))
        call.plane.spool.append(account.failed_line(error, is_billable=True), keep=True)
    finish(call)


async def _attempt(call: Call, account: AttemptAccount, key: KeyRecord | None, payload: bytes, limit: float) -> Answer:
    candidate, began = account.candidate, time.perf_counter()
    call.attempt_began = _now()
    response = None
    try:
        with Deadline(limit):
            response = await send_request(
                call.plane.session, candidate, payload, headers_of(candidate.channel, key, account.tag)
            )
            if not call.is_streamed:
                return Answer(account, doc=await read_answer(response, candidate.channel))
            stream = EventStream(response, candidate.channel)
            events, first = await stream.read_until_content()
            account.first_content_ms = round((time.perf_counter() - began) * 1000)
            if call.flight is not None:
                call.flight.first_content()
            response = None  # from here on it is the relay's
            return Answer(account, stream, events, first)
    except TimeoutError as e:
        message = gettext_noop("no content came") if call.is_streamed else gettext_noop("the whole answer did not come")
        raise UpstreamError(ErrorClass.TRANSIENT, message, timed_out=True) from e
    finally:
        call.upstream_s += time.perf_counter() - began
        if response is not None and not response.content.at_eof():
            response.close()


async def _back_off(call: Call, close: CloseLine) -> None:
    """Full jitter before the same channel is tried again."""
    try:
        await asyncio.sleep(call.plane.random.uniform(0.02, 0.2))
    except asyncio.CancelledError:
        _close_as_billable(call, close)
        raise


def close_unanswered(call: Call, account: AttemptAccount) -> None:
    """Account for an attempt that was ended before it answered.

    The prompt was sent, so it counts; a plain answer was being written unseen, so its output limit counts as well.
    Nothing is charged where it was us who ended it.
    """
    completion = 0
    if call.flight is not None:
        call.flight.left()
    if not call.is_streamed:
        candidate, number = account.candidate, call.body.get("n") or 1
        default = (candidate.default_output_tokens or OUTPUT_TOKENS) * number
        # A limit above what the model can hold limits nothing.
        bound = candidate.context_length or UNKNOWN_CONTEXT_TOKENS
        completion = min(account.output or default, bound * number)
    usage = account.estimate(completion)
    is_charged = call.end_reason != "drained"
    line = account.close_line(call.end_reason, usage, answer=AnswerFacts(), is_charged=is_charged)
    call.plane.spool.append(line, keep=True)
    call.plane.sessions.note(call.facts, line.charge_nusd)
