"""What stands in the way of a start: one clear sentence, a failing exit code, no traceback, no secret."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running.serving import SECRETS, environment, free_ports, manage

Settings = Callable[[Path], dict[str, str]]


def below_a_file(folder: Path) -> dict[str, str]:
    (folder / "file").write_text("")
    return {"SMARTROUTER_DATA": str(folder / "file" / "data")}


def no_folder(folder: Path) -> dict[str, str]:
    (folder / "file").write_text("")
    return {"SMARTROUTER_DATA": str(folder / "file")}


def lost_secrets(folder: Path) -> dict[str, str]:
    (folder / "data").mkdir()
    (folder / "data" / "smartrouter.sqlite3").write_bytes(b"rows")
    return {}


def broken_database(folder: Path) -> dict[str, str]:
    (folder / "broken").write_bytes(b"this is not a database" * 100)
    return {"DATABASE_URL": f"sqlite:///{folder / 'broken'}"}


def always(**settings: str) -> Settings:
    return lambda folder: settings


NOWHERE = f"postgres://user:canary-password@127.0.0.1:{free_ports(1)[0]}/db"

CASES: dict[str, tuple[Settings, str]] = {
    "a data folder below a file": (below_a_file, "Set SMARTROUTER_DATA"),
    "a file as data folder": (no_folder, "Set SMARTROUTER_DATA"),
    "a read-only place": (always(SMARTROUTER_DATA="/proc/smartrouter"), "Set SMARTROUTER_DATA"),
    "an unknown kind of database": (always(DATABASE_URL="mysql://u:canary-password@h/db"), "DATABASE_URL is wrong"),
    "no URL at all": (always(DATABASE_URL="canary-password"), "DATABASE_URL is wrong"),
    "a slash in the password": (
        always(DATABASE_URL="postgres://u:canary-password/x@h/db", **SECRETS),
        "written as %XX",
    ),
    "a database that nobody serves": (always(DATABASE_URL=NOWHERE, **SECRETS), "Check DATABASE_URL"),
    "a file that is no database": (lambda folder: {**broken_database(folder), **SECRETS}, "Check DATABASE_URL"),
    "PostgreSQL without secrets": (always(DATABASE_URL=NOWHERE), "SECRET_KEY, ENCRYPTION_KEYS, KEY_PEPPER"),
    "Redis without a pepper": (always(REDIS_URL="redis://x", **{**SECRETS, "KEY_PEPPER": ""}), "Not set: KEY_PEPPER"),
    "a database whose secrets are gone": (lost_secrets, "Put back"),
    "someone else's address": (always(HOST="192.0.2.1"), "HOST is wrong"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_start_that_cannot_be_is_one_sentence(case: str, tmp_path: Path) -> None:
    settings, sentence = CASES[case]
    env = environment(tmp_path / "data", is_bare=True, **settings(tmp_path))

    result = manage("serve", env=env)

    assert result.returncode == 2, result.stdout
    assert sentence in result.stdout
    assert len(result.stdout.splitlines()) == 1, result.stdout
    assert result.stdout.rstrip().endswith(".")
    assert "canary-password" not in result.stdout


def test_a_taken_simulator_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = f"{free_ports(1)[0]},{port}"
        result = manage("serve", env=environment(tmp_path / "data", is_bare=True, SIMULATOR_PORTS=ports))

    assert result.returncode == 2
    assert result.stdout == f"Port {port} is taken by another program. Set SIMULATOR_PORTS to free ports.\n"


def test_each_wrong_setting_is_a_sentence_of_its_own(tmp_path: Path) -> None:
    wrong = {
        "TIME_ZONE": "Mars/Olympus",
        "PORT": "eighty",
        "LOG_LEVEL": "loud",
        "UPSTREAM_PRIVATE_NETWORKS": "10.0.0.0/99",
    }

    result = manage("serve", env=environment(tmp_path / "data", is_bare=True, **wrong))

    assert result.returncode == 2
    assert [line.partition(" is wrong: ")[0] for line in result.stdout.splitlines()] == sorted(wrong)
