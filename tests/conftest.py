"""Fixtures for every test; secrets and the data folder are set in tests/environment.py."""

from collections.abc import Iterator

import pytest

from tests.stores import Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A Redis of the module's own."""
    server = Redis()
    yield server
    server.close()
