"""Hot path. POST /v1/chat/completions."""

import asyncio
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.attempts import RequestFacts
from providers.dialects.openai_chat import estimate_prompt_tokens
from routing.call import Answer, Call
from routing.endpoints import schema
from routing.endpoints.base import HotView
from routing.endpoints.requests import check_chat, check_guarded
from routing.failover import find_answer
from routing.plane import serving_plane
from routing.rank import rank
from routing.relay import Send, StreamRelay, finish_plain
from routing.resolve import Caller, resolve
from smartrouter.lib.money import usd_of

TEXT_ID_AT_MOST = 128
END_USER_AT_MOST = 256


class StreamResponse(HttpResponseBase):
    """A stream that has committed; the ASGI entry sends the headers and lets it run."""

    streaming = True

    def __init__(self, call: Call, answer: Answer) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self.call = call
        self.answer = answer

    async def run(self, send: Send) -> None:
        await StreamRelay(self.call, self.answer, send).run()


class ChatCompletionsView(HotView):
    """Chat completions, streamed or not, from the best channel for the requested model."""

    @extend_schema(**schema.CHAT)
    async def post(self, request: Request) -> HttpResponseBase:
        call = open_call(request)
        exchange = request._request.exchange
        exchange.call = call
        call.plane.retries.active += 1
        try:
            answer = await find_answer(call)
        finally:
            call.plane.retries.active -= 1
        if call.is_streamed:
            streamed = StreamResponse(call, answer)
            streamed["Cache-Control"] = "no-cache"
            streamed["X-Accel-Buffering"] = "no"
            add_headers(streamed, call, answer)
            return streamed
        body, charge = finish_plain(call, answer)
        response = HttpResponse(body, content_type="application/json")
        add_headers(response, call, answer)
        if charge is not None:
            response["x-smartrouter-cost-usd"] = f"{usd_of(charge):f}"
        return response


def open_call(request: Request) -> Call:
    """The parsed, resolved and ranked request. Raises RouterError."""
    plane, caller = serving_plane(), request.user
    assert isinstance(caller, Caller)
    body: dict[str, Any] = request.data
    model = check_chat(body)
    resolution = resolve(plane.table, model, caller)
    check_guarded(body, resolution.candidates)
    exchange, options = request._request.exchange, body.get("stream_options") or {}
    facts = RequestFacts(
        request_id=exchange.request_id,
        endpoint="chat.completions",
        is_streamed=bool(body.get("stream")),
        admitted_ms=exchange.admitted_ms,
        tenant=caller.tenant.name,
        tenant_ref=caller.tenant.ref,
        router_key=caller.key.name,
        router_key_ref=caller.key.ref,
        requested_model=model,
        group=resolution.group,
        prompt_tokens=estimate_prompt_tokens(body),
        end_user=_text(body.get("user"), END_USER_AT_MOST),
        client_request_id=_text(request.META.get("HTTP_X_REQUEST_ID"), TEXT_ID_AT_MOST),
    )
    return Call(
        plane=plane,
        caller=caller,
        facts=facts,
        body=body,
        candidates=rank(resolution.candidates, plane.random),
        began=asyncio.get_running_loop().time(),
        wants_usage=bool(options.get("include_usage")),
    )


def _text(value: Any, at_most: int) -> str:
    """The printable characters of a client's text; empty for anything else."""
    return "".join(filter(str.isprintable, value[:at_most])) if isinstance(value, str) else ""


def add_headers(response: HttpResponseBase, call: Call, answer: Answer) -> None:
    """Who served the request, and what it cost in time."""
    candidate = answer.account.candidate
    elapsed = asyncio.get_running_loop().time() - call.began
    response["x-smartrouter-provider"] = candidate.channel.provider
    response["x-smartrouter-model"] = candidate.model
    if call.facts.group:
        response["x-smartrouter-group"] = call.facts.group
    if call.caller.tenant.can_see_channels:
        response["x-smartrouter-channel"] = candidate.channel.name
    response["x-smartrouter-attempts"] = str(call.attempts)
    response["x-smartrouter-overhead-ms"] = f"{max(0.0, elapsed - call.upstream_s) * 1000:.2f}"
    call.log.update(
        model=call.facts.requested_model,
        channel=candidate.channel.name,
        upstream_model=candidate.model,
        attempts=call.attempts,
    )
