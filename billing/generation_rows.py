"""Worker side. One request of a router key, as its usage records tell of it, for an event loop that must not wait."""

from collections.abc import Iterator
from contextlib import aclosing
from uuid import UUID

from billing.generations import Generation, TooManyReadings
from billing.models import UsageRecord
from billing.reading import ReadingThread

# So many may wait for the thread, those included that nobody waits for any more; who comes then is told to come again.
WAITING_AT_MOST = 64
# No request has more attempts.
ROWS_AT_MOST = 100
_COPIED = (
    "request_id", "requested_model", "offering", "upstream_model", "group", "provider", "channel", "is_streamed", "status",
    "finish_reason", "duration_ms", "first_content_ms", "prompt_tokens", "completion_tokens", "cached_tokens",
    "cache_write_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_tokens", "is_estimated",
    "charge_nusd", "end_user", "client_request_id", "session_id",
)  # fmt: skip


def read_generation(request_id: UUID, router_key_ref: int) -> Generation | None:
    """The request, if it is this key's; None where there is no billable record of it (yet)."""
    rows = UsageRecord.objects.filter(request_id=request_id, router_key_ref=router_key_ref).order_by("attempt")
    found = list(rows.values("is_billable", "admitted_at", *_COPIED)[:ROWS_AT_MOST])
    row = next((row for row in found if row["is_billable"]), None)
    if row is None:
        return None
    copied = {name: row[name] for name in _COPIED}
    return Generation(admitted_s=int(row["admitted_at"].timestamp()), attempts=len(found), **copied)


class GenerationRows(ReadingThread):
    """Looks requests up in a thread of its own. To be made when the process begins."""

    def __init__(self) -> None:
        super().__init__("generation-rows")

    async def find(self, request_id: UUID, router_key_ref: int) -> Generation | None:
        """The request, if it is this key's. Raises SourceUnavailable, TooManyReadings."""
        if self._jobs.qsize() >= WAITING_AT_MOST:
            raise TooManyReadings

        def read() -> Iterator[Generation]:
            found = read_generation(request_id, router_key_ref)
            if found is not None:
                yield found

        async with aclosing(self._pieces(read)) as pieces:
            return await anext(pieces, None)
