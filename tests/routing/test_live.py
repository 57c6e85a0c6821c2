"""How the table follows the database: the change log, who reads it, and what has to be read for it."""

from collections.abc import Iterable

import pytest
from django.db import DatabaseError, connection

from providers.models import Provider
from routing import follower
from routing.changes import LOGGED_MODELS, range_of, ranges_of
from routing.follower import ChangeFollower
from routing.loading import PIECE_ROWS, Reading, load_all, readings_of, split_by_size
from routing.models import Change
from routing.table import RoutingTable
from smartrouter.accounts.models import RouterKey, Tenant

pytestmark = pytest.mark.django_db


def log(*pks: int) -> None:
    """Entries with these ids, as transactions that commit in this order; row n is entry n."""
    for pk in pks:
        Change.objects.create(pk=pk, model="m", row=str(pk))


def started(*pks: int) -> ChangeFollower:
    log(*pks)
    made = ChangeFollower(notes_gaps=True)
    made.start()
    return made


def rows_of(entries: Iterable[tuple[str, str]]) -> list[int]:
    return [int(row) for _model, row in entries]


# --- the follower


def test_a_follower_sees_what_comes_after_its_start_and_each_entry_once() -> None:
    made = started(5, 6)
    log(7, 8)

    assert rows_of(made.fetch()) == [7, 8]
    assert rows_of(made.fetch()) == []
    log(9)
    assert rows_of(made.fetch()) == [9]


def test_an_entry_that_commits_after_a_higher_one_is_not_missed() -> None:
    made = started(10)
    log(14)
    assert rows_of(made.fetch()) == [14]

    log(12)
    assert rows_of(made.fetch()) == [12]
    log(11)
    log(13)
    log(15)
    assert rows_of(made.fetch()) == [11, 13, 15]
    assert rows_of(made.fetch()) == []


@pytest.mark.parametrize(("there", "late"), [((10, 12), 11), ((10,), 3), ((), 1)])
def test_an_entry_that_was_under_way_at_the_start_is_not_missed(there: tuple[int, ...], late: int) -> None:
    made = started(*there)

    log(late)

    assert rows_of(made.fetch()) == [late]
    assert rows_of(made.fetch()) == []


def test_a_gap_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    made = started(1)
    log(5)
    made.fetch()

    monkeypatch.setattr(follower, "GAP_LIMIT_S", -1.0)
    made.fetch()
    log(3)

    assert rows_of(made.fetch()) == []


# --- the log


@pytest.mark.parametrize(
    ("pks", "ranges"),
    [
        ([], []),
        ([7], [(7, 7)]),
        ([3, 1, 2], [(1, 3)]),
        ([1, 9, 18, 100], [(1, 9), (18, 18), (100, 100)]),
        ([4, 4, 5], [(4, 5)]),
    ],
)
def test_ids_are_logged_as_ranges_of_near_ones(pks: list[int], ranges: list[tuple[int, int]]) -> None:
    assert list(ranges_of(pks)) == ranges


def test_a_log_row_is_read_as_it_was_written() -> None:
    Tenant.objects.bulk_create(Tenant(name=f"t{n}") for n in range(3))
    Tenant.objects.filter(name="t1").update(name="t9")
    pks = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))

    spans = [range_of(row) for row in Change.objects.order_by("pk").values_list("row", flat=True)]

    assert spans == [(pks[0], pks[2]), (pks[1], pks[1])]
    assert range_of("") is None


def test_rows_that_cannot_be_told_apart_are_logged_as_the_whole_model() -> None:
    Tenant.objects.bulk_create([Tenant(name="a")], ignore_conflicts=True)

    assert list(Change.objects.values_list("model", "row")) == [("accounts.tenant", "")]


# What lets no entry into the log any more, and what ends that.
REFUSALS = {
    "sqlite": (
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.routing_change BEGIN SELECT RAISE(FAIL, 'disk full'); END",
        "DROP TRIGGER temp.full",
    ),
    "postgresql": (
        "ALTER TABLE routing_change ADD CONSTRAINT is_full CHECK (false) NOT VALID",
        "ALTER TABLE routing_change DROP CONSTRAINT is_full",
    ),
}


@pytest.mark.django_db(transaction=True)
def test_a_row_is_not_saved_if_its_log_entry_cannot_be() -> None:
    refuse, allow = REFUSALS[connection.vendor]
    tenant = Tenant.objects.create(name="before")
    with connection.cursor() as cursor:
        cursor.execute(refuse)
    try:
        tenant.name = "after"
        with pytest.raises(DatabaseError):
            tenant.save()
        with pytest.raises(DatabaseError):
            Tenant.objects.create(name="new")
        with pytest.raises(DatabaseError):
            tenant.delete()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(allow)

    assert list(Tenant.objects.values_list("name", flat=True)) == ["before"]


