"""What the ingester writes by SQL of its own is what Django would write, and a batch counts no row twice."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.db import close_old_connections, connection

from billing.ingest import Ingester, IngestStats
from billing.ingest.insert import prepared
from billing.ingest.ledger import store_rows
from billing.ingest.rows import closed_row
from billing.models import UsageRecord
from billing.spool import Spool
from smartrouter.lib.clock import mint_uuid7
from tests.billing.lines import close_line, open_line
from tests.billing.sums import assert_hours_are_the_sums_of_rows, assert_scopes_are_the_sums_of_rows

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = [column.name for column in UsageRecord._meta.concrete_fields]
MOMENTS = [
    datetime(2026, 11, 21, 7, 22, 29, 941_000, UTC),
    datetime(2026, 11, 21, 7, 22, 29, tzinfo=UTC),
    datetime(2026, 11, 21, 23, 22, 29, 5, timezone(timedelta(hours=8))),
]


def stored(key: object) -> dict[str, Any]:
    """The row as the database has it, read past Django's conversions; JSON by its content."""
    names = ", ".join(map(connection.ops.quote_name, COLUMNS))
    with connection.cursor() as cursor:
        column = UsageRecord._meta.get_field("attempt_id")
        value = column.get_db_prep_value(key, connection)
        cursor.execute(f"SELECT {names} FROM billing_usagerecord WHERE attempt_id = %s", [value])
        found = dict(zip(COLUMNS, cursor.fetchone(), strict=True))
    read = UsageRecord.objects.values("price", "trace", "scopes").get(pk=key)
    return {**found, **read}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_row_stands_in_the_table_as_django_would_write_it(moment: datetime) -> None:
    opened = open_line(end_user="用户", trace={"first": [["通道", 0.967, None]]}, scopes=(("tenant:1", 739_941),))
    row = closed_row(opened, close_line(opened, price=None), process=mint_uuid7())
    row["admitted_at"] = row["started_at"] = moment
    twin = {**row, "attempt_id": mint_uuid7()}

    assert store_rows([row]) == 1
    UsageRecord.objects.create(**twin)

    ours, djangos = stored(row["attempt_id"]), stored(twin["attempt_id"])
    assert ours.pop("attempt_id") != djangos.pop("attempt_id")
    assert ours == djangos
    assert list(row) == COLUMNS


def test_all_columns_are_prepared_as_by_their_fields() -> None:
    opened = open_line()
    row = closed_row(opened, close_line(opened), process=mint_uuid7())
    fields = UsageRecord._meta.concrete_fields

    [values] = prepared(fields, [row.values()])

    for field, value in zip(fields, values, strict=True):
        if field.get_internal_type() not in ("JSONField", "UUIDField"):
            assert value == field.get_db_prep_save(row[field.name], connection), field.name


def test_an_attempt_that_stands_twice_in_a_batch_counts_once() -> None:
    opened = open_line(scopes=(("tenant:1", 739_941), ("channel:2", 739_941)))
    row, other = closed_row(opened, close_line(opened)), open_line()
    again = closed_row(opened, close_line(opened, prompt_tokens=999))

    assert store_rows([row, again, closed_row(other, close_line(other)), row]) == 2
    assert store_rows([again, row]) == 0

    assert UsageRecord.objects.get(pk=opened.attempt_id).prompt_tokens == 12
    assert_hours_are_the_sums_of_rows()
    assert_scopes_are_the_sums_of_rows()


def test_a_price_of_the_open_line_stays_where_the_close_line_has_none(spool: Spool, ingester: Ingester) -> None:
    prices: list[tuple[Any, Any]] = [({"a": 1}, None), ({"a": 1}, {"b": "é"}), (None, None)]
    for number, (first, last) in enumerate(prices):
        opened = open_line(attempt=number, price=first)
        spool.append(opened)
        spool.append(close_line(opened, price=last), keep=True)

    ingester.run_once()

    found = list(UsageRecord.objects.order_by("attempt").values_list("price", flat=True))
    assert found == [{"a": 1}, {"b": "é"}, None]
    assert UsageRecord.objects.filter(price__isnull=True).count() == 1


def test_a_busy_ingester_keeps_its_sqlite_connection_and_an_idle_one_gives_it_back(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    passes: list[int] = []
    given_back: list[int] = []  # after how many passes; closing a test's database, which is in memory, shows nowhere

    class Watched(Ingester):
        def run_once(self) -> IngestStats:
            passes.append(1)
            if len(passes) <= 3:
                opened = open_line()
                spool.append(opened)
                spool.append(close_line(opened), keep=True)
            if len(passes) == 6:
                stop.set()
            return super().run_once()

    def give_back() -> None:
        given_back.append(len(passes))
        close_old_connections()

    monkeypatch.setattr("billing.ingest.ingester.close_old_connections", give_back)
    Watched(folder).run_forever(stop, interval_s=0.01)

    # Before the first pass, after each that stored nothing, and at the end.
    assert given_back == ([0, 4, 5, 6, 7] if connection.vendor == "sqlite" else [0, 1, 2, 3, 4, 5, 6, 7])
    assert UsageRecord.objects.count() == 3
