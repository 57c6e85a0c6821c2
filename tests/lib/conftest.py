"""Stores of the test's own, each in this process and in a Redis."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from smartrouter.lib.counters import CounterStore, open_store


@pytest_asyncio.fixture(params=["memory", "redis"])
async def fresh(request: pytest.FixtureRequest) -> AsyncIterator[CounterStore]:
    """A store that nobody has used."""
    store = open_store(request.getfixturevalue("redis").fresh_url() if request.param == "redis" else "")
    yield store
    await store.close()


@pytest.fixture
def store(fresh: CounterStore) -> CounterStore:
    """The store of the module's tests: a fresh one, unless the module prepares it."""
    return fresh
