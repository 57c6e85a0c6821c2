"""The ingester on real files and a real database: every attempt one row, every row counted once."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from billing.ingest import Ingester
from billing.models import UsageHour, UsageRecord
from billing.spool import Spool, spool_path
from smartrouter.lib.clock import at_ms
from tests.billing.lines import ADMITTED_MS, checkpoint_line, close_line, open_line
from tests.billing.sums import assert_hours_are_the_sums_of_rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_closed_attempt_becomes_its_row(spool: Spool, ingester: Ingester) -> None:
    opened = open_line(end_user="u1", client_request_id="mine", attempt=2)
    closed = close_line(
        opened,
        status="cut",
        error_class="transient",
        error_message="reset",
        is_model_mismatch=True,
        cache_write_tokens=3,
        cache_write_1h_tokens=2,
        audio_input_tokens=1,
        audio_output_tokens=6,
        image_tokens=8,
        is_estimated=True,
        charge_nusd=20_000,
        is_cost_reported=True,
    )
    spool.append(opened)
    spool.append(closed, keep=True)

    stats = ingester.run_once()

    row = UsageRecord.objects.values().get()
    assert (stats.rows, stats.lines, stats.known_rows) == (1, 2, 0)
    assert row.pop("attempt_id") == UUID(opened.attempt_id)
    assert row.pop("request_id") == UUID(opened.request_id)
    assert row.pop("admitted_at") == at_ms(ADMITTED_MS)
    assert row.pop("started_at") == at_ms(ADMITTED_MS + 3)
    assert row.pop("process") is None  # web1 is no process's id
    assert row == {
        name: getattr(closed, name) if hasattr(closed, name) else getattr(opened, name) for name in row
    }  # each remaining column has the name of its field in the lines
    assert_hours_are_the_sums_of_rows()


def test_an_open_attempt_of_a_living_process_waits(spool: Spool, ingester: Ingester) -> None:
    opened = open_line()
    spool.append(opened)
    spool.append(checkpoint_line(opened, 20, 13_500))
    assert ingester.run_once().rows == 0

    spool.append(close_line(opened), keep=True)

    assert ingester.run_once().rows == 1
    assert UsageRecord.objects.get().completion_tokens == 30


def test_a_close_is_joined_across_rotated_files(folder: Path, ingester: Ingester) -> None:
    spool = Spool(folder, "web1", rotate_bytes=700)
    opened = [open_line() for _ in range(12)]
    for line in opened:
        spool.append(line)
    assert ingester.run_once().files_removed == 0  # nothing in them is in the database yet

    for line in opened:
        spool.append(close_line(line), keep=True)
    stats = ingester.run_once()

    assert stats.rows == 12
    assert stats.files_removed > 5
    assert list(folder.glob("*.spool")) == [spool.path]  # the current file of a living process stays
    spool.close()


def test_a_long_stream_holds_back_its_file_and_the_later_ones(folder: Path, ingester: Ingester) -> None:
    spool = Spool(folder, "web1", rotate_bytes=500)
    long = open_line()
    spool.append(long)
    for _ in range(5):
        short = open_line()
        spool.append(short)
        spool.append(close_line(short), keep=True)

    assert ingester.run_once().rows == 5
    assert spool_path(folder, "web1", 1).exists()
    spool.append(close_line(long), keep=True)
    ingester.run_once()

    assert UsageRecord.objects.count() == 6
    assert list(folder.glob("*.spool")) == [spool.path]
    spool.close()


def test_files_that_are_read_twice_count_once(
    spool: Spool, ingester: Ingester, new_ingester: Callable[[], Ingester]
) -> None:
    for n in range(7):
        opened = open_line(tenant=f"tenant{n % 2}")
        spool.append(opened)
        spool.append(close_line(opened), keep=True)
    ingester.run_once()
    ingester.close()

    again = new_ingester()
    stats = again.run_once()
    again.close()

    assert (stats.rows, stats.known_rows) == (0, 7)
    assert UsageRecord.objects.count() == 7
    assert sum(UsageHour.objects.values_list("requests", flat=True)) == 7
    assert_hours_are_the_sums_of_rows()


def test_a_line_that_was_written_twice_counts_once(
    spool: Spool, ingester: Ingester, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_line()
    spool.append(opened, opened)
    spool.append(close_line(opened), close_line(opened))
    ingester.run_once()
    spool.append(close_line(opened))

    ingester.run_once()

    assert UsageRecord.objects.count() == 1
    assert "usage_close_without_open" not in caplog.text
    assert_hours_are_the_sums_of_rows()


def test_sums_are_kept_apart_by_hour_and_by_every_name(spool: Spool, ingester: Ingester) -> None:
    variants = [
        {},
        {"admitted_ms": ADMITTED_MS + 3_600_000},
        {"tenant": "b"},
        {"router_key": "b"},
        {"group": ""},
        {"offering": "b"},
        {"provider": "b"},
        {"channel": "b"},
    ]
    for changes in variants * 2:
        opened = open_line(**changes)
        spool.append(opened)
        spool.append(close_line(opened, charge_nusd=1), keep=True)
    failed = open_line()
    spool.append(failed)
    spool.append(close_line(failed, status="failed", is_billable=False, cost_nusd=5, charge_nusd=7), keep=True)
    unknown = open_line()
    spool.append(unknown)
    spool.append(close_line(unknown, cost_nusd=None, charge_nusd=None), keep=True)

    ingester.run_once()

    assert UsageHour.objects.count() == 8
    plain = UsageHour.objects.get(attempts=4)
    assert plain.hour == at_ms(ADMITTED_MS - ADMITTED_MS % 3_600_000)
    assert (plain.requests, plain.attempts, plain.failures, plain.unpriced) == (3, 4, 1, 1)
    assert (plain.cost_nusd, plain.charge_nusd) == (2 * 19_800 + 5, 2)
    assert (plain.prompt_tokens, plain.completion_tokens, plain.cached_tokens) == (48, 120, 16)
    assert_hours_are_the_sums_of_rows()
