"""The spool against a real disk that refuses, and against kill -9."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from billing.spool import OpenLine, read_lines

# Appends and acknowledges each append on stdout: what was acknowledged must be in the files.
APPENDER = """
import sys
from pathlib import Path
from billing.spool import Spool
from tests.billing.lines import close_line, open_line
spool = Spool(Path(sys.argv[1]), sys.argv[2], rotate_bytes=200_000)
while True:
    one, two = open_line(), open_line()
    spool.append(one)
    spool.append(close_line(one), two)
    print(one.attempt_id, two.attempt_id, flush=True)
"""

# A file may have 4,000 bytes at first: a write past that is cut short, the next one refused, as on a full disk.
FULL_DISK = """
import json, logging, resource, signal, sys
from pathlib import Path
from billing.spool import Spool, SpoolError
from tests.billing.lines import close_line, open_line
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
spool = Spool(Path(sys.argv[1]), "web1")
written, refused, kept = [], [], []
while not refused:
    line = open_line()
    if not written:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000 + int(sys.argv[2]), hard))
    try:
        spool.append(line)
        written.append(line.attempt_id)
    except SpoolError:
        refused.append(line.attempt_id)
size_when_full = spool.path.stat().st_size
for attempt_id in written:
    line = close_line(open_line(), is_billable=False)
    kept.append(line.attempt_id)
    spool.append(line, keep=True)
late = open_line()
try:
    spool.append(late)
except SpoolError:
    refused.append(late.attempt_id)
pending = spool.pending_count
still_full = spool.retry_pending()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
after = open_line()
spool.append(after)
written.append(after.attempt_id)
print(json.dumps([written, refused, kept, pending, still_full, spool.pending_count, size_when_full]))
"""


def run(script: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "smartrouter.settings", "PYTHONPATH": os.getcwd()},
    )


def test_twenty_kills_lose_no_acknowledged_line(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    torn_tails = 0
    for number in range(20):
        process = run(APPENDER, str(tmp_path), f"web{number}")
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(random.uniform(0.02, 0.08))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()  # communicate() would skip what readline() has already buffered
        process.communicate()
        # A line of the pipe that was itself cut off acknowledges nothing.
        whole = (first + rest).rpartition("\n")[0].split()
        acknowledged.update(whole)

    found, damaged = set(), 0
    for path in tmp_path.glob("*.spool"):
        offset = 0
        while (chunk := read_lines(path, offset)).offset > offset:
            found.update(line.attempt_id for line in chunk.lines if isinstance(line, OpenLine))
            offset, damaged = chunk.offset, damaged + chunk.damaged
        torn_tails += path.stat().st_size > offset

    print(f"\n{len(acknowledged)} acknowledged, {torn_tails} torn tails after 20 kills")
    assert len(acknowledged) > 1_000
    assert acknowledged <= found
    assert damaged == 0


def test_a_full_disk_refuses_opens_keeps_closes_and_recovers(tmp_path: Path) -> None:
    # Shifted limits cut the record at different bytes, among them just before its newline.
    for shift in range(0, 700, 37):
        folder = tmp_path / str(shift)
        process = run(FULL_DISK, str(folder), str(shift))
        out, log = process.communicate(timeout=30)
        assert process.returncode == 0, log
        written, refused, kept, pending, still_full, pending_after, size_when_full = json.loads(out)

        chunk = read_lines(folder / "web1.000001.spool", 0)
        opened = [line.attempt_id for line in chunk.lines if isinstance(line, OpenLine)]
        closed = [line.attempt_id for line in chunk.lines if not isinstance(line, OpenLine)]

        assert size_when_full == 4_000 + shift  # the write was really cut short
        assert opened == written
        assert set(opened).isdisjoint(refused) and len(refused) == 2
        assert closed == kept
        assert (pending, still_full, pending_after) == (len(kept), False, 0)
        assert chunk.damaged == 1
        assert [line for line in log.splitlines() if "spool" in line] == [
            "ERROR spool_refused",
            "WARNING spool_recovered",
        ]


def test_a_record_that_lacks_only_its_newline_does_not_come_to_life(tmp_path: Path) -> None:
    # The records of one run have the same length, so the limit can be put exactly on the last byte of one.
    probe = run(FULL_DISK, str(tmp_path / "probe"), "0")
    assert probe.communicate(timeout=30)
    length = (tmp_path / "probe" / "web1.000001.spool").read_bytes().index(b"\n") + 1
    shift = (-4_000 - 1) % length

    process = run(FULL_DISK, str(tmp_path / "exact"), str(shift))
    out, _log = process.communicate(timeout=30)
    _, refused, *_ = json.loads(out)
    data = (tmp_path / "exact" / "web1.000001.spool").read_bytes()
    chunk = read_lines(tmp_path / "exact" / "web1.000001.spool", 0)

    assert (4_000 + shift + 1) % length == 0
    assert refused[0].encode() in data  # the refused line is there, all of it
    assert refused[0] not in [line.attempt_id for line in chunk.lines]
