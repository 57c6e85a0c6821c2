"""The sealed file: what goes in comes out, nothing plain is in it, and nothing but exactly that file is accepted."""

import os
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.conf import LazySettings

from routing import rows as r
from routing.changes import LOGGED_MODELS
from routing.snapshot import SnapshotRefused, packing, read_snapshot, write_snapshot
from routing.snapshot import file as snapshot_file
from smartrouter.lib.sealing import seal
from tests.routing import tables as t
from tests.routing.snapshot_rows import CANARIES, full_tables, rates


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.sealed"


def refusal_of(path: Path) -> str:
    with pytest.raises(SnapshotRefused) as caught:
        read_snapshot(path)
    return str(caught.value)


def test_what_goes_in_comes_out_parents_first(path: Path) -> None:
    tables = full_tables()

    count = write_snapshot(path, tables, position=77)
    snapshot = read_snapshot(path)

    assert snapshot.items == [(label, ref, row) for label in LOGGED_MODELS for ref, row in tables[label].items()]
    assert (count, snapshot.position) == (len(snapshot.items), 77)
    assert 0 <= snapshot.age_s < 60


def test_an_empty_table_is_a_snapshot_as_well(path: Path) -> None:
    assert write_snapshot(path, {}, position=3) == 0

    assert (read_snapshot(path).items, read_snapshot(path).position) == ([], 3)


def test_priced_rates_stay_what_they_were(path: Path) -> None:
    write_snapshot(path, full_tables(), position=0)

    items = {(label, ref): row for label, ref, row in read_snapshot(path).items}
    found = items["providers.modelprice", 2].rates

    at_ms = 1_767_992_400_000  # Friday, 21:00 UTC: Saturday, 05:00 in Shanghai
    assert found.femto == rates().femto
    assert found.resolved(200_000, at_ms).as_json() == rates().resolved(200_000, at_ms).as_json()


def test_the_file_is_private_and_has_nothing_plain(path: Path) -> None:
    before = os.umask(0)
    try:
        write_snapshot(path, full_tables(), position=0)
    finally:
        os.umask(before)
    data = path.read_bytes()

    assert path.stat().st_mode & 0o777 == 0o600
    assert [word for word in (*CANARIES, "auto:*", "d17", "smartrouter-test") if word.encode() in data] == []
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_rows_that_come_and_go_meanwhile_do_not_stop_it(path: Path) -> None:
    tables = full_tables()
    keys = tables["accounts.routerkey"]

    def change() -> None:
        keys.pop(next(iter(keys)))
        keys.pop(900, None)
        keys[1000 + len(keys)] = t.router_key(1000 + len(keys), 1)

    write_snapshot(path, tables, position=0, rest=change)

    refs = {ref for label, ref, _row in read_snapshot(path).items if label == "accounts.routerkey"}
    assert refs >= set(range(20, 890))
    assert 900 not in refs


def test_an_attempt_that_is_broken_off_leaves_the_old_file(path: Path) -> None:
    write_snapshot(path, full_tables(), position=1)

    def break_off() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_snapshot(path, full_tables(), position=2, rest=break_off)

    assert read_snapshot(path).position == 1
    assert [each.name for each in path.parent.iterdir()] == [path.name]


# --- what is refused


def split(data: bytes) -> list[bytes]:
    """The header and the pieces, each with its length before it."""
    head, _newline, rest = data.partition(b"\n")
    parts = [head + b"\n"]
    while rest:
        size = 4 + struct.unpack(">I", rest[:4])[0]
        parts.append(rest[:size])
        rest = rest[size:]
    return parts


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def newer(data: bytes) -> bytes:
    """The header made younger: it must not be possible to bring an old snapshot back to life."""
    head, at = data.partition(b"\n")[0], data.index(b"written_at") + len(b'written_at": ')
    number = head[at:].split(b",")[0]
    return data.replace(number, str(float(number) + 1).encode(), 1)


def sealed_for_a_row(data: bytes) -> bytes:
    blob = seal({"label": "accounts.tenant", "kind": "TenantRow", "rows": []}, "0" * 32)
    return split(data)[0] + struct.pack(">I", len(blob)) + blob


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "another file": lambda data: b"SQLite format 3\0" + data,
    "JSON, but no snapshot": lambda data: b"[1]\n",
    "only the header": lambda data: split(data)[0],
    "the end is missing": lambda data: b"".join(split(data)[:-1]),
    "cut within a piece": lambda data: data[: len(data) // 2],
    "one byte is missing": lambda data: data[:-1],
    "one byte too many": lambda data: data + b"\0",
    "a bit in the header": lambda data: newer(data),
    "a bit in the first piece": lambda data: flipped(data, data.index(b"\n") + 100),
    "a bit in the middle": lambda data: flipped(data, len(data) // 2),
    "a bit in the end": lambda data: flipped(data, len(data) - 5),
    "a piece left out": lambda data: b"".join(split(data)[:3] + split(data)[4:]),
    "a piece twice": lambda data: b"".join(split(data)[:3] + split(data)[2:]),
    "two pieces swapped": lambda data: b"".join([*split(data)[:2], split(data)[3], split(data)[2], *split(data)[4:]]),
    "an endless piece": lambda data: split(data)[0] + b"\xff\xff\xff\xff" + data,
    "another sealed value": sealed_for_a_row,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_as_it_was_written_is_refused(path: Path, damage: str) -> None:
    write_snapshot(path, full_tables(), position=0)
    data = path.read_bytes()
    assert DAMAGE[damage](data) != data

    path.write_bytes(DAMAGE[damage](data))

    assert "damaged" in refusal_of(path)


def test_a_piece_of_another_snapshot_is_refused(path: Path) -> None:
    write_snapshot(path, full_tables(), position=0)
    old = split(path.read_bytes())
    write_snapshot(path, full_tables(), position=0)
    new = split(path.read_bytes())

    path.write_bytes(b"".join([*new[:2], old[2], *new[3:]]))

    assert "damaged" in refusal_of(path)


def test_a_snapshot_under_unknown_keys_is_refused_and_a_rotated_ring_opens_it(
    path: Path, settings: LazySettings
) -> None:
    write_snapshot(path, full_tables(), position=0)

    settings.ENCRYPTION_KEYS = ["another key"]
    assert "ENCRYPTION_KEYS" in refusal_of(path)
    settings.ENCRYPTION_KEYS = ["another key", "test-encryption-key-0123456789"]
    assert read_snapshot(path).items


def test_a_snapshot_of_another_format_or_shape_of_rows_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_file, "FORMAT", 2)
        write_snapshot(path, full_tables(), position=0)
    assert "another version" in refusal_of(path)

    write_snapshot(path, full_tables(), position=0)
    before = packing.shape()
    monkeypatch.setitem(r.TenantRow.__annotations__, "name", bytes)
    assert packing.shape() != before
    assert "another version" in refusal_of(path)


def test_an_old_snapshot_one_from_the_future_and_any_at_zero_hours_are_refused(
    path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours, words in ((-25, "25 hours old"), (1, "from the future")):
        moment = time.time() + hours * 3600
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", partial(float, moment))
            write_snapshot(path, full_tables(), position=0)
        assert words in refusal_of(path)
    write_snapshot(path, full_tables(), position=0)

    settings.SNAPSHOT_MAX_AGE_HOURS = 0

    assert "SNAPSHOT_MAX_AGE_HOURS is 0" in refusal_of(path)


def test_no_file_is_said_so(path: Path) -> None:
    assert refusal_of(path) == "there is no snapshot"


def test_a_field_of_an_unknown_type_is_noticed() -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        packing.codec_of(complex)
