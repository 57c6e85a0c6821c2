"""The whole benchmark, as small as it can be: real processes, real records. Nothing here looks at a time."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.children import ROOT

COMMAND = [sys.executable, "-m", "tests.bench", "--tiny"]
STORES = os.environ.get("STORES", "embedded")


def environment(folder: Path) -> dict[str, str]:
    """The caller's, with temporary files and the history below folder."""
    return {**os.environ, "TMPDIR": str(folder), "BENCH_HISTORY": str(folder / "history.jsonl")}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a PostgreSQL's socket, as tmp_path's is not."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        yield Path(made)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_tiny_run_is_valid_and_leaves_nothing_behind_but_its_history(folder: Path) -> None:
    command = [*COMMAND, "--proxy", "relay", "--stores", STORES]

    done = subprocess.run(command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, timeout=280)

    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    # The run itself has compared the requests with the usage records; here only that there were some of each kind.
    assert entry["requests"] > 50
    assert set(entry["figures"]) == {"plain", "burst", "paced", "latency"}
    assert all(figures["ratios"]["relay"] > 0 for figures in entry["figures"].values())
    assert entry["figures"]["plain"]["subjects"]["gateway"]["ingester_ms"] > 0
    assert "times relay" in done.stdout
    assert not list(folder.glob("smartrouter-*"))


@pytest.mark.slow
@pytest.mark.embedded
@pytest.mark.timeout(300)
def test_ctrl_c_leaves_no_process_and_no_folder(folder: Path) -> None:
    command = [*COMMAND[:-1], "--quick", "--proxy", "relay"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stdout is not None and bench.stderr is not None
        assert re.search("plain 1", bench.stdout.readline())
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()

        bench.send_signal(signal.SIGINT)
        said = bench.stderr.read()

    assert bench.returncode == 130 and "everything that was started is gone" in said
    assert len(children) >= 3  # the relay, the web process, the ingester
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not list(folder.glob("smartrouter-*"))
    assert not (folder / "history.jsonl").exists()
