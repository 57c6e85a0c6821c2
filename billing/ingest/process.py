"""Worker side. One process's part of the spool: its files, its open attempts, and what of it is in the database."""

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from billing.ingest.rows import Row, abandoned_row, closed_row, process_of
from billing.spool import CheckpointLine, CloseLine, Line, OpenLine, lock_path, read_lines, spool_path

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class SpoolFile:
    """One file. unresolved: attempts opened in it whose rows are not in the database yet."""

    path: Path
    offset: int = 0
    unresolved: int = 0
    is_read: bool = False  # to its end, and nothing will be added
    is_kept: bool = False  # holds a line that this version cannot read


@dataclass(slots=True)
class Opened:
    """An attempt that was opened and not closed so far."""

    line: OpenLine
    file: SpoolFile
    checkpoint: CheckpointLine | None = None


class Ended(NamedTuple):
    """An attempt whose row is ready; file is where it was opened."""

    row: Row
    file: SpoolFile


@dataclass(slots=True)
class ProcessSpool:
    """One process's files, read in their order. lock_fd: the process is dead and its lock is ours.

    Files go in their order too, so that no open line outlives its close line. A close whose open line is missing (its
    file went in an earlier life of the ingester) is put into orphans, to be compared with the database.
    """

    folder: Path
    uid: str
    lock_fd: int | None = None
    files: dict[int, SpoolFile] = field(default_factory=dict)
    opened: dict[str, Opened] = field(default_factory=dict)
    orphans: list[UUID] = field(default_factory=list)
    lines: int = 0
    damaged: int = 0
    process: UUID | None = field(init=False)

    def __post_init__(self) -> None:
        self.process = process_of(self.uid)

    @property
    def is_dead(self) -> bool:
        return self.lock_fd is not None

    def note_files(self, seqs: Collection[int]) -> None:
        """Take over the folder's present files; must be called after the lock was tried."""
        for seq in seqs:
            if seq not in self.files:
                self.files[seq] = SpoolFile(spool_path(self.folder, self.uid, seq))
        for seq in self.files.keys() - set(seqs):  # someone else removed it
            del self.files[seq]
        self.files = dict(sorted(self.files.items()))

    def read(self) -> Iterator[list[Ended]]:
        """The attempts that ended, chunk by chunk, so that a long file never stands in memory as a whole."""
        last = max(self.files, default=0)
        for seq, file in self.files.items():
            if not file.is_read:
                yield from self._read_file(file, is_final=self.is_dead or seq != last)

    def abandoned(self, billed: set[UUID]) -> list[Ended]:
        """What a dead process left open, ended; billed: the requests that have a billable row.

        Of each other request the last attempt is billable, since the ones before it were followed by another.
        """
        last: dict[str, int] = {}
        for entry in self.opened.values():
            last[entry.line.request_id] = max(entry.line.attempt, last.get(entry.line.request_id, 0))
        ended = []
        for entry in self.opened.values():
            line = entry.line
            is_billable = UUID(line.request_id) not in billed and line.attempt == last[line.request_id]
            row = abandoned_row(line, entry.checkpoint, is_billable=is_billable, process=self.process)
            ended.append(Ended(row, entry.file))
        self.opened.clear()
        return ended

    def remove_finished(self) -> int:
        """How many files were removed: read to their end, all in the database. Of a dead process the lock goes last."""
        removed = 0
        for seq, file in list(self.files.items()):
            if file.is_kept and file.is_read:
                continue
            if not file.is_read or file.unresolved:
                break
            file.path.unlink(missing_ok=True)
            del self.files[seq]
            removed += 1
        if self.lock_fd is not None and not self.files:
            lock_path(self.folder, self.uid).unlink(missing_ok=True)
            self.release()
        return removed

    def release(self) -> None:
        """Give the lock back."""
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None

    def _read_file(self, file: SpoolFile, *, is_final: bool) -> Iterator[list[Ended]]:
        while file.path.stat().st_size > file.offset:
            chunk = read_lines(file.path, file.offset)
            if chunk.offset == file.offset:
                break
            self._note_trouble(file, chunk.damaged, chunk.unknown)
            file.offset = chunk.offset
            self.lines += len(chunk.lines)
            yield [ended for line in chunk.lines if (ended := self._join(line, file))]
        if is_final:
            torn = file.path.stat().st_size - file.offset
            self._note_trouble(file, int(torn > 0), 0)
            file.is_read = True

    def _join(self, line: Line, file: SpoolFile) -> Ended | None:
        if isinstance(line, OpenLine):
            if line.attempt_id not in self.opened:
                self.opened[line.attempt_id] = Opened(line, file)
                file.unresolved += 1
            return None
        if isinstance(line, CheckpointLine):
            if line.attempt_id in self.opened:
                self.opened[line.attempt_id].checkpoint = line
            return None
        return self._end(line)

    def _end(self, line: CloseLine) -> Ended | None:
        entry = self.opened.pop(line.attempt_id, None)
        if entry is None:
            self.orphans.append(UUID(line.attempt_id))
            return None
        return Ended(closed_row(entry.line, line, process=self.process), entry.file)

    def _note_trouble(self, file: SpoolFile, damaged: int, unknown: int) -> None:
        where = {"path": str(file.path), "offset": file.offset}
        if damaged:
            self.damaged += damaged
            logger.warning("spool_lines_damaged", extra={**where, "count": damaged})
        if unknown:
            file.is_kept = True
            logger.error("spool_lines_unknown", extra={**where, "count": unknown})
