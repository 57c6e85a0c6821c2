"""The spool in one process: what is written can be read, whatever the disk does in between.

What was read is compared by its bytes: prices and traces stay in it as JSON.
"""

import logging
import os
import stat
import threading
import time
from pathlib import Path
from zlib import crc32

import pytest

from billing.spool import Line, OpenLine, Spool, SpoolError, encode_record, lock_path, read_lines, take_lock
from tests.billing.lines import PRICE, checkpoint_line, close_line, open_line


def read_all(folder: Path) -> tuple[list[Line], int]:
    lines, damaged = [], 0
    for path in sorted(folder.glob("*.spool")):
        offset = 0
        while (chunk := read_lines(path, offset)).offset > offset:
            lines, damaged, offset = lines + chunk.lines, damaged + chunk.damaged, chunk.offset
    return lines, damaged


@pytest.fixture
def spool(tmp_path: Path):
    spool = Spool(tmp_path / "spool", "web1")
    yield spool
    spool.close()


def test_what_was_appended_is_read_back_equal(spool: Spool) -> None:
    opened = open_line(end_user="用户\u2028\n\x00", client_request_id='"\\')
    lines = [opened, checkpoint_line(opened, 20, None), close_line(opened, price=None, cost_nusd=None)]

    for line in lines:
        spool.append(line)

    assert encode_record(read_lines(spool.path, 0).lines) == encode_record(lines)


def test_files_are_for_the_owner_only(spool: Spool) -> None:
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(lock_path(spool.folder, "web1").stat().st_mode) == 0o600


def test_the_lock_is_held_until_the_spool_is_closed(spool: Spool) -> None:
    path = lock_path(spool.folder, "web1")
    while_open = take_lock(path)
    spool.close()
    afterwards = take_lock(path)

    assert while_open is None
    assert afterwards is not None
    os.close(afterwards)


def test_a_second_process_of_the_same_uid_is_refused(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.spool.writer.LOCK_WAIT_S", 0.05)

    with pytest.raises(SpoolError, match="another process"):
        Spool(spool.folder, "web1")


def test_a_process_waits_while_the_ingester_tries_its_lock(tmp_path: Path) -> None:
    fd = take_lock(lock_path(tmp_path, "web1"))
    assert fd is not None

    def remove_as_the_ingester_does() -> None:
        lock_path(tmp_path, "web1").unlink()
        os.close(fd)

    threading.Timer(0.1, remove_as_the_ingester_does).start()
    spool = Spool(tmp_path, "web1")

    assert take_lock(lock_path(tmp_path, "web1")) is None  # its lock is on a file that can be found
    spool.close()


@pytest.mark.parametrize("uid", ["", "a.b", "../x", "ingester"])
def test_a_uid_that_would_be_misread_is_refused(tmp_path: Path, uid: str) -> None:
    with pytest.raises(ValueError, match="process uid"):
        Spool(tmp_path, uid)


def test_a_folder_that_cannot_be_made_is_a_spool_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SpoolError):
        Spool(tmp_path / "file" / "spool", "web1")


def test_a_torn_line_in_the_middle_costs_only_itself(spool: Spool) -> None:
    first, torn, third = open_line(), open_line(), open_line()
    spool.append(first)
    os.write(spool._fd, encode_record([torn])[:200] + b"\n")
    os.write(spool._fd, b"\n\x00\xff not a line \r\n")
    spool.append(third)

    chunk = read_lines(spool.path, 0)

    assert encode_record(chunk.lines) == encode_record([first, third])
    assert chunk.damaged == 3
    assert chunk.unknown == 0


def test_a_changed_byte_is_noticed(spool: Spool) -> None:
    record = encode_record([open_line(tenant="acme")])
    os.write(spool._fd, record.replace(b"acme", b"acmf"))

    assert read_lines(spool.path, 0)[0::2] == ([], 1)


def test_a_line_of_a_newer_version_is_told_from_a_damaged_one(spool: Spool) -> None:
    payload = encode_record([open_line()])[9:-1].replace(b'"o1"', b'"o2"')
    os.write(spool._fd, b"%08x %b\n" % (crc32(payload), payload))

    chunk = read_lines(spool.path, 0)

    assert (chunk.lines, chunk.damaged, chunk.unknown) == ([], 0, 1)


