"""A stack on a PostgreSQL of its own, which the test stops and starts again, whatever the other tests run on."""

import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.running.serving import wait_until
from tests.simulator.harness import simulator_process
from tests.stack import Stack, free_port
from tests.stores import Postgres, Stores

SNAPSHOT = "snapshot.sealed"


class OwnStores(Stores):
    """A database on a server that is the test's alone; no Redis, so that one web process is all there may be."""

    def __init__(self, data: Path, postgres: Postgres) -> None:
        self._name = "postgres"
        self.env = {"SMARTROUTER_DATA": str(data), "DATABASE_URL": postgres.url(self._name), "REDIS_URL": ""}


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A server; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="smartrouter-own-pg-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where tests run as root
        postgres = Postgres(Path(folder) / "data")
        try:
            yield postgres
        finally:
            postgres.start()
            postgres.close()


@contextmanager
def stack_with_outages(document: dict[str, Any], **env: str) -> Iterator[tuple[Stack, Postgres]]:
    """A stack that does not serve yet, and its database server. Everything is gone afterwards."""
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="smartrouter-outage-") as folder:
        alpha = stack.enter_context(simulator_process("alpha"))
        beta = stack.enter_context(simulator_process("beta"))
        postgres = stack.enter_context(own_postgres())
        stores = OwnStores(Path(folder), postgres)
        port = free_port()
        settings = {**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "1", "LOG_LEVEL": "DEBUG", **stores.env, **env}
        made = Stack(Path(folder), port, settings, alpha, beta, stores)
        (made.data / "static").mkdir()  # as `serve` does; without it WhiteNoise warns
        made.manage("migrate", "-v0")
        made.apply(document)
        (made.data / "config.yaml").unlink()  # the operator's own file, with keys in plain
        try:
            yield made, postgres
        finally:
            made.stop()


def is_degraded(stack: Stack) -> bool:
    """What /health/ready says."""
    with urllib.request.urlopen(f"{stack.url}/health/ready", timeout=10) as response:
        return bool(json.load(response)["degraded"])


def events(stack: Stack, name: str) -> list[dict[str, Any]]:
    """The log's events of this name, oldest first."""
    lines = (json.loads(line) for line in stack.log.splitlines() if f'"{name}"' in line)
    return [line for line in lines if line["event"] == name]


def wait_for_snapshot(stack: Stack, *, more_than: int = 0) -> None:
    """Return when so many snapshots and another one were written."""
    assert wait_until(lambda: len(events(stack, "snapshot_written")) > more_than, within_s=60), stack.log


def stop_everything(stack: Stack, postgres: Postgres) -> None:
    """kill -9 of the web process, then the database."""
    stack.kill_web()
    postgres.stop()
