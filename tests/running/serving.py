"""The real `manage.py serve` as a process of its own, in a session of its own, so that whoever is left behind is found.

With STORES=server it gets what a server's operator sets: PostgreSQL, Redis, the secrets; and the demo, for its banner.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stores import IS_SERVER, ROOT, stores_of

READY = "SmartRouter is ready"
SECRETS = {"SECRET_KEY": "s" * 50, "ENCRYPTION_KEYS": "e" * 50, "KEY_PEPPER": "p" * 50}
SERVER = {**SECRETS, "SIMULATOR": "true", "UPSTREAM_PRIVATE_NETWORKS": "127.0.0.0/8"}
# What the tests' own process was given, and what a machine may have that ours has not.
NOT_HANDED_ON = (
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "KEY_PEPPER",
    "DATABASE_URL",
    "REDIS_URL",
    "UPSTREAM_PRIVATE_NETWORKS",
)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def environment(data: Path, *, is_bare: bool = False, **settings: str) -> dict[str, str]:
    """The environment of a fresh machine, with free ports and this data folder; is_bare: without servers in any case."""
    web, alpha, beta = free_ports(3)
    kept = {k: v for k, v in os.environ.items() if k not in NOT_HANDED_ON and not k.endswith("_API_KEY")}
    ours = {"SMARTROUTER_DATA": str(data), "PORT": str(web), "SIMULATOR_PORTS": f"{alpha},{beta}", "DRAIN_SECONDS": "3"}
    if not is_bare:
        ours |= (SERVER if IS_SERVER else {}) | stores_of(data, is_migrated=False).env
    return {**kept, **ours, **settings}


def manage(*arguments: str, env: Mapping[str, str], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """A finished `manage.py` command, with its output and errors together in stdout."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )


def wait_until(is_true: Callable[[], bool], within_s: float) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class Serving:
    """One running `manage.py serve`."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.env = environment(data, **settings)
        self.address = f"http://127.0.0.1:{self.env['PORT']}"
        self._output = data.parent / f"output-{self.env['PORT']}.txt"
        started = time.monotonic()
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        is_up = wait_until(lambda: READY in self.output() or self.process.poll() is not None, within_s=60)
        if not is_up or self.process.poll() is not None:
            self.clear_away()
            raise AssertionError(f"serve did not become ready:\n{self.output()}")
        self.ready_after_s = time.monotonic() - started

    def output(self) -> str:
        return self._output.read_text()

    def banner(self) -> str:
        """What it printed itself; the children's logs are JSON."""
        return "\n".join(line for line in self.output().splitlines() if not line.startswith("{"))

    def after(self, label: str) -> str:
        """The word that follows a label of the banner."""
        return self.banner().partition(label)[2].split()[0].rstrip(",")

    def members(self) -> dict[int, str]:
        """The processes of its session by id, with their command lines; grandchildren too, whoever their parent is."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if entry.name.isdecimal() and int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except (OSError, IndexError):
                continue
        return found

    def pid_of(self, part: str) -> int:
        """The process whose command line has this."""
        (pid,) = [pid for pid, line in self.members().items() if part in line]
        return pid

    def stop(self, number: signal.Signals) -> int:
        """The exit code after the signal."""
        self.process.send_signal(number)
        return self.process.wait(40)

    def clear_away(self) -> None:
        """Whatever a failed test left."""
        for pid in self.members():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
