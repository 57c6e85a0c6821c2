"""Worker side. `manage.py messages [--check]`: the catalogue of translations, for those who work on the code."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

LOCALE = "zh_Hans"


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Bring the catalogue of translations up to date and compile it, or only say what is wrong with it.")

    # It reads sources; neither database nor secrets are needed.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help=_("change nothing; exit code 1 if something is wrong"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from smartrouter.languages import catalogue, extraction, misuse, packages, problems
        except ModuleNotFoundError as e:
            raise CommandError(
                _("%s is missing; install what tests/requirements.txt lists. Only this command needs it.") % e.name
            ) from e
        path = settings.LOCALE_PATHS[0] / LOCALE / "LC_MESSAGES" / "django.po"
        folders = packages.our_folders()
        try:
            found = [line for folder in folders for line in misuse.misuses_below(folder)]
            ours = {message for folder in folders for message in extraction.messages_below(folder)}
            theirs = packages.untranslated_messages(LOCALE, folders)
            if options["check"]:
                po = catalogue.read_catalogue(path)
            else:
                po = catalogue.write_catalogue(path, ours, theirs)
                catalogue.replace_file(path.with_suffix(".mo"), catalogue.compile_catalogue(po))
        except (extraction.Unreadable, OSError) as e:
            raise CommandError(str(e)) from e
        found += problems.problems_of(po, ours, theirs, problems.compiled_file(path))
        for problem in found:
            self.stdout.write(problem)
        self.stdout.write(ngettext("%d problem.", "%d problems.", len(found)) % len(found))
        if found and options["check"]:
            sys.exit(1)
