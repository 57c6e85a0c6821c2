"""Hot path. The connections to a Redis: every call has a deadline, and after a failure nobody waits for it.

A failed call closes the circuit's switch: all others fail at once, until a task of this module has run a script in
the store again. So a Redis that is frozen costs those who are waiting one deadline, and those who come later nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha1
from typing import Any, TypeVar

import certifi
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from smartrouter.lib.counters import scripts
from smartrouter.lib.counters.base import StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECTIONS_AT_MOST = 8
CONNECT_S = 2.0
PROBE_EVERY_S = 0.5
PROBE_S = 1.0
CLOSE_S = 1.0

Args = Sequence[bytes | str | int]


class Script:
    """A Lua script, called by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode()).hexdigest()  # noqa: S324  (the name that Redis gives it)


_PROBE = Script(scripts.PROBE)


class RedisLink:
    """A bounded pool of connections to one Redis, used on one event loop. Nothing that it shows holds the address."""

    def __init__(self, url: str, probe_key: str) -> None:
        options: dict[str, Any] = {"ssl_ca_certs": certifi.where()} if url.startswith("rediss://") else {}
        # A connection that the server has closed shows that only when it is used: one repetition opens another.
        # Deadlines are ours: the client's own timeout sends with asyncio.wait_for, which in Python 3.11 can swallow a
        # cancellation (python/cpython#86296), so that neither a deadline nor a close would get through.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_AT_MOST,
            timeout=CONNECT_S,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 1),
            **options,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._probe_key = probe_key
        self._recovery: asyncio.Task[None] | None = None
        self.is_up = True

    async def call(self, script: Script, keys: Args, args: Args, deadline_s: float) -> Any:
        """A script's answer. Raises StoreUnavailable."""
        return (await self.call_many(script, [(keys, args)], deadline_s))[0]

    async def call_many(self, script: Script, calls: Sequence[tuple[Args, Args]], deadline_s: float) -> list[Any]:
        """The answers of one script, in one round trip; a refusal of its own making stands among them as a ResponseError.

        Raises StoreUnavailable.
        """

        return await self.within(deadline_s, lambda: self._run(script, calls))

    async def values(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        """The value of each key. Raises StoreUnavailable."""
        found: list[Any] = await self.within(deadline_s, lambda: self._redis.mget(keys))
        return found  # bytes: nothing is decoded on this connection

    async def within(self, deadline_s: float, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result. Raises StoreUnavailable: at once where the last call has failed."""
        if not self.is_up:
            raise StoreUnavailable("the store was not reached a moment ago")
        try:
            async with asyncio.timeout(deadline_s):
                return await work()
        except (RedisError, OSError) as e:  # a TimeoutError is an OSError
            self._note_failure(e)
            raise StoreUnavailable(f"the store failed: {type(e).__name__}") from None

    async def close(self) -> None:
        """Give up the connections."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        self.is_up = False
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._redis.aclose(close_connection_pool=True)
        except (RedisError, OSError) as e:
            logger.warning("store_not_closed", extra={"reason": type(e).__name__})

    async def _run(self, script: Script, calls: Sequence[tuple[Args, Args]]) -> list[Any]:
        answers = await self._evaluate(script, calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._redis.script_load(script.text)
            answers = await self._evaluate(script, calls)
        for answer in answers:
            if isinstance(answer, RedisError) and not is_refusal(answer):
                raise answer
        return answers

    async def _evaluate(self, script: Script, calls: Sequence[tuple[Args, Args]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.evalsha(script.digest, len(keys), *keys, *args)
            return list(await pipeline.execute(raise_on_error=False))

    def _note_failure(self, error: Exception) -> None:
        if self.is_up:
            self.is_up = False
            logger.warning("store_unavailable", extra={"reason": type(error).__name__})
            self._recovery = asyncio.get_running_loop().create_task(self._recover(), name="store-recovery")

    async def _recover(self) -> None:
        """Return when a script can set a value again: a store that is full, or forbids scripts, answers and is of no use."""
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            try:
                async with asyncio.timeout(PROBE_S):
                    await self._run(_PROBE, [((self._probe_key,), ())])
            except (RedisError, OSError):
                continue
            self.is_up = True
            logger.info("store_back")
            return


def is_refusal(answer: Any) -> bool:
    """Whether an answer is our scripts' own refusal of a value, not the store's failure."""
    return isinstance(answer, ResponseError) and str(answer).startswith("TOOLARGE")
