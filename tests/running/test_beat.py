"""Several beats on one Redis: one of them sends, and another one follows when it is gone."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartrouter.beat import LEASE_S
from tests.stack import ROOT
from tests.stores import Redis, Stores

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(300)]

Beat = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def env(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    stores = Stores(tmp_path_factory.mktemp("beat"))
    return {**os.environ, **stores.env, "REDIS_URL": redis.url(), "LOG_LEVEL": "INFO"}


@pytest.fixture
def start(env: dict[str, str]) -> Iterator[Callable[[], tuple[Beat, Path]]]:
    """Start a beat with a data folder of its own, as on a host of its own; it comes with the file of its log."""
    started: list[Beat] = []

    def begin() -> tuple[Beat, Path]:
        data = Path(tempfile.mkdtemp(prefix="smartrouter-beat-"))
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "smartrouter.celery", "beat", "--pidfile="]
        with (data / "log").open("wb") as log:
            own = {**env, "SMARTROUTER_DATA": str(data)}
            started.append(subprocess.Popen(command, cwd=ROOT, env=own, stdout=log, stderr=log))
        return started[-1], data / "log"

    yield begin
    for beat in started:
        beat.kill()
        beat.wait()


def wait_for(log: Path, event: str, within_s: float = 60) -> float:
    """How long it took until the log had the event once more than now."""
    count, began = log.read_text().count(event), time.monotonic()
    while log.read_text().count(event) == count:
        assert time.monotonic() - began < within_s, log.read_text()
        time.sleep(0.05)
    return time.monotonic() - began


def test_one_sends_and_another_follows_when_it_dies(start: Callable[[], tuple[Beat, Path]]) -> None:
    first, first_log = start()
    wait_for(first_log, "Sending due task")
    second, second_log = start()
    time.sleep(6)
    sent_by_second = second_log.read_text().count("Sending due task")

    first.send_signal(signal.SIGKILL)
    followed_s = wait_for(second_log, "beat_leads")
    _third, third_log = start()
    time.sleep(6)
    second.send_signal(signal.SIGTERM)
    handed_over_s = wait_for(third_log, "beat_leads")

    print(f"\nfollowed {followed_s:.1f} s after a kill, {handed_over_s:.1f} s after a stop")
    assert sent_by_second == 0
    assert "beat_leads" in first_log.read_text()
    assert handed_over_s < LEASE_S
    assert second.wait(20) == 0


def test_a_beat_outlives_a_redis_that_is_killed(start: Callable[[], tuple[Beat, Path]], redis: Redis) -> None:
    beat, log = start()
    wait_for(log, "beat_leads")

    redis.kill()
    wait_for(log, "beat_without_redis")
    redis.start()
    wait_for(log, "beat_leads")

    assert beat.poll() is None
    assert "Traceback" not in log.read_text()
