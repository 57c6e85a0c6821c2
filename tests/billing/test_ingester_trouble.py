"""The ingester when the database or the spool does not do what it should."""

import json
import logging
import os
import stat
import threading
from pathlib import Path
from uuid import UUID
from zlib import crc32

import pytest
from django.db import OperationalError, ProgrammingError, connection

from billing.ingest import Ingester, backlog, is_ingester_running
from billing.models import UsageRecord
from billing.spool import Spool, encode_record, lock_path
from tests.billing.lines import PRICE, close_line, open_line
from tests.billing.sums import assert_hours_are_the_sums_of_rows

pytestmark = pytest.mark.django_db(transaction=True)

# What makes the database refuse rows of the tenant poison, and what ends that.
POISON = {
    "sqlite": (
        "CREATE TRIGGER poison BEFORE INSERT ON billing_usagerecord WHEN NEW.tenant = 'poison' "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "DROP TRIGGER poison",
    ),
    "postgresql": (
        "ALTER TABLE billing_usagerecord ADD CONSTRAINT no_poison CHECK (tenant <> 'poison')",
        "ALTER TABLE billing_usagerecord DROP CONSTRAINT no_poison",
    ),
}


def test_a_close_that_lost_its_open_is_reported(
    spool: Spool, ingester: Ingester, caplog: pytest.LogCaptureFixture
) -> None:
    lost = open_line()
    spool.append(close_line(lost), keep=True)

    ingester.run_once()

    (record,) = [r for r in caplog.records if r.getMessage() == "usage_close_without_open"]
    assert record.attempt_id == str(UUID(lost.attempt_id))


def test_a_line_of_a_newer_version_keeps_its_file(
    spool: Spool, ingester: Ingester, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_line()
    spool.append(opened)
    payload = encode_record([open_line()])[9:-1].replace(b'"o1"', b'"o9"')
    os.write(spool._fd, b"%08x %b\n" % (crc32(payload), payload))
    spool.append(close_line(opened), keep=True)
    spool.close()

    for _ in range(3):
        ingester.run_once()

    assert UsageRecord.objects.count() == 1
    assert spool.path.exists() and lock_path(spool.folder, "web1").exists()
    assert caplog.text.count("spool_lines_unknown") == 1


def test_numbers_and_texts_that_no_column_holds_are_cut(spool: Spool, ingester: Ingester) -> None:
    opened = open_line(tenant="t" * 300, end_user="a\x00b", attempt=99_999)
    spool.append(opened)
    spool.append(
        close_line(opened, prompt_tokens=10**15, completion_tokens=-5, cost_nusd=10**30, error_message="e" * 900),
        keep=True,
    )

    ingester.run_once()

    row = UsageRecord.objects.get()
    assert (row.tenant, row.end_user, row.attempt) == ("t" * 100, "ab", 32_767)
    assert (row.prompt_tokens, row.completion_tokens) == (2**31 - 1, 0)
    assert (row.cost_nusd, row.error_message) == (10**15, "e" * 500)


def test_a_row_that_the_database_refuses_stops_no_other(
    spool: Spool, ingester: Ingester, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(20):
        opened = open_line(tenant="poison" if n == 13 else "acme")
        spool.append(opened)
        spool.append(close_line(opened), keep=True)
    spool.close()
    refuse, accept = POISON[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(refuse)

    try:
        stats = ingester.run_once()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(accept)

    kept = spool.folder / "refused.jsonl"
    assert stats.rows == UsageRecord.objects.count() == 19
    assert (stats.refused_rows, stats.known_rows) == (1, 0)
    [refused] = map(json.loads, kept.read_text().splitlines())
    assert (refused["tenant"], refused["price"]) == ("poison", PRICE)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "usage_row_refused" in caplog.text
    assert not spool.path.exists()
    assert_hours_are_the_sums_of_rows()


def test_an_outage_of_the_database_loses_nothing(spool: Spool, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ingester = Ingester(folder, batch_rows=3)
    for _ in range(10):
        opened = open_line()
        spool.append(opened)
        spool.append(close_line(opened), keep=True)
    spool.close()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_usagehour RENAME TO away")

    try:
        for _ in range(3):
            with pytest.raises((OperationalError, ProgrammingError)):
                ingester.run_once()
        assert UsageRecord.objects.count() == 0  # rows and sums: both or none
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO billing_usagehour")
    stats = ingester.run_once()
    ingester.close()

    assert stats.rows == UsageRecord.objects.count() == 10
    assert not spool.path.exists()
    assert_hours_are_the_sums_of_rows()


def test_an_outage_is_logged_once_and_so_is_its_end(
    spool: Spool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_line()
    spool.append(opened)
    spool.append(close_line(opened), keep=True)
    stop = threading.Event()
    passes = 0

    class Watched(Ingester):
        def run_once(self):  # type: ignore[no-untyped-def]
            nonlocal passes
            passes += 1
            if passes == 4:
                with connection.cursor() as cursor:
                    cursor.execute("ALTER TABLE away RENAME TO billing_usagehour")
            if passes == 5:
                stop.set()
            return super().run_once()

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_usagehour RENAME TO away")

    with caplog.at_level(logging.INFO, "billing"):
        Watched(folder).run_forever(stop, interval_s=0.01)

    events = [record.getMessage() for record in caplog.records]
    assert events == ["ingester_leads", "db_unavailable", "ingester_recovered"]
    assert UsageRecord.objects.count() == 1
    assert not is_ingester_running(folder)


def test_the_backlog_is_the_bytes_of_the_spool(spool: Spool, ingester: Ingester, folder: Path) -> None:
    assert backlog(folder / "missing") == backlog(folder) == 0
    spool.append(open_line())
    assert backlog(folder) == spool.path.stat().st_size > 300

    spool.close()
    ingester.run_once()

    assert backlog(folder) == 0
