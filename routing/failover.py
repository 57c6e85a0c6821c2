"""Hot path. The first candidate that answers, within one deadline.

REQUEST, CONTEXT and CONTENT go back to the caller. After KEY, KEY_MODEL and RATE another key of the same channel is tried
once, after anything else the next candidate. The first move to another channel, or to another key of the only one, is free;
any other second key, a third attempt and a repetition come out of the retry budget. A failed attempt is closed in the spool
by the same write that opens the next one, so that whenever the process dies exactly one attempt of the request is the
billable one.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from random import Random

import orjson
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from msgspec.structs import replace

from billing.attempts import AnswerFacts, AttemptAccount
from billing.spool import CloseLine, SpoolError
from channels.records import Candidate, KeyRecord
from channels.upstream import EventStream, headers_of, read_answer, send_request
from providers.dialects.openai_chat import build_payload, output_limit
from routing.call import Answer, Call
from smartrouter.lib.errors import ErrorClass, RouterError, UpstreamError
from smartrouter.lib.language import in_active_language

logger = logging.getLogger(__name__)

ATTEMPTS_AT_MOST = 3
FINAL = frozenset((ErrorClass.REQUEST, ErrorClass.CONTEXT, ErrorClass.CONTENT))
ABOUT_THE_KEY = frozenset((ErrorClass.KEY, ErrorClass.KEY_MODEL, ErrorClass.RATE))
# Only operators can mend these; their text says more about our accounts than a caller needs to know.
OURS = frozenset((ErrorClass.KEY, ErrorClass.KEY_MODEL, ErrorClass.CHANNEL))
UNKNOWN_OUTPUT_TOKENS = 4096
UNKNOWN_CONTEXT_TOKENS = 128_000
# What callers are told to wait for upstreams that are too busy and do not say how long.
UNKNOWN_WAIT_S = 2.0


class Plan:
    """What to try next. Keys of a channel are taken from a random start, so that they share the load."""

    def __init__(self, candidates: Sequence[Candidate], random: Random) -> None:
        self._waiting = list(candidates)
        self._random = random
        self._keys: list[KeyRecord] = []
        self._key: KeyRecord | None = None
        self._current: Candidate | None = None
        self._has_stayed = False
        self._tried: frozenset[int] = frozenset()
        self.moves = 0

    def first(self) -> tuple[Candidate, KeyRecord | None]:
        return self._move()

    def after(self, error: UpstreamError, *, can_retry: bool) -> tuple[Candidate, KeyRecord | None, bool] | None:
        """The next candidate and key, and whether this is a retry (it costs budget); None where nothing is left to try."""
        assert self._current is not None
        if error.kind in FINAL:
            return None
        can_stay = can_retry and not self._has_stayed
        # A channel that is the only one has its other account as others have their second channel: the first move is free.
        is_free = self.moves == 1 and not self._waiting and not self._has_stayed
        if (can_stay or is_free) and error.kind in ABOUT_THE_KEY and self._keys:
            self._has_stayed = True
            self._key = self._keys.pop()
            return self._current, self._key, not is_free
        if self._waiting and (can_retry or self.moves < 2):
            candidate, key = self._move()
            # Only the first move to a different channel is free.
            return candidate, key, self.moves > 2 or candidate.channel.ref in self._tried
        if can_stay and error.is_unanswered:
            self._has_stayed = True
            return self._current, self._key, True
        return None

    @property
    def left(self) -> int:
        """How many candidates have not been tried."""
        return len(self._waiting)

    def _move(self) -> tuple[Candidate, KeyRecord | None]:
        if self._current is not None:
            self._tried |= {self._current.channel.ref}
        self._current = self._waiting.pop(0)
        self.moves += 1
        keys = self._current.channel.keys
        begin = self._random.randrange(len(keys)) if len(keys) > 1 else 0
        self._keys = [*keys[begin:], *keys[:begin]]
        self._keys.reverse()
        self._key = self._keys.pop() if self._keys else None
        return self._current, self._key


async def find_answer(call: Call) -> Answer:
    """The first answer. Raises RouterError when nobody answered or the fault is the caller's; every attempt is accounted."""
    plan, retries = Plan(call.candidates, call.plane.random), call.plane.retries
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
            # Nobody waits any more for a client that has left.
            is_over = call.attempts >= ATTEMPTS_AT_MOST or _now() >= until or call.has_left
            following = None if is_over else plan.after(error, can_retry=retries.allows())
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
    shares = 1 + min(plan.left, ATTEMPTS_AT_MOST - call.attempts)
    return now + min(channel.total_s, (until - now) / shares)


def _open_account(call: Call, candidate: Candidate, key: KeyRecord | None, close: CloseLine | None) -> AttemptAccount:
    call.attempts += 1
    at_ms, table = call.facts.admitted_ms, call.plane.table
    rates = candidate.rates_at(at_ms)
    account = AttemptAccount(
        facts=call.facts,
        number=call.attempts,
        candidate=candidate,
        key_name=key.name if key else "",
        rates=rates,
        usd_per_unit=table.usd_per_unit(rates.currency, at_ms) if rates and rates.currency != "USD" else None,
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
    return account


def close_leftover(call: Call) -> None:
    """Close the attempt that an error of our own has left open: an open line of a living process is never ingested."""
    account = call.account
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


def failure_for_caller(failed: Sequence[UpstreamError], *, has_begun: bool = False) -> RouterError:
    """The documented error for what the attempts met; the last one decides, unless all were told to wait.

    has_begun: the answer broke off, so that waiting for a channel is no longer the question.
    """
    last = failed[-1]
    text = in_active_language(last.message)
    if last.kind is ErrorClass.CONTEXT:
        return RouterError(400, "context_length_exceeded", text, param=last.param or "messages")
    if last.kind is ErrorClass.CONTENT:
        return RouterError(400, "content_filter", text, param=last.param)
    if last.kind is ErrorClass.REQUEST:
        status = last.status if last.status in (400, 413, 415, 422) else 400
        return RouterError(status, last.code or "invalid_request", text, param=last.param)
    metadata = {"attempts": len(failed)}
    if all(error.kind is ErrorClass.RATE for error in failed) and not has_begun:
        waits = [error.retry_after_s for error in failed if error.retry_after_s is not None]
        message = _("All channels for this model are rate limited.")
        wait = min(waits) if waits else UNKNOWN_WAIT_S
        return RouterError(
            503, "no_available_channel", message, kind="server_error", retry_after_s=wait, metadata=metadata
        )
    if last.timed_out:
        message = _("The upstream did not answer in time: %s.") % text
        return RouterError(504, "upstream_timeout", message, kind="server_error", metadata=metadata)
    shown = _("it refused the router") if last.kind in OURS else text
    message = _("The upstream failed: %s.") % shown.rstrip(".")
    return RouterError(502, "upstream_error", message, kind="server_error", metadata=metadata)
