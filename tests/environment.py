"""What every test stands on: fixed secrets, a data folder of its own, and the stores that STORES names.

A plugin (see addopts in pyproject.toml) and not a conftest.py: pytest-django reads the settings before any of those.
"""

import os
import shutil
import tempfile

import pytest

from tests import stores

os.environ.update(
    SECRET_KEY="test-secret-key-" + "0123456789" * 5,
    ENCRYPTION_KEYS="test-encryption-key-0123456789",
    KEY_PEPPER="test-pepper-0123456789",
    SMARTROUTER_DATA=tempfile.mkdtemp(prefix="smartrouter-test-"),
    UPSTREAM_PRIVATE_NETWORKS="127.0.0.0/8,::1",
    LANGUAGE_CODE="en",  # whatever the terminal's
)
os.mkdir(os.path.join(os.environ["SMARTROUTER_DATA"], "static"))  # WhiteNoise warns where there is none
for name in ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENROUTER_API_KEY"):
    os.environ.pop(name, None)

# What starts the stores that it is about, or needs none, whatever STORES says, runs once, in one of the two passes.
ONCE = {
    "archive": "embedded",
    "delivery": "server",
    "lib": "server",
    "test_session_costs_shared": "server",
    "test_snapshot_servers": "server",
    "test_spool_disk": "embedded",
}

# With several test processes the first one starts the servers; the others, which it starts, inherit their addresses.
IS_FIRST = "TEST_TEMPLATE_FOLDER" not in os.environ
_servers: list[stores.Postgres | stores.Redis] = []
if IS_FIRST:
    os.environ["TEST_TEMPLATE_FOLDER"] = tempfile.mkdtemp(prefix="smartrouter-template-")
    if stores.IS_SERVER:
        _servers.extend(stores.start_servers())
if stores.IS_SERVER:
    os.environ.update(DATABASE_URL=stores.postgres_url("smartrouter"), REDIS_URL=stores.redis_url())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other stores."""
    other = "embedded" if stores.IS_SERVER else "server"
    left_out = [
        item
        for item in items
        if item.get_closest_marker(other) or other in (ONCE.get(item.path.parent.name), ONCE.get(item.path.stem))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_header(config: pytest.Config) -> str:
    return "stores: PostgreSQL and Redis" if stores.IS_SERVER else "stores: SQLite and in-process"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers and remove the folders of this process."""
    for server in _servers:
        server.close()
    shutil.rmtree(os.environ["SMARTROUTER_DATA"], ignore_errors=True)
    if IS_FIRST:
        shutil.rmtree(os.environ["TEST_TEMPLATE_FOLDER"], ignore_errors=True)
