"""Worker side. `manage.py config apply FILE... [--dry-run]` and `manage.py config export [FILE]`."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smartrouter.configfile import ConfigError, Report, apply_files, export_document, write_private


class Command(BaseCommand):
    help = _("Apply or export the configuration as YAML; docs/configuration.md describes the file.")

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        apply = actions.add_parser("apply", help=_("write the configuration in the files, all of it or nothing"))
        apply.add_argument("files", nargs="+", metavar="FILE", type=Path)
        apply.add_argument("--dry-run", action="store_true", help=_("only say what would change"))
        export = actions.add_parser("export", help=_("print the whole configuration, or write it to FILE"))
        export.add_argument("file", nargs="?", metavar="FILE", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["action"] == "apply":
                self.apply(options["files"], options["dry_run"])
            else:
                self.export(options["file"])
        except DatabaseError as e:
            # Not its text: a database's message can quote the values of a row.
            raise CommandError(
                _("The database cannot be used (%s). Is it there, and did “manage.py migrate” run?") % type(e).__name__
            ) from e

    def apply(self, files: list[Path], dry_run: bool) -> None:
        try:
            report = apply_files(files, dry_run)
        except ConfigError as e:
            count = len(e.messages)
            head = ngettext(
                "Nothing was changed: there is %d problem.", "Nothing was changed: there are %d problems.", count
            )
            raise CommandError("\n".join([head % count, *e.messages])) from None
        self.show(report, dry_run)

    def export(self, file: Path | None) -> None:
        try:
            text = export_document()
        except ConfigError as e:
            raise CommandError("\n".join(e.messages)) from None
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            write_private(file, text)
        except OSError as e:
            raise CommandError(
                _("%(file)s cannot be written: %(reason)s.") % {"file": file, "reason": e.strerror or type(e).__name__}
            ) from None
        self.stdout.write(_("Written to %s, readable by you only.") % file)

    def show(self, report: Report, dry_run: bool) -> None:
        for line in report.added:
            self.stdout.write(_("added: %s") % line)
        for line in report.changed:
            self.stdout.write(_("changed: %s") % line)
        for line in report.removed:
            self.stdout.write(_("removed: %s") % line)
        for warning in report.warnings:
            self.stderr.write(_("warning: %s") % warning)
        if report.is_unchanged:
            self.stdout.write(_("No changes."))
        elif dry_run:
            self.stdout.write(_("A dry run: nothing was written."))
