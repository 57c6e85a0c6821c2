"""Lines of the spool with everything filled in that a test does not care about."""

from typing import Any
from uuid import UUID

from billing.spool import CheckpointLine, CloseLine, OpenLine
from smartrouter.lib.clock import mint_uuid7

ADMITTED_MS = 1_795_000_000_000
PRICE = {"currency": "USD", "input": "0.15", "output": "0.6"}


def open_line(attempt_id: UUID | None = None, **changes: Any) -> OpenLine:
    values: dict[str, Any] = {
        "attempt_id": (attempt_id or mint_uuid7()).hex,
        "request_id": mint_uuid7().hex,
        "attempt": 1,
        "endpoint": "chat.completions",
        "is_streamed": True,
        "admitted_ms": ADMITTED_MS,
        "started_ms": ADMITTED_MS + 3,
        "tenant": "acme",
        "tenant_ref": 7,
        "router_key": "ci",
        "router_key_ref": 8,
        "requested_model": "auto:fast",
        "group": "auto:fast",
        "offering": "gpt-4o-mini",
        "provider": "openai",
        "channel": "openai-main",
        "channel_key": "first",
        "upstream_model": "gpt-4o-mini",
        "prompt_tokens": 10,
        "cost_nusd": 1_500,
        "charge_nusd": 1_500,
        "price": PRICE,
    }
    return OpenLine(**{**values, **changes})


def checkpoint_line(opened: OpenLine, completion_tokens: int, nusd: int | None) -> CheckpointLine:
    return CheckpointLine(
        attempt_id=opened.attempt_id,
        completion_tokens=completion_tokens,
        at_ms=opened.started_ms + 2_000,
        cost_nusd=nusd,
        charge_nusd=nusd,
    )


def close_line(opened: OpenLine, **changes: Any) -> CloseLine:
    values: dict[str, Any] = {
        "attempt_id": opened.attempt_id,
        "is_billable": True,
        "status": "ok",
        "duration_ms": 850,
        "first_content_ms": 120,
        "http_status": 200,
        "finish_reason": "stop",
        "reported_model": "gpt-4o-mini-2024-07-18",
        "prompt_tokens": 12,
        "completion_tokens": 30,
        "cached_tokens": 4,
        "reasoning_tokens": 5,
        "cost_nusd": 19_800,
        "charge_nusd": 19_800,
        "price": PRICE,
    }
    return CloseLine(**{**values, **changes})
