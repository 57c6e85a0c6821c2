"""Worker side. gunicorn's worker around our web process: the same server as `manage.py web`."""

import mmap
import os
import signal
import sys
import time
from typing import Any, NoReturn

from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from smartrouter.delivery.master import has_served, is_port_kept, note_serving

# gunicorn replaces a worker at once, and what is in the way seldom goes within a moment.
RETRY_AFTER_S = 2.0


class Worker(UvicornWorker):
    """One web process. Nothing of ours is imported before the fork, so that a reload brings new code."""

    _is_orphan = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The master makes this object before it forks: what the worker writes here, the master reads.
        self._open = mmap.mmap(-1, 1)

    @property
    def is_serving(self) -> bool:
        """In the master: whether this worker has got so far as to serve."""
        return bool(self._open[0])

    def load_wsgi(self) -> None:
        """Nothing: the server imports the application itself."""

    def run(self) -> None:
        """Serve until a signal; the exit code of one that cannot start tells the master what to do (see give_up)."""
        try:
            self.serve()
        except Exception:  # code that cannot be imported, for one
            self.log.exception("The web process failed.")
            give_up()

    def serve(self) -> None:
        """Return when the server has drained after a signal."""
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
        django.setup()
        from smartrouter.supervisor.refusal import StartRefused
        from smartrouter.supervisor.web import serve

        try:
            serve(self.sockets, is_port_kept=lambda: is_port_kept(self.ppid), beat=self.beat, on_open=self.note_serving)
        except (StartRefused, OSError) as e:
            print(e, file=sys.stderr, flush=True)  # noqa: T201
            give_up()

    def note_serving(self) -> None:
        """Tell the master that this worker serves."""
        self._open[0] = 1
        note_serving()

    def beat(self) -> None:
        """Tell the master that the event loop runs, also while it drains; leave when there is no master any more."""
        self.notify()
        if os.getppid() != self.ppid and not self._is_orphan:
            self._is_orphan = True
            signal.raise_signal(signal.SIGTERM)


def give_up() -> NoReturn:
    """End with 3, which ends the master and all its workers, while none of them has ever served; afterwards with 1.

    After that the master tries again, and the workers that serve are left alone.
    """
    if not has_served():
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    time.sleep(RETRY_AFTER_S)
    sys.exit(1)
