"""The trace in the spool and in the record; lines of versions that had none are read as before."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from billing.ingest import Ingester
from billing.models import UsageRecord
from billing.spool import Spool, read_lines
from billing.spool.lines import NULL, encode_record
from tests.billing.lines import close_line, open_line

TRACE: dict[str, Any] = {
    "place": 1,
    "strategy": "cost_first",
    "fields": ["effective_cost"],
    "candidates": 2,
    "first": [["通道", "fast", 0.967, [0.967], 1, 1.0]],
    "excluded": {"daily_limit": 1},
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("trace", [TRACE, None])
def test_the_trace_of_the_open_line_stands_in_the_record(
    trace: dict[str, Any] | None, spool: Spool, ingester: Ingester
) -> None:
    opened = open_line(trace=trace)
    spool.append(opened)
    spool.append(close_line(opened), keep=True)

    ingester.run_once()

    assert UsageRecord.objects.get().trace == trace
    assert UsageRecord.objects.filter(trace__isnull=True).count() == int(trace is None)


@pytest.mark.django_db(transaction=True)
def test_an_abandoned_attempt_keeps_its_trace(folder: Path, ingester: Ingester) -> None:
    dead = Spool(folder, "dead")
    dead.append(open_line(trace=TRACE))
    dead.close()

    assert ingester.run_once().abandoned == 1

    assert UsageRecord.objects.get().trace == TRACE


def test_an_open_line_of_a_version_without_traces_is_read_with_none(tmp_path: Path) -> None:
    line = open_line(session_id="s1", trace=TRACE)
    fields = msgspec.json.decode(msgspec.json.encode(line))
    assert fields.pop() is None  # whom it is counted for, which came later
    assert (len(fields) + 1, fields[-1]) == (len(line.__struct_fields__) + 1, TRACE)  # and its tag
    path = tmp_path / "old.spool"

    for shorter in (fields[:-1], fields[:-2]):
        path.write_bytes(_record(shorter))
        [read] = read_lines(path, 0).lines
        assert read.trace == NULL  # type: ignore[union-attr]  # an open line went in
        assert read.attempt_id == line.attempt_id


def _record(fields: list[Any]) -> bytes:
    """One line as the spool has it, from its bare fields."""
    return encode_record([msgspec.Raw(msgspec.json.encode(fields))])  # type: ignore[list-item]  # bytes as they are
