"""Starts after the first one, and ends that nobody asked for."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running.serving import Serving, wait_until
from tests.stores import IS_SERVER, stores_of

pytestmark = pytest.mark.timeout(180)
Start = Callable[..., Serving]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Serving] = []

    def begin(**settings: str) -> Serving:
        started.append(Serving(tmp_path / "data", **settings))
        return started[-1]

    yield begin
    for serving in started:
        serving.clear_away()


def generated_secrets(data: Path) -> str:
    path = data / "secrets.env"
    return path.read_text() if path.exists() else ""


def test_a_second_start_keeps_the_data_and_shows_no_secret(start: Start, tmp_path: Path) -> None:
    first = start()
    assert first.stop(signal.SIGTERM) == 0
    assert wait_until(lambda: not first.members(), within_s=2), first.members()
    secrets = generated_secrets(tmp_path / "data")

    second = start()

    query = stores_of(tmp_path / "data").query
    assert query("SELECT count(*) AS n FROM accounts_routerkey") == query("SELECT count(*) AS n FROM accounts_user")
    assert query("SELECT count(*) AS n FROM accounts_user") == [{"n": 1}]
    assert generated_secrets(tmp_path / "data") == secrets
    assert bool(secrets) is not IS_SERVER
    assert "password" not in second.banner().lower().replace("a new password:", "").replace("changepassword", "")
    assert "rk_" not in second.banner()
    assert second.ready_after_s < 20  # "takes seconds", on a machine that runs other things as well

    os.kill(second.pid_of("manage.py ingest"), signal.SIGKILL)
    code = second.process.wait(40)

    assert code == 1
    assert "The ingest process was ended by signal 9" in second.output()
    assert wait_until(lambda: not second.members(), within_s=2), second.members()


def test_no_one_outlives_a_supervisor_that_was_killed(start: Start) -> None:
    serving = start()

    serving.stop(signal.SIGKILL)

    is_empty = wait_until(lambda: not serving.members(), within_s=20)
    assert is_empty, (serving.members(), serving.output())


def test_a_second_ctrl_c_does_not_wait(start: Start) -> None:
    serving = start(DRAIN_SECONDS="60")
    os.kill(serving.pid_of("manage.py web"), signal.SIGSTOP)  # a web process that does not end

    serving.process.send_signal(signal.SIGINT)
    assert wait_until(lambda: "Stopping" in serving.output(), within_s=10)
    serving.process.send_signal(signal.SIGINT)

    serving.process.wait(10)
    assert wait_until(lambda: not serving.members(), within_s=2), serving.members()
