"""Hot path. One request as its records tell of it, and who looks it up."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from smartrouter.lib.clock import now_ms

# Records come a second or two after the answer: one that is missing is looked for again while the request is that young.
YOUNG_MS = 10_000
AGAIN_AFTER_S = (0.25, 0.5, 1.0, 1.0)
# One look into the database, on a bad day.
LOOK_WITHIN_S = 5.0
# So many look-ups of one router key wait for a record; one that comes then is told at once whether it is there. A key that
# looks for more at once is told to come again, so that it does not keep others from the database.
WAITING_AT_MOST = 4
AT_ONCE_AT_MOST = 16


class TooManyReadings(Exception):
    """As many wait for the database already as may."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The billable record of a request; attempts: how many records it has. charge_nusd: None where no price is known.

    Texts are empty and times (in milliseconds) None where there are none.
    """

    request_id: UUID
    admitted_s: int
    requested_model: str
    offering: str
    upstream_model: str
    group: str
    provider: str
    channel: str
    is_streamed: bool
    status: str
    finish_reason: str
    attempts: int
    duration_ms: int | None
    first_content_ms: int | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    image_tokens: int
    is_estimated: bool
    charge_nusd: int | None
    end_user: str
    client_request_id: str
    session_id: str | None


class Generations(Protocol):
    """Looks requests up."""

    async def find(self, request_id: UUID, router_key_ref: int) -> Generation | None:
        """The request, if it is this key's and has a billable record. Raises SourceUnavailable, TooManyReadings."""
        ...

    async def close(self) -> None: ...


class PatientLookups:
    """Fulfils the protocol Generations: waits a while for what may be on its way. Raises TimeoutError as well.

    clock: milliseconds. All on the event loop.
    """

    def __init__(
        self,
        generations: Generations,
        clock: Callable[[], int] = now_ms,
        *,
        again_after_s: Sequence[float] = AGAIN_AFTER_S,
    ) -> None:
        self._generations = generations
        self._clock = clock
        self._again_after_s = again_after_s
        self._open: Counter[int] = Counter()

    async def find(self, request_id: UUID, router_key_ref: int) -> Generation | None:
        """The request, waited for while it is young."""
        others = self._open[router_key_ref]
        if others >= AT_ONCE_AT_MOST:
            raise TooManyReadings
        self._open[router_key_ref] += 1
        try:
            return await self._look(request_id, router_key_ref, may_wait=others < WAITING_AT_MOST)
        finally:
            self._open[router_key_ref] -= 1
            if not self._open[router_key_ref]:
                del self._open[router_key_ref]

    async def close(self) -> None:
        """End what looks."""
        await self._generations.close()

    async def _look(self, request_id: UUID, router_key_ref: int, *, may_wait: bool) -> Generation | None:
        for pause_s in (*self._again_after_s, None):
            async with asyncio.timeout(LOOK_WITHIN_S):
                found = await self._generations.find(request_id, router_key_ref)
            age_ms = self._clock() - (request_id.int >> 80)  # a UUIDv7 begins with its moment
            if found is not None or pause_s is None or not may_wait or abs(age_ms) > YOUNG_MS:
                return found
            await asyncio.sleep(pause_s)
        return None
