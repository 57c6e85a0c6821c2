"""A member's daily limit over the wire: used up, the next member takes over, and a restart changes nothing about it."""

import time
from typing import Any

from tests.stack import Stack, running_stack, two_channels

LIMIT = 3


def document() -> dict[str, Any]:
    group = {
        "name": "auto:free",
        "channels": [
            {"channel": "alpha", "model": "m", "priority": 1, "daily_limit": LIMIT},
            {"channel": "beta", "model": "m", "priority": 2},
        ],
    }
    return two_channels() | {"model_groups": [group]}


def serve(stack: Stack) -> str:
    """The channel that answered."""
    status, headers, _body = stack.post({"model": "auto:free", "messages": [{"role": "user", "content": "hi"}]})
    assert status == 200
    return headers["x-smartrouter-channel"]


def test_a_limit_that_is_used_up_stays_so_after_a_restart() -> None:
    with running_stack(document()) as stack:
        first = [serve(stack) for _request in range(LIMIT)]
        end = time.monotonic() + 30
        while [serve(stack) for _request in range(6)] != [
            "beta"
        ] * 6:  # several processes know of one another in a second
            assert time.monotonic() < end
        stack.kill_web()
        stack.ingest()
        sent = [row["channel"] for row in stack.rows()]
        stack.start_web()

        assert first == ["alpha"] * LIMIT
        assert [serve(stack) for _request in range(6)] == ["beta"] * 6
        assert sent.count("alpha") >= LIMIT
