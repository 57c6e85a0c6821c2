"""What each scope has used by day and process: the exact sums of the rows, whatever is read twice."""

import random
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from billing.budgets import NO_PROCESS
from billing.ingest import Ingester
from billing.ingest.ledger import store_rows
from billing.ingest.rows import closed_row
from billing.models import ScopeUsage, UsageRecord
from billing.spool import OpenLine, Spool, read_lines
from billing.spool.lines import encode_record
from tests.billing.lines import close_line, open_line
from tests.billing.sums import assert_hours_are_the_sums_of_rows, assert_scopes_are_the_sums_of_rows

pytestmark = pytest.mark.django_db(transaction=True)

DAY = date(2026, 11, 21).toordinal()
CALLERS = ("tenant:1", "tenant:2", "router_key:5", "user:7", "group:3", "end_user:1:ali|ce")


def write_requests(spool: Spool, chance: random.Random, count: int) -> None:
    """Requests with up to three attempts each, of which the last one is billable; some are never closed."""
    for number in range(count):
        attempts = chance.randint(1, 3)
        callers = tuple((key, DAY - chance.randint(0, 2)) for key in chance.sample(CALLERS, chance.randint(0, 5)))
        request_id = uuid4().hex
        for attempt in range(1, attempts + 1):
            scopes = (*callers, (f"channel:{chance.randint(1, 3)}", DAY))
            opened = open_line(
                request_id=request_id, attempt=attempt, prompt_tokens=chance.randint(0, 50), scopes=scopes
            )
            spool.append(opened)
            if attempt == attempts and number % 7 == 0:
                continue
            is_last = attempt == attempts
            closed = close_line(
                opened, is_billable=is_last, status="ok" if is_last else "failed",
                prompt_tokens=chance.randint(0, 10**6), completion_tokens=chance.randint(0, 10**6),
                cost_nusd=chance.choice([None, 0, chance.randint(1, 10**12)]),
                charge_nusd=chance.choice([None, 0, chance.randint(1, 10**12)]),
            )  # fmt: skip
            spool.append(closed, keep=True)


def test_the_sums_are_those_of_the_rows_whatever_is_read_twice(
    tmp_path: Path, folder: Path, new_ingester: Callable[[], Ingester]
) -> None:
    chance = random.Random(5)
    spools = [Spool(folder, uuid4().hex, rotate_bytes=20_000) for _ in range(3)]
    for spool in spools:
        write_requests(spool, chance, 40)
        spool.close()
    copy = shutil.copytree(folder, tmp_path / "copy")
    for _turn in range(2):
        first = new_ingester()
        first.batch_rows = 7
        first.run_once()
        first.close()
        shutil.copytree(copy, folder, dirs_exist_ok=True)  # as if the ingester had died before it removed them

    stats = (last := new_ingester()).run_once()
    last.close()

    assert stats.rows == 0 and stats.known_rows == UsageRecord.objects.count() > 200
    assert set(UsageRecord.objects.values_list("process", flat=True)) == {UUID(spool.process_uid) for spool in spools}
    assert ScopeUsage.objects.values("process").distinct().count() == 3
    assert UsageRecord.objects.filter(status="abandoned", is_billable=True).exists()
    assert_scopes_are_the_sums_of_rows()
    assert_hours_are_the_sums_of_rows()


def test_a_failed_attempt_counts_for_its_channel_only(spool: Spool, ingester: Ingester) -> None:
    scopes = (("tenant:1", DAY), ("channel:9", DAY - 1))
    first = open_line(scopes=scopes)
    second = open_line(request_id=first.request_id, attempt=2, scopes=scopes)
    spool.append(first)
    spool.append(close_line(first, is_billable=False, status="failed", cost_nusd=3, charge_nusd=4), second)
    spool.append(close_line(second, prompt_tokens=5, completion_tokens=6, cost_nusd=None, charge_nusd=70), keep=True)

    ingester.run_once()

    found = {used.scope: (used.day, used.money_nusd, used.tokens, used.requests) for used in ScopeUsage.objects.all()}
    assert found == {
        "tenant:1": (date(2026, 11, 21), 70, 11, 1),
        "channel:9": (date(2026, 11, 20), 3, 12 + 30 + 11, 2),
    }
    assert set(ScopeUsage.objects.values_list("process", flat=True)) == {NO_PROCESS}  # web1 is no process's id
    assert UsageRecord.objects.get(attempt=2).scopes == [["tenant:1", DAY], ["channel:9", DAY - 1]]


def test_a_batch_may_have_more_scopes_than_a_statement_takes_parameters() -> None:
    rows = []
    for number in range(500):
        opened = open_line(scopes=tuple((f"end_user:{number}:{n}", DAY) for n in range(20)))
        rows.append(closed_row(opened, close_line(opened, charge_nusd=number)))

    assert store_rows(rows) == 500

    assert ScopeUsage.objects.count() == 10_000
    assert ScopeUsage.objects.get(scope="end_user:499:19").money_nusd == 499


def test_a_name_that_the_database_cannot_hold_is_cut(spool: Spool, ingester: Ingester) -> None:
    opened = open_line(scopes=((f"end_user:1:a\0b\ud800{'x' * 400}", DAY),))
    spool.append(opened)
    spool.append(close_line(opened), keep=True)

    assert ingester.run_once().refused_rows == 0

    [used] = ScopeUsage.objects.all()
    assert used.scope.startswith("end_user:1:ab?xx") and 290 < len(used.scope) <= 300
    assert_scopes_are_the_sums_of_rows()


def test_a_line_of_a_version_without_scopes_counts_for_nobody(folder: Path, ingester: Ingester) -> None:
    dead = Spool(folder, uuid4().hex)
    opened = open_line(scopes=(("tenant:1", DAY),))
    dead._write(_record(_fields(opened)[:-1]))
    dead.close()

    assert ingester.run_once().abandoned == 1

    row = UsageRecord.objects.get()
    assert (row.scopes, row.process) == (None, UUID(dead.process_uid))
    assert ScopeUsage.objects.count() == 0
    assert_hours_are_the_sums_of_rows()


@pytest.mark.parametrize("day", [0, 3_652_060, "today"])
def test_a_day_that_is_none_is_kept_in_its_file(tmp_path: Path, day: Any) -> None:
    path = tmp_path / "odd.spool"
    path.write_bytes(_record([*_fields(open_line())[:-1], [["tenant:1", day]]]))

    assert read_lines(path, 0).unknown == 1


def _fields(line: OpenLine) -> list[Any]:
    found: list[Any] = msgspec.json.decode(msgspec.json.encode(line))
    return found


def _record(fields: list[Any]) -> bytes:
    return encode_record([msgspec.Raw(msgspec.json.encode(fields))])  # type: ignore[list-item]  # bytes as they are
