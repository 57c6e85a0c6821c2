"""A request under /v1 opens no database connection, asks the database nothing, starts or uses no thread, and calls Redis only
if it needs something that is kept there."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack import KEY, OTHER_KEY, ROOT, running_stack
from tests.stores import IS_SERVER
from tests.survival.traffic import offering_document

OFFERS = {
    "m": ("sim-fast", "sim-smart"),
    "moved": ("sim-fast!500", "sim-smart"),
    "broken": ("sim-fast!500", "sim-smart!500"),
    "cut": ("sim-fast!cut",),
    "slow": ("sim-fast!ok:pace_ms=20,chunks=100",),
}
# So far from its limits, a process takes ahead for many requests at once.
FAR_LIMITS = {
    "budgets": [{"window": "month", "limit_usd": 10_000}, {"window": "day", "limit_requests": 10**6}],
    "rpm": 100_000,
    "tpm": 10**9,
    "max_parallel": 1000,
}
# So many requests of that tenant, one after the other.
FAR = 300
STATUSES = {
    "plain": 200,
    "stream": 200,
    "session": 200,
    "streamed session": 200,
    "failover": 200,
    "streamed failover": 200,
    "all upstreams failed": 502,
    "cut stream": 200,
    "client left": 200,
    "route": 200,
    "route to nobody": 200,
    "several models": 200,
    "models": 200,
    "tags": 200,
    "model": 200,
    "key": 200,
    "unknown generation": 404,
    "no generation": 404,
    "wrong key": 401,
    "unknown model": 404,
    "not JSON": 400,
    "too large": 413,
    "unknown path": 404,
    "wrong method": 405,
    "health": 200,
    "ready": 200,
}
# What a query is noticed by; a connection to PostgreSQL raises no audit event of its own.
QUERY = {"connect", "cursor", "query"} | (set() if IS_SERVER else {"sqlite3.connect"})


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Any]]:
    """What hot_path_probe.py printed, run in the place of a web process."""
    document = offering_document(OFFERS)
    document["tenants"][1] |= FAR_LIMITS
    with running_stack(document) as stack:
        stack.kill_web()
        stack.ingest()
        command = [sys.executable, "-m", "tests.routing.hot_path_probe", KEY, OTHER_KEY, str(FAR)]
        done = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-3000:]
        yield json.loads(done.stdout)


@pytest.mark.parametrize("request_name", STATUSES)
def test_a_request_needs_no_database_and_no_thread(found: dict[str, Any], request_name: str) -> None:
    seen = ["redis"] if IS_SERVER and "session" in request_name else []
    assert found["requests"][request_name] == {"status": STATUSES[request_name], "seen": seen}


def test_far_from_its_limits_hardly_any_request_calls_redis(found: dict[str, Any]) -> None:
    assert found["far"] <= (FAR // 10 if IS_SERVER else 0)


@pytest.mark.parametrize(
    ("view", "noticed"),
    [
        ("query", QUERY),
        ("orm", QUERY | {"executor", "thread"}),
        ("thread", {"thread"}),
        ("executor", {"executor", "thread"}),
    ],
)
def test_a_view_that_did_it_would_be_noticed(found: dict[str, Any], view: str, noticed: set[str]) -> None:
    assert found["controls"][view]["status"] == 200
    assert set(found["controls"][view]["seen"]) == noticed
