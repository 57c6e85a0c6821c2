"""Worker side. `manage.py backup [FILE]`: the whole database as one file, while everything keeps serving."""

import errno
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from django.utils.timezone import now
from django.utils.translation import gettext as _

from smartrouter.archive import ArchiveRefused, Written, write_archive
from smartrouter.archive.progress import ProgressLine
from smartrouter.lib.reasons import system_reason
from smartrouter.reach import reason_of

FOLDER = "backups"
STANDARD_OUTPUT = Path("-")


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Write the whole database into one file that any SmartRouter can restore; see docs/backup.md.")

    def add_arguments(self, parser: CommandParser) -> None:
        text = _("default: a dated name in the data folder's backups; - for standard output")
        parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _stop)  # what is half written goes
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is below nohup
            signal.signal(signal.SIGHUP, _stop)
        started = time.monotonic()
        file: Path = options["file"] or settings.DATA_DIR / FOLDER / f"smartrouter-{now():%Y%m%dT%H%M%SZ}.zip"
        try:
            if options["file"] is None:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = self.write(file)
        except (ArchiveRefused, DatabaseError, InterfaceError) as e:
            reason = str(e) if isinstance(e, ArchiveRefused) else _cannot_use(e)
            raise CommandError(_("No backup was made. %s") % reason) from e
        except KeyboardInterrupt:
            raise CommandError(_("No backup was made. %s") % _("It was interrupted.")) from None
        except OSError as e:
            raise CommandError(
                _("No backup was made: %(file)s cannot be written: %(reason)s.")
                % {"file": file, "reason": system_reason(e)}
            ) from e
        self.report(file, written, time.monotonic() - started)

    def write(self, file: Path) -> Written:
        """What was written. The file is there whole or not at all, readable by its owner only."""
        with ProgressLine(self.stderr) as progress:
            if file == STANDARD_OUTPUT:
                if sys.stdout.isatty():
                    raise CommandError(_("An archive is no text for a terminal: send it to a file or another program."))
                written = write_archive(sys.stdout.buffer, progress)
                sys.stdout.buffer.flush()
                return written
            return _write_whole(file, progress)

    def report(self, file: Path, written: Written, seconds: float) -> None:
        """Say what is there, what is not in it and what has to be kept."""
        numbers: dict[str, Any] = {"rows": written.rows, "tables": written.tables, "seconds": seconds}
        if file == STANDARD_OUTPUT:
            lines = [_("Written: %(rows)d rows of %(tables)d tables in %(seconds).1f s.") % numbers]
        else:
            numbers |= {"file": file, "mib": file.stat().st_size / 2**20}
            lines = [
                _(
                    "Written to %(file)s (%(mib).1f MiB, readable by you only): "
                    "%(rows)d rows of %(tables)d tables in %(seconds).1f s."
                )
                % numbers
            ]
        if written.spool_bytes:
            lines.append(
                _(
                    "%(kib)d KiB of the usage spool in %(folder)s may not be in the database yet, and so not in the archive; "
                    "they stay where they are, and the ingester stores them."
                )
                % {"kib": -(-written.spool_bytes // 1024), "folder": settings.SPOOL_DIR}
            )
        if file == STANDARD_OUTPUT:
            self.stderr.write("\n".join(lines), style_func=str)
        else:
            self.stdout.write("\n".join(lines))
        self.stderr.write(_secrets_text(), style_func=self.style.WARNING)


def _secrets_text() -> str:
    warning = _(
        "THE SECRETS ARE NOT IN IT. Without ENCRYPTION_KEYS the upstream keys in it cannot be opened, without KEY_PEPPER "
        "every router key is refused."
    )
    advice = (
        _("Keep a copy of %s in a safe place, apart from the archive.") % settings.SECRETS_FILE
        if settings.SECRETS_FILE.exists()
        else _("Keep the values that your environment sets in a safe place, apart from the archive.")
    )
    return f"{warning} {advice}"


def _write_whole(file: Path, progress: ProgressLine) -> Written:
    target = file.resolve()
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if file.exists() and not file.is_file():  # a device would be replaced, too
        raise ArchiveRefused(_("%s is not a regular file: name another one, or - for standard output.") % file)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)  # mode 0600
    temporary = Path(name)
    try:
        stream: IO[bytes]
        with os.fdopen(handle, "wb") as stream:
            written = write_archive(stream, progress)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return written


def _cannot_use(error: Exception) -> str:
    return _("The database cannot be used: %s.") % reason_of(error)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
