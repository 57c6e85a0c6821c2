"""Hot path. The files of the spool folder: their names, their locks, and reading them while they are written."""

import fcntl
import os
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from billing.spool.lines import Line, decode_lines

READ_BYTES = 1024 * 1024
_PREFIX = 9  # eight hex digits of the checksum and a space


def lock_path(folder: Path, process_uid: str) -> Path:
    """The file that a process keeps locked for as long as it lives."""
    return folder / f"{process_uid}.lock"


def spool_path(folder: Path, process_uid: str, seq: int) -> Path:
    """The seq-th file of a process."""
    return folder / f"{process_uid}.{seq:06d}.spool"


def parse_spool_name(name: str) -> tuple[str, int] | None:
    """The process uid and the sequence number of a spool file's name; None for any other name."""
    parts = name.split(".")
    return (parts[0], int(parts[1])) if len(parts) == 3 and parts[2] == "spool" and parts[1].isdecimal() else None


def take_lock(path: Path) -> int | None:
    """The descriptor that holds the lock, None while someone else does. The file is made if it is missing.

    A lock on a file that was unlinked in between proves nothing, so the name must still lead to what was locked.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):  # noqa: PTH116 - beside fstat
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass
        os.close(fd)


class Chunk(NamedTuple):
    """What was read from a file: the lines, where to go on, and how many records were not usable.

    damaged: their checksum is wrong, they were torn. unknown: whole, but of a newer version: the file must not be lost.
    """

    lines: list[Line]
    offset: int
    damaged: int
    unknown: int


def read_lines(path: Path, offset: int, *, at_least_bytes: int = READ_BYTES) -> Chunk:
    """The lines of the next megabyte or so from offset on; the same offset where there is nothing more.

    A last record without its newline is left for later: it may be half written.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(at_least_bytes)
        if not data.endswith(b"\n"):
            data += file.readline()
    end = data.rfind(b"\n") + 1
    lines: list[Line] = []
    damaged = unknown = 0
    for record in data[:end].split(b"\n")[:-1]:
        payload = record[_PREFIX:]
        if record[:_PREFIX] != b"%08x " % crc32(payload):
            damaged += 1
            continue
        try:
            lines.extend(decode_lines(payload))
        except msgspec.MsgspecError:
            unknown += 1
    return Chunk(lines, offset + end, damaged, unknown)
