"""Hot path. The first candidate that answers, within one deadline.

REQUEST and CONTENT go back to the caller; so does CONTEXT where nobody is left who is known to take more. After KEY,
KEY_MODEL and RATE another key of the same channel is tried once, after anything else the next candidate. The first move to
another channel, or to another key of the only one, is free; any other second key, a third attempt and a repetition come out
of the retry budget. A failed attempt is closed in the spool by the same write that opens the next one, so that whenever the
process dies exactly one attempt of the request is the billable one.
"""

import asyncio
import dataclasses
import logging
import time
from random import Random

import orjson
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from msgspec.structs import replace

from billing.attempts import AnswerFacts, AttemptAccount, RequestFacts
from billing.spool import CloseLine, SpoolError
from channels.records import Candidate, KeyRecord
from channels.upstream import EventStream, headers_of, read_answer, send_request
from providers.dialects.openai_chat import build_payload, output_limit
from routing.call import Answer, Call
from routing.choosing import Choices
from routing.refusal import failure_for_caller
from routing.trace import trace_of
from smartrouter.lib.errors import ErrorClass, RouterError, UpstreamError

logger = logging.getLogger(__name__)

ATTEMPTS_AT_MOST = 3
FINAL = frozenset((ErrorClass.REQUEST, ErrorClass.CONTENT))
ABOUT_THE_KEY = frozenset((ErrorClass.KEY, ErrorClass.KEY_MODEL, ErrorClass.RATE))
UNKNOWN_OUTPUT_TOKENS = 4096
UNKNOWN_CONTEXT_TOKENS = 128_000


class Plan:
    """What to try next. Keys of a channel are taken from a random start, so that they share the load."""

    def __init__(self, choices: Choices, random: Random) -> None:
        self._choices = choices
        self._random = random
        self._keys: list[KeyRecord] = []
        self._key: KeyRecord | None = None
        self._current: Candidate | None = None
        self._has_stayed = False
        self._tried: frozenset[int] = frozenset()
        self.moves = 0

    def first(self) -> tuple[Candidate, KeyRecord | None]:
        self._move(ATTEMPTS_AT_MOST)
        assert self._current is not None  # without a candidate there is no call
        return self._current, self._key

    def after(
        self, error: UpstreamError, *, can_retry: bool, attempts_left: int
    ) -> tuple[Candidate, KeyRecord | None, bool] | None:
        """The next candidate and key, and whether this is a retry (it costs budget); None where nothing is left to try."""
        assert self._current is not None
        if error.kind in FINAL:
            return None
        if error.kind is ErrorClass.CONTEXT:
            known = self._current.context_length or 0
            self._choices.keep_contexts_above(max(known, self._choices.ask.prompt_tokens))
        has_more = self._choices.look_ahead(1) > 0
        can_stay = can_retry and not self._has_stayed
        # A channel that is the only one has its other account as others have their second channel: the first move is free.
        is_free = self.moves == 1 and not has_more and not self._has_stayed
        if (can_stay or is_free) and error.kind in ABOUT_THE_KEY and self._keys:
            self._has_stayed = True
            self._key = self._keys.pop()
            return self._current, self._key, not is_free
        # Only the first move to a different channel is free.
        if has_more and (can_retry or self.moves < 2) and self._move(attempts_left, only_another=not can_retry):
            return self._current, self._key, self.moves > 2 or self._current.channel.ref in self._tried
        if can_stay and error.is_unanswered:
            self._has_stayed = True
            return self._current, self._key, True
        return None

    def left(self, at_most: int) -> int:
        """How many candidates have not been tried; counted no further than at_most."""
        return self._choices.look_ahead(at_most)

    def _move(self, attempts_left: int, *, only_another: bool = False) -> bool:
        """Whether there was another candidate, with only_another: on a channel that was not tried."""
        tried = self._tried if self._current is None else self._tried | {self._current.channel.ref}
        candidate = self._choices.take(attempts_left, tried if only_another else frozenset())
        if candidate is None:
            return False
        self._current, self._tried = candidate, tried
        self.moves += 1
        keys = candidate.channel.keys
        begin = self._random.randrange(len(keys)) if len(keys) > 1 else 0
        self._keys = [*keys[begin:], *keys[:begin]]
        self._keys.reverse()
        self._key = self._keys.pop() if self._keys else None
        return True


async def find_answer(call: Call) -> Answer:
    """The first answer. Raises RouterError when nobody answered or the fault is the caller's; every attempt is accounted."""
    plan, retries = Plan(call.choices, call.plane.random), call.plane.retries
    until = call.began + call.plane.request_timeout_s
    failed: list[UpstreamError] = []
    close: CloseLine | None = None
    candidate, key = plan.first()
    is_retry = False
    while True:
        payload = _encode_payload(call, candidate)
        account = _open_account(call, candidate, key, close)
        retries.retrying += is_retry
        try:
            return await _attempt(call, account, key, payload, _limit_of(call, candidate, plan, until))
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


def _encode_payload(call: Call, candidate: Candidate) -> bytes:
    """The request's body for one candidate. Raises RouterError for one that cannot be written down again."""
    channel = candidate.channel
    asks_for_usage = not channel.adapter.refuses_stream_options
    payload = build_payload(call.body, candidate.model, channel.params, asks_for_usage=asks_for_usage)
    try:
        return orjson.dumps(payload)
    except TypeError as e:
        raise RouterError(400, "invalid_request", _("The body is nested too deeply.")) from e


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


def _open_account(call: Call, candidate: Candidate, key: KeyRecord | None, close: CloseLine | None) -> AttemptAccount:
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
    )
    try:
        if close is None:
            call.plane.spool.append(account.open_line())
        else:
            call.plane.spool.append(close, account.open_line())
    except SpoolError as e:
        if close is not None:
            call.plane.spool.append(replace(close, is_billable=True), keep=True)
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
    """Close the attempt that an error of our own has left open: an open line of a living process is never ingested."""
    account = call.account
    if call.flight is not None:
        call.flight.left()
    if account is not None and not account.is_closed:
        logger.error("attempt_left_open", extra={"attempt": account.tag})
        error = UpstreamError(ErrorClass.GARBAGE, gettext_noop("the router failed while it read the answer"))
        call.plane.spool.append(account.failed_line(error, is_billable=True), keep=True)


async def _attempt(call: Call, account: AttemptAccount, key: KeyRecord | None, payload: bytes, limit: float) -> Answer:
    candidate, began = account.candidate, time.perf_counter()
    call.attempt_began = _now()
    response = None
    try:
        async with asyncio.timeout_at(limit):
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
        call.plane.spool.append(replace(close, is_billable=True), keep=True)
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
        candidate = account.candidate
        default = candidate.default_output_tokens or UNKNOWN_OUTPUT_TOKENS
        # A limit above what the model can hold limits nothing.
        bound = candidate.context_length or UNKNOWN_CONTEXT_TOKENS
        completion = min(output_limit(call.body) or default, bound * (call.body.get("n") or 1))
    usage = account.estimate(completion)
    is_charged = call.end_reason != "drained"
    line = account.close_line(call.end_reason, usage, answer=AnswerFacts(), is_charged=is_charged)
    call.plane.spool.append(line, keep=True)
    call.plane.sessions.note(call.facts, line.charge_nusd)
