"""Worker side. `manage.py doctor`: what is wrong and what to do."""

import sys
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from smartrouter.doctor import Level, examine


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Check settings, database, usage spool, clock and channels; exit code 1 if there is a problem.")

    # They are among the findings.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-network", action="store_true", help=_("call no channel"))

    def handle(self, *args: Any, **options: Any) -> None:
        counts: Counter[Level] = Counter()
        styles = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.PROBLEM: self.style.ERROR}
        for finding in examine(with_network=not options["no_network"]):
            counts[finding.level] += 1
            mark = styles[finding.level](f"{finding.level.value!s:<8}")
            line = _("%(subject)s: %(text)s. %(advice)s") if finding.advice else _("%(subject)s: %(text)s")
            parts = {"subject": finding.subject, "text": finding.text.rstrip(".。"), "advice": finding.advice}
            self.stdout.write(f"{mark} {line % parts}")
        if counts[Level.PROBLEM]:
            sys.exit(1)
