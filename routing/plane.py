"""Hot path. What a web process holds while it serves: the table, the connections, the spool, the requests under way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import aiohttp
from django.utils.translation import gettext as _

from billing.generations import Generations
from billing.ledger_process import BudgetLedger
from billing.limits_process import RateLimiter
from billing.sessions import SessionCosts
from billing.spool import Spool
from routing.payers import Cashier
from routing.sharing import SignalSharing
from routing.signals import Signals
from routing.table import RoutingTable
from smartrouter.lib.counters import CounterStore
from smartrouter.lib.errors import RouterError

# Plain answers whose client has left are read to their end, so that they are billed exactly: so many at once, so long.
LEFT_AT_MOST = 64
LEFT_FOR_S = 30.0
SPOOL_RETRY_S = 1.0
RETRIES_AT_LEAST = 3
RETRIES_SHARE = 0.2


class Ending(Protocol):
    """A request under way that can be told to end."""

    def end(self, reason: str) -> None: ...


@dataclass(slots=True)
class RetryBudget:
    """Keeps retries from multiplying an outage: at most 3, or a fifth of the requests under way."""

    active: int = 0
    retrying: int = 0

    def allows(self) -> bool:
        return self.retrying < max(RETRIES_AT_LEAST, RETRIES_SHARE * self.active)


@dataclass(slots=True)
class Plane:
    """The state of one web process. All of it is touched on the event loop only."""

    table: RoutingTable
    session: aiohttp.ClientSession
    spool: Spool
    store: CounterStore
    sessions: SessionCosts
    sharing: SignalSharing
    cashier: Cashier
    ledger: BudgetLedger
    note_settled: Callable[[], None]  # called when nothing is claimed of budgets any more
    limiter: RateLimiter
    generations: Generations
    is_database_up: Callable[[], bool]
    are_jobs_alive: Callable[[], bool]
    request_timeout_s: float
    drain_s: float
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    random: Random = field(default_factory=Random)
    retries: RetryBudget = field(default_factory=RetryBudget)
    turns: dict[str, int] = field(default_factory=dict)  # how often a name was asked for whose channels take turns
    exchanges: set[Ending] = field(default_factory=set)
    left: int = 0
    is_leaving: bool = False  # still serves, and says at /health/ready that others should be asked
    is_draining: bool = False
    _deadline: asyncio.TimerHandle | None = None
    _spool_timer: asyncio.TimerHandle | None = None

    @property
    def signals(self) -> Signals:
        """What ranking knows of how channels do."""
        return self.sharing.signals

    @property
    def is_degraded(self) -> bool:
        """Whether something is away without which requests are served all the same: database, Redis, or the jobs."""
        return not (self.is_database_up() and self.store.is_up and self.are_jobs_alive())

    def watch_spool(self) -> None:
        """From now on, try every second to write what the disk has refused: the next request may be long in coming."""
        if self.spool.pending_count:
            self.spool.retry_pending()
        self._spool_timer = asyncio.get_running_loop().call_later(SPOOL_RETRY_S, self.watch_spool)

    def begin_drain(self) -> None:
        """Refuse new requests from now on; end what is still running when the drain time is over."""
        if not self.is_draining:
            self.is_draining = True
            self._deadline = asyncio.get_running_loop().call_later(self.drain_s, self.end_all)

    def end_all(self) -> None:
        """End every request under way: an error event or an error, and its usage record."""
        for exchange in tuple(self.exchanges):
            exchange.end("drained")

    async def close(self) -> None:
        """Let what is left end, then give up connections and spool."""
        for timer in (self._deadline, self._spool_timer):
            if timer is not None:
                timer.cancel()
        self.end_all()
        for _turn in range(100):
            if not self.exchanges:
                break
            await asyncio.sleep(0.02)
        try:
            await asyncio.gather(self._close_counters(), self.generations.close(), self.session.close())
        finally:
            self.spool.close()

    async def _close_counters(self) -> None:
        try:
            await asyncio.gather(self.sessions.close(), self.sharing.close(), self._close_ledger())
        finally:
            await self.store.close()

    async def _close_ledger(self) -> None:
        await self.limiter.close()
        if await self.ledger.close():
            self.note_settled()


_current: Plane | None = None


def set_plane(plane: Plane | None) -> None:
    """Make this the process's plane; None when it stops serving."""
    global _current
    _current = plane


def current_plane() -> Plane | None:
    """The process's plane; None before it is loaded."""
    return _current


def serving_plane() -> Plane:
    """The plane for a new request. Raises RouterError 503 while the process is starting or draining."""
    if _current is None:
        raise RouterError(503, "starting", _("The router is starting."), kind="server_error", retry_after_s=1)
    if _current.is_draining:
        raise RouterError(503, "shutting_down", _("The router is shutting down."), kind="server_error", retry_after_s=1)
    return _current
