"""A web process without a server whose requests end in every way there is; prints as JSON what its live signals say of it.

Run as a program by test_balance.py. "at once": the in-flight counts of the four channels of auto:even while 64 requests wait.
"odd": after each odd request what is in flight, and how many offerings still have a trial. "drained": before, and after.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
django.setup()

from routing.plane import current_plane  # noqa: E402
from routing.signals import Signals  # noqa: E402
from smartrouter.asgi import application  # noqa: E402
from tests import asgi  # noqa: E402

KEY = sys.argv[1]
PATIENT_S = 60.0


def chat(model: str, *, stream: bool = False, leave_after: int = 0, key: str = KEY) -> Awaitable[int]:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    data = json.dumps(body).encode()
    return asgi.ask(application, "POST", "/v1/chat/completions", data, key=key, leave_after=leave_after)


def signals() -> Signals:
    plane = current_plane()
    assert plane is not None
    return plane.signals


def in_flight() -> int:
    return sum(signals().own_in_flight.values())


async def until(count: int) -> None:
    """Return when so many attempts are in flight."""
    end = time.monotonic() + PATIENT_S
    while in_flight() != count:
        assert time.monotonic() < end, in_flight()
        await asyncio.sleep(0.01)


def left_over() -> list[int]:
    tracks = signals().tracks.values()
    watches = [watch for track in tracks for watch in (track.watch, track.streamed.watch, track.plain.watch)]
    return [in_flight() + sum(t.own_in_flight for t in tracks), sum(watch.trial is not None for watch in watches)]


async def odd_requests() -> dict[str, list[int]]:
    """Each ends in its own way."""
    found = {}
    for model in ("500", "cut", "429", "401", "context", "html", "paced"):
        for stream in (False, True):
            await chat(model, stream=stream)
            await until(0)
            found[f"{model} {stream}"] = left_over()
    await chat("paced", stream=True, leave_after=2)
    await until(0)
    found["client left"] = left_over()
    await chat("unknown")
    found["unknown model"] = left_over()
    await chat("paced", key="rk_wrong_" + "x" * 30)
    found["wrong key"] = left_over()
    return found


def shares() -> dict[str, float | None]:
    """Reliability by offered name; 0 for any that is far below 1."""
    plane = current_plane()
    assert plane is not None
    found: dict[str, float | None] = {}
    for ref in plane.signals.known():
        share = plane.signals.tracks[ref].share.value
        found[plane.table.candidates[ref].name] = 0.0 if share is not None and share < 0.99 else share
    return found


async def main() -> dict[str, Any]:
    result: dict[str, Any] = {}
    async with asgi.running(application):
        asked = [asyncio.ensure_future(chat("auto:even")) for _request in range(64)]
        await until(64)
        result["at once"] = sorted(signals().own_in_flight.values())
        result["statuses"] = await asyncio.gather(*asked)
        await until(0)
        result["odd"] = await odd_requests()
        result["known"] = {name: share for name, share in shares().items() if name != "slow"}
        asked = [asyncio.ensure_future(chat("paced", stream=True))]
        await until(1)
        kept, before = signals(), in_flight()
    await asyncio.gather(*asked, return_exceptions=True)
    result["drained"] = [before, sum(kept.own_in_flight.values())]
    return result


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
