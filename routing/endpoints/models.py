"""Hot path. GET /v1/models and /v1/models/{id}: what this key can use now."""

from dataclasses import replace
from random import Random
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from routing.choosing import Choices
from routing.endpoints import schema
from routing.endpoints.base import HotView, json_response
from routing.endpoints.chat import exchange_of
from routing.endpoints.listing import MODEL, OURS, Pace, Seen, kind_of, list_models, summary_of
from routing.glance import glance_at
from routing.plane import serving_plane
from routing.refusal import check_choices
from routing.resolve import Caller, resolve
from smartrouter.lib.errors import RouterError

_FLAGS = {"": False, "false": False, "0": False, "true": True, "1": True}


class ModelsView(HotView):
    """The models and model groups that this key can use now; with ?tags=true also the tags."""

    @extend_schema(**schema.MODELS)
    async def get(self, request: Request) -> HttpResponse:
        caller, flag = request.user, request.query_params.get("tags", "").lower()
        assert isinstance(caller, Caller)
        if flag not in _FLAGS:
            raise RouterError(400, "invalid_request", _("“tags” is true or false."), param="tags")
        at_ms = exchange_of(request).admitted_ms
        body = await list_models(serving_plane(), caller, at_ms, has_tags=_FLAGS[flag])
        return HttpResponse(body, content_type="application/json")


class ModelView(HotView):
    """One model, model group or tag query."""

    @extend_schema(**schema.MODEL)
    async def get(self, request: Request, model_id: str) -> HttpResponse:
        plane, caller, at_ms = serving_plane(), request.user, exchange_of(request).admitted_ms
        assert isinstance(caller, Caller)
        return json_response(await look_up(Seen(plane.table, caller, plane.signals, at_ms), model_id, plane.random))


async def look_up(seen: Seen, name: str, random: Random) -> dict[str, Any]:
    """The model object of a name. Raises RouterError as a request for the name would, but no signal counts it as one."""
    seen = replace(seen, live=glance_at(seen.live))
    stages = resolve(seen.table, (name,), seen.caller, at_ms=seen.at_ms)
    check_choices(Choices(stages, seen.caller, seen.gate().ask, seen.live, random, turns={}))
    summary, kind = await summary_of(seen, stages, Pace()), kind_of(stages)
    group = stages[0].group
    owner, created_s = ("" if kind == MODEL else OURS), (group.created_s if group else 0)
    return summary.entry(name, kind, owner, created_s=created_s)
