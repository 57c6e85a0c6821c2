"""What counts as a database that is down: servers that refuse, say no, or say nothing at all. And the whole of `serve`."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from tests.routing.outage import SNAPSHOT, own_postgres
from tests.running.serving import SERVER, Serving, free_ports, wait_until
from tests.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Writes a snapshot without rows for the database that the environment names.
WRITE = """
import django
django.setup()
from django.conf import settings
from routing.snapshot import write_snapshot
write_snapshot(settings.SNAPSHOT_FILE, {}, position=0)
"""


def says(code: str, text: str) -> bytes:
    """PostgreSQL's FATAL (protocol 3.0, ErrorResponse), as it answers a connection that it does not want."""
    fields = b"".join(
        name + value.encode() + b"\0" for name, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", code), (b"M", text))
    )
    return b"E" + struct.pack(">I", len(fields) + 5) + fields + b"\0"


@contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """The port of a server that answers every connection so; None: not at all."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            taken.append(connection)
            if answer is None:
                continue
            connection.settimeout(10)
            if connection.recv(8)[4:] == struct.pack(">I", 80877103):  # SSLRequest
                connection.sendall(b"N")
                connection.recv(4096)
            connection.sendall(answer)
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in taken:
            connection.close()


ANSWERS: dict[str, bytes | None] = {
    "starting up": says("57P03", "the database system is starting up"),
    "too many connections": says("53300", "sorry, too many clients already"),
    "a wrong password": says("28P01", 'password authentication failed for user "canary-user"'),
    "nothing at all": None,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_does_not_let_us_in_is_down(answer: str, tmp_path: Path) -> None:
    with server(ANSWERS[answer]) as port:
        web = free_ports(1)[0]
        env = {**os.environ, "SMARTROUTER_DATA": str(tmp_path), "PORT": str(web), "REDIS_URL": "",
               "DATABASE_URL": f"postgres://canary-user:canary-password@127.0.0.1:{port}/db"}  # fmt: skip
        env["DJANGO_SETTINGS_MODULE"] = "smartrouter.settings"
        subprocess.run([sys.executable, "-c", WRITE], cwd=ROOT, env=env, check=True, timeout=60)
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "manage.py", "web"], cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            is_up = wait_until(lambda: ready(web) is not None or process.poll() is not None, within_s=60)
            state = ready(web)
        finally:
            process.kill()
            process.wait(10)
    text = (tmp_path / "log").read_text()

    assert is_up and state == {"status": "ready", "degraded": True}, text
    assert "serving_from_snapshot" in text
    assert "canary-password" not in text


def ready(port: int) -> object:
    """The answer of /health/ready, None where there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return orjson.loads(answer.read())
    except OSError:
        return None


def ask(serving: Serving, key: str) -> int:
    """The status of a call of the demo's group."""
    body = orjson.dumps({"model": "auto:demo", "messages": [{"role": "user", "content": "Hello!"}]})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{serving.address}/v1/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as e:
        return e.code


def counted(url: str) -> int:
    """How many usage records there are."""
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM billing_usagerecord").fetchone()
    return int(row[0]) if row else 0


def test_serve_starts_from_the_snapshot_and_records_usage_later(tmp_path: Path) -> None:
    with own_postgres() as postgres:
        url = postgres.url("postgres")
        first_port, second_port = free_ports(2)  # the channels keep the addresses of the first start
        settings = {**SERVER, "DATABASE_URL": url, "REDIS_URL": "", "SIMULATOR_PORTS": f"{first_port},{second_port}"}
        started: list[Serving] = []

        def start() -> Serving:
            started.append(Serving(tmp_path / "data", **settings))
            return started[-1]

        try:
            first = start()
            key = first.after("Key:")
            assert ask(first, key) == 200
            assert wait_until(lambda: (tmp_path / "data" / SNAPSHOT).exists(), within_s=30)
            assert wait_until(lambda: counted(url) == 1, within_s=30)
            stop(first)
            postgres.stop()

            second = start()
            assert "Serving from the snapshot of" in second.banner()
            assert [ask(second, key) for _call in range(3)] == [200] * 3
            postgres.start()

            assert wait_until(lambda: counted(url) == 4, within_s=60), second.output()
            assert wait_until(lambda: ready(int(second.env["PORT"])) == {"status": "ready", "degraded": False}, 30)
            stop(second)
        finally:
            for each in started:
                each.clear_away()


def stop(serving: Serving) -> None:
    """End it as Ctrl-C does."""
    assert serving.stop(signal.SIGINT) == 0, serving.output()
