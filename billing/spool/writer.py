"""Hot path. Writing the spool: one append is one os.write of one record.

It costs about 25 us and blocks the event loop for that long. The page cache survives a kill -9, so nothing is forced to
the disk here; sync() is for those who have a thread to spare. One checksum covers all lines of an append: a kill can
tear even a single write, and a failed attempt that is closed as the next one opens must never be seen half.

A process uses one Spool, from one thread, opened after any fork: the lock that proves its life belongs to the open file
and would be shared with a child.
"""

import errno
import logging
import os
import re
import time
from pathlib import Path

from django.utils.translation import gettext as _

from billing.spool.files import lock_path, parse_spool_name, spool_path, take_lock
from billing.spool.lines import Line, encode_record
from smartrouter.lib.reasons import system_reason

logger = logging.getLogger(__name__)

ROTATE_BYTES = 8 * 1024 * 1024
LOCK_WAIT_S = 5.0
_UID = re.compile(r"(?!ingester$)[A-Za-z0-9_-]{1,100}")  # ingester.lock is the ingester's own


class SpoolError(Exception):
    """The disk refused a line, or another process has the same uid. Without its open line no request may be sent."""


class Spool:
    """The spool files of this process: the lock first, then `<uid>.<seq>.spool`, a new one every rotate_bytes.

    Raises SpoolError where the folder cannot be used. What an earlier process of the same uid left is not touched.
    """

    def __init__(self, folder: Path, process_uid: str, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        if not _UID.fullmatch(process_uid):
            raise ValueError("a process uid has letters, digits, hyphens and underscores only, and is not ingester")
        self.folder = folder
        self.process_uid = process_uid
        self.rotate_bytes = rotate_bytes
        self._pending: list[bytes] = []
        self._is_refused = False
        self._is_torn = False
        self._fd = self._lock_fd = -1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = self._wait_for_lock()
            names = [parse_spool_name(path.name) for path in folder.glob(f"{process_uid}.*.spool")]
            self._seq = max((name[1] for name in names if name), default=0)
            self._open_next()
        except OSError as e:
            self.close()
            raise SpoolError(_("The spool folder cannot be used: %s.") % system_reason(e)) from e

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return spool_path(self.folder, self.process_uid, self._seq)

    @property
    def pending_count(self) -> int:
        """How many kept appends wait for the disk."""
        return len(self._pending)

    def append(self, *lines: Line, keep: bool = False) -> None:
        """Write the lines with one os.write: all of them or, as a reader sees it, none.

        Raises SpoolError where the disk refuses; then nothing of them will ever be read. With keep=True (closes) they
        stay in memory instead and are written before the next append or by retry_pending(). A checkpoint is not worth
        keeping: the next one replaces it.
        """
        record = encode_record(lines)
        if keep:
            self._pending.append(record)
            self.retry_pending()
            return
        try:
            self._write_pending()
            self._write(record)
        except OSError as e:
            self._note_refusal(e)
            raise SpoolError(f"the spool cannot be written: {e.strerror}") from e
        self._note_recovery()

    def retry_pending(self) -> bool:
        """Whether all that was kept is written now."""
        try:
            self._write_pending()
        except OSError as e:
            self._note_refusal(e)
            return False
        self._note_recovery()
        return True

    def sync(self) -> None:
        """Force what was written to the disk (0.3 ms and more: not from the event loop). Raises OSError."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Write what was kept, give up the lock. From here on the ingester treats the files as a dead process's."""
        if self._fd >= 0:
            if not self.retry_pending():
                logger.error("spool_lines_lost", extra={"count": len(self._pending), "path": str(self.path)})
            os.close(self._fd)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._fd = self._lock_fd = -1

    def _write_pending(self) -> None:
        while self._pending:
            self._write(self._pending[0])
            del self._pending[0]

    def _write(self, record: bytes) -> None:
        if self._size >= self.rotate_bytes:
            self._rotate()
        # A record that was cut short is ended, and spoilt: one that lacked only its newline must not come to life.
        data = b"#\n" + record if self._is_torn else record
        written = os.write(self._fd, data)
        self._size += written
        if written < len(data):
            self._is_torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn = False

    def _rotate(self) -> None:
        old = self._fd
        try:
            self._open_next()
        except OSError as e:  # no room for a new file: the old one goes on for half as long again
            logger.warning("spool_not_rotated", extra={"path": str(self.path), "reason": e.strerror})
            self._size //= 2
            return
        os.close(old)
        self._is_torn = False

    def _open_next(self) -> None:
        path = spool_path(self.folder, self.process_uid, self._seq + 1)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._seq += 1
        self._size = 0

    def _wait_for_lock(self) -> int:
        deadline = time.monotonic() + LOCK_WAIT_S
        while (fd := take_lock(lock_path(self.folder, self.process_uid))) is None:
            # The ingester tries each lock for an instant; anyone who holds it for longer is a process like us.
            if time.monotonic() > deadline:
                raise SpoolError("another process uses this spool")
            time.sleep(0.01)
        return fd

    def _note_refusal(self, error: OSError) -> None:
        if not self._is_refused:
            logger.error("spool_refused", extra={"path": str(self.path), "reason": error.strerror})
        self._is_refused = True

    def _note_recovery(self) -> None:
        if self._is_refused:
            logger.warning("spool_recovered", extra={"path": str(self.path)})
        self._is_refused = False
