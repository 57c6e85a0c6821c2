"""A spool, an ingester, and a database in a file for those that run as processes of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.ingest import Ingester
from billing.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, "web1")
    yield spool
    spool.close()


@pytest.fixture
def ingester(folder: Path) -> Iterator[Ingester]:
    ingester = Ingester(folder)
    yield ingester
    ingester.close()


@pytest.fixture
def new_ingester(folder: Path) -> Callable[[], Ingester]:
    """One that remembers nothing, as after a restart; the one before must be closed."""
    return lambda: Ingester(folder)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated SQLite database, to be copied."""
    data = tmp_path_factory.mktemp("template")
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "billing", "--skip-checks", "-v0"],
        env={**os.environ, "SMARTROUTER_DATA": str(data)},
        check=True,
        timeout=60,
    )
    return data / "smartrouter.sqlite3"


@pytest.fixture
def data(empty_database: Path, tmp_path: Path) -> Path:
    """A data folder with an empty database of its own."""
    shutil.copy(empty_database, tmp_path / "smartrouter.sqlite3")
    return tmp_path