def test_a_line_with_a_field_more_is_still_read(spool: Spool) -> None:
    opened = open_line()
    payload = encode_record([opened])[9:-3] + b',"later"]]'
    os.write(spool._fd, b"%08x %b\n" % (crc32(payload), payload))

    assert encode_record(read_lines(spool.path, 0).lines) == encode_record([opened])


def test_a_tail_without_newline_is_left_for_later(spool: Spool) -> None:
    first, second = open_line(), open_line()
    spool.append(first)
    record = encode_record([second])
    os.write(spool._fd, record[:50])

    early = read_lines(spool.path, 0)
    os.write(spool._fd, record[50:])
    late = read_lines(spool.path, early.offset)

    assert encode_record(early.lines) == encode_record([first]) and early.damaged == 0
    assert encode_record(late.lines) == encode_record([second]) and late.damaged == 0


def test_a_record_longer_than_a_chunk_is_read_whole(spool: Spool) -> None:
    lines = [open_line(price={**PRICE, "source": "x" * 5_000}) for _ in range(5)]
    for line in lines:
        spool.append(line)

    offset, found = 0, []
    while (chunk := read_lines(spool.path, offset, at_least_bytes=1_000)).offset > offset:
        offset, found = chunk.offset, found + chunk.lines

    assert encode_record(found) == encode_record(lines)


def test_half_a_surrogate_pair_does_not_stop_a_close(spool: Spool) -> None:
    opened = open_line()

    spool.append(close_line(opened, error_message="bad \ud83d text"), keep=True)

    expected = close_line(opened, error_message="bad ? text")
    assert encode_record(read_lines(spool.path, 0).lines) == encode_record([expected])


def test_files_rotate_and_lose_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "web1", rotate_bytes=2_000)
    lines = [open_line() for _ in range(40)]
    for line in lines:
        spool.append(line)
    spool.close()

    found, damaged = read_all(tmp_path)
    assert (encode_record(found), damaged) == (encode_record(lines), 0)
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.spool"))]
    assert len(sizes) > 5
    assert all(2_000 <= size < 3_000 for size in sizes[:-1])


def test_a_restart_under_the_same_uid_begins_a_new_file(tmp_path: Path) -> None:
    first = Spool(tmp_path, "web1")
    first.append(open_line())
    before = first.path.read_bytes()
    first.close()
    second = Spool(tmp_path, "web1")
    second.append(open_line())
    second.close()

    assert second.path != first.path
    assert first.path.read_bytes() == before


def test_reading_while_writing_sees_every_line_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "web1")
    lines = [open_line(attempt=n % 100) for n in range(3_000)]

    def write() -> None:
        for start in range(0, len(lines), 3):
            spool.append(*lines[start : start + 3])

    writer = threading.Thread(target=write)
    writer.start()
    offset, found, damaged = 0, [], 0
    while writer.is_alive() or len(found) < len(lines):
        chunk = read_lines(spool.path, offset, at_least_bytes=700)
        offset, found, damaged = chunk.offset, found + chunk.lines, damaged + chunk.damaged
    writer.join()
    spool.close()

    assert encode_record(found) == encode_record(lines)
    assert damaged == 0


def test_one_append_is_one_write_and_takes_microseconds(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    opened = open_line(client_request_id="x" * 36)
    closed = close_line(opened)
    count = 2_000

    started = time.perf_counter()
    for _ in range(count):
        spool.append(opened)
    open_us = (time.perf_counter() - started) / count * 1e6
    started = time.perf_counter()
    for _ in range(count):
        spool.append(closed, opened)
    pair_us = (time.perf_counter() - started) / count * 1e6

    size = len(encode_record([opened]))
    print(f"\nappend: open {open_us:.1f} us ({size} bytes), close+open {pair_us:.1f} us")
    assert len(read_all(spool.folder)[0]) == 3 * count


def test_nothing_is_logged_while_all_is_well(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "billing"):
        spool.append(open_line())
        spool.append(close_line(open_line()), keep=True)
        spool.sync()

    assert caplog.records == []


def test_a_line_names_keys_but_holds_none() -> None:
    assert [name for name in OpenLine.__struct_fields__ if "key" in name] == [
        "router_key",
        "router_key_ref",
        "channel_key",
    ]
