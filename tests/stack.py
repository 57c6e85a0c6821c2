"""The real thing for tests: simulators, a web process and an ingester as processes of their own, on a database of their own.

With STORES=server what serves is gunicorn with two web processes, on PostgreSQL and Redis.

    with running_stack(document) as stack:
        stack.post({...}); stack.rows()

`document` is a configuration file's content; SIMULATORS in it are replaced by the simulators' addresses.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulator.harness import SimulatorProcess, simulator_process
from tests.stores import IS_SERVER, ROOT, Postgres, Redis, Stores

SERVE = [sys.executable, "-m", "gunicorn", "-c", "smartrouter/delivery/gunicorn.py"]
if not IS_SERVER:
    SERVE = [sys.executable, "manage.py", "web"]
KEY = "rk_test_" + "k" * 40
OTHER_KEY = "rk_other_" + "o" * 40


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def two_channels(first: str = "sim-fast", second: str = "sim-fast", **channel: Any) -> dict[str, Any]:
    """A document with the channels alpha (priority 1, offers `m` as first) and beta (priority 2, as second)."""
    return {
        "providers": [
            {"name": "sim-a", "kind": "local", "base_url": "ALPHA"},
            {"name": "sim-b", "kind": "local", "base_url": "BETA"},
        ],
        "models": [
            {"provider": "sim-a", "model": first, "price": {"input": 1, "output": 2}},
            {"provider": "sim-b", "model": second, "price": {"input": 3, "output": 4}},
        ],
        "channels": [
            {"name": "alpha", "provider": "sim-a", "keys": ["sim-key-alpha-0001"], "priority": 1,
             "models": [{"name": "m", "model": first}], **channel},
            {"name": "beta", "provider": "sim-b", "keys": ["sim-key-beta-0002"], "priority": 2,
             "models": [{"name": "m", "model": second}], **channel},
        ],
        "tenants": [
            {"name": "acme", "can_see_channels": True, "router_keys": [{"name": "main", "key": KEY}]},
            {"name": "other", "router_keys": [{"name": "main", "key": OTHER_KEY}]},
        ],
    }  # fmt: skip


@dataclass
class Stack:
    """A running stack. rows() waits for nothing: call ingest() before."""

    data: Path
    port: int
    env: dict[str, str]
    alpha: SimulatorProcess
    beta: SimulatorProcess
    stores: Stores
    web: "subprocess.Popen[bytes] | None" = None
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.data / "web.log").read_text()

    def manage(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """manage.py with these arguments on this stack's data."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=check, timeout=60)

    def apply(self, document: dict[str, Any]) -> None:
        """Apply a configuration document; ALPHA and BETA stand for the simulators' addresses."""
        text = json.dumps(document).replace('"ALPHA"', f'"{self.alpha.base_url}"')
        path = self.data / "config.yaml"
        path.write_text(text.replace('"BETA"', f'"{self.beta.base_url}"'))
        done = self.manage("config", "apply", str(path), check=False)
        assert done.returncode == 0, done.stderr

    def start_web(self, command: list[str] | None = None) -> None:
        """Start the web process (gunicorn with two), or what stands in for it, and wait until it is ready."""
        log = (self.data / "web.log").open("ab")
        command = command or SERVE
        self.web = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self.processes.append(self.web)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.url}/health/ready", timeout=1)
                return
            except OSError:
                assert self.web.poll() is None, self.log
                time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log}")

    def kill_web(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to what serves and wait for its end; a SIGKILL goes to gunicorn and its workers at once."""
        assert self.web is not None
        for pid in self.servers() if number == signal.SIGKILL else ():
            if pid != self.web.pid:
                os.kill(pid, number)
        self.web.send_signal(number)
        self.web.wait(60)

    def servers(self) -> list[int]:
        """The processes that answer requests: the web process itself, or gunicorn's workers."""
        assert self.web is not None
        children = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children").read_text().split()
        return [int(pid) for pid in children] or [self.web.pid]

    def rss_mb(self) -> float:
        """The memory of the largest process that answers requests."""
        lines = [line for pid in self.servers() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return max(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    @contextmanager
    def another_host(self, **env: str) -> "Iterator[Stack]":
        """A second host on the same stores and simulators, with a data folder and a port of its own; it serves."""
        with tempfile.TemporaryDirectory(prefix="smartrouter-host-") as folder:
            port = free_port()
            ours = {**self.env, "SMARTROUTER_DATA": folder, "PORT": str(port), **env}
            other = Stack(Path(folder), port, ours, self.alpha, self.beta, self.stores)
            try:
                other.start_web()
                yield other
            finally:
                other.stop()

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """A long-running Python command on this stack's data, such as ("manage.py", "ingest"); it ends with the stack."""
        log = (self.data / "rest.log").open("ab")
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End whatever was started."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def post(
        self, body: Any, key: str | None = KEY, *, path: str = "/v1/chat/completions", timeout_s: float = 30,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        """Status, headers (lower case) and body of a POST."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, dict(headers or {}))
        request.add_header("Content-Type", "application/json")
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as e:
            return e.code, {k.lower(): v for k, v in e.headers.items()}, e.read()

    def ingest(self) -> None:
        """Turn all that is in the spool and closed into rows."""
        self.manage("ingest", "--once")

    def query(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of this stack's database."""
        return self.stores.query(sql, *values)

    def execute(self, sql: str, *values: Any) -> None:
        """A statement behind everyone's back."""
        self.stores.query(sql, *values)

    def rows(self) -> list[dict[str, Any]]:
        """The usage records, oldest first."""
        return self.query("SELECT * FROM billing_usagerecord ORDER BY attempt_id")


@contextmanager
def running_stack(
    document: dict[str, Any] | None = None, *, servers: tuple[Postgres, Redis] | None = None, **env: str
) -> Iterator[Stack]:
    """A stack that serves; env adds settings; servers: its own PostgreSQL and Redis. Everything is gone afterwards."""
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="smartrouter-stack-") as folder:
        alpha = stack.enter_context(simulator_process("alpha"))
        beta = stack.enter_context(simulator_process("beta"))
        stores = Stores(Path(folder), servers=servers)
        stack.callback(stores.drop)
        port = free_port()
        ours = {"PORT": str(port), "LOG_LEVEL": "INFO", "WEB_CONCURRENCY": "2" if IS_SERVER else "1"}
        made = Stack(Path(folder), port, {**os.environ, **ours, **stores.env, **env}, alpha, beta, stores)
        made.apply(document or two_channels())
        made.start_web()
        try:
            yield made
        finally:
            made.stop()
