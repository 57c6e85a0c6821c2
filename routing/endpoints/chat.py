"""Hot path. POST /v1/chat/completions."""

import asyncio
import time
from collections import ChainMap
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.attempts import RequestFacts
from billing.limits import RateRefused
from billing.sessions import session_id_of
from providers.dialects.openai_chat import estimate_prompt_tokens, output_limit
from routing.asking import Ask
from routing.call import Answer, Call
from routing.choosing import Choices
from routing.endpoints import schema
from routing.endpoints.base import HotView
from routing.endpoints.requests import check_chat, check_guarded, names_asked_for, stages_for, wish_of
from routing.failover import find_answer
from routing.glance import glance_at
from routing.holding import admit
from routing.needs import needs_of
from routing.payers import Payers
from routing.plane import serving_plane
from routing.refusal import check_choices, rate_error, rate_headers
from routing.relay import Send, StreamRelay, finish_plain
from routing.resolve import Caller
from smartrouter.lib.money import usd_of

TEXT_ID_AT_MOST = 128
END_USER_AT_MOST = 256
_WHOLE_HEADERS = (("Content-Type", "application/json"),)
# Proxies on the way must neither keep nor collect a stream.
_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class StreamResponse(HttpResponseBase):
    """A stream that has committed; the ASGI entry sends the headers and lets it run."""

    streaming = True

    def __init__(self, call: Call, answer: Answer) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self.call = call
        self.answer = answer

    async def run(self, send: Send) -> None:
        await StreamRelay(self.call, self.answer, send).run()


