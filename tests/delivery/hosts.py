"""Hosts as docker-compose.yml makes them: each with a data folder and a gunicorn, all on one PostgreSQL and one Redis."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.simulator.harness import SimulatorProcess
from tests.stores import ROOT, Postgres, Redis, execute

BIN = Path(sys.executable).parent
GUNICORN = ("gunicorn", "-c", "smartrouter/delivery/gunicorn.py")
NOT_HANDED_ON = ("DATABASE_URL", "REDIS_URL", "PORT", "SMARTROUTER_DATA", "WEB_CONCURRENCY")
START_S = 60
_redis_databases = itertools.count(1)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Host:
    """One data folder and what runs on it. root: the project's folder."""

    folder: Path
    env: dict[str, str]
    root: Path = ROOT
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.env["PORT"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def web(self) -> "subprocess.Popen[bytes]":
        return self.processes[-1]

    def start(self, *command: str, **env: str) -> "subprocess.Popen[bytes]":
        """Start a command as a container would: found in PATH, from the project's folder."""
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env={**self.env, "PATH": path, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def start_web(self, **env: str) -> None:
        """Start gunicorn and wait until it serves."""
        self.start(*GUNICORN, **env)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until = time.monotonic() + START_S
        while not self.is_ready():
            assert self.web.poll() is None and time.monotonic() < until, self.log
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/health/ready", timeout=2)
        except OSError:
            return False
        return True

    def workers(self) -> list[int]:
        """The process ids of gunicorn's workers."""
        return [int(pid) for pid in Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children").read_text().split()]

    def stop_web(self, number: int = signal.SIGTERM) -> int:
        """The exit code after this signal."""
        self.web.send_signal(number)
        return self.web.wait(60)

    def manage(self, *arguments: str) -> str:
        """The output of a manage.py command that must succeed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Servers:
    """One database and one Redis, and the hosts on them."""

    postgres: Postgres
    redis: Redis
    folder: Path
    name: str
    redis_number: int
    hosts: list[Host] = field(default_factory=list)

    @property
    def database_url(self) -> str:
        return self.postgres.url(self.name)

    def host(self, name: str, **env: str) -> Host:
        """A host with nothing running on it."""
        folder = self.folder / name
        folder.mkdir()
        kept = {k: v for k, v in os.environ.items() if k not in NOT_HANDED_ON}
        ours = {
            "SMARTROUTER_DATA": str(folder), "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url(self.redis_number),
            "PORT": str(free_port()), "LOG_LEVEL": "INFO", "SIMULATOR": "false", "DRAIN_SECONDS": "15",
        }  # fmt: skip
        made = Host(folder, {**kept, **ours, **env})
        self.hosts.append(made)
        return made

    def apply(self, document: dict[str, Any], alpha: SimulatorProcess, beta: SimulatorProcess) -> None:
        """Apply a configuration document; ALPHA and BETA stand for the simulators' addresses."""
        text = json.dumps(document).replace('"ALPHA"', f'"{alpha.base_url}"').replace('"BETA"', f'"{beta.base_url}"')
        path = self.folder / "config.yaml"
        path.write_text(text)
        (self.hosts[0] if self.hosts else self.host("operator")).manage("config", "apply", str(path))

    def ingest(self) -> None:
        """Turn the spools of all hosts into rows."""
        for host in self.hosts:
            if (host.folder / "spool").is_dir():
                host.manage("ingest", "--once")

    def rows(self) -> list[dict[str, Any]]:
        """The usage records, oldest first."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            return list(connection.execute("SELECT * FROM billing_usagerecord ORDER BY attempt_id"))

    def close(self) -> None:
        for host in self.hosts:
            host.close()
        execute(self.postgres.url(), f"DROP DATABASE {self.name} WITH (FORCE)")


def fresh_servers(postgres: Postgres, redis: Redis, folder: Path, *, template: str = "template1") -> Servers:
    """Servers with a new database, a copy of the template."""
    name = f"delivery_{uuid.uuid4().hex}"
    execute(postgres.url(), f"CREATE DATABASE {name} TEMPLATE {template}")
    return Servers(postgres, redis, folder, name, next(_redis_databases))
