"""Worker side. The register of web processes: without a shared store there may be only one."""

import os
import socket
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from routing.models import Pulse, WebProcess
from routing.tasks import JOBS

HEARTBEAT_S = 2.0
# A process whose heartbeat is older is dead.
HEARTBEAT_LIMIT_S = 10.0
# The pulse of the jobs comes every 30 s; a worker that restarts, or a busy one, may miss some.
JOBS_SILENT_S = 180.0


# This process's place in the register, once it has one.
_own_uid: UUID | None = None


class StartRefused(Exception):
    """The process must not serve; the text is one sentence for the operator."""


def register_process(uid: UUID) -> None:
    """Enter this web process into the register. Raises StartRefused for a second one without a shared store."""
    global _own_uid
    host, folder = socket.gethostname(), str(settings.DATA_DIR)
    with transaction.atomic():
        if connection.vendor == "postgresql":  # SQLite's writers take turns by themselves
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE routing_webprocess IN EXCLUSIVE MODE")
        for other in WebProcess.objects.all():
            if is_dead(other, host):
                other.delete()
            elif not settings.REDIS_URL:
                raise StartRefused(
                    _(
                        "Another web process (pid %(pid)s on %(host)s) serves this database; set REDIS_URL to run several."
                    )
                    % {"pid": other.pid, "host": other.host}
                )
        _own_uid = uid
        WebProcess.objects.create(uid=uid, host=host, pid=os.getpid(), data_folder=folder)


def beat(uid: UUID) -> None:
    """Renew the process's heartbeat; enter it anew where another one took it for dead. Raises StartRefused."""
    if not WebProcess.objects.filter(uid=uid).update(heartbeat_at=now()):
        register_process(uid)


def pulse_age_s() -> float | None:
    """How long ago a scheduled job last ran; None before the first. Negative where clocks differ."""
    last = pulse_at()
    return None if last is None else (now() - last).total_seconds()


def pulse_at() -> datetime | None:
    """When a scheduled job last ran; None before the first."""
    return Pulse.objects.filter(name=JOBS).values_list("at", flat=True).first()


def leave_register(uid: UUID) -> None:
    """Take the process out of the register."""
    WebProcess.objects.filter(uid=uid).delete()


def is_dead(process: WebProcess, host: str) -> bool:
    """Whether a registered process is gone: its pid on this host, its heartbeat on others."""
    if process.host == host:
        try:
            os.kill(process.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        if process.pid == os.getpid() and process.uid != _own_uid:
            return True  # an earlier life: a container that restarted gives its processes the same pids
    return (now() - process.heartbeat_at).total_seconds() > HEARTBEAT_LIMIT_S
