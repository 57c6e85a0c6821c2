"""Worker side. `manage.py web`: one web process."""

import errno
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from smartrouter.lib.reasons import system_reason
from smartrouter.supervisor.ground import bind_port
from smartrouter.supervisor.refusal import StartRefused
from smartrouter.supervisor.web import serve


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Serve the API and the admin in this process, until SIGTERM or Ctrl-C.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fd", type=int, help=_("serve this bound socket, inherited, instead of HOST and PORT"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            fd = options["fd"]
            listener = bind_port(settings.HOST, settings.PORT) if fd is None else socket.socket(fileno=fd)
            serve([listener])
        except StartRefused as e:
            self.stderr.write(str(e))
            sys.exit(2)
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            # Two programs may bind one port; only one of them may listen.
            self.stderr.write(_("The port is taken by another program: %s.") % system_reason(e))
            sys.exit(2)
