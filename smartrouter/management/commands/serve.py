"""Worker side. `manage.py serve`: everything that SmartRouter consists of, under one small supervisor."""

import os
import socket
import sys
import time
from typing import IO, Any

from django.conf import settings
from django.core.checks import Error, run_checks
from django.core.management.base import BaseCommand
from django.db import connections
from django.utils.translation import gettext as _

from smartrouter import starter
from smartrouter.configfile import ConfigError
from smartrouter.reach import address_of, port_answers, web_answers
from smartrouter.starter import FirstSteps
from smartrouter.supervisor import banner, ground
from smartrouter.supervisor.crew import Crew
from smartrouter.supervisor.database import migrate, open_database
from smartrouter.supervisor.parts import all_parts
from smartrouter.supervisor.refusal import StartRefused
from smartrouter.supervisor.watch import REST_ENDS_WITHIN_S, Watch


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Serve everything: web, usage ingester, Celery and, in a demo, the simulator. Ctrl-C stops it.")

    # They run below, in their turn: secrets may have to be generated before they can pass.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        try:
            lock = self.prepare_ground()
            listener = self.take_ports()
            steps = self.prepare_database()
        except StartRefused as e:
            self.stderr.write(str(e))
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)
        with lock:
            sys.exit(self.run_crew(listener, steps, started))

    def prepare_ground(self) -> IO[str]:
        """The lock of a data folder in which nothing is missing. Starts this program anew when it made the secrets."""
        ground.prepare_folder(settings.DATA_DIR, (settings.SPOOL_DIR, settings.BROKER_DIR, settings.STATIC_ROOT))
        problems = [e for e in run_checks() if isinstance(e, Error) and e.id != "smartrouter.E002"]
        if problems:
            raise StartRefused("\n".join(sorted(" ".join(filter(None, (str(e.msg), e.hint))) for e in problems)))
        lock = ground.take_lock(settings.DATA_DIR)
        if settings.MISSING_SECRETS:
            self.make_secrets()
        return lock

    def make_secrets(self) -> None:
        """Generate what is missing and begin again, so that settings and children read them like any others."""
        names = ", ".join(settings.MISSING_SECRETS)
        if settings.SERVER_MODE:
            raise StartRefused(
                _(
                    "Not set: %s. With PostgreSQL or Redis every process and host needs the same values: "
                    "set them in the environment."
                )
                % names
            )
        database = settings.DATABASES["default"]["NAME"]
        if os.path.exists(database) and os.path.getsize(database):  # noqa: PTH110, PTH202  (a name, perhaps ":memory:")
            raise StartRefused(
                _(
                    "Not set: %(names)s, although there is a database whose keys were sealed with them. "
                    "Put back %(file)s or set them in the environment."
                )
                % {"names": names, "file": settings.SECRETS_FILE}
            )
        ground.generate_secrets(settings.SECRETS_FILE, settings.MISSING_SECRETS)
        self.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  (no shell is meant)

    def take_ports(self) -> socket.socket:
        """The bound socket of the web process. Raises StartRefused when a port is taken."""
        listener = ground.bind_port(settings.HOST, settings.PORT)
        for port in settings.SIMULATOR_PORTS if settings.SIMULATOR else ():
            ground.check_port("127.0.0.1", port, "SIMULATOR_PORTS")
        return listener

    def prepare_database(self) -> FirstSteps:
        """What was made on the first start; the database is migrated and closed. Raises StartRefused.

        While the database is away nothing is made and nothing migrated: the web process serves from the snapshot.
        """
        try:
            warning = open_database()
            if warning:
                self.stderr.write(warning)
                return FirstSteps()
            migrate()
            return starter.set_up()
        except ConfigError as e:
            raise StartRefused("\n".join(e.messages)) from e
        finally:
            connections.close_all()

    def run_crew(self, listener: socket.socket, steps: FirstSteps, started: float) -> int:
        """The exit code. What can be shown only once is shown even if the start fails."""
        port = listener.getsockname()[1]
        address = address_of(settings.HOST, port)
        once = [banner.login_text(steps.password), banner.key_text(address, steps.router_key)]
        is_ready = False

        def show() -> None:
            nonlocal is_ready
            is_ready = True
            lines = [banner.ready_text(address, time.monotonic() - started), *once]
            if steps.router_key:
                lines.append(banner.first_call_text(address, steps.router_key, steps.model))
            self.stdout.write("\n".join([*lines, ""]))
            self.stdout.flush()

        grace_s = settings.DRAIN_SECONDS + 10 + REST_ENDS_WITHIN_S
        crew = Crew(folder=settings.BASE_DIR, environment=os.environ, grace_s=grace_s)
        watch = Watch(crew, drain_s=settings.DRAIN_SECONDS, say=self.stderr.write)
        code = watch.run(all_parts(listener.fileno()), lambda: self.answers(listener, port), show)
        if not is_ready and (steps.password or steps.router_key):
            self.stdout.write("\n".join(once))
        return code

    def answers(self, listener: socket.socket, port: int) -> bool:
        """Whether the web process and the simulators answer."""
        # Ours was needed only until the web process had inherited it; open here, it would outlive that one's drain.
        listener.close()
        simulators = settings.SIMULATOR_PORTS if settings.SIMULATOR else []
        return web_answers(settings.HOST, port) and all(map(port_answers, simulators))
