"""Worker side. The sealed file: a header line in plain sight, then sealed pieces.

The header says which format, which shape of rows, which database, when and where in the change log. Its digest and the
piece's number are what each piece is sealed for, so that no byte of the header can be changed and no piece left out,
repeated, moved or taken from another snapshot, let alone from the database. The last piece says how many rows there are.
"""

import hashlib
import json
import os
import struct
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _

from routing.changes import LOGGED_MODELS
from routing.snapshot.packing import CODECS, shape
from smartrouter.lib.database import database_identity
from smartrouter.lib.sealing import SealBroken, seal, unseal

FORMAT = 1
MAGIC = "smartrouter-snapshot"
# Packing, encoding and sealing that many router keys takes about a millisecond, and the interpreter is held for no longer.
PIECE_ROWS = 200
PIECE_BYTES_AT_MOST = 64 * 1024 * 1024
HEADER_BYTES_AT_MOST = 4096
# A clock that was set back by more makes ages meaningless.
FUTURE_LIMIT_S = 300.0
_LENGTH = struct.Struct(">I")

Items = list[tuple[str, int, Any]]
Tables = Mapping[str, Mapping[int, Any]]


class SnapshotRefused(Exception):
    """There is no snapshot that may be served from; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole snapshot. position: the newest change log entry that it surely has; the age is against our clock."""

    items: Items
    position: int
    age_s: float


def write_snapshot(path: Path, tables: Tables, *, position: int, rest: Callable[[], None] = lambda: None) -> int:
    """How many rows were written; the file is replaced in one step and for us alone. Raises OSError.

    Another thread may change the tables meanwhile: every single step here is atomic to it, and a row that changes is there
    as before or after. rest() is called after each piece, and what it raises ends the attempt.
    """
    fresh = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    try:
        with open(fresh, "xb", opener=_private) as file:
            header = json.dumps(_header(position)).encode() + b"\n"
            file.write(header)
            count = number = 0
            for content in _pieces(tables):
                _write_piece(file, header, number, content)
                file.flush()
                count, number = count + len(content["rows"]), number + 1
                rest()
            _write_piece(file, header, number, {"end": count})
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return count


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot, checked to its last byte. Raises SnapshotRefused."""
    try:
        with path.open("rb") as file:
            head = file.readline(HEADER_BYTES_AT_MOST)
            header = _checked(head)
            age_s = _age_of(header)
            items: Items = []
            for content in _contents(file, head):
                label = content["label"]
                unpack = CODECS[content["kind"]].unpack
                items += [(label, row.ref, row) for row in map(unpack, content["rows"])]
            return Snapshot(items, header["position"], age_s)
    except FileNotFoundError as e:
        raise SnapshotRefused(_("there is no snapshot")) from e
    except (ValueError, KeyError, TypeError) as e:
        # It is as it was written, so that something else is missing here: a time zone, an adapter.
        raise SnapshotRefused(_("the snapshot cannot be understood: %s") % type(e).__name__) from e
    except OSError as e:
        text = _("the snapshot cannot be read: %s") % (os.strerror(e.errno) if e.errno else type(e).__name__)
        raise SnapshotRefused(text) from e


def snapshot_age_s(path: Path) -> float:
    """The age of a snapshot as its header has it, the rest unread. Raises SnapshotRefused and OSError."""
    with path.open("rb") as file:
        return _age_of(_checked(file.readline(HEADER_BYTES_AT_MOST)))


def age_text(age_s: float) -> str:
    """An age for people."""
    if age_s < 120:
        return _("%d seconds") % age_s
    if age_s < 7200:
        return _("%d minutes") % (age_s / 60)
    return _("%d hours") % (age_s / 3600)


def _header(position: int) -> dict[str, Any]:
    return {
        "what": MAGIC,
        "format": FORMAT,
        "shape": shape(),
        "database": database_identity(),
        "id": uuid.uuid4().hex,
        "written_at": time.time(),
        "position": position,
    }


def _pieces(tables: Tables) -> Iterator[dict[str, Any]]:
    for label in LOGGED_MODELS:
        rows = tables.get(label, {})
        refs = iter(list(rows))
        while some := list(islice(refs, PIECE_ROWS)):
            found = [row for ref in some if (row := rows.get(ref)) is not None]
            if found:
                kind = type(found[0]).__name__
                yield {"label": label, "kind": kind, "rows": [CODECS[kind].pack(row) for row in found]}


def _purpose(header: bytes, number: int) -> str:
    return f"{MAGIC} {hashlib.sha256(header).hexdigest()} {number}"


def _write_piece(file: IO[bytes], header: bytes, number: int, content: dict[str, Any]) -> None:
    blob = seal(content, _purpose(header, number))
    file.write(_LENGTH.pack(len(blob)) + blob)


def _checked(head: bytes) -> dict[str, Any]:
    """The header of a snapshot of this format, made of such rows, for this database. Raises SnapshotRefused."""
    try:
        header = json.loads(head)
        is_ours = header["what"] == MAGIC
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise SnapshotRefused(_("the snapshot is damaged"))
    if (header.get("format"), header.get("shape")) != (FORMAT, shape()):
        raise SnapshotRefused(_("the snapshot was written by another version of SmartRouter"))
    if header.get("database") != database_identity():
        raise SnapshotRefused(_("the snapshot was made from another database"))
    if not isinstance(header.get("position"), int) or not isinstance(header.get("written_at"), float):
        raise SnapshotRefused(_("the snapshot is damaged"))
    return dict(header)


def _age_of(header: Mapping[str, Any]) -> float:
    age_s = time.time() - float(header["written_at"])
    limit_h = settings.SNAPSHOT_MAX_AGE_HOURS
    if not limit_h:
        raise SnapshotRefused(_("SNAPSHOT_MAX_AGE_HOURS is 0"))
    if age_s > limit_h * 3600:
        raise SnapshotRefused(
            _("the snapshot is %(age)s old, and SNAPSHOT_MAX_AGE_HOURS allows %(limit)g hours")
            % {"age": age_text(age_s), "limit": limit_h}
        )
    if age_s < -FUTURE_LIMIT_S:
        raise SnapshotRefused(_("the snapshot is from the future: this machine's clock was set back"))
    return max(0.0, age_s)


def _contents(file: IO[bytes], head: bytes) -> Iterator[dict[str, Any]]:
    """The opened pieces. Raises SnapshotRefused, at the end too if that is not the end that was written."""
    count = number = 0
    while True:
        content = _open_piece(_read_piece(file), head, number)
        if "end" in content:
            if content["end"] != count or file.read(1):
                raise SnapshotRefused(_("the snapshot is damaged"))
            return
        count += len(content["rows"])
        number += 1
        yield content


def _read_piece(file: IO[bytes]) -> bytes:
    prefix = file.read(_LENGTH.size)
    length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else 0
    blob = file.read(length) if 0 < length <= PIECE_BYTES_AT_MOST else b""
    if not blob or len(blob) < length:
        raise SnapshotRefused(_("the snapshot is damaged"))
    return blob


def _open_piece(blob: bytes, head: bytes, number: int) -> dict[str, Any]:
    try:
        content: dict[str, Any] = unseal(blob, _purpose(head, number)).reveal()
    except SealBroken as e:
        if number:
            raise SnapshotRefused(_("the snapshot is damaged")) from e
        raise SnapshotRefused(_("none of ENCRYPTION_KEYS opens the snapshot, or it is damaged")) from e
    return content


def _private(path: str, flags: int) -> int:
    """An opener: the file is ours alone from its first moment."""
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make the new name last; a file system that cannot do it has done what it can."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
