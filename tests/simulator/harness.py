"""Worker side. A simulator in a process of its own, for every test that needs an upstream.

with simulator_process("alpha") as alpha:
    ...alpha.base_url...
    alpha.journal(attempt="...")
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 15
STOP_S = 5


@dataclass(frozen=True, slots=True)
class SimulatorProcess:
    """A running simulator: `base_url` ends with /v1."""

    name: str
    base_url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.base_url.removesuffix("/v1").rpartition(":")[2])

    def journal(self, attempt: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """The journal's entries, oldest first."""
        query = {"since": str(since)} | ({} if attempt is None else {"attempt": attempt})
        entries: list[dict[str, Any]] = self._call("GET", f"/__journal?{urllib.parse.urlencode(query)}")
        return entries

    def closed_journal(self, attempt: str | None = None, *, timeout_s: float = 5) -> list[dict[str, Any]]:
        """The journal's entries, once there is one at least and none is open. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            entries = self.journal(attempt)
            if entries and all(entry["outcome"] != "open" for entry in entries):
                return entries
            time.sleep(0.02)
        raise TimeoutError(f"simulator {self.name}: no closed entry for {attempt!r} after {timeout_s} s")

    def clear_journal(self) -> None:
        self._call("DELETE", "/__journal")

    def modes(self) -> list[dict[str, Any]]:
        """The table of modes, as modes.Mode has it."""
        table: list[dict[str, Any]] = self._call("GET", "/__modes")
        return table

    def stop(self) -> int:
        """The exit code, after SIGTERM."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(STOP_S)

    def _call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(f"{self.base_url.removesuffix('/v1')}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@contextmanager
def simulator_process(
    name: str = "alpha", *, port: int = 0, journal_path: Path | None = None
) -> Iterator[SimulatorProcess]:
    """A simulator that listens, on a free port unless one is given; it is gone when the block ends."""
    command = [sys.executable, "-m", "providers.simulator", "--name", name, "--port", str(port)]
    if journal_path is not None:
        command += ["--journal", str(journal_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        is_ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if is_ready else ""
        if f"simulator {name} listening on " not in line:
            raise RuntimeError(f"simulator {name} did not start: {line!r}, exit code {process.poll()}")
        running = SimulatorProcess(name, line.split()[-1], process)
        yield running
    finally:
        if process.poll() is None:
            SimulatorProcess(name, "", process).stop()
        if process.stdout is not None:
            process.stdout.close()
