"""From usage records to what sessions have come to, and what a session id is."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from django.db import connection, connections

from billing import session_rows
from billing.ingest import Ingester
from billing.models import UsageRecord
from billing.session_history import PIECE, first_id, late_rows, read_late, read_seeds
from billing.session_rows import SessionRows
from billing.sessions import counter_name, session_entry, session_id_of
from billing.spool import Spool, encode_record, read_lines
from smartrouter.lib.clock import mint_uuid7
from smartrouter.lib.counters import Entry, SeedCounter, SourceUnavailable
from tests.billing.lines import close_line, open_line

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY_S = 24 * 3600.0


def add_row(hours_ago: float, charge: int | None, session: str | None = "s", **changes: Any) -> str:
    """A row admitted so long before NOW; its request id."""
    at = NOW - timedelta(hours=hours_ago)
    values: dict[str, Any] = {
        "attempt_id": mint_uuid7(round(at.timestamp() * 1000)),
        "request_id": mint_uuid7(round(at.timestamp() * 1000)),
        "attempt": 1,
        "is_billable": True,
        "status": "ok",
        "is_streamed": False,
        "admitted_at": at,
        "started_at": at,
        "tenant_ref": 1,
        "router_key_ref": 1,
        "charge_nusd": charge,
        "session_id": session,
    }
    record = UsageRecord.objects.create(**{**values, **changes})
    return record.request_id.hex


def seeds() -> dict[str, tuple[int, dict[str, int], float]]:
    found = [seed for piece in read_seeds(NOW) for seed in piece]
    assert {seed.remembered_s for seed in found} <= {2 * 3600}
    return {seed.name: (seed.base, dict(seed.entries), seed.ttl_s) for seed in found}


def late(*, all_recent: bool) -> list[Entry]:
    return [entry for piece in read_late(NOW, all_recent=all_recent) for entry in piece]


def test_the_latest_rows_are_given_one_by_one_and_those_before_as_a_sum() -> None:
    latest = {add_row(0.5, 1): 1, add_row(1.9, 20): 20}
    for hours_ago, charge in ((2.1, 300), (20, 4_000), (30, 50_000), (53, 600_000)):
        add_row(hours_ago, charge)

    assert seeds() == {counter_name(1, "s"): (654_300, latest, DAY_S - 1800)}


def test_what_was_before_a_pause_of_a_day_is_another_session() -> None:
    add_row(3, 1)
    add_row(20, 10)
    add_row(43.9, 100)
    add_row(68, 1_000)  # 24.1 hours earlier
    add_row(69, 10_000)

    assert seeds() == {counter_name(1, "s"): (111, {}, DAY_S - 3 * 3600)}


def test_a_session_without_a_request_for_a_day_is_over() -> None:
    add_row(24.1, 1)

    assert seeds() == {}


def test_each_key_and_each_session_has_its_own_however_far_they_go_back() -> None:
    for number in range(4):
        for day in range(number + 1):
            add_row(3 + 23.5 * day, 10**day, f"s{number}")
            add_row(3 + 23.5 * day, 2 * 10**day, f"s{number}", router_key_ref=2)
    add_row(200, 5, "s0")

    found = seeds()
    assert {name: base for name, (base, _entries, _ttl) in found.items()} == {
        counter_name(key, f"s{number}"): key * int("1" * (number + 1)) for key in (1, 2) for number in range(4)
    }


def test_only_what_is_billed_and_priced_counts() -> None:
    add_row(1, 1)
    for changes in ({"is_billable": False}, {"session_id": None}):
        add_row(1, 10, **changes)
        add_row(5, 10, **changes)
    add_row(1, None)
    add_row(5, None)

    [(base, entries, _ttl)] = seeds().values()
    assert (base, list(entries.values())) == (0, [1])


def test_a_session_that_never_ends_is_counted_for_31_days() -> None:
    for day in range(40):
        add_row(3 + 23 * day, 1)

    [(base, _entries, _ttl)] = seeds().values()
    assert base == sum(3 + 23 * day < 31 * 24 for day in range(40))


def test_late_rows_are_those_of_the_last_90_minutes_and_else_only_the_abandoned_ones() -> None:
    add_row(1.6, 1, status="abandoned")
    abandoned = session_entry(1, "s", add_row(1.4, 10, status="abandoned"), 10)
    settled = session_entry(1, "t", add_row(0.1, 100, "t"), 100)

    assert late(all_recent=False) == [abandoned]
    assert sorted(late(all_recent=True), key=lambda entry: entry.name) == [abandoned, settled]


def test_both_ways_of_reading_name_the_same_entries() -> None:
    request_id = add_row(1.4, 10)

    [(_base, entries, _ttl)] = seeds().values()
    assert [entry.id for entry in late(all_recent=True)] == [request_id] == list(entries)


def add_sessions(count: int) -> None:
    at = NOW - timedelta(minutes=5)
    values = {"attempt": 1, "is_billable": True, "status": "ok", "is_streamed": False, "admitted_at": at, "started_at": at,
              "tenant_ref": 1, "router_key_ref": 1, "charge_nusd": 3}  # fmt: skip
    ms = round(at.timestamp() * 1000)
    UsageRecord.objects.bulk_create(
        UsageRecord(attempt_id=mint_uuid7(ms), request_id=mint_uuid7(ms), session_id=f"s{number}", **values)
        for number in range(count)
    )


def test_abandoned_rows_have_an_index_of_their_own() -> None:
    add_sessions(2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_usagerecord")

    assert "usage_abandoned_with_session" in late_rows(NOW, all_recent=False).explain()


def test_many_sessions_come_piece_by_piece_and_each_once() -> None:
    add_sessions(2 * PIECE + 1)

    pieces = list(read_seeds(NOW))
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 1]
    assert len({seed.name for piece in pieces for seed in piece}) == 2 * PIECE + 1
    assert [len(piece) for piece in read_late(NOW, all_recent=True)] == [PIECE, PIECE, 1]


def test_the_thread_reads_and_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_rows, "now", lambda: NOW)
    add_sessions(PIECE + 1)

    async def read() -> tuple[list[SeedCounter], list[Entry]]:
        rows = SessionRows(folder)
        async with aclosing(rows.read_seeds()) as pieces:  # one that is not read to its end
            assert len(await anext(pieces)) == PIECE
        seeds = [seed async for piece in rows.read_seeds() for seed in piece]
        entries = [entry async for piece in rows.read_late(all_recent=True) for entry in piece]
        await rows.close()
        assert not rows._thread.is_alive()
        return seeds, entries

    found_seeds, found_entries = asyncio.run(read())
    assert len(found_seeds) == len(found_entries) == PIECE + 1


def test_a_database_that_fails_is_said_to_and_the_next_one_may_ask_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read() -> list[Entry]:
        rows = SessionRows(folder)
        with monkeypatch.context() as patch:
            patch.setattr(UsageRecord._meta, "db_table", "billing_nothing")
            with pytest.raises(SourceUnavailable):
                await anext(rows.read_late(all_recent=False))
        found = [entry async for piece in rows.read_late(all_recent=True) for entry in piece]
        await rows.close()
        return found

    assert asyncio.run(read()) == []


def test_what_lay_in_the_spool_before_is_behind_until_it_was_taken_in(
    folder: Path, new_ingester: Callable[[], Ingester]
) -> None:
    async def look() -> None:
        before, empty = Spool(folder, "before"), Spool(folder, "empty")
        before.append(open_line(session_id="s"))
        own = Spool(folder, "own")
        rows = SessionRows(folder)
        own.append(open_line(session_id="s"))
        assert rows.is_behind()
        before.close()
        ingester = new_ingester()
        await asyncio.to_thread(ingester.run_once)
        await asyncio.to_thread(connections.close_all)

        assert not rows.is_behind()
        assert own.path.exists() and empty.path.exists()
        await rows.close()
        for it in (own, empty, ingester):
            it.close()

    asyncio.run(look())
    assert [row.status for row in UsageRecord.objects.all()] == ["abandoned"]


def test_ids_begin_with_their_time() -> None:
    moment = datetime.fromtimestamp(1_795_000_000.123, UTC)

    assert first_id(moment) <= mint_uuid7(1_795_000_000_123) < first_id(moment + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "a"), ("x" * 128, "x" * 128), ("x" * 129, None), ("", None), (" ", None), (" a ", " a "), ("a\n", None),
     ("会话", "会话"), (None, None), (7, None)],
)  # fmt: skip
def test_what_a_session_id_is(text: object, expected: str | None) -> None:
    assert session_id_of(text) == expected


def test_the_session_goes_from_the_line_to_the_row(spool: Spool, ingester: Ingester) -> None:
    opened = open_line(session_id="s")
    spool.append(opened)
    spool.append(close_line(opened), keep=True)
    ingester.run_once()

    assert UsageRecord.objects.get().session_id == "s"


def test_lines_of_the_version_before_are_read_as_ever(tmp_path: Path) -> None:
    opened = open_line()
    array = msgspec.json.decode(encode_record([opened])[9:-1])[0]
    assert array[-1] is None  # the new field is the last one
    payload = msgspec.json.encode([array[:-1]])
    file = tmp_path / "a.000001.spool"
    file.write_bytes(b"%08x %b\n" % (crc32(payload), payload))

    assert encode_record(read_lines(file, 0).lines) == encode_record([opened])
