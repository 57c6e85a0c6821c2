"""What commands print: in LANGUAGE_CODE, else in the language of the terminal."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smartrouter.lib.language import read_language, terminal_language
from tests.languages.names import PATTERNS
from tests.languages.test_pages import expect_none
from tests.languages.visible import english_in
from tests.running.serving import environment, manage, wait_until
from tests.stores import ROOT

HAN = re.compile(r"[\u4e00-\u9fff]")
NOTHING = {"LANGUAGE_CODE": "", "LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}
CHINESE = {**NOTHING, "LANG": "zh_CN.UTF-8"}
FOREIGN = (
    "Hello!", "Content-Type: application/json",  # what the example sends
    "unable to open database file", r"PostgreSQL [\d.]+ on \S+.*",  # what databases say
    "DEBUG, INFO, WARNING, ERROR",  # values of a setting
    "organisation, team, person", "timezone",  # words of the file
    r"(?:\b(?:providers|models|exchange_rates|tenants|channels|model_groups|strategies)\b(?:, )?)+",  # blocks of the file
    r"^simulator \w+ listening on", "^worker: .*", r"^Restoring \d+ unacknowledged message\(s\)",  # other programs
)  # fmt: skip
REFUSED = """
providers: [{name: p, base_url: "ftp://x"}, {name: p}]
channels: [{name: c, provider: none, keys: ["env:NOT_SET_HERE"], weight: -1, models: [m]}]
tenants: [{name: t, kind: x, timezone: Mars, budgets: [{window: year}]}]
nonsense: 1
"""


def english_of(output: str) -> list[str]:
    """The English in what a command printed; logs are English and are not counted."""
    # Celery's warning to whoever is root.
    output = re.sub(r"^\S+ SecurityWarning: (?s:.*?)^ +_warn\S*\(.*$", "", output, flags=re.M)
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("{")]
    assert lines
    return [f"{run!r} in {line!r}" for line in lines for run in english_in(line, (*FOREIGN, *PATTERNS))]


@pytest.mark.parametrize(
    ("settings", "is_chinese"),
    [
        (NOTHING, False),
        (CHINESE, True),
        ({**NOTHING, "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "de_DE.UTF-8"}, True),
        ({**NOTHING, "LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, False),
        ({**CHINESE, "LANGUAGE_CODE": "en"}, False),
        ({**NOTHING, "LANGUAGE_CODE": "zh_CN"}, True),
    ],
)
def test_help_is_in_the_language_of_the_setting_or_the_terminal(
    tmp_path: Path, settings: dict[str, str], is_chinese: bool
) -> None:
    done = manage("config", "apply", "--help", env=environment(tmp_path, **settings))

    assert done.returncode == 0, done.stdout
    assert bool(HAN.search(done.stdout)) is is_chinese


def test_the_description_of_a_command_is_chinese(tmp_path: Path) -> None:
    for command in ("serve", "doctor", "config", "web", "ingest", "messages"):
        assert HAN.search(manage(command, "--help", env=environment(tmp_path, **CHINESE)).stdout), command


def test_a_wrong_language_is_a_sentence(tmp_path: Path) -> None:
    done = manage("check", env=environment(tmp_path, LANGUAGE_CODE="klingon"))

    assert done.returncode == 1
    assert "LANGUAGE_CODE is wrong: use en or zh-hans." in done.stdout


def test_wrong_settings_are_named_in_chinese(tmp_path: Path) -> None:
    wrong = {"PORT": "x", "DRAIN_SECONDS": "-1", "LOG_LEVEL": "loud", "SIMULATOR_PORTS": "1", "TIME_ZONE": "Mars"}
    wrong |= {"UPSTREAM_PRIVATE_NETWORKS": "10.0.0.1/8", "DEBUG": "maybe", "DATABASE_URL": "mysql://a/b"}

    done = manage("serve", env=environment(tmp_path, is_bare=True, **CHINESE, **wrong))

    assert done.returncode == 2
    for name in wrong:
        assert name in done.stdout
    expect_none(english_of(done.stdout))


def test_doctor_is_chinese(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", **CHINESE)

    expect_none(english_of(manage("doctor", "--no-network", env=env).stdout))


def test_what_config_apply_refuses_is_chinese(tmp_path: Path) -> None:
    path, data = tmp_path / "wrong.yaml", tmp_path / "data"
    path.write_text(REFUSED)
    data.mkdir()
    secrets = {"SECRET_KEY": "s" * 50, "ENCRYPTION_KEYS": "e" * 50, "KEY_PEPPER": "p" * 50}
    env = environment(data, **CHINESE, **secrets)
    assert manage("migrate", "-v0", env=env).returncode == 0

    done = manage("config", "apply", str(path), env=env)
    nothing = manage("config", "apply", str(tmp_path / "none.yaml"), env=env)

    assert done.returncode == nothing.returncode == 1
    expect_none(english_of(done.stdout) + english_of(nothing.stdout))


@pytest.mark.slow
def test_serve_greets_and_says_goodbye_in_chinese(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"], cwd=ROOT, env=environment(tmp_path / "data", **CHINESE),
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        assert wait_until(lambda: "\ncurl " in output.read_text() or process.poll() is not None, within_s=90)
        process.send_signal(signal.SIGINT)
        process.wait(40)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    assert HAN.search(output.read_text())
    expect_none(english_of(output.read_text()))


@pytest.mark.parametrize(
    ("text", "language"),
    [("en", "en"), ("EN_us", "en"), ("zh", "zh-hans"), ("zh-cn", "zh-hans"), ("zh_CN", "zh-hans"),
     ("zh_CN.UTF-8", "zh-hans"), ("zh-Hans", "zh-hans"), (" zh-hans-CN ", "zh-hans")],
)  # fmt: skip
def test_a_language_is_understood_as_people_write_it(text: str, language: str) -> None:
    assert read_language(text) == language


@pytest.mark.parametrize("text", ["zh-tw", "zh-hant", "de", "english", "c"])
def test_another_language_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="use en or zh-hans"):
        read_language(text)


def test_the_first_variable_that_is_set_decides() -> None:
    assert terminal_language({"LC_ALL": "en_US", "LANG": "zh_CN"}) == "en"
    assert terminal_language({"LC_ALL": "", "LC_MESSAGES": "zh_CN.GB18030", "LANG": "C"}) == "zh-hans"
    assert terminal_language({}) == "en"
