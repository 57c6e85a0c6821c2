"""A place of web processes: a data folder with a spool, rows of the register, and processes that hold a spool's lock."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.timezone import now

from billing.spool import Spool
from routing.models import WebProcess
from tests.stores import ROOT

# Holds the lock of a spool until its end, and says when it has it.
HOLDER = """
import sys, time
from pathlib import Path
from billing.spool import Spool
spool = Spool(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(600)
"""


def gone_pid() -> int:
    """The pid of a process that has ended a moment ago."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def add_process(*, seconds_ago: float = 0, **changes: Any) -> WebProcess:
    """A row of the register, heard of so long ago; of this place, and of a pid that is gone."""
    values: dict[str, Any] = {
        "uid": uuid4(),
        "host": socket.gethostname(),
        "pid": changes.get("pid") or gone_pid(),
        "data_folder": str(settings.DATA_DIR),
        "heartbeat_at": now() - timedelta(seconds=seconds_ago),
    }
    return WebProcess.objects.create(**{**values, **changes})


def leave_spool(uid: UUID) -> Spool:
    """The spool of a process that has ended: nobody holds its lock any more, and its file is there."""
    spool = Spool(settings.SPOOL_DIR, uid.hex)
    spool.close()
    return spool


@contextmanager
def holding_lock(folder: Path, uid: UUID) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock of its spool in the folder; it is killed afterwards."""
    command = [sys.executable, "-c", HOLDER, str(folder), uid.hex]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
