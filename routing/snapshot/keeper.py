"""Worker side. When a snapshot is written, and by whom: a thread of each web process, one of which has the lock.

The thread reads the table's rows while the event loop changes them, and asks the database for nothing. It works in pieces
of a millisecond or two and then rests, so that it never has more than SHARE of the interpreter. A change that comes
while it writes makes the next snapshot.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from billing.spool import take_lock
from routing.snapshot.file import Tables, write_snapshot
from smartrouter.lib.database import is_file
from smartrouter.lib.sealing import SealBroken

logger = logging.getLogger(__name__)

# After a change: as soon as it has been quiet for so long, at the latest after so long.
QUIET_S = 5.0
BUSY_S = 30.0
# Without any change: the age of a snapshot says how long ago its rows were known to be true.
REFRESH_S = 600.0
LOOK_S = 0.5
# Of the interpreter: while it writes, and with the pauses between two snapshots while changes keep coming.
SHARE = 0.2
SHARE_OVERALL = 0.05
STOP_WITHIN_S = 2.0


def is_wanted() -> bool:
    """Whether this installation writes and serves snapshots."""
    return not is_file() and settings.SNAPSHOT_MAX_AGE_HOURS > 0


class Stopped(Exception):
    """The process ends; what was written so far is thrown away."""


class SnapshotKeeper:
    """Keeps the data folder's snapshot true to the tables. is_true() says whether they are true to the database."""

    def __init__(self, path: Path, tables: Tables, *, is_true: Callable[[], bool], position: Callable[[], int]) -> None:
        self._path = path
        self._tables = tables
        self._is_true = is_true
        self._position = position
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)
        self._lock_fd: int | None = None
        # The first snapshot is due at once.
        self._written_at = self._not_before = self._newest_at = float("-inf")
        # Of the changes that no snapshot has been begun for.
        self._first_at: float | None = None
        self._has_failed = False

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a snapshot that is being written is thrown away. Waits for up to STOP_WITHIN_S."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN_S)

    def note_change(self) -> None:
        """Rows of the tables have changed. Called by the thread that hands them over."""
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        self._newest_at = now

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                if self._is_due():
                    if not self._is_true():
                        self._give_up_lead()  # another process may well have the database
                    elif self._leads():
                        self._write()
            except Stopped:
                break
            except (OSError, SealBroken) as e:
                reason = os.strerror(e.errno) if isinstance(e, OSError) and e.errno else str(e)
                if not self._has_failed:
                    logger.error("snapshot_not_written", extra={"path": str(self._path), "reason": reason})
                self._try_later()
            except Exception:
                # The next start with the database away would serve from an old snapshot, and nobody would know why.
                logger.exception("snapshot_failed")
                self._try_later()
        self._give_up_lead()

    def _try_later(self) -> None:
        self._has_failed = True
        self._not_before = time.monotonic() + BUSY_S
        self.note_change()

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._not_before:
            return False
        if now - self._written_at > REFRESH_S:
            return True
        return self._first_at is not None and (now - self._newest_at > QUIET_S or now - self._first_at > BUSY_S)

    def _leads(self) -> bool:
        """Whether this process is the one that writes: the workers of a server share a folder."""
        if self._lock_fd is None:
            self._lock_fd = take_lock(self._path.with_suffix(".lock"))
        return self._lock_fd is not None

    def _give_up_lead(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _write(self) -> None:
        began, cpu_began = time.monotonic(), time.thread_time()
        worked_at = cpu_began

        def rest() -> None:
            nonlocal worked_at
            if self._stop.wait((time.thread_time() - worked_at) * (1 / SHARE - 1)):
                raise Stopped
            worked_at = time.thread_time()

        # What changes from now on may not be in it.
        self._first_at = None
        position = self._position()
        count = write_snapshot(self._path, self._tables, position=position, rest=rest)
        self._written_at = began
        self._not_before = began + (time.thread_time() - cpu_began) / SHARE_OVERALL
        self._has_failed = False
        logger.log(
            logging.INFO if time.monotonic() - began > 1 else logging.DEBUG,
            "snapshot_written",
            extra={
                "rows": count,
                "bytes": self._path.stat().st_size,
                "seconds": round(time.monotonic() - began, 3),
                "cpu_s": round(time.thread_time() - cpu_began, 3),
            },
        )
