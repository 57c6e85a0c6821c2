"""Worker side. Nobody may serve from a database, or write to it, while it is replaced."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from django.apps.registry import Apps
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from billing.ingest.folder import LEADER_LOCK
from billing.spool import take_lock
from routing.register import is_dead
from smartrouter.archive.refusal import ArchiveRefused
from smartrouter.supervisor.ground import prepare_folder
from smartrouter.supervisor.ground import take_lock as take_serve_lock
from smartrouter.supervisor.refusal import StartRefused

REGISTER = "webprocess"
# A lock that is not free after this long is held by someone who is not stopping.
LOCK_WAIT_S = 10


@contextmanager
def nothing_served() -> Iterator[None]:
    """The data folder, in which neither `serve` nor an ingester can start meanwhile. Raises ArchiveRefused."""
    try:
        prepare_folder(settings.DATA_DIR, (settings.SPOOL_DIR,))
        with take_serve_lock(settings.DATA_DIR):
            fd = take_lock(settings.SPOOL_DIR / LEADER_LOCK)
            if fd is None:
                raise ArchiveRefused(_("An ingester is at work on %s: stop it first.") % settings.SPOOL_DIR)
            try:
                yield
            finally:
                os.close(fd)
    except StartRefused as e:
        raise ArchiveRefused(str(e)) from e


def keep_writers_out() -> None:
    """At the start of a transaction: have whoever holds a lock show itself, instead of waiting for it for ever."""
    if connection.vendor == "postgresql":  # SQLite's transaction shuts out every other writer by itself
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")


def refuse_living(apps: Apps) -> None:
    """Nothing, if no web process is alive; inside a transaction none can register itself any more. Raises ArchiveRefused.

    apps: the models that the database has now.
    """
    try:
        register = apps.get_model("routing", REGISTER)
    except LookupError:
        return
    if connection.vendor == "postgresql" and connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {connection.ops.quote_name(register._meta.db_table)} IN EXCLUSIVE MODE")
    living = [each for each in register._base_manager.all() if not is_dead(each, socket.gethostname())]
    if living:
        raise ArchiveRefused(
            _(
                "A web process (pid %(pid)s on %(host)s) serves this database. "
                "Stop every web process, ingester, worker and beat first, and start them afterwards."
            )
            % {"pid": living[0].pid, "host": living[0].host}
        )
