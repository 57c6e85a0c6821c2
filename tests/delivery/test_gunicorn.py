"""Web processes under gunicorn: how they start, what refuses to start, and how they end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import aiohttp
import pytest

from tests.delivery.hosts import GUNICORN, Host, Servers
from tests.delivery.load import wait_for
from tests.simulator.harness import simulator_process
from tests.stores import ROOT
from tests.survival.traffic import HEADERS, Heard, chat, offering_document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DRAIN_S = 3
OFFERS = {
    "quick": ("sim-fast!ok:chunks=2",),
    "short": ("sim-fast!ok:pace_ms=100,chunks=15",),  # 1.5 s
    "long": ("sim-fast!ok:pace_ms=100,chunks=900",),
}


@pytest.fixture
def serving(servers: Servers) -> Iterator[Servers]:
    """Servers with a configuration; simulators answer."""
    with simulator_process("alpha") as alpha, simulator_process("beta") as beta:
        servers.apply(offering_document(OFFERS), alpha, beta)
        yield servers


def refusal(host: Host, **env: str) -> tuple[int, str]:
    """The exit code of a gunicorn that must not serve, and what it said."""
    process = host.start(*GUNICORN, **env)
    return process.wait(60), host.log


def plain_lines(text: str) -> list[str]:
    """The lines that are for a person; all others are JSON."""
    return [line for line in text.splitlines() if line and not line.startswith("{")]


def test_several_workers_without_redis_are_refused_with_one_sentence_before_any_starts(servers: Servers) -> None:
    code, log = refusal(servers.host("web"), WEB_CONCURRENCY="2", REDIS_URL="")

    assert code == 2
    assert plain_lines(log) == log.splitlines()
    assert len(log.splitlines()) == 1
    assert "WEB_CONCURRENCY" in log and "REDIS_URL" in log


def test_a_wrong_setting_is_refused_with_its_name(servers: Servers) -> None:
    code, log = refusal(servers.host("web"), DRAIN_SECONDS="soon")

    assert code == 2
    assert "DRAIN_SECONDS" in log and "Traceback" not in log


def test_a_second_web_process_without_redis_ends_gunicorn_with_the_reason_instead_of_respawning(
    serving: Servers,
) -> None:
    first, second = serving.host("first", REDIS_URL=""), serving.host("second", REDIS_URL="")
    first.start_web()

    code, log = refusal(second)

    assert code == 3
    assert len(plain_lines(log)) == 1
    assert "REDIS_URL" in plain_lines(log)[0] and str(first.workers()[0]) in log
    assert log.count("Booting worker") == 1


def test_a_port_that_is_taken_is_refused_with_a_sentence(servers: Servers) -> None:
    first = servers.host("first")
    first.start_web()

    code, log = refusal(servers.host("second", PORT=str(first.port)))

    assert code == 2
    assert str(first.port) in log and "Traceback" not in log


def test_every_line_of_gunicorn_and_its_workers_is_json(serving: Servers) -> None:
    host = serving.host("web", WEB_CONCURRENCY="2")
    host.start_web()
    urllib.request.urlopen(f"{host.url}/health")
    assert host.stop_web() == 0

    events = [json.loads(line) for line in host.log.splitlines()]

    assert {"gunicorn.error", "uvicorn.error", "routing.live"} <= {event["logger"] for event in events}
    assert not [event for event in events if event["level"] not in ("INFO", "DEBUG")]


def test_the_port_opens_only_when_a_worker_can_serve(servers: Servers) -> None:
    host = servers.host("web")
    process = host.start(*GUNICORN)
    seen: list[str] = []
    until = time.monotonic() + 60

    while "ready" not in seen:
        assert process.poll() is None and time.monotonic() < until, host.log
        try:
            urllib.request.urlopen(f"{host.url}/health/ready", timeout=30)
            seen.append("ready")
        except urllib.error.HTTPError as e:
            seen.append(str(e.code))
        except OSError as e:
            seen.append("refused" if "refused" in str(e) else repr(e))
        time.sleep(0.01)

    assert set(seen) == {"refused", "ready"}


def test_a_worker_that_was_killed_is_replaced_and_its_port_stays(servers: Servers) -> None:
    host = servers.host("web")
    host.start_web()
    before = host.workers()

    os.kill(before[0], signal.SIGKILL)

    with urllib.request.urlopen(f"{host.url}/health/ready", timeout=60) as answer:
        assert answer.status == 200
    assert host.workers() != before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT], ids=lambda each: each.name)
def test_a_stop_lets_streams_end_and_tells_those_that_take_longer(serving: Servers, number: signal.Signals) -> None:
    host = serving.host("web", DRAIN_SECONDS=str(DRAIN_S), WEB_CONCURRENCY="2")
    host.start_web()
    short, long = [Heard("short") for _ in range(6)], [Heard("long") for _ in range(6)]

    async def act() -> int:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
            streams = [asyncio.create_task(stream(session, host, each)) for each in (*short, *long)]
            await wait_for(lambda: all(b'"content":"' in each.body for each in (*short, *long)))
            code = await asyncio.to_thread(host.stop_web, number)
            await asyncio.gather(*streams)
            return code

    assert asyncio.run(act()) == 0
    serving.ingest()
    rows = {row["request_id"].hex: row for row in serving.rows()}

    assert [each.end for each in short] == ["done"] * 6
    assert [(each.end, each.error_code) for each in long] == [("ended", "shutting_down")] * 6
    assert {rows[each.request_id]["status"] for each in short} == {"ok"}
    assert {rows[each.request_id]["status"] for each in long} == {"drained"}
    assert all(rows[each.request_id]["charge_nusd"] > 0 for each in long)
    assert list((host.folder / "spool").glob("*.spool")) == []


def test_during_its_notice_a_host_says_not_ready_and_serves(serving: Servers) -> None:
    host = serving.host("web", NOTICE_SECONDS="6")
    host.start_web()
    heard = Heard("quick")

    host.web.send_signal(signal.SIGTERM)
    until = time.monotonic() + 30
    while host.is_ready():
        assert time.monotonic() < until
        time.sleep(0.02)

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await stream(session, host, heard)

    asyncio.run(ask())
    assert (heard.status, heard.end, heard.headers["connection"]) == (200, "done", "close")
    assert host.web.wait(60) == 0


def test_workers_leave_when_their_master_was_killed(servers: Servers) -> None:
    host = servers.host("web")
    host.start_web()
    workers = host.workers()

    host.stop_web(signal.SIGKILL)

    until = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


TOLD_EARLY = """
import os, signal, socket, sys
import django, uvicorn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
django.setup()
from smartrouter.supervisor.web import serve


