"""Worker side. The spool folder as the ingester sees it: which processes left files, which of them live."""

import fcntl
import os
from collections import defaultdict
from pathlib import Path

from billing.spool import parse_spool_name

LEADER_LOCK = "ingester.lock"
REFUSED_ROWS = "refused.jsonl"


def process_uids(folder: Path) -> set[str]:
    """Every process that has a spool file or a lock file here."""
    names = os.listdir(folder)  # noqa: PTH208 - names, not paths
    locked = {name.removesuffix(".lock") for name in names if name.endswith(".lock") and name != LEADER_LOCK}
    return locked | {parsed[0] for parsed in map(parse_spool_name, names) if parsed}


def spool_files(folder: Path) -> dict[str, list[int]]:
    """The sequence numbers of each process's spool files, ascending."""
    found: dict[str, list[int]] = defaultdict(list)
    for parsed in map(parse_spool_name, os.listdir(folder)):  # noqa: PTH208
        if parsed:
            found[parsed[0]].append(parsed[1])
    return {uid: sorted(seqs) for uid, seqs in found.items()}


def backlog(folder: Path) -> int:
    """The bytes of all spool files.

    The current file of each living process (8 MiB at most) counts in full, whether or not its lines are stored.
    """
    total = 0
    for path in folder.glob("*.spool"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # the ingester has just finished it
    return total


def is_ingester_running(folder: Path) -> bool:
    """Whether an ingester works on this folder now."""
    try:
        fd = os.open(folder / LEADER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
