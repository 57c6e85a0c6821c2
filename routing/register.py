"""Worker side. The register of web processes: who serves, and who has ended with usage that is still to be counted.

Without a shared store there may be only one that lives. One that has ended stays until its usage is in the database and
what it had claimed of budgets is settled (routing/burial.py).
"""

import fcntl
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.ingest.folder import process_uids
from billing.spool import lock_path
from routing.models import Pulse, WebProcess
from routing.tasks import JOBS

HEARTBEAT_S = 2.0
# A process whose heartbeat is older is dead, unless its own host knows better.
HEARTBEAT_LIMIT_S = 10.0
# A place of which nothing was heard for so long is lost: nobody there will count what its processes have spent.
LOST_AFTER_S = 30.0
# The pulse of the jobs comes every 30 s; a worker that restarts, or a busy one, may miss some.
JOBS_SILENT_S = 180.0

# Host and data folder: what shares a spool folder and its ingester.
Place = tuple[str, str]

# This process's place in the register, once it has one.
_own_uid: UUID | None = None


class StartRefused(Exception):
    """The process must not serve; the text is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class RegisteredProcess:
    """A web process as the ledger needs it; uid: 32 hex digits. is_lost: its whole place is gone; nobody waits for it."""

    uid: str
    place: Place
    is_live: bool
    is_lost: bool


def register_process(uid: UUID) -> None:
    """Enter this web process into the register. Raises StartRefused for a second one without a shared store."""
    global _own_uid
    host, folder = socket.gethostname(), str(settings.DATA_DIR)
    with transaction.atomic():
        if connection.vendor == "postgresql":  # SQLite's writers take turns by themselves
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE routing_webprocess IN EXCLUSIVE MODE")
        for other in WebProcess.objects.all() if not settings.REDIS_URL else ():
            if not is_dead(other, host):
                raise StartRefused(
                    _(
                        "Another web process (pid %(pid)s on %(host)s) serves this database; set REDIS_URL to run several."
                    )
                    % {"pid": other.pid, "host": other.host}
                )
        _own_uid = uid
        WebProcess.objects.create(uid=uid, host=host, pid=os.getpid(), data_folder=folder)


def beat(uid: UUID) -> None:
    """Renew the process's heartbeat; enter it anew where it is not in the register any more. Raises StartRefused.

    Whoever is heard of again after it was given up is none that has to be released.
    """
    if not WebProcess.objects.filter(uid=uid).update(heartbeat_at=now(), released_at=None):
        register_process(uid)


def pulse_age_s() -> float | None:
    """How long ago a scheduled job last ran; None before the first. Negative where clocks differ."""
    last = pulse_at()
    return None if last is None else (now() - last).total_seconds()


def pulse_at() -> datetime | None:
    """When a scheduled job last ran; None before the first."""
    return Pulse.objects.filter(name=JOBS).values_list("at", flat=True).first()


def leave_register(uid: UUID, *, is_settled: bool) -> None:
    """Note that the process has ended; is_settled: it has told what it spent and given back what it had claimed.

    Then its row goes as soon as its spool is in the database; at once where it is. Else the row waits for its burial.
    """
    own = WebProcess.objects.filter(uid=uid)
    if not is_settled:
        return
    if uid.hex in undrained_uids():
        own.update(left_at=now())
    else:
        own.delete()


def forget_drained() -> int:
    """How many rows were deleted: processes of this place that ended in order, and whose spool is in the database."""
    ended = [row for row in WebProcess.objects.filter(left_at__isnull=False) if is_here(row)]
    left = undrained_uids() if ended else set()
    drained = [row.pk for row in ended if row.pk.hex not in left]
    return WebProcess.objects.filter(pk__in=drained).delete()[0] if drained else 0


def processes() -> list[RegisteredProcess]:
    """Every process of the register, ended ones included. Raises the database's errors."""
    host, rows = socket.gethostname(), list(WebProcess.objects.all())
    lost = lost_places(rows)
    return [
        RegisteredProcess(
            uid=row.uid.hex,
            place=(row.host, row.data_folder),
            is_live=not is_dead(row, host),
            is_lost=row.released_at is not None or (row.host, row.data_folder) in lost,
        )
        for row in rows
    ]


def lost_places(rows: Iterable[WebProcess]) -> set[Place]:
    """The places, other than ours, where none of these processes lives, and of which nothing was heard for LOST_AFTER_S."""
    places: dict[Place, list[WebProcess]] = {}
    for row in rows:
        places.setdefault((row.host, row.data_folder), []).append(row)
    return {
        place
        for place, its in places.items()
        if all(is_lost(row, max(other.heartbeat_at for other in its)) for row in its)
    }


def is_lost(process: WebProcess, place_heard_at: datetime) -> bool:
    """Whether a process is a lost host's; place_heard_at: the last heartbeat of any process of its place."""
    is_silent = (now() - place_heard_at).total_seconds() > LOST_AFTER_S
    return is_silent and not is_here(process) and is_dead(process, socket.gethostname())


def is_here(process: WebProcess) -> bool:
    """Whether a registered process has, or had, this place: our ingester reads its spool.

    Without a shared store only one process lives, and a host of another name on the same folder is the same host: a
    container that was made anew.
    """
    if process.data_folder != str(settings.DATA_DIR):
        return False
    return process.host == socket.gethostname() or not settings.REDIS_URL


def undrained_uids() -> set[str]:
    """The processes of this place whose usage is not wholly in the database, those that live among them."""
    try:
        return process_uids(settings.SPOOL_DIR)
    except FileNotFoundError:
        return set()


def is_dead(process: WebProcess, host: str) -> bool:
    """Whether a registered process is gone: its pid and its lock on this host, its heartbeat on others."""
    # Before a migration, as restoring sees it, there is no such column.
    if getattr(process, "left_at", None) is not None:
        return True
    if process.host == host:
        try:
            os.kill(process.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        if process.pid == os.getpid() and process.uid != _own_uid:
            return True  # an earlier life: a container that restarted gives its processes the same pids
        if _has_its_lock(process):
            return False  # stopped or starved, perhaps, and it will go on
    return (now() - process.heartbeat_at).total_seconds() > HEARTBEAT_LIMIT_S


def _has_its_lock(process: WebProcess) -> bool:
    """Whether somebody, which is the process itself or for a moment an ingester, holds the lock of the process's spool."""
    path = lock_path(Path(process.data_folder) / settings.SPOOL_DIR.name, process.uid.hex)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
