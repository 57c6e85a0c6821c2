"""Worker side. The history of results: one JSON line for each run, in a file that git ignores."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.children import ROOT
from tests.bench.cpu import cpu_model

FILE = Path(os.environ.get("BENCH_HISTORY") or ROOT / ".bench" / "history.jsonl")
# Only what was measured alike is compared.
ALIKE = ("machine", "cpu", "cores", "python", "stores", "mode", "proxies")


def conditions(stores: str, mode: str, proxies: list[str]) -> dict[str, Any]:
    """When, what and where a run measures."""
    commit, dirty = _commit()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": dirty,
        "machine": platform.node(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        # One version built in two ways differs by a third: a distribution's is optimised by profile, a plain make is not.
        "python": f"{platform.python_version()} (built {' '.join(platform.python_build()[1].split())})",
        "stores": stores,
        "mode": mode,
        "proxies": proxies,
    }


def append(entry: Mapping[str, Any], file: Path = FILE) -> None:
    """Add an entry at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        out.write(json.dumps(entry) + "\n")


def entries(file: Path = FILE) -> list[dict[str, Any]]:
    """All entries, oldest first; a line that a crash cut short is left out."""
    if not file.exists():
        return []
    found = []
    for line in file.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def last_alike(entry: Mapping[str, Any], file: Path = FILE) -> dict[str, Any] | None:
    """The newest earlier entry that was measured under the same conditions, if there is one."""
    alike = [old for old in entries(file) if old != entry and all(old.get(name) == entry.get(name) for name in ALIKE)]
    return alike[-1] if alike else None


def _commit() -> tuple[str, bool]:
    """The commit of the working tree, and whether the tree differs from it; empty outside of git."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "", False


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
