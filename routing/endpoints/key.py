"""Hot path. GET /v1/key: what this key may use, what is left, until when."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.ledger import Standing
from routing.amounts import moment, usd_number
from routing.endpoints.base import HotView, json_response, token_of
from routing.endpoints.chat import END_USER_AT_MOST, exchange_of
from routing.endpoints.key_schema import KEY
from routing.payers import payers_of
from routing.plane import serving_plane
from routing.resolve import Caller
from routing.rows import RouterKeyRow
from smartrouter.lib.sealing import digest_key


class KeyView(HotView):
    """The key of the request itself; with ?user= also what its end user has left."""

    @extend_schema(**KEY)
    async def get(self, request: Request) -> HttpResponse:
        plane, caller = serving_plane(), request.user
        assert isinstance(caller, Caller)
        end_user = request.query_params.get("user", "")[:END_USER_AT_MOST]
        scopes = payers_of(plane.table, caller, end_user)
        standings = await plane.ledger.standings(scopes, exchange_of(request).admitted_ms)
        account = account_of(caller, expires_ms=_expires_ms(caller.key, token_of(request.META)))
        return json_response(account | budgets_of(standings))


def _expires_ms(key: RouterKeyRow, token: str) -> int | None:
    """When the key that was sent ends: one that was replaced, with its overlap at the latest."""
    if key.digest == digest_key(token):
        return key.expires_ms
    ends = [ends_ms for ends_ms in (key.expires_ms, key.previous_until_ms) if ends_ms is not None]
    return min(ends, default=None)


def account_of(caller: Caller, *, expires_ms: int | None) -> dict[str, Any]:
    """What the key may do, without its budgets."""
    key = caller.key
    return {
        "object": "key",
        "name": key.name,
        "tenant": {"name": caller.tenant.name},
        "labels": dict(key.labels),
        "allowed_models": key.allowed,
        "denied_models": key.denied,
        "default_model": key.default_model or None,
        "expires_at": moment(expires_ms),
        "networks": key.networks,
        "rate_limits": {
            "requests_per_minute": key.rpm,
            "tokens_per_minute": key.tpm,
            "parallel_requests": key.max_parallel,
        },
    }


def budgets_of(standings: Iterable[Standing]) -> dict[str, Any]:
    """Every budget; and the least that a hard one in USD has left, of those whose amounts the key may see.

    That is None where there is no such budget, or where one of them is not known.
    """
    shown, left = [], []
    for standing in standings:
        shown.append(_budget_of(standing))
        limit = standing.limit
        if standing.scope.shows_amounts and limit.unit == "usd" and limit.limit is not None:
            left.append(_remaining(standing))
    known = [each for each in left if each is not None]
    least = min(known) if known and len(known) == len(left) else None
    return {"budgets": shown, "limit_remaining_usd": usd_number(least)}


def _budget_of(standing: Standing) -> dict[str, Any]:
    scope, limit = standing.scope, standing.limit
    budget = {
        "scope": scope.kind,
        "unit": limit.unit,
        "window": limit.window,
        "resets_at": moment(standing.resets_ms),
    }
    if not scope.shows_amounts:
        return budget
    amounts: dict[str, Any] = {
        "limit": limit.limit,
        "soft_limit": limit.soft_limit,
        "used": standing.spent,
        "remaining": _remaining(standing),
    }
    if limit.unit == "usd":
        amounts = {name: usd_number(amount) for name, amount in amounts.items()}
    return budget | {"name": scope.name} | amounts


def _remaining(standing: Standing) -> int | None:
    """What is neither spent nor held; None without a hard limit, and where it is not known."""
    if standing.limit.limit is None or standing.spent is None:
        return None
    return max(0, standing.limit.limit - standing.spent - standing.held)
