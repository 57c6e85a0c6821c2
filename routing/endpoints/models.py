"""Hot path. GET /v1/models and /v1/models/{id}: what this key can use now."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from routing.endpoints import schema
from routing.endpoints.base import HotView, json_response
from routing.joining import OWN_NAME
from routing.plane import serving_plane
from routing.resolve import Caller, resolve
from routing.table import RoutingTable


def model_object(name: str, owner: str) -> dict[str, Any]:
    """A model as the OpenAI dialect describes one."""
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def list_models(table: RoutingTable, caller: Caller) -> list[dict[str, Any]]:
    """Groups, then offered names, each with a usable channel and allowed for this key."""
    found, served = [], set()
    for name, group in sorted(table.groups_by_name.items()):
        if group.is_active:
            served.add(name)
        is_served = group.is_active and any(c.is_usable and caller.may_use(c) for c in table.members_of(group))
        if is_served and caller.key.may_ask_for(name):
            found.append(model_object(name, "smartrouter"))
    for name in sorted(table.names):
        if name.startswith(OWN_NAME) or name in served or not caller.key.may_ask_for(name):
            continue
        owners = sorted({c.channel.provider for c in table.names[name].values() if c.is_usable and caller.may_use(c)})
        if owners:
            found.append(model_object(name, owners[0]))
    return found


class ModelsView(HotView):
    """The models and model groups that this key can use now."""

    @extend_schema(**schema.MODELS)
    async def get(self, request: Request) -> HttpResponse:
        caller = request.user
        assert isinstance(caller, Caller)
        return json_response({"object": "list", "data": list_models(serving_plane().table, caller)})


class ModelView(HotView):
    """One model or model group."""

    @extend_schema(**schema.MODEL)
    async def get(self, request: Request, model_id: str) -> HttpResponse:
        caller = request.user
        assert isinstance(caller, Caller)
        found = resolve(serving_plane().table, model_id, caller)
        owner = "smartrouter" if found.group else found.candidates[0].channel.provider
        return json_response(model_object(model_id, owner))
