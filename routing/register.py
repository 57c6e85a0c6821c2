"""Worker side. The register of web processes: without a shared store there may be only one."""

import os
import socket
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from routing.models import WebProcess

HEARTBEAT_S = 2.0
# A process whose heartbeat is older is dead.
HEARTBEAT_LIMIT_S = 10.0


class StartRefused(Exception):
    """The process must not serve; the text is one sentence for the operator."""


def register_process(uid: UUID) -> None:
    """Enter this web process into the register. Raises StartRefused for a second one without a shared store."""
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
        WebProcess.objects.create(uid=uid, host=host, pid=os.getpid(), data_folder=folder)


def beat(uid: UUID) -> None:
    """Renew the process's heartbeat; enter it anew where another one took it for dead. Raises StartRefused."""
    if not WebProcess.objects.filter(uid=uid).update(heartbeat_at=now()):
        register_process(uid)


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
        if process.pid == os.getpid():
            return True  # an earlier life: a container that restarted gives its processes the same pids
    return (now() - process.heartbeat_at).total_seconds() > HEARTBEAT_LIMIT_S
