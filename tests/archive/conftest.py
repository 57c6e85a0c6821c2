"""Installations on both databases, whatever the tests themselves run on: archives go from each to each."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import stores
from tests.archive.places import ENGINES, Place, copied_place, new_place


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server's address, with {} for the database."""
    if stores.IS_SERVER:
        yield os.environ["TEST_POSTGRES_URL"]
        return
    folder = Path(tempfile.mkdtemp(prefix="smartrouter-pg-"))  # a short path: the server's socket lies in it
    server = stores.Postgres(folder / "data")
    stores.execute(server.url(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield server.url("{}")
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sources(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Place, Path]]:
    """For each engine a filled place and an archive of it; tests leave both alone."""
    found = {}
    for engine in ENGINES:
        place = new_place(engine, tmp_path_factory.mktemp(engine), postgres)
        place.done("migrate", "-v0")
        place.content("fill")
        archive = place.data / "archive.zip"
        place.done("backup", str(archive))
        found[engine] = (place, archive)
    return found


@pytest.fixture
def archive(sources: dict[str, tuple[Place, Path]]) -> Path:
    """An archive of a filled SQLite database, made with the tests' own secrets."""
    return sources["sqlite"][1]


@pytest.fixture
def make_place(postgres: str, tmp_path: Path) -> Callable[[str], Place]:
    """Makes an empty place on an engine."""
    return lambda engine: new_place(engine, tmp_path / f"data-{engine}", postgres)


@pytest.fixture
def make_filled(sources: dict[str, tuple[Place, Path]], postgres: str, tmp_path: Path) -> Callable[[str], Place]:
    """Makes a place on an engine with the rows that the archives hold."""
    return lambda engine: copied_place(sources[engine][0], tmp_path / f"filled-{engine}", postgres)
