"""Worker side. `manage.py config apply | diff FILE...` and `manage.py config export [FILE]`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smartrouter.configfile import ConfigError, Report, apply_files, export_document, report_lines, write_private
from smartrouter.lib.reasons import system_reason

# A wrong file can be wrong in each of a thousand entries.
PROBLEMS_SHOWN = 100
# As diff(1) and git diff --exit-code have it.
DIFFERENT, TROUBLE = 1, 2


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Apply, compare or export the configuration as YAML; docs/configuration.md describes the file.")

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        apply = actions.add_parser("apply", help=_("write the configuration in the files, all of it or nothing"))
        apply.add_argument("--dry-run", action="store_true", help=_("only say what would change"))
        diff = actions.add_parser("diff", help=_("say what apply with the same files would change"))
        diff.add_argument("--exit-code", action="store_true", help=_("exit with 1 if anything would change"))
        for command in (apply, diff):
            command.add_argument("files", nargs="+", metavar="FILE", help=_("a YAML file; - is standard input"))
            command.add_argument("--prune", action="store_true", help=_("switch off what the files do not have"))
        export = actions.add_parser("export", help=_("print the whole configuration, or write it to FILE"))
        export.add_argument("file", nargs="?", metavar="FILE", type=Path)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except CommandError as e:
            if options.get("action") == "diff":
                e.returncode = TROUBLE  # 1 would say that there are changes
            raise

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            match options["action"]:
                case "apply":
                    self.apply(options["files"], dry_run=options["dry_run"], prune=options["prune"])
                case "diff":
                    self.diff(options["files"], prune=options["prune"], exit_code=options["exit_code"])
                case _export:
                    self.export(options["file"])
        except DatabaseError as e:
            # Not its text: a database's message can quote the values of a row.
            raise CommandError(
                _("The database cannot be used (%s). Is it there, and did “manage.py migrate” run?") % type(e).__name__
            ) from e

    def apply(self, files: Sequence[str], *, dry_run: bool, prune: bool) -> None:
        report = self.run(files, dry_run=dry_run, prune=prune)
        if dry_run and not report.is_unchanged:
            self.stdout.write(_("A dry run: nothing was written."))

    def diff(self, files: Sequence[str], *, prune: bool, exit_code: bool) -> None:
        report = self.run(files, dry_run=True, prune=prune)
        if exit_code and not report.is_unchanged:
            sys.exit(DIFFERENT)

    def run(self, files: Sequence[str], *, dry_run: bool, prune: bool) -> Report:
        """What applying the files did or would do, shown."""
        try:
            report = apply_files(files, dry_run=dry_run, with_prune=prune)
        except ConfigError as e:
            raise CommandError(refusal(e)) from None
        for warning in report.warnings:
            self.stderr.write(_("warning: %s") % warning)
        for line in report_lines(report):
            self.stdout.write(line)
        return report

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
                _("%(file)s cannot be written: %(reason)s.") % {"file": file, "reason": system_reason(e)}
            ) from None
        self.stdout.write(_("Written to %s, readable by you only.") % file)


def refusal(error: ConfigError) -> str:
    """How many problems there are, and the first of them."""
    count = len(error.problems)
    head = ngettext("Nothing was changed: there is %d problem.", "Nothing was changed: there are %d problems.", count)
    rest = [_("… and %d more.") % (count - PROBLEMS_SHOWN)] if count > PROBLEMS_SHOWN else []
    return "\n".join([head % count, *error.messages[:PROBLEMS_SHOWN], *rest])
