"""An installation without anything running: a data folder, a database, and manage.py on them."""

import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.stores import ROOT, execute

SQLITE, POSTGRESQL = "sqlite", "postgresql"
ENGINES = (SQLITE, POSTGRESQL)
LATER = {"DJANGO_SETTINGS_MODULE": "tests.archive.later_settings"}


@dataclass(frozen=True)
class Place:
    """env: the settings that make it this one."""

    data: Path
    env: dict[str, str]

    def run(self, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """A finished Python with these arguments."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT, env={**self.env, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110,
        )  # fmt: skip

    def manage(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """manage.py, whatever comes of it."""
        return self.run("manage.py", *arguments, **env)

    def done(self, *arguments: str, **env: str) -> str:
        """The output of a manage.py that succeeded."""
        finished = self.manage(*arguments, **env)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    def refused(self, *arguments: str, **env: str) -> str:
        """The sentence of a manage.py that refused."""
        finished = self.manage(*arguments, **env)
        assert (finished.returncode, finished.stdout) == (1, ""), finished.stdout + finished.stderr
        assert "Traceback" not in finished.stderr
        return finished.stderr

    def content(self, *arguments: str, **env: str) -> str:
        """What tests.archive.content says here."""
        finished = self.run("-m", "tests.archive.content", *arguments, **env)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def show(self) -> list[str]:
        """Every row."""
        return self.content("show").splitlines()


def new_place(engine: str, data: Path, postgres: str, *, template: str = "template1") -> Place:
    """A place with an empty database, without any tables. postgres: a server's address with {} for the database."""
    data.mkdir(mode=0o700, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    env = {
        **kept,
        "SMARTROUTER_DATA": str(data),
        "LOG_LEVEL": "DEBUG",
        "DJANGO_SETTINGS_MODULE": "smartrouter.settings",
    }
    if engine == POSTGRESQL:
        name = f"archive_{uuid.uuid4().hex}"
        execute(postgres.format("postgres"), f"CREATE DATABASE {name} TEMPLATE {template}")
        env["DATABASE_URL"] = postgres.format(name)
    return Place(data, env)


def copied_place(place: Place, data: Path, postgres: str) -> Place:
    """A place of the same engine with the same rows."""
    url = place.env.get("DATABASE_URL")
    if url is None:
        copy = new_place(SQLITE, data, postgres)
        shutil.copy(place.data / "smartrouter.sqlite3", copy.data)
        return copy
    return new_place(POSTGRESQL, data, postgres, template=database_of(url))


def database_of(url: str) -> str:
    """The database's name."""
    return urlsplit(url).path.removeprefix("/")
