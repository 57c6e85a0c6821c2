"""Worker side. What becomes of processes that have ended: what they had claimed of budgets is settled from the records.

A process is buried by a living one of its own place (host and data folder), once nothing of its spool is left: then the
records have all that it has spent. Whoever lives there may do it, also several at once, for what is told are absolute sums.
A place where nobody lives is a lost host; what its processes had claimed counts as spent until an operator releases it.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import date
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from billing.budgets import ScopeUsage
from billing.ingest.folder import spool_files
from billing.spool import spool_path
from routing.models import WebProcess
from routing.register import Place, is_dead, is_here, lost_places, undrained_uids
from smartrouter.lib.database import reason_of

logger = logging.getLogger(__name__)

BURY_S = 2.0
PIECE = 2000
# After so long it is said once whose spool it is that nobody takes in.
WAITS_S = 120.0

# Scope, local day, nano-USD, tokens, requests.
UsedRow = tuple[str, date, int, int, int]


class Claims(Protocol):
    """What living processes tell the store of others. Called on the event loop; process: a uid of 32 hex digits."""

    def spent_by_fund(self, rows: Iterable[UsedRow]) -> Mapping[str, int]:
        """What a process has spent of the budgets that there are, after its days. Called in the undertaker's thread."""
        ...

    async def bury(self, process: str, spent: Mapping[str, int]) -> bool:
        """Whether the store has it now: the process has spent this in its life, nothing will be added, its claims end."""
        ...

    async def release(self, process: str) -> bool:
        """Whether the store has it now: what the process had claimed does not count any more."""
        ...


class Undertaker:
    """Used by the thread that follows the database. It never waits for the event loop: an answer is looked at later."""

    def __init__(
        self, claims: Claims, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._claims = claims
        self._loop = loop
        self._clock = clock
        self._due_at = float("-inf")
        self._burials: dict[UUID, Future[bool]] = {}
        self._releases: dict[UUID, Future[bool]] = {}
        self._released: set[UUID] = set()
        self._waiting: dict[UUID, float] = {}  # since when; infinity: it was said
        self._lost: set[Place] = set()

    def keep(self) -> None:
        """When it is due: bury who can be buried, release whom an operator has given up.

        Raises the database's error where the connection is broken.
        """
        if self._clock() < self._due_at:
            return
        self._due_at = self._clock() + BURY_S
        try:
            self._look_around()
        except (DatabaseError, InterfaceError) as e:
            if not connection.is_usable():
                raise
            logger.warning("burial_not_taken", extra={"reason": reason_of(e)})

    def _look_around(self) -> None:
        self._end_burials()
        self._end_releases()
        rows = list(WebProcess.objects.all())
        self._note_lost(lost_places(rows))
        host = socket.gethostname()
        self._released &= {row.pk for row in rows if row.released_at is not None}
        dead = [row for row in rows if is_dead(row, host)]
        # Listed after the rows were read: who is in the register had its lock in the folder before.
        undrained = undrained_uids() if dead else set()
        waiting = [row for row in dead if is_here(row) and row.pk.hex in undrained]
        self._note_waiting([row.pk for row in waiting])
        for row in dead:
            if is_here(row) and row.pk.hex not in undrained:
                self._bury(row)
            elif row.released_at is not None and row.pk not in self._released:
                self._release(row)

    def _bury(self, row: WebProcess) -> None:
        if row.pk not in self._burials:
            used = ScopeUsage.objects.filter(process=row.pk).order_by("scope", "day")
            rows = used.values_list("scope", "day", "money_nusd", "tokens", "requests").iterator(chunk_size=PIECE)
            told = self._claims.bury(row.pk.hex, self._claims.spent_by_fund(rows))
            self._burials[row.pk] = asyncio.run_coroutine_threadsafe(told, self._loop)

    def _release(self, row: WebProcess) -> None:
        if row.pk not in self._releases:
            told = self._claims.release(row.pk.hex)
            self._releases[row.pk] = asyncio.run_coroutine_threadsafe(told, self._loop)

    def _end_burials(self) -> None:
        for uid in _taken(self._burials, "burial_failed"):
            WebProcess.objects.filter(pk=uid).delete()
            logger.info("process_buried", extra={"process_uid": uid.hex})

    def _end_releases(self) -> None:
        for uid in _taken(self._releases, "release_failed"):
            self._released.add(uid)
            logger.info("process_released", extra={"process_uid": uid.hex})

    def _note_waiting(self, waiting: list[UUID]) -> None:
        now = self._clock()
        self._waiting = {uid: self._waiting.get(uid, now) for uid in waiting}
        long = [uid for uid, since in self._waiting.items() if now - since > WAITS_S]
        files = spool_files(settings.SPOOL_DIR) if long else {}
        for uid in long:
            self._waiting[uid] = float("inf")
            names = [spool_path(settings.SPOOL_DIR, uid.hex, seq).name for seq in files.get(uid.hex, ())]
            logger.error("spool_not_taken_in", extra={"process_uid": uid.hex, "files": names})

    def _note_lost(self, lost: set[Place]) -> None:
        for host, folder in sorted(lost - self._lost):
            logger.error("host_lost", extra={"host": host, "folder": folder})
        for host, folder in sorted(self._lost - lost):
            logger.warning("host_back", extra={"host": host, "folder": folder})
        self._lost = lost


def _taken(asked: dict[UUID, Future[bool]], event: str) -> list[UUID]:
    """Who has come to an end with the store's consent; what was answered is forgotten, so that a refusal is tried again."""
    taken = []
    for uid, told in list(asked.items()):
        if told.done():
            del asked[uid]
            error = told.exception() if not told.cancelled() else None
            if error is not None:
                logger.error(event, extra={"process_uid": uid.hex, "reason": type(error).__name__}, exc_info=error)
            elif not told.cancelled() and told.result():
                taken.append(uid)
    return taken
