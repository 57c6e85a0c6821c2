"""Workers that cannot start beside others that serve: SIGHUP with whatever is wrong, and a replacement without a database."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.delivery.hosts import GUNICORN, Host, Servers, free_port
from tests.stores import ROOT, execute

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IN_FILE = ("DATABASE_URL", "REDIS_URL", "PORT")


def wait_until(is_true: Callable[[], bool], host: Host, within_s: float = 90) -> None:
    until = time.monotonic() + within_s
    while not is_true():
        assert host.web.poll() is None and time.monotonic() < until, host.log
        time.sleep(0.05)


def events(host: Host) -> list[str]:
    """What was logged, in order."""
    return [json.loads(line)["event"] for line in host.log.splitlines() if line.startswith("{")]


def write_settings(host: Host, **changed: str) -> None:
    """The host's .env, which a reload reads anew, with these settings changed."""
    settings = {name: host.env[name] for name in IN_FILE} | changed
    (host.root / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def host_with_code_of_its_own(servers: Servers, folder: Path) -> Host:
    """A host on a copy of the code, with the stores and the port in .env."""
    shutil.copytree(ROOT / "smartrouter", folder / "smartrouter")
    for room in ("providers", "channels", "billing", "routing", "templates"):
        (folder / room).symlink_to(ROOT / room)
    host = servers.host("web", SNAPSHOT_MAX_AGE_HOURS="0")
    host.root = folder
    write_settings(host)
    host.start("env", *(f"--unset={name}" for name in IN_FILE), *GUNICORN)
    host.wait_until_ready()
    return host


def test_sighup_changes_nothing_unless_new_workers_serve(servers: Servers, tmp_path: Path) -> None:
    host = host_with_code_of_its_own(servers, tmp_path / "code")
    entry = host.root / "smartrouter" / "asgi.py"
    code = entry.read_text()
    before = host.workers()

    def assert_refused(reason: str) -> None:
        said = host.log.count("Not reloaded")
        host.web.send_signal(signal.SIGHUP)
        wait_until(lambda: host.log.count("Not reloaded") > said and host.workers() == before, host)
        assert reason in host.log
        assert host.is_ready()

    write_settings(host, DATABASE_URL=servers.postgres.url("nowhere"))
    assert_refused('database "nowhere" does not exist')
    write_settings(host, PORT=str(free_port()))
    assert_refused("HOST or PORT")
    write_settings(host, REDIS_URL="")
    assert_refused("without REDIS_URL")
    write_settings(host)
    entry.write_text(f"import nowhere\n{code}")
    assert_refused("No module named 'nowhere'")
    assert "Booting worker" not in host.log.split("table_loaded")[1]
    # Only a worker finds out that this database has no tables.
    entry.write_text(code)
    write_settings(host, DATABASE_URL=servers.postgres.url())
    assert_refused("a new worker did not start")

    write_settings(host)
    host.web.send_signal(signal.SIGHUP)
    wait_until(lambda: len(host.workers()) == 1 and host.workers() != before, host)

    assert host.is_ready()
    said = events(host)
    assert said.count("table_loaded") == 2
    assert said.index("Shutting down") > said.index("table_loaded", said.index("table_loaded") + 1)
    assert host.stop_web() == 0


def test_a_replacement_that_cannot_start_leaves_the_other_worker_alone_and_comes_back_with_the_database(
    servers: Servers,
) -> None:
    host = servers.host("web", WEB_CONCURRENCY="2", SNAPSHOT_MAX_AGE_HOURS="0")
    host.start_web()
    wait_until(lambda: events(host).count("table_loaded") == 2, host)
    killed, other = host.workers()

    execute(servers.postgres.url(), f"ALTER DATABASE {servers.name} ALLOW_CONNECTIONS false")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: host.log.count("exited with code") > 1, host)

    assert "exited with code 3" not in host.log
    assert other in host.workers()
    assert host.is_ready()
    execute(servers.postgres.url(), f"ALTER DATABASE {servers.name} ALLOW_CONNECTIONS true")
    wait_until(lambda: events(host).count("table_loaded") == 3, host)
    assert host.stop_web() == 0
