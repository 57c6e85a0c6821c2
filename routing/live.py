"""Worker side. The bridge between the database and the RoutingTable: a thread that follows the change log.

It is the one thread of a web process that talks to the database. It loads the table before the process serves, then asks
for new log entries every POLL_S, reads the rows that they name and hands them to the event loop in slices. It also
registers the process and keeps its heartbeat.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from itertools import islice, pairwise
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, models, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from routing.loading import SLICE_ROWS, Item, load_all, load_changed
from routing.models import Change, WebProcess
from routing.table import RoutingTable

logger = logging.getLogger(__name__)

POLL_S = 0.25
HEARTBEAT_S = 2.0
# A process whose heartbeat is older is dead.
HEARTBEAT_LIMIT_S = 10.0
# A transaction that commits later than this after it drew its log ids is missed until the next full load.
GAP_LIMIT_S = 900.0
SLICE_S = 0.002


class StartRefused(Exception):
    """The process must not serve; the text is one sentence for the operator."""


class ChangeFollower:
    """Which log entries are new.

    Ids are drawn before a transaction commits, so a lower id may appear after a higher one: every id that was skipped is
    a gap, asked for again until it appears or GAP_LIMIT_S has passed (then its transaction was rolled back).
    """

    def __init__(self) -> None:
        self._last = 0
        self._gaps: list[tuple[int, int, float]] = []

    def start(self) -> None:
        """Begin after the newest entry; call it before a full load. Ids just below it may still be on their way."""
        newest = Change.objects.order_by("-pk").values_list("pk", flat=True)[:1000]
        ids = sorted(newest)
        self._last = ids[-1] if ids else 0
        self._gaps = []
        for below, above in pairwise(ids):
            self._note_gap(below + 1, above - 1)

    def fetch(self) -> list[tuple[str, str]]:
        """The entries (model, row) that appeared since the last call."""
        wanted = models.Q(pk__gt=self._last)
        for low, high, _since in self._gaps:
            wanted |= models.Q(pk__range=(low, high))
        entries = list(Change.objects.filter(wanted).order_by("pk").values_list("pk", "model", "row"))
        for pk, _model, _row in entries:
            if pk > self._last:
                self._note_gap(self._last + 1, pk - 1)
                self._last = pk
            else:
                self._fill_gap(pk)
        limit = time.monotonic() - GAP_LIMIT_S
        self._gaps = [gap for gap in self._gaps if gap[2] > limit]
        return [(model, row) for _pk, model, row in entries]

    def _note_gap(self, low: int, high: int) -> None:
        # SQLite's writers take turns, so that ids appear in order and a gap is a rolled-back or pruned entry.
        if low <= high and connection.vendor != "sqlite":
            self._gaps.append((low, high, time.monotonic()))

    def _fill_gap(self, pk: int) -> None:
        for index, (low, high, since) in enumerate(self._gaps):
            if low <= pk <= high:
                parts = [(low, pk - 1, since), (pk + 1, high, since)]
                self._gaps[index : index + 1] = [part for part in parts if part[0] <= part[1]]
                return


def register_process(uid: UUID) -> None:
    """Enter this web process into the register. Raises StartRefused for a second one without a shared store."""
    host, folder = socket.gethostname(), str(settings.DATA_DIR)
    with transaction.atomic():
        for other in WebProcess.objects.all():
            if is_dead(other, host):
                other.delete()
            elif not settings.REDIS_URL:
                raise StartRefused(
                    _(
                        "Another web process (pid %(pid)s on %(host)s) serves this database; set REDIS_URL to run several."
                    )
                    % {"pid": other.pid, "host": other.host}
                )
        WebProcess.objects.create(uid=uid, host=host, pid=os.getpid(), data_folder=folder)


def is_dead(process: WebProcess, host: str) -> bool:
    """Whether a registered process is gone: its pid on this host, its heartbeat on others."""
    if process.host == host:
        try:
            os.kill(process.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        if process.pid == os.getpid():
            return True  # an earlier life: a container that restarted gives its processes the same pids
    return (now() - process.heartbeat_at).total_seconds() > HEARTBEAT_LIMIT_S


class LiveTable:
    """Keeps a RoutingTable true to the database for as long as the process lives."""

    def __init__(self, table: RoutingTable, uid: UUID) -> None:
        self.table = table
        self.uid = uid
        self.is_database_up = True
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._follower = ChangeFollower()

    async def start(self) -> None:
        """Register the process, load everything, then follow. Raises StartRefused or the database's error."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(loop, ready), name="live-table", daemon=True)
        self._thread.start()
        await ready

    async def stop(self) -> None:
        """End the thread and take the process out of the register."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[None]") -> None:
        try:
            register_process(self.uid)
            self._follower.start()
            began = time.monotonic()
            # Nothing is served yet, so this thread may fill the table itself.
            self.table.put_many(list(load_all()))
            logger.info("table_loaded", extra={"seconds": round(time.monotonic() - began, 3)})
        except BaseException as e:  # noqa: BLE001  (handed to the one who waits for it)
            loop.call_soon_threadsafe(ready.set_exception, e)
            connection.close()
            return
        loop.call_soon_threadsafe(ready.set_result, None)
        self._follow(loop)
        try:
            WebProcess.objects.filter(uid=self.uid).delete()
        except (DatabaseError, InterfaceError):
            logger.warning("register_not_left")
        connection.close()

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        beat_at = 0.0
        while not self._stop.wait(POLL_S):
            try:
                self._apply(loop, load_changed(self._follower.fetch(), lambda label: set(self.table.rows[label])))
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + HEARTBEAT_S
                    if not WebProcess.objects.filter(uid=self.uid).update(heartbeat_at=now()):
                        register_process(self.uid)
                if not self.is_database_up:
                    logger.info("database_back")
                self.is_database_up = True
            except (DatabaseError, InterfaceError) as e:
                if self.is_database_up:
                    logger.warning("database_unavailable", extra={"reason": type(e).__name__})
                self.is_database_up = False
                # What was fetched but not applied is not known any more: begin again with everything.
                self._reload_when_back(loop)
            except StartRefused as e:
                logger.error("second_web_process", extra={"reason": str(e)})

    def _reload_when_back(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.wait(1.0):
            connection.close()
            try:
                self._follower.start()
                labels = [(label, "") for label in self.table.rows]
                self._apply(loop, load_changed(labels, lambda label: set(self.table.rows[label])))
                return
            except (DatabaseError, InterfaceError):
                continue

    def _apply(self, loop: asyncio.AbstractEventLoop, items: Iterable[Item]) -> None:
        rest = iter(items)
        while part := list(islice(rest, SLICE_ROWS)):
            asyncio.run_coroutine_threadsafe(self._put(part), loop).result()

    async def _put(self, part: list[Item]) -> None:
        until = time.perf_counter() + SLICE_S
        for item in part:
            self.table.put(*item)
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_S