class WholeResponse(HttpResponseBase):
    """A plain answer. It has no cookies and no headers that would have to be looked at, so that Django's own way to begin is
    left out: it costs more than sending the answer."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def items(self) -> Iterable[tuple[str, str]]:
        """The headers."""
        return _WHOLE_HEADERS


class ChatCompletionsView(HotView):
    """Chat completions, streamed or not, from the best channel for the requested model."""

    @extend_schema(**schema.CHAT)
    async def post(self, request: Request) -> HttpResponseBase:
        call = open_call(request)
        exchange = exchange_of(request)
        exchange.call = call
        await _admit(call, exchange)
        call.plane.retries.active += 1
        try:
            answer = await find_answer(call)
        finally:
            call.plane.retries.active -= 1
        exchange.headers += headers_of(call, answer)
        if call.is_streamed:
            return StreamResponse(call, answer)
        body, charge = finish_plain(call, answer)
        if charge is not None:
            exchange.headers.append((b"x-smartrouter-cost-usd", f"{usd_of(charge):f}".encode()))
        if call.in_session is not None:
            session_cost = await call.plane.sessions.cost_with(call.in_session)
            if session_cost is not None:
                exchange.headers.append((b"x-smartrouter-session-cost-usd", f"{usd_of(session_cost):f}".encode()))
        return WholeResponse(body)


async def _admit(call: Call, exchange: "Exchange") -> None:
    """Count the request against the limits of its minute, and say how they stand. Raises RouterError 429."""
    try:
        call.admission = await admit(call)
    except RateRefused as e:
        exchange.headers = rate_headers(e)
        raise rate_error(e) from e
    if call.admission is not None:
        exchange.headers = call.admission.headers()


class Exchange(Protocol):
    """What the ASGI entry knows of a request, and what it learns here."""

    request_id: str
    admitted_ms: int
    began_exactly: float
    call: Call | None
    headers: list[tuple[bytes, bytes]]


def exchange_of(request: Request) -> Exchange:
    """The exchange that the ASGI entry has put on the request."""
    exchange: Exchange = request._request.exchange  # type: ignore[attr-defined]  # Django's class does not know it
    return exchange


def open_call(request: Request) -> Call:
    """The parsed, resolved and ranked request. Raises RouterError."""
    plane, caller = serving_plane(), request.user
    assert isinstance(caller, Caller)
    body: dict[str, Any] = request.data
    exchange = exchange_of(request)
    places = names_asked_for(body, caller.key.default_model)
    check_chat(body)
    payers = payers_of_request(request)
    choices = open_choices(request, places, payers)
    check_choices(choices)
    options = body.get("stream_options") or {}
    group, tenant, key, headers = choices.stages[0].group, caller.tenant, caller.key, request.META
    facts = RequestFacts(
        request_id=exchange.request_id,
        endpoint="chat.completions",
        is_streamed=bool(body.get("stream")),
        admitted_ms=exchange.admitted_ms,
        tenant=tenant.name,
        tenant_ref=tenant.ref,
        router_key=key.name,
        router_key_ref=key.ref,
        requested_model=choices.stages[0].name,
        group=group.name if group else "",
        prompt_tokens=choices.ask.prompt_tokens,
        end_user=_text(body.get("user"), END_USER_AT_MOST),
        client_request_id=_text(headers.get("HTTP_X_REQUEST_ID"), TEXT_ID_AT_MOST),
        session_id=session_id_of(headers.get("HTTP_X_SESSION_ID")),
    )
    return Call(
        plane=plane,
        caller=caller,
        facts=facts,
        body=body,
        choices=choices,
        began=asyncio.get_running_loop().time(),
        began_exactly=exchange.began_exactly,
        wants_usage=options.get("include_usage") is True,
        payers=payers,
    )


def payers_of_request(request: Request) -> Payers:
    """Who pays for the request, without its group and channel."""
    caller = request.user
    assert isinstance(caller, Caller)
    return serving_plane().cashier.caller(caller, _text(request.data.get("user"), END_USER_AT_MOST))


def open_choices(
    request: Request,
    places: Mapping[str, str],
    payers: Payers,
    *,
    is_dry: bool = False,
    prompt_tokens: int | None = None,
) -> Choices:
    """What may serve the request, in order; whether anybody may is not asked yet. Raises RouterError for what is refused.

    places: of names_asked_for; the body was checked. payers: of payers_of_request.
    is_dry: takes no turn of Kind.ROTATION, and reads signals uncounted.
    prompt_tokens: in the place of our estimate.
    """
    plane, caller, at_ms = serving_plane(), request.user, exchange_of(request).admitted_ms
    assert isinstance(caller, Caller)
    body: dict[str, Any] = request.data
    override, provider = wish_of(request.META, caller, plane.table)
    stages = stages_for(plane.table, places, caller, at_ms=at_ms, override=override)
    check_guarded(body, stages)
    ask = Ask(
        needs=needs_of(body),
        prompt_tokens=estimate_prompt_tokens(body) if prompt_tokens is None else prompt_tokens,
        output_tokens=output_limit(body),
        is_streamed=bool(body.get("stream")),
        at_ms=at_ms,
        provider=provider,
        answers=body.get("n") or 1,
    )
    turns = ChainMap({}, plane.turns) if is_dry else plane.turns
    live = glance_at(plane.signals) if is_dry else plane.signals
    return Choices(stages, caller, ask, live, plane.random, turns, payers.limits_money)


def _text(value: Any, at_most: int) -> str:
    """The printable characters of a client's text; empty for anything else."""
    return "".join(filter(str.isprintable, value[:at_most])) if value and isinstance(value, str) else ""


@lru_cache(maxsize=4096)
def _ascii(name: str) -> bytes:
    """A name as a header's value: what is not printable ASCII is shown escaped."""
    if not (name.isascii() and name.isprintable()):
        name = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in name)
    return name.encode()


def headers_of(call: Call, answer: Answer) -> list[tuple[bytes, bytes]]:
    """Who served the request, and what it cost in time."""
    candidate = answer.account.candidate
    channel = candidate.channel
    overhead_ms = max(0.0, time.perf_counter() - call.began_exactly - call.upstream_s) * 1000
    headers = [
        (b"x-smartrouter-provider", _ascii(channel.provider)),
        (b"x-smartrouter-model", _ascii(candidate.model)),
        (b"x-smartrouter-attempts", b"%d" % call.attempts),
        (b"x-smartrouter-overhead-ms", b"%.2f" % overhead_ms),
    ]
    if answer.account.facts.group:
        headers.append((b"x-smartrouter-group", _ascii(answer.account.facts.group)))
    if call.caller.tenant.can_see_channels:
        headers.append((b"x-smartrouter-channel", _ascii(channel.name)))
    if call.is_streamed:
        headers += _STREAM_HEADERS
    call.log.update(
        model=call.facts.requested_model,
        channel=channel.name,
        upstream_model=candidate.model,
        attempts=call.attempts,
    )
    return headers
