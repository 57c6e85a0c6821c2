"""Hot path. GET /v1/generations/{id}: one of the key's own requests, by the id that x-request-id told."""

import re
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.generations import Generation, TooManyReadings
from routing.amounts import usd_number
from routing.endpoints.base import HotView, json_response
from routing.endpoints.generation_schema import GENERATION
from routing.plane import Plane, serving_plane
from routing.resolve import Caller
from smartrouter.lib.counters import SourceUnavailable
from smartrouter.lib.errors import RouterError

_ID = re.compile("[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class GenerationView(HotView):
    """One request of this key: what was used, what it cost, how it went."""

    @extend_schema(**GENERATION)
    async def get(self, request: Request, generation_id: str) -> HttpResponse:
        plane, caller = serving_plane(), request.user
        assert isinstance(caller, Caller)
        request_id = id_of(generation_id)
        found = None if request_id is None else await find(plane, request_id, caller.key.ref)
        if found is None:
            message = _("This key has made no request with this id, or it is not recorded yet.")
            raise RouterError(404, "generation_not_found", message)
        return json_response(account_of(found, show_channel=caller.tenant.can_see_channels))


def id_of(text: str) -> UUID | None:
    """The id that 32 hex digits, with or without dashes, mean; None for any other text."""
    return UUID(text) if _ID.fullmatch(text) else None


async def find(plane: Plane, request_id: UUID, router_key_ref: int) -> Generation | None:
    """The request of this key, waited for while it is young. Raises RouterError 503."""
    if not plane.is_database_up():
        raise _unavailable()
    try:
        return await plane.generations.find(request_id, router_key_ref)
    except (SourceUnavailable, TimeoutError) as e:
        raise _unavailable() from e
    except TooManyReadings as e:
        message = _("Too many requests are being looked up.")
        raise RouterError(503, "overloaded", message, kind="server_error", retry_after_s=1) from e


def _unavailable() -> RouterError:
    message = _("The usage records cannot be read now.")
    return RouterError(503, "records_unavailable", message, kind="server_error", retry_after_s=5)


def account_of(found: Generation, *, show_channel: bool) -> dict[str, Any]:
    """What the caller is told: never our Cost, never an upstream's words."""
    account = {
        "object": "generation",
        "id": str(found.request_id),
        "created": found.admitted_s,
        "model": found.requested_model,
        "offering": found.offering,
        "served_model": found.upstream_model,
        "group": found.group or None,
        "provider": found.provider,
        "streamed": found.is_streamed,
        "status": found.status,
        "finish_reason": found.finish_reason or None,
        "attempts": found.attempts,
        "latency_ms": found.duration_ms,
        "first_content_ms": found.first_content_ms,
        "usage": {
            "prompt_tokens": found.prompt_tokens,
            "completion_tokens": found.completion_tokens,
            "total_tokens": found.prompt_tokens + found.completion_tokens,
            "prompt_tokens_details": {
                "cached_tokens": found.cached_tokens,
                "cache_write_tokens": found.cache_write_tokens,
                "audio_tokens": found.audio_input_tokens,
                "image_tokens": found.image_tokens,
            },
            "completion_tokens_details": {
                "reasoning_tokens": found.reasoning_tokens,
                "audio_tokens": found.audio_output_tokens,
            },
            "cost": usd_number(found.charge_nusd),
        },
        "estimated": found.is_estimated,
        "user": found.end_user or None,
        "client_request_id": found.client_request_id or None,
        "session_id": found.session_id or None,
    }
    return account | {"channel": found.channel} if show_channel else account
