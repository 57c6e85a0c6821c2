"""Hot path. The account of one attempt: its lines in the spool, from open over checkpoints to close."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from billing.ledger import Hold
from billing.pricing import cost_of, price_snapshot
from billing.scopes import Amounts
from billing.spool import CheckpointLine, CloseLine, OpenLine
from channels.records import Candidate
from providers.prices import Rates
from providers.usage import Usage
from smartrouter.lib.clock import dashed, mint_hex7, now_ms
from smartrouter.lib.errors import UpstreamError
from smartrouter.lib.money import nusd_of

ERROR_MESSAGE_AT_MOST = 500
# gpt-4o-mini-2024-07-18, gpt-4-0613, claude-3-opus@20240229, mistral-large-latest
_DATED = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{4,8}|latest)$")


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What all attempts of a request share. Times in milliseconds since the epoch; refs are row ids.

    request_id: a UUIDv7 as 32 hex digits.
    """

    request_id: str
    endpoint: str
    is_streamed: bool
    admitted_ms: int
    tenant: str
    tenant_ref: int
    router_key: str
    router_key_ref: int
    requested_model: str
    group: str
    prompt_tokens: int  # our estimate
    end_user: str = ""
    client_request_id: str = ""
    session_id: str | None = None


@dataclass(slots=True)
class AttemptAccount:
    """One attempt's account. usd_per_unit: the exchange rate of the price's currency, None where it is not known.

    trace: how the candidate was chosen, None where there was no choice. payer: the request's hold, group_payer: that of the
    group that serves, channel_payer: the attempt's own, in Cost; they are settled with the attempt's close.
    """

    facts: RequestFacts
    number: int
    candidate: Candidate
    key_name: str
    rates: Rates | None
    usd_per_unit: Decimal | None
    trace: Mapping[str, Any] | None = None
    payer: Hold | None = None
    group_payer: Hold | None = None
    channel_payer: Hold | None = None
    output: int | None = None  # its limit of output tokens, as it was sent
    started_ms: int = field(default_factory=now_ms)
    attempt_id: str = field(default_factory=lambda: mint_hex7(now_ms()))
    first_content_ms: int | None = None
    is_closed: bool = False
    tokens: int = 0  # of prompt and answer, once it is closed
    # What was charged for last: an answer is told its charge before it is closed with it.
    _charged: Usage | None = None
    _charge: int | None = None

    @property
    def tag(self) -> str:
        """What the upstream gets as X-Request-Id."""
        return f"{dashed(self.facts.request_id)}-{self.number}"

    def charge_of(self, usage: Usage) -> int | None:
        """The charge for a usage, from our price; None where the price is not known."""
        if usage is not self._charged:
            self._charged = usage
            self._charge = cost_of(usage, self.rates, self.usd_per_unit, self.facts.admitted_ms)
        return self._charge

    def estimate(self, completion_tokens: int) -> Usage:
        """The usage where the upstream has not said: our count of the prompt and of what it sent."""
        return Usage(self.facts.prompt_tokens, completion_tokens, is_estimated=True)

    def open_line(self) -> OpenLine:
        """The line before sending: should nothing more be heard, the prompt is what was used."""
        facts, candidate = self.facts, self.candidate
        charge = self.charge_of(self.estimate(0))
        return OpenLine(
            attempt_id=self.attempt_id,
            request_id=facts.request_id,
            attempt=self.number,
            endpoint=facts.endpoint,
            is_streamed=facts.is_streamed,
            admitted_ms=facts.admitted_ms,
            started_ms=self.started_ms,
            tenant=facts.tenant,
            tenant_ref=facts.tenant_ref,
            router_key=facts.router_key,
            router_key_ref=facts.router_key_ref,
            end_user=facts.end_user,
            client_request_id=facts.client_request_id,
            requested_model=facts.requested_model,
            group=facts.group,
            offering=candidate.name,
            provider=candidate.channel.provider,
            channel=candidate.channel.name,
            channel_key=self.key_name,
            upstream_model=candidate.model,
            prompt_tokens=facts.prompt_tokens,
            cost_nusd=charge,
            charge_nusd=charge,
            price=self._snapshot(facts.prompt_tokens),
            session_id=facts.session_id,
            trace=self.trace,
            scopes=self._days(),
        )

    def checkpoint_line(self, completion_tokens: int) -> CheckpointLine:
        """The line every 2 s of a stream."""
        charge = self.charge_of(self.estimate(completion_tokens))
        return CheckpointLine(
            attempt_id=self.attempt_id,
            completion_tokens=completion_tokens,
            at_ms=now_ms(),
            cost_nusd=charge,
            charge_nusd=charge,
        )

    def failed_line(self, error: UpstreamError, *, is_billable: bool) -> CloseLine:
        """The close of an attempt that brought nothing: it costs nothing, as far as anyone knows."""
        line = CloseLine(
            attempt_id=self.attempt_id,
            is_billable=is_billable,
            status="failed",
            duration_ms=max(0, now_ms() - self.started_ms),
            http_status=error.status,
            error_class=error.kind.value,
            error_message=error.message[:ERROR_MESSAGE_AT_MOST],
            cost_nusd=0,
            charge_nusd=0,
        )
        self._closed(line)
        return line

    def close_line(
        self,
        status: str,
        usage: Usage,
        *,
        answer: "AnswerFacts",
        error: UpstreamError | None = None,
        is_charged: bool = True,
    ) -> CloseLine:
        """The close of an attempt that used something, whether its content reached the caller whole, in part or not."""
        price = self.charge_of(usage)
        is_reported = self.candidate.channel.adapter.is_cost_reported and usage.reported_cost_usd is not None
        line = CloseLine(
            attempt_id=self.attempt_id,
            is_billable=True,
            status=status,
            duration_ms=max(0, now_ms() - self.started_ms),
            first_content_ms=self.first_content_ms,
            http_status=200 if status == "ok" or self.first_content_ms is not None else None,
            error_class=error.kind.value if error else "",
            error_message=error.message[:ERROR_MESSAGE_AT_MOST] if error else "",
            finish_reason=answer.finish_reason[:40],
            reported_model=answer.model[:200],
            is_model_mismatch=is_other_model(self.candidate.model, answer.model),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            audio_input_tokens=usage.audio_input_tokens,
            audio_output_tokens=usage.audio_output_tokens,
            image_tokens=usage.image_tokens,
            is_estimated=usage.is_estimated,
            cost_nusd=reported_nusd(usage.reported_cost_usd) if is_reported else price,
            charge_nusd=price if is_charged else 0,
            is_cost_reported=is_reported,
            price=self._snapshot(usage.prompt_tokens),
        )
        self._closed(line)
        return line

    def settle_as_billable(self) -> None:
        """The request ends with this attempt, which failed after all: it counts as a request, without a charge."""
        self._settle(Amounts())

    def _closed(self, line: CloseLine) -> None:
        self.is_closed = True
        self.tokens = line.prompt_tokens + line.completion_tokens
        if line.is_billable:
            self._settle(Amounts(line.charge_nusd or 0, self.tokens))
        if self.channel_payer is not None:
            self.channel_payer.settle(Amounts(line.cost_nusd or 0, self.tokens))

    def _settle(self, used: Amounts) -> None:
        for hold in (self.payer, self.group_payer):
            if hold is not None:
                hold.settle(used)

    def _days(self) -> tuple[tuple[str, int], ...] | None:
        """Whom the attempt is counted for."""
        payers = (self.payer, self.group_payer, self.channel_payer)
        return tuple([day for hold in payers if hold is not None for day in hold.days]) or None

    def _snapshot(self, prompt_tokens: int) -> Mapping[str, Any] | None:
        if self.rates is None:
            return None
        return price_snapshot(self.rates.resolved(prompt_tokens, self.facts.admitted_ms), self.usd_per_unit)


@dataclass(slots=True)
class AnswerFacts:
    """What an answer says of itself."""

    model: str = ""
    finish_reason: str = ""


def reported_nusd(cost_usd: Decimal | None) -> int | None:
    """What an upstream says it takes, in nano-USD."""
    return None if cost_usd is None else nusd_of(cost_usd)


@lru_cache(maxsize=4096)
def is_other_model(sent: str, reported: str) -> bool:
    """Whether an answer names a model that is neither the one sent nor a dated or differently prefixed name of it."""
    return bool(reported) and _plain_model(sent) != _plain_model(reported)


def _plain_model(name: str) -> str:
    return _DATED.sub("", name.lower().rsplit("/", 1)[-1].split(":", 1)[0])
