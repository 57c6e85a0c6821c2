"""Worker side. Reading an archive that may be anything: nothing is unpacked to disk, nothing is believed unchecked.

Members are read by the names that the manifest lists, a line at a time, up to the size that it states, so that neither
paths nor absurd sizes in the file have any effect. Only DEFLATE is decompressed, for of what zipfile knows it alone gives
what it unpacks in pieces of a bounded size.
"""

import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec
from django.conf import settings
from django.utils.translation import gettext as _

from smartrouter.archive.fingerprints import is_sealed_right
from smartrouter.archive.manifest import MANIFEST, MANIFEST_LIMIT_BYTES, SEALS, Manifest, Member, read_manifest
from smartrouter.archive.refusal import ArchiveRefused
from smartrouter.archive.values import LINE_LIMIT_BYTES
from smartrouter.lib.reasons import system_reason

READ_BYTES = 1024 * 1024
# Rows with ids and times in them shrink to a twentieth or so; what claims far more was made to fill a machine.
LARGEST_RATIO = 300
RATIO_COUNTS_FROM_BYTES = 16 * 1024 * 1024
# The others are expanded whole, whatever size the directory states.
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

STANDARD_INPUT = Path("-")

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError)


class Archive:
    """An archive file, open until close(). The manifest is read and every member is there. Raises ArchiveRefused."""

    def __init__(self, path: Path) -> None:
        name = _("Standard input") if path == STANDARD_INPUT else path
        try:
            self._file = _standard_input() if path == STANDARD_INPUT else path.open("rb")
        except OSError as e:
            raise ArchiveRefused(
                _("%(file)s cannot be read: %(reason)s.") % {"file": name, "reason": system_reason(e)}
            ) from e
        try:
            self._zip = zipfile.ZipFile(self._file)
            if any(info.compress_type not in BOUNDED for info in self._zip.infolist()):
                raise zipfile.BadZipFile
            text = self._small(MANIFEST)
            self.manifest: Manifest = read_manifest(text)
            # None: none of the present encryption keys made it, so that nobody can tell
            self.is_sealed_right = is_sealed_right(text, self.manifest.secrets.salt, seals=self._seals())
            self._check_members()
        except (*_DAMAGE, OSError) as e:
            self.close()
            raise ArchiveRefused(_("%s is not an archive of SmartRouter, or is not complete.") % name) from e
        except ArchiveRefused:
            self.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self, member: Member) -> Iterator[list[Any]]:
        """The member's rows; raises ArchiveRefused where they are not what the manifest says, at the latest at the end."""
        digest, size, count = hashlib.sha256(), 0, 0
        try:
            with self._zip.open(member.path) as raw, io.BufferedReader(_raw(raw), READ_BYTES) as file:
                while line := file.readline(LINE_LIMIT_BYTES + 1):
                    size, count = size + len(line), count + 1
                    if size > member.bytes or len(line) > LINE_LIMIT_BYTES:
                        raise self._differs(member)
                    digest.update(line)
                    row = json.loads(line)
                    if not isinstance(row, list) or len(row) != len(member.fields):
                        raise self._differs(member)
                    yield row
        except (*_DAMAGE, OSError, RecursionError) as e:
            raise self._differs(member) from e
        if (size, count, digest.hexdigest()) != (member.bytes, member.rows, member.sha256):
            raise self._differs(member)

    def _differs(self, member: Member) -> ArchiveRefused:
        return ArchiveRefused(_("The archive is damaged: %s is not what its manifest says.") % member.path)

    def _small(self, name: str) -> bytes:
        info = self._zip.getinfo(name)
        if info.file_size > MANIFEST_LIMIT_BYTES:
            raise zipfile.BadZipFile
        with self._zip.open(info) as file:
            return file.read(MANIFEST_LIMIT_BYTES)

    def _seals(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._small(SEALS), type=dict[str, str])
        except msgspec.DecodeError as e:
            raise ArchiveRefused(_("The archive is damaged: %s is not what its manifest says.") % SEALS) from e

    def _check_members(self) -> None:
        found = {info.filename: info for info in self._zip.infolist()}
        expected = {member.path: member for member in self.manifest.members}
        if len(found) != len(self._zip.infolist()) or set(found) != {MANIFEST, SEALS, *expected}:
            strange = sorted(set(found) ^ {MANIFEST, SEALS, *expected}) or sorted(found)
            raise ArchiveRefused(
                _("The archive is damaged: its members are not those of its manifest (%s).") % ascii(strange[0])[:100]
            )
        for path, member in expected.items():
            info = found[path]
            is_absurd = info.file_size > RATIO_COUNTS_FROM_BYTES and info.file_size > LARGEST_RATIO * info.compress_size
            if info.file_size != member.bytes or is_absurd:
                raise self._differs(member)


def _standard_input() -> IO[bytes]:
    """What stands at standard input, as a file that can be read at any place. A pipe is copied to a file without a name."""
    given = sys.stdin.buffer
    if given.seekable():
        return given
    # Archives may be larger than what containers have at /tmp.
    folder = settings.DATA_DIR if os.access(settings.DATA_DIR, os.W_OK) else None
    copy: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by the caller)
    try:
        shutil.copyfileobj(given, copy, READ_BYTES)
    except BaseException:
        copy.close()
        raise
    return copy


def _raw(file: IO[bytes]) -> io.BufferedIOBase:
    """What ZipFile.open() really returns."""
    assert isinstance(file, io.BufferedIOBase)
    return file
