"""What docs/backup.md tells operators to run with compose."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archive.places import Place
from tests.delivery.compose import ours, services
from tests.stores import ROOT

pytestmark = pytest.mark.timeout(300)
TEXT = (ROOT / "docs" / "backup.md").read_text()
# What compose does, without containers: what stands behind the service's name runs here, with pipes in between.
DOCKER = """#!/bin/sh
[ "$1 $2 $3 $4 $5" = "compose exec -T web-1 python" ] || exit 9
shift 5
[ "$IS_CUT $2" = "yes backup" ] && { echo half; exit 0; }
cat | "$PYTHON" "$@"
"""


def test_the_line_for_the_hosts_crontab_keeps_whole_private_archives_only(
    tmp_path: Path, make_filled: Callable[[str], Place]
) -> None:
    place, kept = make_filled("sqlite"), tmp_path / "backup"
    (line,) = re.findall(r"^ {4}15 3 \* \* \* +(.*docker compose.*)$", TEXT, re.MULTILINE)
    command = line.replace(r"\%", "%").replace("/opt/smartrouter", str(ROOT)).replace("/backup", str(kept))
    kept.mkdir()
    old = kept / "smartrouter-2020-01-01.zip"
    old.touch()
    os.utime(old, (0, 0))
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"

    def run(is_cut: str) -> int:
        env = {**place.env, "PATH": path, "PYTHON": sys.executable, "IS_CUT": is_cut}
        return subprocess.run(["/bin/sh", "-c", command], env=env, stdin=subprocess.DEVNULL, timeout=100).returncode

    assert run("yes") == 1
    assert list(kept.glob("*.zip")) == [old]
    assert run("no") == 0
    (new,) = kept.iterdir()
    assert re.fullmatch(r"smartrouter-\d{4}-\d\d-\d\d\.zip", new.name)
    assert new.stat().st_mode & 0o777 == 0o600 and new.stat().st_size > 10_000


def test_the_way_back_stops_whatever_uses_the_database_and_runs_where_the_data_folders_are() -> None:
    block = [shlex.split(line) for line in re.findall(r"^ {4}(docker compose .*)$", TEXT, re.MULTILINE)]
    stopped = next(words[3:] for words in block if words[2] == "stop")
    run = [words[words.index("-T") + 1] for words in block if words[2] == "run"]

    assert set(stopped) == {"nginx", *ours()} - {"migrate"}
    folders = {volume for name in run for volume in services()[name]["volumes"]}
    assert folders == {volume for name in ("web-1", "web-2") for volume in services()[name]["volumes"]}
    assert all("ipv4_address" not in str(services()[name]["networks"]) for name in run)
    assert "REDISCLI_AUTH" in services()["redis"]["environment"]  # what redis-cli signs in with
