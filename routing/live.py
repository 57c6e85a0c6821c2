"""Worker side. The bridge between the database and the RoutingTable: a thread that follows the change log.

It loads the table before the process serves, then asks for new log entries every POLL_S, reads the rows that they name and
hands them to the event loop in slices. A change of many rows is read piece by piece, and whatever is new meanwhile goes
before it. The thread also registers the process, keeps its heartbeat (routing/heartbeat.py) and buries processes that have
ended (routing/burial.py). Only two other threads of the data plane talk to the database: they read the records of sessions
and of daily quotas (billing/session_rows.py).

Where the database is away at the start, the table comes from the sealed snapshot (routing/snapshot), and the thread goes on
as after any other failure: it asks until the database answers, then reads everything anew.
"""

import asyncio
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _

from routing.burial import Claims, Undertaker
from routing.changes import LOGGED_MODELS
from routing.follower import ChangeFollower, Entry
from routing.heartbeat import Heartbeat
from routing.loading import Item, Reading, load_all, readings_of, split_by_size
from routing.register import StartRefused, leave_register
from routing.resolve import default_strategy
from routing.snapshot import SnapshotKeeper, SnapshotRefused, is_wanted, read_snapshot
from routing.table import RoutingTable
from smartrouter.lib.database import DOWN_ERRORS, database_place, is_file, reason_of

logger = logging.getLogger(__name__)

POLL_S = 0.1
# How long a change of many rows is read before the log is looked at again.
TURN_S = 0.2
SLICE_S = 0.002
# A thread that has got nothing from the database for so long is stuck there, whatever it will be told in the end.
SILENCE_LIMIT_S = 5.0
RECOVERY_S = 0.5
# How long a process that ends waits for the claims that it gives back, before it leaves that to its burial.
SETTLED_WITHIN_S = 2.5
STOP_WITHIN_S = 4.0


