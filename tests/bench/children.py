"""Worker side. The processes that the benchmark starts: each on its core, each ended with it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.bench.cpu import Placement

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_S = 15.0


class BenchError(Exception):
    """Why there is no valid result, in a sentence for the person who started the benchmark."""


class Children:
    """All processes of a run; a context manager that ends them, the newest first. Their output goes to files in folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *exc: object) -> None:
        # A second Ctrl-C must not leave half of them behind.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for process in reversed(self._processes):
                stop(process)
        finally:
            signal.signal(signal.SIGINT, previous)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        listener: socket.socket | None = None,
        env: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """A process on this core, which inherits the listener."""
        fds = (listener.fileno(),) if listener is not None else ()
        with self._log(name) as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(os.environ if env is None else env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                # Ctrl-C reaches only the benchmark, which ends the others in order.
                start_new_session=True,
                preexec_fn=Placement(core),
            )
        self._processes.append(process)
        return process

    def start_module(self, module: str, *arguments: str, core: int, listener: socket.socket) -> int:
        """The process id of one of our own modules that serves the listener."""
        command = [sys.executable, "-m", module, str(listener.fileno()), *arguments]
        process = self.start(module.rpartition(".")[2], command, core=core, listener=listener)
        wait_for_port(port_of(listener), process, self.log_of(module.rpartition(".")[2]))
        return process.pid

    def log_of(self, name: str) -> Path:
        """Where the output of a process goes."""
        return self.folder / f"{name}.log"

    def _log(self, name: str) -> IO[bytes]:
        return self.log_of(name).open("ab")


def bound_socket() -> socket.socket:
    """A socket on a free port of this machine; the kernel keeps the port for it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def port_of(sock: socket.socket) -> int:
    """The port that a socket is bound to."""
    return int(sock.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path, timeout_s: float = 60.0) -> None:
    """Return when a connection is accepted. Raises BenchError with the end of the log."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise BenchError(f"{log.stem} did not start: {tail_of(log)}")


def tail_of(log: Path, size: int = 1500) -> str:
    """The end of a log file."""
    return log.read_text(errors="replace")[-size:].strip() if log.exists() else ""


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process: SIGTERM, and SIGKILL if that is not enough."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
