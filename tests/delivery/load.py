"""A steady load of plain and streamed requests, and what became of each of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.survival.traffic import HEADERS, Heard, chat

PLAIN, STREAM = "plain", "stream"
STREAM_S = 3.0
CHUNKS = 30
OFFERS = {
    PLAIN: ("sim-fast!ok:chunks=2",),
    STREAM: (f"sim-fast!ok:pace_ms={STREAM_S * 1000 / CHUNKS:.0f},chunks={CHUNKS}",),
}


@dataclass
class Load:
    """Requests at a rate, every other one a stream, each on a connection of its own."""

    url: str
    per_second: float
    heard: list[Heard] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    slowest_s: float = 0

    def outcomes(self) -> Counter[str]:
        """How many ended how; all is well when every one is `200 done`."""
        return Counter(f"{each.status} {each.end}" for each in self.heard)

    def failures(self) -> list[str]:
        """What went wrong, in words."""
        bad = [each for each in self.heard if (each.status, each.end) != (200, "done")]
        return [f"{each.model} {each.status} {each.end} {each.body[-200:]!r}" for each in bad] + self.errors

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Meanwhile requests are sent; afterwards every one of them has ended."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=90)) as session:
            asks: set[asyncio.Task[None]] = set()
            pacing = asyncio.create_task(self._pace(session, asks))
            try:
                yield
            finally:
                pacing.cancel()
                await asyncio.gather(*asks)

    async def _pace(self, session: aiohttp.ClientSession, asks: set["asyncio.Task[None]"]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(1_000_000):
            asks.add(asyncio.create_task(self._ask(session, STREAM if number % 2 else PLAIN)))
            await asyncio.sleep(max(0.0, began + (number + 1) / self.per_second - loop.time()))

    async def _ask(self, session: aiohttp.ClientSession, model: str) -> None:
        heard = Heard(model)
        self.heard.append(heard)
        body = chat(model, stream=model == STREAM)
        began = asyncio.get_running_loop().time()
        try:
            async with session.post(f"{self.url}/v1/chat/completions", json=body, headers=HEADERS) as response:
                heard.status = response.status
                heard.headers = {name.lower(): value for name, value in response.headers.items()}
                if model == PLAIN:
                    self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - began)
                async for data in response.content.iter_any():
                    heard.body += data
            heard.end = "done" if model == PLAIN or b"data: [DONE]" in heard.body else "ended"
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as e:
            heard.end = "broken"
            self.errors.append(f"{model}: {type(e).__name__}: {e}")


async def wait_for(is_true: Callable[[], bool], within_s: float = 150) -> None:
    """Return when it is true. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not is_true():
            await asyncio.sleep(0.05)
