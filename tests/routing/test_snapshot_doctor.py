"""What `manage.py doctor` says of the snapshot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running.serving import free_ports
from tests.stack import ROOT

WRITE = "import django; django.setup()\nfrom django.conf import settings\nfrom routing.snapshot import write_snapshot\n"
WRITE += "write_snapshot(settings.SNAPSHOT_FILE, {}, position=0)"
LOOK = "import django; django.setup()\nfrom smartrouter.doctor.snapshot import check_snapshot\n"
LOOK += "for each in check_snapshot(): print(each.level.name, each.text, each.advice)"
SERVER = f"postgres://u:p@127.0.0.1:{free_ports(1)[0]}/db"


def run(code: str, data: Path, database: str) -> str:
    """What the code prints on a data folder and a database that needs not be there."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "smartrouter.settings", "SMARTROUTER_DATA": str(data),
           "DATABASE_URL": database, "PORT": str(free_ports(1)[0])}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_snapshot_that_can_be_served_from_is_well(tmp_path: Path) -> None:
    run(WRITE, tmp_path, SERVER)

    assert run(LOOK, tmp_path, SERVER).startswith("OK ")


@pytest.mark.parametrize(
    ("database", "words"),
    [(SERVER, "there is no snapshot"), (SERVER + "2", "another database")],
    ids=["missing", "another database's"],
)
def test_one_that_cannot_is_a_warning(tmp_path: Path, database: str, words: str) -> None:
    if database != SERVER:
        run(WRITE, tmp_path, SERVER)

    said = run(LOOK, tmp_path, database)

    assert said.startswith("WARNING ")
    assert words in said


def test_one_that_others_can_read_is_a_problem(tmp_path: Path) -> None:
    run(WRITE, tmp_path, SERVER)
    (tmp_path / "snapshot.sealed").chmod(0o644)

    assert run(LOOK, tmp_path, SERVER).startswith("PROBLEM ")


def test_a_database_in_a_file_has_none(tmp_path: Path) -> None:
    assert run(LOOK, tmp_path, f"sqlite:///{tmp_path}/db") == ""
