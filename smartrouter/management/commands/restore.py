"""Worker side. `manage.py restore FILE`: puts what an archive holds into the database, all of it or nothing."""

import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.utils.translation import gettext as _

from smartrouter.archive import Archive, ArchiveRefused, Findings, load_archive, verify
from smartrouter.archive.loading import check_target
from smartrouter.archive.progress import ProgressLine
from smartrouter.archive.quiet import nothing_served
from smartrouter.archive.reading import STANDARD_INPUT
from smartrouter.lib.reasons import system_reason
from smartrouter.reach import database_place, reason_of

CONFIRMED = "replace"


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Put what an archive holds into an empty database, or check the archive; see docs/backup.md.")

    # A missing secret has a sentence of its own here, and --check does without.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", type=Path, help=_("what “manage.py backup” wrote; - for standard input")
        )
        parser.add_argument("--check", action="store_true", help=_("only verify the archive and say what it holds"))
        parser.add_argument(
            "--replace", action="store_true", help=_("delete what the database holds now, in the same transaction")
        )
        parser.add_argument("--yes", action="store_true", help=_("do not ask before --replace"))
        parser.add_argument(
            "--accept-unreadable",
            action="store_true",
            help=_("restore even if the present secrets do not fit the archive"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        if options["file"] == STANDARD_INPUT and sys.stdin.isatty():
            raise CommandError(_("An archive does not come from a terminal: send a file or another program's output."))
        try:
            with Archive(options["file"]) as archive:
                if options["check"]:
                    self.check_only(archive)
                    return
                rows = self.restore(archive, options)
        except (ArchiveRefused, DatabaseError, InterfaceError, InconsistentMigrationHistory) as e:
            # An IntegrityError's first line names the table and the constraint; the values are in later ones.
            reason = str(e) if isinstance(e, ArchiveRefused) else _("The database refused: %s.") % reason_of(e)
            head = _("The archive cannot be used.") if options["check"] else _("Nothing was restored or changed.")
            raise CommandError(f"{head} {reason}") from e
        except KeyboardInterrupt:
            raise CommandError(_("Nothing was restored or changed.") + " " + _("It was interrupted.")) from None
        self.stdout.write(
            _("Restored %(rows)d rows into %(where)s in %(seconds).1f s. Start SmartRouter again.")
            % {"rows": rows, "where": database_place(), "seconds": time.monotonic() - started}
        )

    def check_only(self, archive: Archive) -> None:
        """Say what the archive holds; exit code 1 where the present secrets do not fit."""
        findings = self.verify(archive)
        manifest = archive.manifest
        self.stdout.write(
            _("Made at %(time)s from %(engine)s; whole and readable.")
            % {"time": manifest.created_at, "engine": manifest.engine}
        )
        for label, rows in findings.rows.items():
            self.stdout.write(f"{rows:>12,}  {label}")
        if findings.losses:
            raise CommandError("\n".join(findings.losses))
        self.stdout.write(_("ENCRYPTION_KEYS and KEY_PEPPER fit."))

    def restore(self, archive: Archive, options: dict[str, Any]) -> int:
        """The number of rows restored. Raises ArchiveRefused."""
        if settings.SETTINGS_PROBLEMS:
            raise ArchiveRefused(
                _("%(name)s is wrong: %(reason)s.")
                % dict(zip(("name", "reason"), settings.SETTINGS_PROBLEMS[0], strict=True))
            )
        if settings.MISSING_SECRETS:
            raise ArchiveRefused(
                _(
                    "Not set: %(names)s. Put back %(file)s, or set them in the environment, as they were for the archive."
                )
                % {"names": ", ".join(settings.MISSING_SECRETS), "file": settings.SECRETS_FILE}
            )
        with nothing_served():
            present = check_target(may_replace=options["replace"])
            findings = self.verify(archive)
            if findings.losses and not options["accept_unreadable"]:
                raise ArchiveRefused(
                    "\n".join(
                        [
                            *findings.losses,
                            _("Set the right secrets, or restore all the same with --accept-unreadable."),
                        ]
                    )
                )
            if present and not options["yes"]:
                self.confirm(present)
            for loss in findings.losses:
                self.stderr.write(loss, style_func=self.style.WARNING)
            with ProgressLine(self.stderr) as progress:
                rows = load_archive(archive, progress, may_replace=options["replace"])
            self.forget_snapshot()
            return rows

    def forget_snapshot(self) -> None:
        """Remove the snapshot of the configuration before, which a start without the database would serve from."""
        try:
            settings.SNAPSHOT_FILE.unlink(missing_ok=True)
        except OSError as e:
            self.stderr.write(
                _("%(file)s still holds the configuration before and cannot be removed: %(reason)s. Remove it.")
                % {"file": settings.SNAPSHOT_FILE, "reason": system_reason(e)},
                style_func=self.style.WARNING,
            )

    def verify(self, archive: Archive) -> Findings:
        """What the archive holds. Raises ArchiveRefused."""
        with ProgressLine(self.stderr) as progress:
            return verify(archive, progress)

    def confirm(self, present: list[str]) -> None:
        """Return when somebody agreed to lose what is there. Raises ArchiveRefused."""
        self.stderr.write(
            _("All that %(where)s holds will be deleted: %(tables)s.")
            % {"where": database_place(), "tables": ", ".join(present)},
            style_func=self.style.WARNING,
        )
        if not sys.stdin.isatty():
            raise ArchiveRefused(_("There is no terminal to ask at: confirm with --yes."))
        self.stderr.write(_("Type “%s” to go on:") % CONFIRMED, style_func=str, ending=" ")
        self.stderr.flush()
        if input().strip() != CONFIRMED:
            raise ArchiveRefused(_("It was not confirmed."))
