"""Hot path. POST /v1/route: who would serve a chat request, and why. Nothing is sent, counted or recorded."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from routing.endpoints.base import HotView, json_response
from routing.endpoints.chat import open_choices, payers_of_request
from routing.endpoints.requests import check_messages, check_options, check_positive, names_asked_for
from routing.endpoints.route_schema import ROUTE
from routing.explain import explain
from routing.resolve import Caller


class RouteView(HotView):
    """A dry run of a chat request with this key: the candidates in order, and why the others take no part."""

    @extend_schema(**ROUTE)
    async def post(self, request: Request) -> HttpResponse:
        caller, body = request.user, request.data
        assert isinstance(caller, Caller)
        places = names_asked_for(body, caller.key.default_model)
        prompt_tokens = _check_body(body)
        choices = open_choices(request, places, payers_of_request(request), is_dry=True, prompt_tokens=prompt_tokens)
        account = explain(choices, show_channels=caller.tenant.can_see_channels)
        error = account.pop("refusal")
        return json_response({"object": "route", **account, "error": error})


def _check_body(body: dict[str, Any]) -> int | None:
    """The size of the prompt that the body states, in the place of messages or beside them. Raises RouterError 400."""
    check_positive(body, "prompt_tokens")
    prompt_tokens: int | None = body.pop("prompt_tokens", None)
    if prompt_tokens is not None and body.get("messages") is None:
        body["messages"] = []
    else:
        check_messages(body.get("messages"))
    check_options(body)
    return prompt_tokens
