"""The real thing for tests: simulators, a web process and an ingester as processes of their own, on a database of their own.

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
from tests.stores import ROOT, Stores

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
        """Start the web process, or what stands in for it, and wait until it is ready."""
        log = (self.data / "web.log").open("ab")
        command = command or [sys.executable, "manage.py", "web"]
        self.web = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self.processes.append(self.web)
        until = time.monotonic() + 40
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.url}/health/ready", timeout=1)
                return
            except OSError:
                assert self.web.poll() is None, self.log
                time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log}")

    def kill_web(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the web process and wait for its end."""
        assert self.web is not None
        self.web.send_signal(number)
        self.web.wait(60)

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
def running_stack(document: dict[str, Any] | None = None, **env: str) -> Iterator[Stack]:
    """A stack that serves; env adds settings. Everything is gone afterwards."""
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="smartrouter-stack-") as folder:
        alpha = stack.enter_context(simulator_process("alpha"))
        beta = stack.enter_context(simulator_process("beta"))
        stores = Stores(Path(folder))
        stack.callback(stores.drop)
        port = free_port()
        ours = {"PORT": str(port), "LOG_LEVEL": "INFO"}
        made = Stack(Path(folder), port, {**os.environ, **ours, **stores.env, **env}, alpha, beta, stores)
        made.apply(document or two_channels())
        made.start_web()
        try:
            yield made
        finally:
            for process in made.processes:
                if process.poll() is None:
                    process.terminate()
            for process in made.processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
