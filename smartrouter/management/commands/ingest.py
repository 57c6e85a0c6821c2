"""Worker side. manage.py ingest: brings the usage spool into the database until it is told to stop."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error
from django.utils.translation import gettext as _

from billing.ingest import Ingester
from routing.register import forget_drained


class Command(BaseCommand):
    # It has to wait for a database that is away, and records usage whatever else is set wrong.
    requires_system_checks: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = _("Bring the usage spool into the database; runs until SIGTERM.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help=_("Ingest what is there now, print counts, end."))

    def handle(self, *args: Any, **options: Any) -> None:
        ingester = Ingester(settings.SPOOL_DIR, after_pass=forget_drained)
        if options["once"]:
            self._run_once(ingester)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        ingester.run_forever(stop)

    def _run_once(self, ingester: Ingester) -> None:
        try:
            stats = ingester.run_once()
            forget_drained()
        except Error as e:
            raise CommandError(_("The database cannot be used: %s. Nothing was lost.") % e) from e
        except OSError as e:
            raise CommandError(_("The spool folder cannot be used: %s.") % e) from e
        finally:
            ingester.close()
        if not stats.is_leader:
            raise CommandError(_("Another ingester is at work on this folder."))
        self.stdout.write(
            _(
                "%(rows)d rows stored (%(abandoned)d abandoned), %(known)d already there, %(refused)d refused, "
                "%(damaged)d damaged records."
            )
            % {
                "rows": stats.rows,
                "abandoned": stats.abandoned,
                "known": stats.known_rows,
                "refused": stats.refused_rows,
                "damaged": stats.damaged,
            }
        )