class LiveTable:
    """Keeps a RoutingTable true to the database for as long as the process lives."""

    def __init__(self, table: RoutingTable, uid: UUID) -> None:
        self.table = table
        self.uid = uid
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._follower = ChangeFollower(notes_gaps=connection.vendor != "sqlite")
        self._large: deque[Reading] = deque()
        self._heartbeat = Heartbeat(uid)
        self._undertaker: Undertaker | None = None
        self._settled = threading.Event()
        self._heard_at = time.monotonic()
        self._has_failed = False
        self._position = 0
        self._keeper = SnapshotKeeper(
            settings.SNAPSHOT_FILE, table.rows, is_true=lambda: self.is_table_true, position=lambda: self._position
        )

    @property
    def is_database_up(self) -> bool:
        """Whether the database answers; False also while a question has been without an answer for SILENCE_LIMIT_S."""
        return not self._has_failed and time.monotonic() - self._heard_at < SILENCE_LIMIT_S

    @property
    def is_database_well(self) -> bool:
        """Whether the database answers, and takes what is written."""
        return self.is_database_up and self._heartbeat.is_taken

    @property
    def are_jobs_alive(self) -> bool:
        """Whether a scheduled job ran lately; a process that has just begun gives them time."""
        return self._heartbeat.are_jobs_alive

    @property
    def is_table_true(self) -> bool:
        """Whether nothing is known to the database that is still to be read."""
        return self.is_database_up and not self._large

    async def start(self) -> None:
        """Register the process, load everything, then follow. Raises StartRefused."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(loop, ready), name="live-table", daemon=True)
        self._thread.start()
        await ready
        if is_wanted():
            self._keeper.start()
        else:
            settings.SNAPSHOT_FILE.unlink(missing_ok=True)

    def attend(self, claims: Claims) -> None:
        """From now on, bury the processes of this place that have ended, and release those that were given up."""
        self._undertaker = Undertaker(claims, asyncio.get_running_loop())

    def note_settled(self) -> None:
        """This process, which ends, has told all that it has spent and given back what it had claimed."""
        self._settled.set()

    async def stop(self) -> None:
        """End the thread and take the process out of the register; one that the database holds up is left behind."""
        self._stop.set()
        closing = [asyncio.to_thread(self._keeper.stop)]
        if self._thread is not None:
            closing.append(asyncio.to_thread(self._thread.join, STOP_WITHIN_S))
        await asyncio.gather(*closing)

    def _run(self, loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[None]") -> None:
        try:
            self._load()
        except BaseException as e:  # noqa: BLE001  (handed to the one who waits for it)
            loop.call_soon_threadsafe(ready.set_exception, e)
            connection.close()
            return
        self._heard_at = time.monotonic()
        loop.call_soon_threadsafe(ready.set_result, None)
        self._follow(loop)
        try:
            leave_register(self.uid, is_settled=self._wait_settled())
        except (DatabaseError, InterfaceError):
            logger.warning("register_not_left")
        connection.close()

    def _wait_settled(self) -> bool:
        """Whether nothing is claimed any more; without a shared store, claims end with the process.

        A process that has not come so far as to bury others has claimed nothing either.
        """
        return not settings.REDIS_URL or self._undertaker is None or self._settled.wait(SETTLED_WITHIN_S)

    def _load(self) -> None:
        """Fill the table: nothing is served yet, so this thread may do it itself. Raises StartRefused."""
        began = time.monotonic()
        try:
            self._heartbeat.begin()
            self._follower.start()
            for item in load_all():
                self._put_one(item)
        except (DatabaseError, InterfaceError) as e:
            # SQLite's word for a table that is missing is OperationalError, too.
            if is_file() or not isinstance(e, DOWN_ERRORS):
                text = _(
                    "The database %(where)s cannot be used: %(reason)s. Check DATABASE_URL, or run “manage.py migrate”."
                )
                raise StartRefused(text % {"where": database_place(), "reason": reason_of(e)}) from e
            connection.close()
            self._load_snapshot(e)
            self.table.prepare(default_strategy())
        else:
            self.table.prepare(default_strategy())
            self._position = self._follower.position
            logger.info("table_loaded", extra={"seconds": round(time.monotonic() - began, 3)})

    def _load_snapshot(self, error: Exception) -> None:
        """Fill the table from the snapshot, for the database is away. Raises StartRefused."""
        about = {"where": database_place(), "reason": reason_of(error)}
        began = time.monotonic()
        try:
            snapshot = read_snapshot(settings.SNAPSHOT_FILE)
        except SnapshotRefused as e:
            text = _(
                "The database %(where)s cannot be opened: %(reason)s; and %(refusal)s. "
                "Check DATABASE_URL and whether it runs."
            )
            raise StartRefused(text % {**about, "refusal": e}) from error
        for label, read in list(self.table.rows.items()):  # what was read before the connection broke
            for ref in list(read):
                self._put_one((label, ref, None))
        for item in snapshot.items:
            self._put_one(item)
        self._follower.resume(snapshot.position)
        self._has_failed = True
        took_s, rows = round(time.monotonic() - began, 3), len(snapshot.items)
        logger.warning(
            "serving_from_snapshot",
            extra={"age_s": round(snapshot.age_s), "rows": rows, "seconds": took_s, "reason": about["reason"]},
        )

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.wait(RECOVERY_S if self._has_failed else 0 if self._large else POLL_S):
            try:
                if self._has_failed:
                    self._begin_again()
                self._turn(loop)
            except StartRefused as e:
                # As it would have been refused at its start, if the database had been there.
                logger.error("second_web_process_ends", extra={"reason": str(e)})
                loop.call_soon_threadsafe(signal.raise_signal, signal.SIGTERM)
            except (DatabaseError, InterfaceError) as e:
                if not self._has_failed:
                    logger.warning("database_unavailable", extra={"reason": type(e).__name__})
                self._has_failed = True
                connection.close()
            except Exception:
                # Without this thread the process would serve an old configuration for ever, and nobody would know.
                logger.exception("live_table_failed")
                self._has_failed = True
                connection.close()

    def _begin_again(self) -> None:
        """After a failure: what was fetched but not applied is not known any more, so everything is read anew.

        What the log has from the meantime comes first: a revoked key does not wait for 100,000 others.
        """
        news = self._readings(self._follower.fetch())
        self._follower.start()
        self._large.clear()
        self._large.extend(news)
        self._large.extend(self._readings([(label, "") for label in LOGGED_MODELS]))
        self._has_failed = False
        logger.info("database_back")

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        small, large = split_by_size(self._readings(self._follower.fetch()))
        for reading in small:
            self._apply(loop, reading.next_piece())
        self._large.extend(large)
        self._heard_at = time.monotonic()
        until = time.monotonic() + TURN_S
        while self._large and time.monotonic() < until:
            began = time.thread_time()
            piece = self._large[0].next_piece()
            self._apply(loop, piece)
            if not piece:
                self._large.popleft()
            # What reading cost, requests get as well: this thread never has more than half of the interpreter.
            self._stop.wait(time.thread_time() - began)
        self._heartbeat.keep()
        # Not before all budgets are known: of each one the store has to hear what a process that has ended has spent.
        if self._undertaker is not None and self._heartbeat.is_taken and not self._large:
            self._undertaker.keep()
        if not self._large:
            self._position = self._follower.position

    def _readings(self, entries: Sequence[Entry]) -> list[Reading]:
        return list(readings_of(entries, lambda label: list(self.table.rows[label])))

    def _apply(self, loop: asyncio.AbstractEventLoop, items: Sequence[Item]) -> None:
        # In one go: while requests keep the interpreter busy, each handing over takes up to 5 ms (sys.getswitchinterval).
        if items:
            asyncio.run_coroutine_threadsafe(self._put(items), loop).result()
            self._keeper.note_change()

    async def _put(self, items: Sequence[Item]) -> None:
        until = time.perf_counter() + SLICE_S
        for item in items:
            self._put_one(item)
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_S

    def _put_one(self, item: Item) -> None:
        """Apply one row; one that the table cannot take must not keep the others out."""
        try:
            self.table.put(*item)
        except Exception:
            logger.exception("row_not_applied", extra={"model": item[0], "row": item[1]})
