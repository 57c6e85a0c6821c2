"""One long-lived `manage.py serve` on an empty data folder, and everything that can be asked of it while it runs."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.running.serving import Serving, free_ports, manage, wait_until
from tests.stores import IS_SERVER, stores_of

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    running = Serving(tmp_path_factory.mktemp("serve") / "data", GROQ_API_KEY="gsk_canary_0123456789abcdef")
    try:
        yield running
    finally:
        running.clear_away()


def data_of(serving: Serving) -> Path:
    return Path(serving.env["SMARTROUTER_DATA"])


def test_the_banner_names_address_login_and_key(serving: Serving) -> None:
    assert serving.after("API:") == f"{serving.address}/v1"
    assert serving.after("Admin:") == f"{serving.address}/admin/"
    assert len(serving.after("user admin, password")) >= 16
    assert serving.after("Key:").startswith("rk_")


def test_the_printed_curl_line_answers(serving: Serving) -> None:
    (line,) = [line for line in serving.output().splitlines() if line.startswith("curl ")]

    if shutil.which("curl"):
        text = subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=30, check=True).stdout
    else:  # a machine without curl still tries what the line says
        _curl, url, _h, auth, _h, kind, _d, body = shlex.split(line)
        headers = dict(header.split(": ", 1) for header in (auth, kind))
        text = urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30).read()

    assert json.loads(text)["choices"][0]["message"]["content"]


def test_the_printed_login_opens_the_admin(serving: Serving) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page = browser.open(f"{serving.address}/admin/login/?next=/admin/", timeout=30).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    form = {
        "csrfmiddlewaretoken": token[1],
        "username": "admin",
        "password": serving.after("user admin, password"),
        "next": "/admin/",
    }

    answer = browser.open(f"{serving.address}/admin/login/", urllib.parse.urlencode(form).encode(), timeout=30)

    assert answer.url == f"{serving.address}/admin/"
    assert answer.status == 200


def test_what_was_printed_once_stands_nowhere_in_the_data_folder(serving: Serving) -> None:
    shown = [serving.after("Key:"), serving.after("user admin, password"), "gsk_canary_0123456789abcdef"]
    files = [path for path in data_of(serving).rglob("*") if path.is_file()]

    content = b"".join(path.read_bytes() for path in files)

    assert IS_SERVER or data_of(serving) / "secrets.env" in files
    assert b"first-key" in content
    assert not [secret for secret in shown if secret.encode() in content]


@pytest.mark.embedded
def test_the_generated_secrets_are_ours_alone(serving: Serving) -> None:
    path = data_of(serving) / "secrets.env"
    text = path.read_text()

    assert path.stat().st_mode & 0o777 == 0o600
    assert re.findall(r"^(\w+)=\S{40,}$", text, re.M) == ["SECRET_KEY", "ENCRYPTION_KEYS", "KEY_PEPPER"]
    assert data_of(serving).stat().st_mode & 0o777 == 0o700


def test_a_vendor_key_of_the_environment_became_a_channel(serving: Serving) -> None:
    query = stores_of(data_of(serving)).query

    channels = query("SELECT name FROM channels_channel ORDER BY name")
    keys = query("SELECT env_name FROM channels_channelkey WHERE env_name != ''")

    assert [row["name"] for row in channels] == ["demo-alpha", "demo-beta", "groq"]
    assert keys == [{"env_name": "GROQ_API_KEY"}]


def test_the_celery_worker_does_what_is_sent(serving: Serving) -> None:
    query = stores_of(data_of(serving)).query
    query("INSERT INTO routing_change (model, row, at) VALUES ('old.row', '', '2020-01-01 00:00:00')")

    sent = subprocess.run(
        [shutil.which("celery", path=os.path.dirname(serving.process.args[0])), "-A", "smartrouter.celery", "call",
         "routing.tasks.prune_changes"],
        cwd=Path(__file__).parents[2], env=serving.env, capture_output=True, timeout=60,
    )  # fmt: skip

    assert sent.returncode == 0, sent.stderr
    assert wait_until(lambda: not query("SELECT id FROM routing_change WHERE model = 'old.row'"), within_s=20)
    assert query("SELECT id FROM routing_change")


def test_a_second_serve_on_the_same_data_folder_names_the_first(serving: Serving) -> None:
    result = manage("serve", env={**serving.env, "PORT": str(free_ports(1)[0])})

    assert result.returncode == 2
    assert f"process {serving.process.pid}" in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_a_taken_port_is_one_sentence(serving: Serving, tmp_path: Path) -> None:
    ports = ",".join(map(str, free_ports(2)))

    result = manage("serve", env={**serving.env, "SMARTROUTER_DATA": str(tmp_path / "data"), "SIMULATOR_PORTS": ports})

    assert result.returncode == 2
    assert result.stdout.startswith(f"Port {serving.env['PORT']} on 127.0.0.1 is taken")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.embedded
def test_a_second_web_process_without_redis_refuses(serving: Serving) -> None:
    result = manage("web", env={**serving.env, "PORT": str(free_ports(1)[0]), "LOG_LEVEL": "ERROR"})

    (sentence,) = [line for line in result.stdout.splitlines() if not line.startswith("{")]
    assert result.returncode == 2
    assert "REDIS_URL" in sentence
    assert "Traceback" not in result.stdout


def test_the_doctor_finds_everything_well_but_the_canary_key(serving: Serving) -> None:
    quiet = manage("doctor", "--no-network", env=serving.env)
    full = manage("doctor", env=serving.env)

    assert quiet.returncode == 0, quiet.stdout
    assert "groq" not in quiet.stdout
    assert "running" in quiet.stdout
    assert full.returncode == 1
    assert {
        line.split()[2].split("/")[0]: line.split()[0] for line in full.stdout.splitlines() if "channel:" in line
    } == {
        "demo-alpha": "OK",
        "demo-beta": "OK",
        "groq": "PROBLEM",
    }
    assert "gsk_canary" not in full.stdout


def test_ctrl_c_ends_it_well_and_leaves_no_process(serving: Serving) -> None:
    assert len(serving.members()) >= 7  # serve, guard, web, two simulators, ingest, worker (and its beat)

    # As a terminal does it: to the whole foreground group.
    os.killpg(serving.process.pid, signal.SIGINT)
    code = serving.process.wait(40)

    assert code == 0, serving.output()
    assert wait_until(lambda: not serving.members(), within_s=2), serving.members()
    assert "Traceback" not in serving.output()
