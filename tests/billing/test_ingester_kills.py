"""The ingester and the processes that it reads from, each as a real process, killed at any moment."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.spool import Spool
from smartrouter.lib.clock import mint_uuid7
from tests.billing.lines import checkpoint_line, close_line, open_line
from tests.stores import stores_of

Start = Callable[..., subprocess.Popen[str]]

# Requests of every fate, and of each attempt one line on stdout once it is in the spool.
WEB = """
import sys
from pathlib import Path
from billing.spool import Spool
from smartrouter.lib.clock import mint_uuid7
from tests.billing.lines import checkpoint_line, close_line, open_line
spool = Spool(Path(sys.argv[1]) / "spool", sys.argv[2], rotate_bytes=100_000)
number = 0
def opened(line):
    print(line.request_id, line.attempt_id, flush=True)
    return line
while True:
    number += 1
    first = open_line(request_id=mint_uuid7().hex)
    spool.append(first)
    last = opened(first)
    if number % 3 == 0:
        last = open_line(request_id=first.request_id, attempt=2)
        spool.append(close_line(first, is_billable=False, status="failed", cost_nusd=0, charge_nusd=0), last)
        opened(last)
    if number % 5 == 0:
        spool.append(checkpoint_line(last, 7, 5_000))
    if number % 50:
        spool.append(close_line(last), keep=True)
