"""A spool, an ingester, a database for those that run as processes of their own, and stores of claims."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.ingest import Ingester
from billing.spool import Spool
from tests.stores import Redis, stores_of


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


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty database of its own."""
    stores_of(tmp_path)
    return tmp_path


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of an empty store of the test's own: in this process, and in a Redis."""
    return request.getfixturevalue("redis").fresh_url() if request.param == "redis" else ""


@pytest.fixture
def shared_url(redis: Redis) -> str:
    """The address of an empty store of the test's own, in a Redis."""
    return redis.fresh_url()
