"""Live signals on a clock that is moved by hand, and channels of one model, for the tests of what is made of them."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Any

from billing.quota import Limited, QuotaCounts, Used
from channels.records import Candidate
from routing.signals import Flight, Signals
from routing.tracks import PASSED_OVER
from smartrouter.lib.clock import mint_hex7
from smartrouter.lib.counters import Entry, SeedCounter
from smartrouter.lib.counters.memory import MemoryStore
from smartrouter.lib.errors import ErrorClass
from tests.routing import tables as t

AT_MS = 1_795_000_000_000


class NoRows:
    """Records in which there is nothing."""

    def __init__(self, limited: Callable[[], Collection[Limited]]) -> None:
        self.limited = limited

    async def read_used(self, limited: Collection[Limited]) -> AsyncGenerator[Sequence[Used], None]:
        for _none in ():
            yield _none

    async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        for _none in ():
            yield _none

    async def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        for _none in ():
            yield _none

    def start(self) -> None: ...

    def is_behind(self) -> bool:
        return False

    async def close(self) -> None: ...


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Signals on a clock, and candidates of as many channels."""

    def __init__(self, channels: int = 4) -> None:
        self.clock = Clock()
        self.signals = Signals(QuotaCounts(MemoryStore(), NoRows, clock_ms=lambda: AT_MS), clock=self.clock)
        rows: list[tuple[str, Any]] = [
            ("providers.provider", t.provider(1)),
            ("providers.providermodel", t.model(1, 1)),
        ]
        for ref in range(1, channels + 1):
            rows.append(("channels.channel", t.channel(ref, 1)))
            rows.append(("channels.offering", t.offering(ref, ref, 1)))
        self.candidates: dict[int, Candidate] = dict(t.table_of(rows).candidates)

    def begin(self, ref: int = 1, *, is_streamed: bool = True) -> Flight:
        return self.signals.begin(self.candidates[ref], mint_hex7(AT_MS), is_streamed=is_streamed)

    def answer(self, ref: int, ms: float, *, tokens: int = 0, is_streamed: bool = True, rest_s: float = 0.0) -> None:
        """An attempt whose first content, or whole plain answer, takes so long; a stream ends rest_s later."""
        flight = self.begin(ref, is_streamed=is_streamed)
        self.clock.now += ms / 1000
        if is_streamed:
            flight.first_content()
        self.clock.now += rest_s
        flight.answered(tokens)

    def fail(self, ref: int, kind: ErrorClass = ErrorClass.TRANSIENT) -> None:
        self.begin(ref).failed(kind)

    def pass_over(self, ref: int = 1) -> list[float | None]:
        """What ranking reads, as often as an old figure is believed."""
        return [self.signals.response_ms(ref, True) for _reading in range(PASSED_OVER)]
