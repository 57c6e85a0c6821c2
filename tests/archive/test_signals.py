"""What is left of a backup that is told to stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.archive.places import Place
from tests.stores import ROOT

pytestmark = pytest.mark.timeout(300)


@contextmanager
def waiting_backup(place: Place, file: Path, *before: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A backup that has begun to write and waits for a table that is locked until the end."""
    with psycopg.connect(place.env["DATABASE_URL"]) as other:
        other.execute("LOCK TABLE billing_usagerecord IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen(
            [*before, sys.executable, "manage.py", "backup", str(file)],
            cwd=ROOT, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as backup:  # fmt: skip
            try:
                until = time.monotonic() + 100
                while not any(file.parent.iterdir()):
                    assert backup.poll() is None and time.monotonic() < until
                    time.sleep(0.05)
                yield backup
            finally:
                other.rollback()
                if backup.poll() is None:
                    backup.wait(100)


def test_a_session_that_ends_takes_its_half_written_backup_with_it(
    make_filled: Callable[[str], Place], tmp_path: Path
) -> None:
    place, folder = make_filled("postgresql"), tmp_path / "backups"
    folder.mkdir()

    with waiting_backup(place, folder / "a.zip") as backup:
        os.kill(backup.pid, signal.SIGHUP)
        assert backup.wait(100) == 128 + signal.SIGHUP
    assert list(folder.iterdir()) == []

    with waiting_backup(place, folder / "b.zip", "nohup") as backup:
        os.kill(backup.pid, signal.SIGHUP)
    assert backup.returncode == 0 and [file.name for file in folder.iterdir()] == ["b.zip"]
