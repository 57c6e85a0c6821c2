"""When a snapshot is written, and by which of the processes that share a folder."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from routing.snapshot import SnapshotKeeper, keeper, read_snapshot
from tests.routing import tables as t
from tests.routing.snapshot_rows import Tables, full_tables
from tests.running.serving import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.sealed"


@pytest.fixture
def keep(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SnapshotKeeper]]:
    """Makes keepers of the file that are quick, and stops them."""
    made: list[SnapshotKeeper] = []
    for name, seconds in (("LOOK_S", 0.02), ("QUIET_S", 0.2), ("SHARE_OVERALL", 1.0)):
        monkeypatch.setattr(keeper, name, seconds)

    def make(tables: Tables, position: Callable[[], int], is_true: Callable[[], bool] = lambda: True) -> SnapshotKeeper:
        made.append(SnapshotKeeper(path, tables, is_true=is_true, position=position))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def position_of(path: Path) -> int:
    return read_snapshot(path).position if path.exists() else -1


def test_a_change_is_written_when_it_is_quiet(keep: Callable[..., SnapshotKeeper], path: Path) -> None:
    tables = full_tables()
    kept = keep(tables, lambda: len(tables["accounts.tenant"]))
    assert wait_until(lambda: position_of(path) == 2, within_s=20)

    tables["accounts.tenant"][3] = replace(t.tenant(3), name="new")
    kept.note_change()

    assert wait_until(lambda: position_of(path) == 3, within_s=20)
    assert ("accounts.tenant", 3, t.tenant(3, name="new")) in read_snapshot(path).items


def test_a_change_that_comes_while_it_writes_makes_another_snapshot(
    keep: Callable[..., SnapshotKeeper], path: Path
) -> None:
    tables, positions = full_tables(), iter(range(1, 1000))

    def position() -> int:
        kept.note_change()  # called when writing begins
        return next(positions)

    kept = keep(tables, position)

    assert wait_until(lambda: position_of(path) >= 3, within_s=20)


def test_changes_that_never_end_are_written_now_and_then(
    keep: Callable[..., SnapshotKeeper], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "BUSY_S", 0.5)
    monkeypatch.setattr(keeper, "QUIET_S", 1000.0)
    written = iter(range(1, 1000))
    kept = keep(full_tables(), lambda: next(written))
    is_over = threading.Event()

    def change() -> None:
        while not is_over.wait(0.01):
            kept.note_change()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert wait_until(lambda: position_of(path) >= 3, within_s=30)
    finally:
        is_over.set()
        thread.join()


def test_tables_that_are_not_true_to_the_database_are_not_written(
    keep: Callable[..., SnapshotKeeper], path: Path
) -> None:
    is_up = threading.Event()
    asked: list[bool] = []
    keep(full_tables(), lambda: 5, lambda: asked.append(is_up.is_set()) or is_up.is_set())
    assert wait_until(lambda: len(asked) > 3, within_s=20)
    assert not path.exists()

    is_up.set()

    assert wait_until(lambda: position_of(path) == 5, within_s=20)


def test_one_of_several_processes_writes_and_another_takes_over(
    keep: Callable[..., SnapshotKeeper], path: Path
) -> None:
    first = keep(full_tables(), lambda: 1)
    assert wait_until(lambda: position_of(path) == 1, within_s=20)
    second = keep(full_tables(), lambda: 2)
    second.note_change()
    time.sleep(0.6)
    first.note_change()
    assert position_of(path) == 1

    first.stop()

    assert wait_until(lambda: position_of(path) == 2, within_s=20)


def test_one_that_has_lost_the_database_leaves_the_file_to_another(
    keep: Callable[..., SnapshotKeeper], path: Path
) -> None:
    has_database = threading.Event()
    has_database.set()
    first = keep(full_tables(), lambda: 1, has_database.is_set)
    assert wait_until(lambda: position_of(path) == 1, within_s=20)
    keep(full_tables(), lambda: 2)

    has_database.clear()
    first.note_change()

    assert wait_until(lambda: position_of(path) == 2, within_s=20)


def test_a_disk_that_refuses_is_reported_once_and_tried_again(
    keep: Callable[..., SnapshotKeeper], path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper, "BUSY_S", 0.1)
    fresh = path.with_name(path.name + ".new")
    fresh.mkdir()
    keep(full_tables(), lambda: 1)
    assert wait_until(lambda: "snapshot_not_written" in caplog.text, within_s=20)
    time.sleep(0.5)

    fresh.rmdir()

    assert wait_until(lambda: position_of(path) == 1, within_s=20)
    assert caplog.text.count("snapshot_not_written") == 1
