"""The local days of quotas, and what the usage records say of them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from billing.quota import Limited, counter_of, day_of, quota_entry
from billing.quota_history import read_late, read_seeds, read_used
from smartrouter.lib.counters import Entry, SeedCounter
from tests.billing.quota_rows import C1, HOUR_MS, NOW, NOW_MS, SHANGHAI, add_row

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("zone", "at", "expected", "hours_left"),
    [
        ("UTC", datetime(2026, 11, 21, 0, 0, tzinfo=UTC), date(2026, 11, 21), 24),
        ("UTC", datetime(2026, 11, 20, 23, 0, tzinfo=UTC), date(2026, 11, 20), 1),
        ("Asia/Shanghai", datetime(2026, 11, 20, 16, 0, tzinfo=UTC), date(2026, 11, 21), 24),
        ("Europe/Berlin", datetime(2026, 3, 28, 23, 0, tzinfo=UTC), date(2026, 3, 29), 23),
        ("Europe/Berlin", datetime(2026, 10, 24, 22, 0, tzinfo=UTC), date(2026, 10, 25), 25),
        # Midnight does not exist: the clock goes from 24:00 to 01:00.
        ("Africa/Cairo", datetime(2026, 4, 23, 21, 0, tzinfo=UTC), date(2026, 4, 23), 1),
        ("Africa/Cairo", datetime(2026, 4, 23, 22, 0, tzinfo=UTC), date(2026, 4, 24), 23),
        # 23:00 to 24:00 comes twice.
        ("Africa/Cairo", datetime(2026, 10, 29, 20, 30, tzinfo=UTC), date(2026, 10, 29), 1.5),
        ("Africa/Cairo", datetime(2026, 10, 29, 21, 30, tzinfo=UTC), date(2026, 10, 29), 0.5),
    ],
)
def test_a_day_is_as_long_as_the_clock_of_its_zone_says(
    zone: str, at: datetime, expected: date, hours_left: float
) -> None:
    at_ms = at.timestamp() * 1000

    assert day_of(ZoneInfo(zone), at_ms) == (expected, at_ms + hours_left * HOUR_MS)


def test_the_records_of_the_local_day_are_given_the_latest_one_by_one() -> None:
    recent = {add_row(0.5), add_row(1.9, is_billable=False, status="failed")}
    abandoned = add_row(1, status="abandoned")
    add_row(2.1)
    add_row(19.9)
    add_row(20.1)  # yesterday in Shanghai
    add_row(1, channel="c2")
    add_row(1, upstream_model="m2")

    [[seed]] = read_seeds([C1], NOW)
    name = counter_of(C1, date(2026, 11, 21))
    assert seed == SeedCounter(name, 2, 5 * 3600.0, dict.fromkeys({*recent, abandoned}, 1), 2 * 3600.0)
    assert list(read_used([C1], NOW)) == [[(C1, date(2026, 11, 21), 5)]]
    [late] = read_late([C1], NOW, all_recent=False)
    assert late == [Entry(name, abandoned, 1, 5 * 3600.0, 2 * 3600.0)]
    [late] = read_late([C1], NOW, all_recent=True)
    assert len(late) == 2  # not the one of 1.9 h ago


def test_what_is_counted_is_named_like_what_the_records_have() -> None:
    day, ends_ms = day_of(SHANGHAI, NOW_MS)
    attempt = add_row(0)

    [[entry]] = read_late([C1], NOW, all_recent=True)
    assert quota_entry(C1, day, attempt, ends_ms - NOW_MS) == entry


def test_no_two_pairs_of_names_and_no_two_zones_have_one_counter() -> None:
    names = ["a", "a:b", "b", "1:a", ""]
    zones = [SHANGHAI, ZoneInfo("UTC")]
    pairs = {counter_of(Limited(a, b, zone), date(2026, 1, 1)) for a in names for b in names for zone in zones}

    assert len(pairs) == 2 * len(names) ** 2
