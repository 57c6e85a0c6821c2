"""Hot path. The answer on its way back: relayed, settled, recorded.

A stream is pumped and settled by the request's own task, in order: no generator's `finally` is relied on, for a server that
shuts down runs none. Whoever ends the task early (client gone, shutdown) is told apart by Call.end_reason.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from billing.attempts import AnswerFacts
from billing.spool import SpoolError
from channels.upstream import error_in
from providers.dialects import openai_chat
from providers.dialects.openai_stream import BadEvent, StreamScanner
from providers.usage import Usage
from routing.call import Answer, Call
from routing.failover import upstream_error_of
from routing.refusal import failure_for_caller
from smartrouter.lib.deadlines import Deadline
from smartrouter.lib.errors import ErrorClass, RouterError, UpstreamError
from smartrouter.lib.money import usd_of

Send = Callable[[dict[str, Any]], Awaitable[None]]

CHECKPOINT_S = 2.0
CLIENT_WRITE_S = 60.0
# How long to wait for the end of a body whose [DONE] has come, so that its connection can be used again.
TAIL_S = 1.0


def charge_usd(call: Call, answer: Answer, usage: Usage) -> float | None:
    """What the caller pays for a usage, as a JSON number of USD; None where the price is not known."""
    charge = answer.account.charge_of(usage)
    return None if charge is None else float(usd_of(charge))


def settle(
    call: Call,
    answer: Answer,
    status: str,
    usage: Usage,
    facts: AnswerFacts,
    error: UpstreamError | None = None,
) -> int | None:
    """Close the attempt in the spool; the charge in nano-USD comes back. Never waits and never fails: what the disk
    refuses is kept and tried again."""
    _end_flight(call, status, usage, error)
    line = answer.account.close_line(status, usage, answer=facts, error=error)
    call.plane.spool.append(line, keep=True)
    call.in_session = call.plane.sessions.note(call.facts, line.charge_nusd)
    call.log.update(
        outcome=status,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        charge_nusd=line.charge_nusd,
    )
    return line.charge_nusd


def _end_flight(call: Call, status: str, usage: Usage, error: UpstreamError | None) -> None:
    """Let the live signals know; a plain answer is whole even where its client has left."""
    if call.flight is None:
        return
    if error is not None:
        call.flight.failed(error.kind)
    elif status == "ok" or not call.is_streamed:
        call.flight.answered(usage.completion_tokens)
    else:
        call.flight.left()


def finish_plain(call: Call, answer: Answer) -> tuple[bytes, int | None]:
    """A plain answer's body with our charge in its usage, and the charge in nano-USD; settled."""
    doc, account = answer.doc, answer.account
    found = openai_chat.usage_in(doc)
    usage = openai_chat.read_usage(found) if found else account.estimate(openai_chat.estimate_answer_tokens(doc))
    model, choices = doc.get("model"), doc["choices"]
    reason = choices[0].get("finish_reason") if isinstance(choices[0], dict) else None
    facts = AnswerFacts(model[:200] if isinstance(model, str) else "", str(reason or "")[:40])
    shown = found or openai_chat.usage_object(usage)
    openai_chat.show_usage(doc, openai_chat.with_charge(shown, charge_usd(call, answer, usage)))
    body = orjson.dumps(doc)  # before the bill: an answer that cannot be delivered is not charged
    return body, settle(call, answer, "client_gone" if call.has_left else "ok", usage, facts)