def tell(frame, event, argument):
    if event == "call" and frame.f_code is uvicorn.Server.run.__code__:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGTERM)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
sys.setprofile(tell)
serve([listener])
print("ended")
"""


def test_a_signal_that_comes_before_the_server_is_there_to_hear_it_ends_it_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", TOLD_EARLY], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_the_settings_file_imports_nothing_of_ours_that_a_reload_should_bring() -> None:
    names = (f"smartrouter.delivery.{name}" for name in ("master", "reload", "worker", "logs"))
    script = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    ours = {
        name for name in done.stdout.split() if name.split(".")[0] in ("smartrouter", "routing", "billing", "channels")
    }
    allowed = {"smartrouter", "smartrouter.lib", "smartrouter.lib.logs"}
    assert {name for name in ours - allowed if not name.startswith("smartrouter.delivery")} == set()


async def stream(session: aiohttp.ClientSession, host: Host, heard: Heard) -> None:
    """Read a streamed answer to its end; `heard` fills while it comes."""
    async with session.post(
        f"{host.url}/v1/chat/completions", json=chat(heard.model, stream=True), headers=HEADERS
    ) as answer:
        heard.status = answer.status
        heard.headers = {name.lower(): value for name, value in answer.headers.items()}
        async for data in answer.content.iter_any():
            heard.body += data
    heard.end = "done" if b"data: [DONE]" in heard.body else "ended"