"""


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *args],
            env={
                **os.environ,
                **stores_of(data).env,
                "DJANGO_SETTINGS_MODULE": "smartrouter.settings",
                "PYTHONPATH": os.getcwd(),
                "LOG_LEVEL": "INFO",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_event(process: subprocess.Popen[str], event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if event in line:
            return
    raise AssertionError(f"{event} was never logged")


def stored_rows(data: Path) -> int:
    count: int = query(data, "SELECT count(*) AS n FROM billing_usagerecord")[0][0]
    return count


def ingest_all(start: Start) -> str:
    process = start("manage.py", "ingest", "--once")
    out, log = process.communicate(timeout=100)
    assert process.returncode == 0, log
    return out


def query(data: Path, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in stores_of(data).query(sql)]


def assert_sums_are_right(data: Path) -> None:
    names = 'tenant, router_key, "group", offering, provider, channel'
    rows = f"""SELECT substr(CAST(admitted_at AS text), 1, 13) AS h, {names},
        sum(CASE WHEN is_billable THEN 1 ELSE 0 END) AS requests, count(*) AS attempts,
        sum(CASE WHEN status IN ('failed', 'cut', 'abandoned') THEN 1 ELSE 0 END) AS failures,
        sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion, sum(cached_tokens) AS cached,
        sum(coalesce(cost_nusd, 0)) AS cost, sum(CASE WHEN is_billable THEN coalesce(charge_nusd, 0) ELSE 0 END) AS charge
        FROM billing_usagerecord GROUP BY 1, 2, 3, 4, 5, 6, 7"""
    hours = f"""SELECT substr(CAST(hour AS text), 1, 13) AS h, {names}, requests, attempts, failures, prompt_tokens,
        completion_tokens, cached_tokens, cost_nusd, charge_nusd FROM billing_usagehour"""
    assert sorted(query(data, rows)) == sorted(query(data, hours))


def fill_spool(data: Path, attempts: int, *, rotate_bytes: int = 8 * 1024 * 1024) -> list[str]:
    """The attempts that a process wrote and closed; each tenth with a checkpoint."""
    spool = Spool(data / "spool", f"web{mint_uuid7().hex[:12]}", rotate_bytes=rotate_bytes)
    ids = []
    for number in range(attempts):
        opened = open_line(tenant=f"tenant{number % 7}", channel=f"channel{number % 3}")
        spool.append(opened)
        if number % 10 == 0:
            spool.append(checkpoint_line(opened, 3, 2_000))
        spool.append(close_line(opened), keep=True)
        ids.append(opened.attempt_id)
    spool.close()
    return ids


def test_ten_kills_in_the_middle_of_passes_store_each_attempt_once(data: Path, start: Start) -> None:
    ids: list[str] = []
    counts = []
    for number in range(10):
        stored = stored_rows(data)
        ids += fill_spool(data, 2_000, rotate_bytes=300_000)
        ingester = start("manage.py", "ingest")
        wait_for_event(ingester, "ingester_leads")
        until = time.monotonic() + 10
        while number % 2 and stored_rows(data) == stored and time.monotonic() < until:
            time.sleep(0.005)  # each second one dies between its transactions, the others wherever they are
        time.sleep(random.uniform(0.0, 0.2))
        ingester.send_signal(signal.SIGKILL)
        ingester.wait()
        counts.append(stored_rows(data))

    ingest_all(start)

    assert any(0 < count < 2_000 * (n + 1) for n, count in enumerate(counts)), counts  # some hit a pass
    assert sorted(row[0] for row in query(data, "SELECT attempt_id FROM billing_usagerecord")) == sorted(ids)
    assert_sums_are_right(data)
    assert [path.name for path in (data / "spool").iterdir()] == ["ingester.lock"]


def test_two_ingesters_and_the_death_of_the_leader_store_each_attempt_once(data: Path, start: Start) -> None:
    first = start("manage.py", "ingest")
    wait_for_event(first, "ingester_leads")
    second = start("manage.py", "ingest")
    wait_for_event(second, "ingester_stands_by")

    ids = fill_spool(data, 1_500)
    time.sleep(0.3)
    first.send_signal(signal.SIGKILL)
    ids += fill_spool(data, 500)
    wait_for_event(second, "ingester_leads")
    deadline = time.monotonic() + 30
    while query(data, "SELECT count(*) FROM billing_usagerecord")[0][0] < 2_000 and time.monotonic() < deadline:
        time.sleep(0.1)
    second.send_signal(signal.SIGTERM)

    assert second.wait(timeout=20) == 0
    assert sorted(row[0] for row in query(data, "SELECT attempt_id FROM billing_usagerecord")) == sorted(ids)
    assert_sums_are_right(data)


def test_killed_web_processes_leave_one_row_an_attempt_and_one_billable_a_request(data: Path, start: Start) -> None:
    ingester = start("manage.py", "ingest")
    wait_for_event(ingester, "ingester_leads")
    opened: list[str] = []
    for number in range(5):
        web = start("-c", WEB, str(data), f"web{number}")
        assert web.stdout is not None
        first = web.stdout.readline()
        time.sleep(random.uniform(0.05, 0.15))
        web.send_signal(signal.SIGKILL)
        opened += (first + web.stdout.read()).rpartition("\n")[0].splitlines()
    time.sleep(0.5)
    ingester.send_signal(signal.SIGTERM)
    assert ingester.wait(timeout=30) == 0
    ingest_all(start)

    attempts = [line.split()[1] for line in opened]
    requests = {line.split()[0] for line in opened}
    rows = query(data, "SELECT attempt_id, request_id, is_billable, status, cost_nusd FROM billing_usagerecord")
    stored = Counter(row[0] for row in rows)
    billable = Counter(row[1] for row in rows if row[2])
    assert len(attempts) > 500
    assert all(stored[attempt] == 1 for attempt in attempts)
    # At most one attempt of each process was in the spool and not yet acknowledged.
    assert 0 <= len(stored) - len(attempts) <= 5
    assert set(billable.values()) == {1}
    assert requests <= set(billable)
    abandoned = Counter(row[4] for row in rows if row[3] == "abandoned")
    assert abandoned[1_500] > 0 and abandoned[5_000] > 0  # from an open line, from a checkpoint
    assert_sums_are_right(data)


def test_fifty_thousand_lines_take_seconds_and_little_memory(data: Path, start: Start) -> None:
    spool = Spool(data / "spool", "web1", rotate_bytes=2**40)
    for _ in range(25_000):
        opened = open_line()
        spool.append(opened)
        spool.append(close_line(opened), keep=True)
    spool.close()
    size = spool.path.stat().st_size

    started = time.perf_counter()
    out = ingest_all(start)
    seconds = time.perf_counter() - started

    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\n50,000 lines, {size / 1e6:.0f} MB: {seconds:.1f} s, children's peak {peak_mb:.0f} MB")
    assert out.startswith("25000 rows stored")
    assert seconds < 90
    assert_sums_are_right(data)


def test_the_command_ends_on_sigterm_and_refuses_a_second_drain(data: Path, start: Start) -> None:
    ids = fill_spool(data, 3)
    ingester = start("manage.py", "ingest")
    wait_for_event(ingester, "ingester_leads")

    second = start("manage.py", "ingest", "--once")
    _, refusal = second.communicate(timeout=30)
    ingester.send_signal(signal.SIGTERM)

    assert second.returncode == 1
    assert refusal.splitlines()[-1] == "CommandError: Another ingester is at work on this folder."
    assert ingester.wait(timeout=20) == 0
    assert len(query(data, "SELECT 1 FROM billing_usagerecord")) == len(ids)


@pytest.mark.embedded
def test_a_drain_without_a_database_says_so_in_one_sentence(data: Path, start: Start) -> None:
    fill_spool(data, 3)
    (data / "smartrouter.sqlite3").unlink()

    process = start("manage.py", "ingest", "--once")
    _, log = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "Nothing was lost" in log and "Traceback" not in log
    assert len(list((data / "spool").glob("*.spool"))) == 1
