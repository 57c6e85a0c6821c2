"""When an operator is told no, and what would help. A refusal changes nothing."""

import fcntl
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smartrouter.archive import ArchiveRefused
from smartrouter.management.commands import backup
from tests.archive.places import ENGINES, Place
from tests.stores import ROOT, execute

pytestmark = pytest.mark.timeout(300)
Sources = dict[str, tuple[Place, Path]]
Make = Callable[[str], Place]
LIVE = """
import django; django.setup()
from routing.models import WebProcess
from datetime import timedelta
from django.utils.timezone import now
import sys, uuid
later = now() + timedelta(hours=1)  # however slow this machine is, the heartbeat is fresh
WebProcess.objects.create(
    uid=uuid.uuid4(), host=sys.argv[1], pid=int(sys.argv[2]), data_folder="/x", heartbeat_at=later
)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_database_with_rows_stays_as_it_is(engine: str, archive: Path, make_filled: Make) -> None:
    place = make_filled(engine)
    place.content("next")
    before = place.show()

    plain = place.refused("restore", str(archive))
    unasked = place.refused("restore", str(archive), "--replace")

    assert "Nothing was restored or changed. The database is not empty: accounts.tenant (3)," in plain
    assert "There is no terminal to ask at: confirm with --yes." in unasked
    assert place.show() == before


def test_a_restore_waits_for_a_word_on_a_terminal(archive: Path, make_filled: Make) -> None:
    place = make_filled("sqlite")
    place.content("next")
    before = place.show()
    snapshot = place.data / "snapshot.sealed"
    snapshot.write_bytes(b"the configuration before")
    command = [sys.executable, "manage.py", "restore", str(archive), "--replace"]

    def answer(word: bytes) -> int:
        ours, theirs = pty.openpty()
        os.write(ours, word + b"\n")
        done = subprocess.run(command, cwd=ROOT, env=place.env, stdin=theirs, capture_output=True, timeout=100)
        os.close(theirs)
        os.close(ours)
        return done.returncode

    assert answer(b"y") == 1
    assert place.show() == before and snapshot.exists()
    assert answer(b"replace") == 0
    assert len(place.show()) == len(before) - 1
    assert not snapshot.exists()  # what it was made of is gone


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_restored_below_a_living_process(engine: str, archive: Path, make_filled: Make) -> None:
    place = make_filled(engine)
    assert place.run("-c", LIVE, socket.gethostname(), str(os.getpid())).returncode == 0
    before = place.show()

    served = place.refused("restore", str(archive), "--replace", "--yes")

    assert f"A web process (pid {os.getpid()} on {socket.gethostname()}) serves this database. Stop every" in served
    assert place.show() == before


def test_nothing_is_restored_beside_an_ingester_or_a_supervisor(archive: Path, make_place: Make) -> None:
    place = make_place("sqlite")
    (place.data / "spool").mkdir()
    said = []
    for name in ("spool/ingester.lock", "serve.lock"):
        with (place.data / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said.append(place.refused("restore", str(archive)))

    assert f"An ingester is at work on {place.data}/spool: stop it first." in said[0]
    assert f"SmartRouter is already served from {place.data}" in said[1]
    place.done("restore", str(archive))


def test_other_secrets_are_told_before_anything_is_lost(archive: Path, make_place: Make) -> None:
    place = make_place("sqlite")
    other = {"ENCRYPTION_KEYS": "other-encryption-key"}
    pepper = {"KEY_PEPPER": "other-pepper"}
    turned = {"ENCRYPTION_KEYS": f"new-first-key,{place.env['ENCRYPTION_KEYS']}"}

    missing = place.refused("restore", str(archive), KEY_PEPPER="")
    unsealed = place.refused("restore", str(archive), **other)
    unaccepted = place.refused("restore", str(archive), **pepper)
    checked = place.manage("restore", str(archive), "--check", **other, **pepper)

    assert f"Not set: KEY_PEPPER. Put back {place.data}/secrets.env, or set them in the environment" in missing
    assert "3 of its 3 sealed values (upstream keys, proxies, headers) cannot be opened" in unsealed
    assert "KEY_PEPPER is not the archive's: none of its 1 router keys will be accepted." in unaccepted
    assert checked.returncode == 1 and "3 of its 3 sealed" in checked.stderr and "none of its 1" in checked.stderr
    assert "fit." in place.done("restore", str(archive), "--check", **turned)
    assert not (place.data / "smartrouter.sqlite3").exists() or place.done("showmigrations", "--plan").count("[X]") == 0
    said = place.done("restore", str(archive), "--accept-unreadable", **other, **pepper)
    assert "3 of its 3 sealed" in said and "Restored " in said


def test_a_forged_archive_is_refused_by_the_command(archive: Path, make_filled: Make, tmp_path: Path) -> None:
    place = make_filled("sqlite")
    before = place.show()
    forged = tmp_path / "forged.zip"
    forged.write_bytes(archive.read_bytes()[:-30])

    said = place.refused("restore", str(forged), "--replace", "--yes")
    checked = place.refused("restore", str(forged), "--check")
    nowhere = place.refused("restore", str(tmp_path / "none.zip"))

    assert (
        "Nothing was restored or changed." in said and "is not an archive of SmartRouter, or is not complete." in said
    )
    assert "The archive cannot be used." in checked
    assert f"{tmp_path}/none.zip cannot be read: No such file or directory." in nowhere
    assert place.show() == before


def test_a_backup_that_cannot_be_written_leaves_nothing(make_filled: Make, make_place: Make, tmp_path: Path) -> None:
    place, empty = make_filled("sqlite"), make_place("sqlite")
    target = tmp_path / "target"
    target.mkdir()

    said = [
        place.refused("backup", str(target)),
        place.refused("backup", str(target / "none" / "a.zip")),
        empty.refused("backup", str(target / "a.zip")),
    ]

    assert "target cannot be written: Is a directory." in said[0]
    assert "No such file or directory." in said[1]
    assert "The database is not up to date with this SmartRouter: run “manage.py migrate”." in said[2]
    assert list(target.iterdir()) == []


def test_a_value_that_postgresql_cannot_hold_is_named(make_filled: Make, make_place: Make, tmp_path: Path) -> None:
    place, server = make_filled("sqlite"), make_place("postgresql")
    odd = "import django; django.setup()\nfrom channels.models import Channel\n"
    odd += r"Channel.objects.filter(name='sim-a').update(param_overrides={'deep': [{'user': 'private\x00'}]});"
    odd += r"Channel.objects.filter(name='bare').update(param_overrides={'user': '\ud800'})"
    assert place.run("-c", odd).returncode == 0
    place.done("backup", str(tmp_path / "odd.zip"))

    said = [server.refused("restore", str(tmp_path / "odd.zip"), *more) for more in ((), ("--check",))]

    sentence = "channels.channel, row 1 (id 1), param_overrides: PostgreSQL stores no text with a NUL character in it."
    assert all(sentence in each and "private" not in each for each in said)
    assert server.done("showmigrations", "--plan").count("[X]") == 0


def test_what_postgresql_refuses_while_it_copies_is_one_sentence(archive: Path, make_filled: Make) -> None:
    place = make_filled("postgresql")
    narrower = "ALTER TABLE channels_channel ADD CONSTRAINT none_of_these CHECK (name <> 'sim-a') NOT VALID"
    execute(place.env["DATABASE_URL"], narrower)

    said = place.refused("restore", str(archive), "--replace", "--yes")

    assert "Nothing was restored or changed. The database refused: new row for relation" in said
    assert said.count("\n") == 1 and "sim-a" not in said and "Failing row" not in said, said


def test_a_backup_replaces_no_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(ArchiveRefused, match="is not a regular file: name another one"):
        backup.Command().write(pipe)

    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
