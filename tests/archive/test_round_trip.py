"""What comes out is what went in, from each database to each."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from smartrouter.archive.manifest import LEFT_OUT
from tests.archive.content import CANARIES, ROUTER_KEY
from tests.archive.places import ENGINES, Place
from tests.stores import ROOT

pytestmark = pytest.mark.timeout(300)
Sources = dict[str, tuple[Place, Path]]
Make = Callable[[str], Place]


@pytest.mark.parametrize("target", ENGINES)
@pytest.mark.parametrize("source", ENGINES)
def test_every_row_of_every_table_comes_back_as_it_was(
    source: str, target: str, sources: Sources, make_place: Make
) -> None:
    old, archive = sources[source]
    new = make_place(target)

    said = new.done("restore", str(archive))

    before = old.show()
    assert new.show() == before
    assert f"Restored {len(before)} rows into " in said
    assert int(new.content("next")) == 4  # 3 was given out and deleted before the backup: ids are not given twice
    with zipfile.ZipFile(archive) as file:
        members = json.loads(file.read("manifest.json"))["members"]
    assert {row.split()[0] for row in before} == {member["model"] for member in members}  # no table was empty
    assert not LEFT_OUT & {member["model"] for member in members}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_archive_is_one_moment_while_others_write(
    engine: str, tmp_path: Path, make_filled: Make, make_place: Make
) -> None:
    busy = make_filled(engine)
    archive = tmp_path / "busy.zip"

    busy.content("busy", str(archive))

    calm = make_place("sqlite")
    calm.done("restore", str(archive))
    assert busy.content("sums") == "43 records\n"  # the writer was not held up
    assert calm.content("sums") == "3 records\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_restore_that_is_killed_leaves_the_database_as_it_was(
    engine: str, tmp_path: Path, sources: Sources, make_filled: Make, make_place: Make
) -> None:
    big = make_filled(engine)
    big.content("usage", "2500")
    archive = tmp_path / "big.zip"
    big.done("backup", str(archive))
    other = make_place(engine)
    other.done("restore", str(sources["sqlite"][1]))
    before = other.show()

    killed = other.run("-m", "tests.archive.content", "die", str(archive))

    assert killed.returncode == -9
    assert other.show() == before
    assert int(other.content("next")) == 4
    other.done("restore", str(archive), "--replace", "--yes")
    assert other.show() == big.show()


def test_an_archive_is_private_and_holds_no_secret(make_filled: Make) -> None:
    place = make_filled("sqlite")

    said = place.done("backup")

    (file,) = (place.data / "backups").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    assert f"Written to {file} " in said and "THE SECRETS ARE NOT IN IT." in said
    with zipfile.ZipFile(file) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    secrets = [*CANARIES, ROUTER_KEY, *(place.env[name] for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "KEY_PEPPER"))]
    assert b"sim-a" in content
    assert not [secret for secret in secrets if secret.encode() in content or secret in said]
    checked = place.done("restore", str(file), "--check")
    assert not [secret for secret in secrets if secret in checked]


def test_an_archive_can_go_to_another_program(sources: Sources, tmp_path: Path) -> None:
    place, _archive = sources["sqlite"]
    script = f'"$0" manage.py backup - > "{tmp_path}/piped.zip"'

    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=ROOT, env=place.env, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0 and "THE SECRETS ARE NOT IN IT." in done.stderr
    assert "ENCRYPTION_KEYS and KEY_PEPPER fit." in place.done("restore", f"{tmp_path}/piped.zip", "--check")


def test_what_the_ingester_has_not_stored_yet_is_told(tmp_path: Path, make_filled: Make) -> None:
    place = make_filled("sqlite")
    (place.data / "spool").mkdir()
    (place.data / "spool" / "0.000001.spool").write_bytes(b"x" * 3000)

    said = place.done("backup", str(tmp_path / "a.zip"))

    assert f"3 KiB of the usage spool in {place.data}/spool may not be in the database yet" in said
