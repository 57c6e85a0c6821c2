"""Hot path. /health: the process is alive. /health/ready: it can serve."""

from django.http import HttpRequest, HttpResponse

from routing.endpoints.base import json_response
from routing.plane import current_plane


async def health(request: HttpRequest) -> HttpResponse:
    """200 for as long as the process runs its event loop."""
    return json_response({"status": "ok"})


async def ready(request: HttpRequest) -> HttpResponse:
    """200 while a RoutingTable is loaded and nothing drains; "degraded" while database, Redis or jobs are away."""
    plane = current_plane()
    if plane is None or plane.is_leaving or plane.is_draining:
        return json_response({"status": "starting" if plane is None else "draining"}, 503)
    return json_response({"status": "ready", "degraded": plane.is_degraded})
