"""Archives of another version's database."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archive.places import ENGINES, LATER, Place

pytestmark = pytest.mark.timeout(300)
Sources = dict[str, tuple[Place, Path]]
Make = Callable[[str], Place]
MOTTO = """
import django; django.setup()
from django.db import connection
cursor = connection.cursor()
cursor.execute("SELECT name, motto FROM providers_provider")
print(cursor.fetchall())
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_an_older_archive_is_loaded_into_tables_of_its_time_and_migrated_forward(
    engine: str, sources: Sources, make_place: Make
) -> None:
    old, archive = sources["sqlite"]
    later = make_place(engine)

    later.done("restore", str(archive), **LATER)
    later.done(
        "restore", str(archive), "--replace", "--yes", **LATER
    )  # these tables are of a later state than the rows

    assert later.run("-c", MOTTO, **LATER).stdout == "[('sim', 'motto of sim')]\n"
    assert later.show() == old.show()
    assert int(later.content("next")) == 4
    assert "[X] 9999_motto" in later.done("showmigrations", "providers", **LATER)


def test_a_newer_archive_and_a_newer_database_are_refused(
    sources: Sources, make_filled: Make, make_place: Make, tmp_path: Path
) -> None:
    later, archive = make_filled("sqlite"), tmp_path / "later.zip"
    old_one = later.refused("backup", str(archive), **LATER)
    later.done("migrate", "-v0", **LATER)
    later.done("backup", str(archive), **LATER)
    empty = make_place("sqlite")

    sentences = [
        empty.refused("restore", str(archive)),
        later.refused("backup"),
        later.refused("restore", str(sources["sqlite"][1]), "--replace", "--yes"),
    ]

    assert (
        "No backup was made. The database is not up to date with this SmartRouter: run “manage.py migrate”." in old_one
    )
    assert "comes from a newer SmartRouter (its migration providers.9999_motto is unknown here)" in sentences[0]
    newer = "by a newer SmartRouter (providers.9999_motto is unknown here): run this command with that version."
    assert all(newer in sentence for sentence in sentences[1:])
    assert list((later.data / "backups").iterdir()) == []