class StreamRelay:
    """One committed stream on its way to the client."""

    def __init__(self, call: Call, answer: Answer, send: Send) -> None:
        assert answer.stream is not None
        self.call = call
        self.answer = answer
        self.stream = answer.stream
        self.send = send
        self.scanner = StreamScanner(lambda usage: charge_usd(call, answer, usage))
        self.channel = answer.account.candidate.channel
        self._deadline = Deadline(0.0)
        self._is_sending = False
        self._checkpoint_at = 0.0
        self._bad: BadEvent | None = None
        self._is_settled = False

    async def run(self) -> None:
        """Relay until the end, whatever it is; settled when this returns or raises CancelledError."""
        try:
            await self._pump()
        except asyncio.CancelledError:
            self.stream.close()
            was_whole = self._is_settled
            self._settle(self.call.end_reason)
            if self.call.end_reason == "drained" and not was_whole:
                message = _("The router is shutting down.")
                await self._end_with_error(RouterError(503, "shutting_down", message, kind="server_error"))
            raise
        except Exception as e:  # noqa: BLE001  (whatever an upstream sends, the stream ends with an error and a record)
            error = upstream_error_of(e)
            self.stream.close()
            self._settle("cut", error)
            await self._end_with_error(failure_for_caller([error], has_begun=True))

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        call = self.call
        self._checkpoint_at = loop.time() + CHECKPOINT_S
        total_at = min(call.attempt_began + self.channel.total_s, call.began + call.plane.request_timeout_s)
        self._deadline.at = loop.time() + self.channel.idle_s
        try:
            with self._deadline:
                await self._relay(loop, total_at)
        except TimeoutError as e:
            if self._is_sending:
                # A client that stopped reading: nothing can be told to it any more.
                raise self._client_gone() from e
            is_idle = self._deadline.at < total_at
            message = (
                gettext_noop("no event came for too long") if is_idle else gettext_noop("the answer took too long")
            )
            kind = ErrorClass.TRANSIENT if is_idle else ErrorClass.GARBAGE
            raise UpstreamError(kind, message, 200, timed_out=True) from e
        await self._drop_tail()

    async def _relay(self, loop: asyncio.AbstractEventLoop, total_at: float) -> None:
        """Relay all events. Bytes that complete no event do not count as a sign of life."""
        scanner, flight, idle_s = self.scanner, self.call.flight, self.channel.idle_s
        first, events = self.answer.first, self.answer.events
        scanner.begin(events[first])
        held = self._scan(events[:first])
        scanner.restart_count()
        following: list[bytes] | None = events[first:]
        while following is not None:
            out = held + self._scan(following)
            held = b""
            now = loop.time()
            if out:
                await self._send(out, now)
                before, now = now, loop.time()
                if flight is not None:
                    flight.held_up_s += now - before
            if self._bad is not None:
                raise UpstreamError(ErrorClass.GARBAGE, str(self._bad), 200) from self._bad
            if scanner.is_done or scanner.error is not None:
                break
            if now >= self._checkpoint_at:
                self._write_checkpoint(now)
            self._deadline.move(min(now + idle_s, total_at))
            following = await self.stream.read()
            while following is not None and not following:
                following = await self.stream.read()
        if scanner.error is not None:
            error = error_in(self.channel, scanner.error)
            raise error or UpstreamError(ErrorClass.TRANSIENT, gettext_noop("the upstream reported an error"), 200)
        if not scanner.is_done:
            raise UpstreamError(
                ErrorClass.TRANSIENT, gettext_noop("the stream ended before its end was announced"), 200
            )
        usage = self._settle("ok")
        await self._send(scanner.last_events(usage, wants_usage=self.call.wants_usage), loop.time(), more=False)

    def _scan(self, events: list[bytes]) -> bytes:
        scanner, parts = self.scanner, []
        try:
            for event in events:
                part = scanner.scan(event)
                if part:
                    parts.append(part)
                elif scanner.is_done or scanner.error is not None:
                    break
        except BadEvent as e:
            self._bad = e  # raised when what came before it was sent
        return b"".join(parts)

    async def _send(self, data: bytes, now: float, *, more: bool = True) -> None:
        self._deadline.move(now + CLIENT_WRITE_S)
        self._is_sending = True
        await self.send({"type": "http.response.body", "body": data, "more_body": more})
        self._is_sending = False

    def _write_checkpoint(self, now: float) -> None:
        self._checkpoint_at = now + CHECKPOINT_S
        try:
            self.call.plane.spool.append(self.answer.account.checkpoint_line(self.scanner.estimated_tokens()))
        except SpoolError:
            return  # the spool has logged it; the close line is kept in memory if need be

    def _settle(self, status: str, error: UpstreamError | None = None) -> Usage:
        scanner = self.scanner
        reported = scanner.whole() if status == "ok" else scanner.used()
        usage = reported or self.answer.account.estimate(scanner.estimated_tokens())
        if self._is_settled:
            return usage  # the client left between the record and the last bytes
        self._is_settled = True
        settle(self.call, self.answer, status, usage, AnswerFacts(scanner.model, scanner.finish_reason), error)
        return usage

    async def _end_with_error(self, error: RouterError) -> None:
        now = asyncio.get_running_loop().time()
        try:
            with Deadline(now + CLIENT_WRITE_S):
                await self.send(
                    {"type": "http.response.body", "body": openai_chat.error_event(error.body()), "more_body": False}
                )
        except TimeoutError as e:
            raise self._client_gone() from e

    def _client_gone(self) -> asyncio.CancelledError:
        self.call.end_reason = "client_gone"
        return asyncio.CancelledError(self.call.end_reason)

    async def _drop_tail(self) -> None:
        """Read what follows [DONE], so that the connection is whole again; a long tail costs it."""
        try:
            with Deadline(asyncio.get_running_loop().time() + TAIL_S):
                while await self.stream.read() is not None:
                    pass
            self.stream.release()
        except (UpstreamError, TimeoutError, asyncio.CancelledError):
            # The client has its answer, the record is written, and the task has nothing else to do.
            self.stream.close()
