"""What dead processes leave: adopted, with one billable row a request; and who may adopt."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.ingest import Ingester, is_ingester_running
from billing.models import UsageRecord
from billing.spool import Spool, encode_record, lock_path, take_lock
from smartrouter.lib.clock import mint_uuid7
from tests.billing.lines import PRICE, checkpoint_line, close_line, open_line
from tests.billing.sums import assert_hours_are_the_sums_of_rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_dead_process_is_adopted_with_everything_it_left(spool: Spool, ingester: Ingester) -> None:
    only_open, streaming, closed, unpriced = open_line(), open_line(), open_line(), open_line(cost_nusd=None)
    spool.append(only_open, streaming, closed, unpriced)
    spool.append(checkpoint_line(streaming, 20, 13_500))
    spool.append(checkpoint_line(streaming, 40, 25_500))
    spool.append(close_line(closed), keep=True)
    spool.append(checkpoint_line(unpriced, 5, None))
    spool.close()

    stats = ingester.run_once()

    rows = {row.pk.hex: row for row in UsageRecord.objects.all()}
    assert (stats.rows, stats.abandoned) == (4, 3)
    assert all(row.is_billable for row in rows.values())
    one = rows[only_open.attempt_id]
    assert (one.status, one.is_estimated, one.prompt_tokens, one.completion_tokens) == ("abandoned", True, 10, 0)
    assert (one.cost_nusd, one.charge_nusd, one.duration_ms, one.price) == (1_500, 1_500, None, PRICE)
    two = rows[streaming.attempt_id]
    assert (two.status, two.prompt_tokens, two.completion_tokens) == ("abandoned", 10, 40)
    assert (two.cost_nusd, two.charge_nusd, two.duration_ms) == (25_500, 25_500, 2_000)
    assert rows[closed.attempt_id].status == "ok"
    assert rows[unpriced.attempt_id].cost_nusd is None
    assert list(spool.folder.iterdir()) == [spool.folder / "ingester.lock"]
    assert_hours_are_the_sums_of_rows()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_each_request_of_a_dead_process_has_one_billable_row(
    spool: Spool, ingester: Ingester, new_ingester: Callable[[], Ingester], is_restarted: bool
) -> None:
    failed_over, answered, hedged = mint_uuid7().hex, mint_uuid7().hex, mint_uuid7().hex
    first = open_line(request_id=failed_over)
    spool.append(first)
    spool.append(close_line(first, is_billable=False, status="failed"), open_line(request_id=failed_over, attempt=2))
    won, left = open_line(request_id=answered, attempt=2), open_line(request_id=answered)
    spool.append(left)
    spool.append(won)
    spool.append(close_line(won), keep=True)
    spool.append(open_line(request_id=hedged), open_line(request_id=hedged, attempt=2))
    if is_restarted:
        ingester.run_once()
        ingester.close()
    spool.close()

    last = new_ingester() if is_restarted else ingester
    last.run_once()
    last.close()

    billable = UsageRecord.objects.filter(is_billable=True).values_list("request_id", "attempt", "status")
    assert UsageRecord.objects.count() == 6
    assert sorted((request_id.hex, *rest) for request_id, *rest in billable) == sorted(
        [(failed_over, 2, "abandoned"), (answered, 2, "ok"), (hedged, 2, "abandoned")]
    )
    assert_hours_are_the_sums_of_rows()


def test_a_torn_close_and_open_leaves_the_failed_attempt_billable(spool: Spool, ingester: Ingester) -> None:
    first = open_line()
    second = open_line(request_id=first.request_id, attempt=2)
    spool.append(first)
    record = encode_record([close_line(first, is_billable=False, status="failed"), second])
    os.write(spool._fd, record[: len(record) - 20])  # the first of the two lines is there, whole
    spool.close()

    stats = ingester.run_once()

    assert stats.damaged == 1
    assert list(UsageRecord.objects.values_list("attempt", "is_billable", "status")) == [(1, True, "abandoned")]


def test_a_spool_file_without_a_lock_file_is_adopted(spool: Spool, ingester: Ingester) -> None:
    spool.append(open_line())
    spool.close()
    lock_path(spool.folder, "web1").unlink()

    assert ingester.run_once().abandoned == 1
    assert list(spool.folder.iterdir()) == [spool.folder / "ingester.lock"]


def test_a_starting_process_is_not_adopted(folder: Path, ingester: Ingester) -> None:
    folder.mkdir()
    fd = take_lock(lock_path(folder, "web1"))  # locked, no spool file yet

    ingester.run_once()

    assert lock_path(folder, "web1").exists()
    os.close(fd or 0)
    ingester.run_once()
    assert not lock_path(folder, "web1").exists()


def test_a_second_ingester_stands_by_and_takes_over(spool: Spool, ingester: Ingester, folder: Path) -> None:
    second = Ingester(folder)
    opened = open_line()
    spool.append(opened)
    ingester.run_once()
    assert is_ingester_running(folder)
    assert not second.run_once().is_leader

    spool.append(close_line(opened), keep=True)
    ingester.close()
    assert not is_ingester_running(folder)
    stats = second.run_once()

    assert (stats.is_leader, stats.rows) == (True, 1)
    second.close()