# --- what is read


def read_whole(readings: Iterable[Reading]) -> list[tuple[str, int, bool]]:
    """(model, ref, whether it exists) of everything that the readings read."""
    found = []
    for reading in readings:
        while piece := reading.next_piece():
            assert len(piece) <= 2 * PIECE_ROWS
            found += [(label, ref, row is not None) for label, ref, row in piece]
    return found


def test_named_rows_come_once_parents_first_and_deleted_ones_as_none() -> None:
    tenant = Tenant.objects.create(name="a")
    provider = Provider.objects.create(name="p", base_url="http://127.0.0.1:1/v1")
    entries = [("providers.provider", str(provider.pk)), ("accounts.tenant", str(tenant.pk)),
               ("accounts.tenant", "99"), ("accounts.tenant", str(tenant.pk))]  # fmt: skip

    found = read_whole(readings_of(entries, lambda label: []))

    expected = [("accounts.tenant", tenant.pk, True), ("accounts.tenant", 99, False)]
    assert found == [*expected, ("providers.provider", provider.pk, True)]


def test_a_whole_model_is_read_in_pieces_and_what_is_gone_from_it_is_told() -> None:
    Tenant.objects.bulk_create(Tenant(name=f"t{n}") for n in range(2 * PIECE_ROWS + 10))
    pks = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    gone = [pks[3], pks[PIECE_ROWS], pks[-1] + 1000]
    Tenant.objects.filter(pk__in=gone).delete()

    reading = next(readings_of([("accounts.tenant", "")], lambda label: [*pks, gone[-1]]))
    assert reading.size > PIECE_ROWS
    found = read_whole([reading])

    assert sorted(ref for _label, ref, _exists in found) == [*pks, gone[-1]]
    assert sorted(ref for _label, ref, exists in found if not exists) == gone


def test_a_range_leaves_the_rows_beside_it_alone() -> None:
    Tenant.objects.bulk_create(Tenant(name=f"t{n}") for n in range(10))
    pks = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))

    found = read_whole(readings_of([("accounts.tenant", f"{pks[2]}-{pks[4]}")], lambda label: [*pks, 10**6]))

    assert found == [("accounts.tenant", pk, True) for pk in pks[2:5]]


@pytest.mark.parametrize(
    ("key_rows", "is_small"),
    [
        ([f"1-{PIECE_ROWS}"], True),
        ([f"1-{PIECE_ROWS + 1}"], False),
        ([f"{low}-{low + 311}" for low in range(1, 5000, 312)], False),  # as SQLite has a bulk update logged
        ([str(pk) for pk in range(0, 10 * PIECE_ROWS, 10)], True),
        ([str(pk) for pk in range(0, 10 * PIECE_ROWS + 10, 10)], False),
        ([*(str(pk) for pk in range(0, 2000, 10)), "3000-3400"], False),
        ([""], False),
    ],
    ids=["range", "long range", "many ranges", "rows", "many rows", "rows and a range", "all"],
)
def test_many_rows_of_one_model_hold_up_no_other_model(key_rows: list[str], is_small: bool) -> None:
    entries = [*(("accounts.routerkey", row) for row in key_rows), ("channels.channel", "1")]
    readings = list(readings_of(entries, lambda label: []))

    small, large = split_by_size(readings)

    of_keys, [of_channel] = readings[:-1], readings[-1:]
    assert (small, large) == ((readings, []) if is_small else ([of_channel], of_keys))


def test_a_row_that_cannot_be_read_counts_as_deleted_and_stops_no_other() -> None:
    good = Provider.objects.create(name="good", base_url="http://127.0.0.1:1/v1")
    bad = Provider.objects.create(name="bad", base_url="http://127.0.0.1:1/v1")
    Provider.objects.filter(pk=bad.pk).update(base_url="not an address")

    items = {ref: row for label, ref, row in load_all() if label == "providers.provider"}

    assert items[bad.pk] is None
    assert items[good.pk].name == "good"


def test_every_row_of_the_log_reaches_the_table_whatever_the_order() -> None:
    tenant = Tenant.objects.create(name="a")
    RouterKey.objects.create(tenant=tenant, name="k", digest="d", hint="h")
    entries = list(Change.objects.order_by("-pk").values_list("model", "row"))
    table = RoutingTable()

    for reading in readings_of(entries, lambda label: list(table.rows[label])):
        table.put_many(reading.next_piece())

    assert table.chain_of(table.keys_by_digest["d"].tenant)[0].name == "a"
    assert {label for label, _row in entries} <= set(LOGGED_MODELS)
