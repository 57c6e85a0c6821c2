"""Records of attempts on one channel, so long before a fixed moment."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections

from billing.models import UsageRecord
from billing.quota import Limited
from smartrouter.lib.clock import mint_uuid7

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # 20 h in Shanghai, whose day began at 16 h UTC the day before
NOW_MS = round(NOW.timestamp() * 1000)
HOUR_MS = 3600 * 1000
C1 = Limited("c1", "m1", SHANGHAI)


def add_row(hours_ago: float, **changes: Any) -> str:
    """A record of an attempt so long before NOW; its id."""
    at = NOW - timedelta(hours=hours_ago)
    attempt_id = mint_uuid7(round(at.timestamp() * 1000))
    values: dict[str, Any] = {
        "attempt_id": attempt_id, "request_id": attempt_id, "attempt": 1, "is_billable": True, "status": "ok",
        "is_streamed": False, "admitted_at": at, "started_at": at, "tenant_ref": 1, "router_key_ref": 1, "channel": "c1",
        "upstream_model": "m1",
    }  # fmt: skip
    UsageRecord.objects.create(**{**values, **changes})
    return attempt_id.hex


def add_row_in_thread(hours_ago: float) -> None:
    """add_row, for a thread that leaves no connection behind."""
    try:
        add_row(hours_ago)
    finally:
        connections.close_all()
