"""Worker side. gunicorn's worker around our web process: the same server as `manage.py web`."""

import os
import signal
import sys

from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from smartrouter.delivery.master import is_port_kept


class Worker(UvicornWorker):
    """One web process. Nothing of ours is imported before the fork, so that a reload brings new code."""

    _is_orphan = False

    def load_wsgi(self) -> None:
        """Nothing: the server imports the application itself."""

    def run(self) -> None:
        """Serve until a signal. Ends with the code that ends the master, too, when no worker could start."""
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
        django.setup()
        from smartrouter.supervisor.refusal import StartRefused
        from smartrouter.supervisor.web import serve

        try:
            serve(self.sockets, is_port_kept=lambda: is_port_kept(self.ppid), beat=self.beat)
        except (StartRefused, OSError) as e:
            print(e, file=sys.stderr, flush=True)  # noqa: T201
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def beat(self) -> None:
        """Tell the master that the event loop runs, also while it drains; leave when there is no master any more."""
        self.notify()
        if os.getppid() != self.ppid and not self._is_orphan:
            self._is_orphan = True
            signal.raise_signal(signal.SIGTERM)
