"""Worker side. The one ingester of a spool folder: reads what is new, stores it, removes what is done.

Nothing is remembered outside the database: after a restart all files are read again from their start, and the attempt's
id, which is the primary key, sees to it that no row is stored or counted twice.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from uuid import UUID

import msgspec
from django.db import DataError, Error, IntegrityError, close_old_connections, connection, reset_queries

from billing.ingest.folder import LEADER_LOCK, REFUSED_ROWS, process_uids, spool_files
from billing.ingest.ledger import billed_requests, known_attempts, store_rows
from billing.ingest.process import Ended, ProcessSpool
from billing.ingest.rows import Row
from billing.spool import lock_path, take_lock
from smartrouter.lib.clock import dashed

logger = logging.getLogger(__name__)

BATCH_ROWS = 500
LONGEST_WAIT_S = 10.0


@dataclass(slots=True)
class IngestStats:
    """What one pass did. is_leader: False where another ingester works on the folder, and then nothing was done."""

    is_leader: bool = True
    lines: int = 0
    rows: int = 0
    known_rows: int = 0
    refused_rows: int = 0
    abandoned: int = 0
    damaged: int = 0
    files_removed: int = 0


class Ingester:
    """Elected by a lock in the folder, held until close() or the process's end. Used from one thread.

    after_pass: what run_forever() does after each pass; its database errors are taken like those of the pass.
    """

    def __init__(
        self, folder: Path, *, batch_rows: int = BATCH_ROWS, after_pass: Callable[[], object] = lambda: None
    ) -> None:
        self.folder = folder
        self._after_pass = after_pass
        self.batch_rows = batch_rows
        self._leader_fd: int | None = None
        self._is_standby = False
        self._is_failing = False
        self._processes: dict[str, ProcessSpool] = {}
        self._ready: list[Ended] = []  # not in the database yet; outlives a pass that the database broke off

    def run_once(self) -> IngestStats:
        """Bring everything that is in the folder now into the database.

        Raises django.db.Error or OSError; the next call goes on where this one stopped.
        """
        stats = IngestStats()
        if not self._lead():
            stats.is_leader = False
            return stats
        self._store(stats, at_least=1)
        self._discover()
        for process in self._processes.values():
            for ended in process.read():
                self._ready.extend(ended)
                self._store(stats, at_least=self.batch_rows)
        self._store(stats, at_least=1)
        for process in list(self._processes.values()):
            self._finish(process, stats)
        return stats

    def run_forever(self, stop: Event, interval_s: float = 0.5) -> None:
        """Run passes until stop is set, and one more: of those who ended before; while the database is away, less often."""
        wait_s = interval_s
        is_last = is_busy = False
        while not is_last:
            is_last = stop.is_set()
            # SQLite's is closed after each pass otherwise, which takes a tenth of all the time that its rows take.
            if not (is_busy and connection.vendor == "sqlite"):
                close_old_connections()
            reset_queries()
            try:
                is_busy = self.run_once().rows > 0
                self._after_pass()
            except (Error, OSError) as e:
                is_busy = False
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
                self._note_failure(e)
            else:
                wait_s = interval_s
                self._note_success()
            stop.wait(wait_s)
        self.close()
        close_old_connections()

    def close(self) -> None:
        """Let another ingester take over."""
        for process in self._processes.values():
            process.release()
        self._processes.clear()
        self._ready.clear()
        if self._leader_fd is not None:
            os.close(self._leader_fd)
            self._leader_fd = None

    def _lead(self) -> bool:
        if self._leader_fd is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._leader_fd = take_lock(self.folder / LEADER_LOCK)
            if self._leader_fd is not None:
                self._is_standby = False
                logger.info("ingester_leads", extra={"folder": str(self.folder)})
            elif not self._is_standby:
                self._is_standby = True
                logger.info("ingester_stands_by", extra={"folder": str(self.folder)})
        return self._leader_fd is not None

    def _discover(self) -> None:
        """Learn of new processes, of dead ones and of new files, in this order: what is dead writes no more.

        A process makes its lock file before its first spool file. take_lock looks again where a listing showed none,
        and a process whose lock we held while it started waits and, if the file is gone by then, makes another.
        """
        for uid in process_uids(self.folder):
            process = self._processes.setdefault(uid, ProcessSpool(self.folder, uid))
            if process.lock_fd is None:
                process.lock_fd = take_lock(lock_path(self.folder, uid))
        files = spool_files(self.folder)
        for uid, process in self._processes.items():
            process.note_files(files.get(uid, ()))

    def _finish(self, process: ProcessSpool, stats: IngestStats) -> None:
        """Adopt what a dead process left open, remove its files, forget it."""
        self._check_orphans(process)
        left = len(process.opened) if process.is_dead else 0
        if left:
            requests = [UUID(entry.line.request_id) for entry in process.opened.values()]
            billed: set[UUID] = set()
            for start in range(0, left, self.batch_rows):
                billed |= billed_requests(requests[start : start + self.batch_rows])
            self._ready.extend(process.abandoned(billed))
            self._store(stats, at_least=1)
            stats.abandoned += left
            logger.info("spool_adopted", extra={"process_uid": process.uid, "abandoned": left})
        stats.files_removed += process.remove_finished()
        stats.lines, process.lines = stats.lines + process.lines, 0
        stats.damaged, process.damaged = stats.damaged + process.damaged, 0
        if not process.files and process.lock_fd is None:
            del self._processes[process.uid]

    def _check_orphans(self, process: ProcessSpool) -> None:
        """A close without its open line is in the database already, or else was lost with a damaged line."""
        while process.orphans:
            batch = process.orphans[: self.batch_rows]
            for attempt_id in set(batch) - known_attempts(batch):
                logger.error("usage_close_without_open", extra={"attempt_id": str(attempt_id)})
            del process.orphans[: len(batch)]

    def _store(self, stats: IngestStats, *, at_least: int) -> None:
        while len(self._ready) >= at_least:
            batch = self._ready[: self.batch_rows]
            refused_before = stats.refused_rows
            new = self._store_batch([ended.row for ended in batch], stats)
            del self._ready[: len(batch)]
            for ended in batch:
                ended.file.unresolved -= 1
            stats.rows += new
            stats.known_rows += len(batch) - new - (stats.refused_rows - refused_before)

    def _store_batch(self, rows: list[Row], stats: IngestStats) -> int:
        """How many rows were new. A row that the database refuses for what it says must not hold up the others."""
        try:
            return store_rows(rows)
        except (DataError, IntegrityError, OverflowError) as e:
            if len(rows) == 1:
                self._set_aside(rows[0], e)
                stats.refused_rows += 1
                return 0
            half = len(rows) // 2
            return self._store_batch(rows[:half], stats) + self._store_batch(rows[half:], stats)

    def _set_aside(self, row: Row, error: Exception) -> None:
        path = self.folder / REFUSED_ROWS
        logger.error(
            "usage_row_refused",
            extra={"attempt_id": dashed(row["attempt_id"]), "kept_in": str(path), "reason": _first_line(error)},
        )
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(row) + b"\n")

    def _note_failure(self, error: Exception) -> None:
        if not self._is_failing:
            event = "db_unavailable" if isinstance(error, Error) else "spool_unreadable"
            logger.error(event, extra={"reason": _first_line(error)})
        self._is_failing = True

    def _note_success(self) -> None:
        if self._is_failing:
            logger.warning("ingester_recovered")
        self._is_failing = False


def _first_line(error: Exception) -> str:
    # What PostgreSQL adds below its first line is the row itself.
    return f"{type(error).__name__}: {error}".partition("\n")[0]
