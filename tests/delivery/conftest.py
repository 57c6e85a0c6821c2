"""What the containers stand on: a PostgreSQL and a Redis-protocol server out of wheels, whatever STORES says."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.delivery.hosts import Servers, fresh_servers
from tests.stores import Postgres, Redis


@pytest.fixture(scope="session")
def server_pair() -> Iterator[tuple[Postgres, Redis]]:
    with ExitStack() as stack:
        # Not below pytest's folder: started by root, PostgreSQL runs as another user, and every pytest that begins shuts
        # that folder to others again.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="smartrouter-pg-"))
        postgres = Postgres(Path(folder) / "data")
        stack.callback(postgres.close)
        redis = Redis()
        stack.callback(redis.close)
        yield postgres, redis


@pytest.fixture(scope="session")
def template(server_pair: tuple[Postgres, Redis], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated database, to be copied."""
    servers = fresh_servers(*server_pair, tmp_path_factory.mktemp("template"))
    servers.host("template").manage("migrate", "--noinput", "-v0")
    return servers.name


@pytest.fixture
def servers(server_pair: tuple[Postgres, Redis], template: str, tmp_path: Path) -> Iterator[Servers]:
    """A migrated database and an empty Redis of the test's own."""
    made = fresh_servers(*server_pair, tmp_path, template=template)
    try:
        yield made
    finally:
        made.close()
