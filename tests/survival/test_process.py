"""One web process at a time, and one whose database goes away for a while."""

import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.stack import ROOT, Stack, free_port, running_stack
from tests.survival.traffic import assert_complete, chat

pytestmark = pytest.mark.slow

DRAIN_S = 1
# SQLite's locks on the -shm file of a WAL database: writer, checkpointer, recovery, five readers.
SHM_LOCKS_AT, SHM_LOCKS = 120, 8


@pytest.fixture(scope="module")
def module_stack() -> Iterator[Stack]:
    with running_stack(DRAIN_SECONDS=str(DRAIN_S)) as stack:
        (stack.data / "static").mkdir(exist_ok=True)  # `serve` makes it
        yield stack


@pytest.fixture
def stack(module_stack: Stack) -> Stack:
    """The stack, with a web process that serves."""
    assert module_stack.web is not None
    if module_stack.web.poll() is not None:
        module_stack.start_web()
    return module_stack


def ready(stack: Stack) -> dict[str, object]:
    """What /health/ready says."""
    with urllib.request.urlopen(f"{stack.url}/health/ready", timeout=5) as response:
        found: dict[str, object] = json.load(response)
        return found


def seconds_until(is_true: Callable[[], bool], within_s: float) -> float:
    """How long it took to become true. Raises AssertionError if it did not."""
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < within_s
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def write_locked(stack: Stack) -> Iterator[None]:
    """Meanwhile nobody else can write to the database."""
    connection = sqlite3.connect(stack.data / "smartrouter.sqlite3", timeout=20, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def all_locked(stack: Stack) -> Iterator[None]:
    """Meanwhile nobody else can read or write the database."""
    with (stack.data / "smartrouter.sqlite3-shm").open("r+b") as file:
        until = time.monotonic() + 10
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHM_LOCKS, SHM_LOCKS_AT, os.SEEK_SET)
                break
            except OSError:
                assert time.monotonic() < until
        yield


@pytest.mark.embedded
def test_a_second_web_process_refuses_with_one_sentence(stack: Stack) -> None:
    command = [sys.executable, "manage.py", "web"]
    env = {**stack.env, "PORT": str(free_port())}

    second = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30)

    said = [line for line in (second.stdout + second.stderr).splitlines() if not line.startswith("{")]
    assert second.returncode == 2
    assert len(said) == 1
    assert "REDIS_URL" in said[0]
    assert stack.post(chat("m"))[0] == 200


def test_a_process_that_is_killed_leaves_its_place_to_the_next_one_at_once(stack: Stack) -> None:
    stack.kill_web()

    stack.start_web()

    assert stack.post(chat("m"))[0] == 200


@pytest.mark.embedded
@pytest.mark.parametrize("locked", [write_locked, all_locked])
def test_requests_go_on_while_the_database_is_away_and_nothing_is_lost(
    stack: Stack, locked: Callable[[Stack], Iterator[None]]
) -> None:
    asked = [stack.post(chat("m"))]
    assert ready(stack) == {"status": "ready", "degraded": False}

    with locked(stack):  # type: ignore[attr-defined]
        noticed_s = seconds_until(lambda: ready(stack)["degraded"] is True, within_s=15)
        asked += [stack.post(chat("m")) for _ in range(20)]
    recovered_s = seconds_until(lambda: ready(stack)["degraded"] is False, within_s=25)

    print(f"\n{locked.__name__}: noticed after {noticed_s:.1f} s, recovered after {recovered_s:.1f} s")
    assert [status for status, _headers, _body in asked] == [200] * 21
    ids = {headers["x-request-id"].replace("-", "") for _status, headers, _body in asked}
    assert ids <= {row["request_id"] for row in assert_complete(stack)}
    stack.execute("UPDATE channels_channel SET is_active = FALSE WHERE name = 'alpha'")
    stack.execute("INSERT INTO routing_change (model, row, at) VALUES ('channels.channel', '', '2026-01-01')")
    seconds_until(lambda: stack.post(chat("m"))[1]["x-smartrouter-channel"] == "beta", within_s=1)
    stack.execute("UPDATE channels_channel SET is_active = TRUE WHERE name = 'alpha'")
    stack.execute("INSERT INTO routing_change (model, row, at) VALUES ('channels.channel', '', '2026-01-01')")


def test_a_half_sent_body_does_not_hold_up_the_shutdown(stack: Stack) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{"
    assert stack.web is not None

    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(head)
        time.sleep(0.3)
        began = time.monotonic()
        stack.web.send_signal(signal.SIGTERM)
        code = stack.web.wait(30)

    print(f"\nthe process ended {time.monotonic() - began:.2f} s after SIGTERM, drain time {DRAIN_S} s")
    assert code == 0
    assert time.monotonic() - began < DRAIN_S + 7
