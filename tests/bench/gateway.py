"""Worker side. What is measured: an ordinary web process and ingester, configured by `manage.py config apply`."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench import cpu
from tests.bench.children import ROOT, BenchError, Children, bound_socket, port_of, wait_for_port
from tests.bench.cpu import Cores
from tests.bench.messages import KEY, MODELS, USD_PER_MTOK
from tests.bench.records import Records
from tests.stores import Postgres, Redis

CATCH_UP_S = 60.0


@dataclass
class Gateway:
    """A running gateway. requests counts what was sent to it, which its usage records must show in the end."""

    port: int
    web: int
    ingester: int
    store_pids: tuple[int, ...]
    records: Records
    requests: int = 0

    def web_cpu_s(self) -> float:
        """CPU seconds of the web process up to now."""
        return cpu.cpu_s([self.web])

    def ingester_cpu_s(self) -> float:
        """CPU seconds of the ingester up to now."""
        return cpu.cpu_s([self.ingester])

    def stores_cpu_s(self) -> float:
        """CPU seconds of the database server and Redis up to now; 0 where there are none."""
        return cpu.cpu_s([child for pid in self.store_pids for child in cpu.tree_of(pid)])

    def catch_up(self) -> None:
        """Return when the database has a record for each request. Raises BenchError where one is missing or too many."""
        until = time.monotonic() + CATCH_UP_S
        while (found := self.records.count()) < self.requests and time.monotonic() < until:
            time.sleep(0.1)
        if found != self.requests:
            raise BenchError(f"{self.requests} requests were answered, but the database has {found} usage records.")

    def check_records(self) -> None:
        """Raises BenchError unless each request has one record, billed, complete, and counted once in the hourly sums."""
        self.catch_up()
        wrong = self.records.problems(self.requests)
        if wrong:
            raise BenchError(f"The usage records are wrong: {wrong}.")


def configuration(upstream: int) -> dict[str, object]:
    """The document for `config apply`: one channel at the mock, a price for each model, one router key.

    Everybody who pays has budgets and limits, far away: what a request is held for and counted against is in the figures.
    """
    money = [{"window": window, "limit_usd": 1_000_000} for window in ("day", "month")]
    minute = {"rpm": 10_000_000, "tpm": 2_000_000_000}
    return {
        "providers": [{"name": "mock", "kind": "local", "base_url": f"http://127.0.0.1:{upstream}/v1"}],
        "models": [{"provider": "mock", "model": name, "price": USD_PER_MTOK} for name in MODELS],
        "channels": [
            {"name": "bench", "provider": "mock", "keys": ["mock-key-0001"], "models": list(MODELS), "budgets": money}
        ],
        "tenants": [
            {
                "name": "bench",
                "budgets": money,
                **minute,
                "router_keys": [{"name": "bench", "key": KEY, "budgets": money, **minute, "max_parallel": 10_000}],
            }
        ],
    }


@contextmanager
def store_servers(kind: str, folder: Path) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """The settings of the stores and the process ids of their servers; nothing runs for embedded ones."""
    if kind == "embedded":
        # Set, though empty, so that neither the caller's environment nor a .env file decides.
        yield {"DATABASE_URL": "", "REDIS_URL": ""}, ()
        return
    postgres = Postgres(folder / "postgres")
    try:
        redis = Redis()
        try:
            pids = (int(Path(folder, "postgres", "postmaster.pid").read_text().split()[0]), redis.pid())
            yield {"DATABASE_URL": postgres.url(), "REDIS_URL": redis.url()}, pids
        finally:
            redis.close()
    finally:
        postgres.close()


def start_gateway(
    children: Children,
    cores: Cores,
    *,
    upstream: int,
    stores: tuple[dict[str, str], tuple[int, ...]],
    profile: Path | None,
) -> Gateway:
    """A gateway that is ready. profile: where the web process writes its samples, which makes it slower."""
    settings, store_pids = stores
    data = children.folder / "data"
    data.mkdir()
    env = _environment(data, settings)
    _manage(env, "migrate", "-v0")
    document = children.folder / "configuration.yaml"
    document.write_text(json.dumps(configuration(upstream)))
    _manage(env, "config", "apply", str(document))
    listener = bound_socket()
    manage = [sys.executable, "manage.py"]
    command = [*manage, "web"] if profile is None else [sys.executable, "-m", "tests.bench.sampled_web", str(profile)]
    web = children.start(
        "web", [*command, "--fd", str(listener.fileno())], core=cores.gateway, listener=listener, env=env
    )
    wait_for_port(port_of(listener), web, children.log_of("web"))
    # As in ordinary service it runs beside the web process, whose core it shares: the figures are per core of gateway.
    ingester = children.start("ingest", [*manage, "ingest"], core=cores.gateway, env=env)
    for pid in store_pids:
        for child in cpu.tree_of(pid):
            with suppress(ProcessLookupError):  # a database's helpers come and go
                os.sched_setaffinity(child, {cores.load})
    records = Records(settings["DATABASE_URL"], data / "smartrouter.sqlite3")
    return Gateway(port_of(listener), web.pid, ingester.pid, store_pids, records)


def _environment(data: Path, settings: dict[str, str]) -> dict[str, str]:
    """The operator's environment: nothing but what the gateway needs, and no setting of the caller's."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ
    }
    made = {name: secrets.token_urlsafe(40) for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "KEY_PEPPER")}
    ours = {"SMARTROUTER_DATA": str(data), "UPSTREAM_PRIVATE_NETWORKS": "127.0.0.0/8", "WEB_CONCURRENCY": "1"}
    return {**kept, **made, **ours, "LOG_LEVEL": "INFO", **settings}


def _manage(env: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180)
    if done.returncode:
        raise BenchError(f"manage.py {arguments[0]} failed: {done.stderr[-1500:].strip()}")
