"""Usage records: fast at any size, complete, and only to read."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import UsageRecord
from smartrouter.admin import keyset
from tests.admin.conftest import World, add_record

LIST = reverse("admin:billing_usagerecord_changelist")


def shown(page: Any) -> list[Any]:
    return [record.pk for record in page.context["cl"].result_list]


def test_the_list_takes_the_same_queries_for_3_and_for_300_rows_and_never_counts(world: World, root: Client) -> None:
    counts = []
    for total in (3, 300):
        for number in range(UsageRecord.objects.count(), total):
            add_record(number)
        with CaptureQueriesContext(connection) as queries:
            page = root.get(LIST)
        counts.append(len(queries))
        assert len(shown(page)) == min(total, 50)
        assert not [q["sql"] for q in queries if "COUNT(" in q["sql"].upper() and "billing_usagerecord" in q["sql"]]

    assert counts[0] == counts[1] <= 4


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "sqlite_autoindex_billing_usagerecord"),
        ("?tenant=acme", "usage_of_tenant_newest"),
        ("?channel=openai-main", "usage_of_channel_newest"),
        ("?q=01a1fdc0-b3c9-7de8-9d12-1e237db352f6", "usage_by_request"),
    ],
)
def test_each_fast_list_is_read_through_an_index_and_not_sorted(
    world: World, root: Client, query: str, index: str
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's query plans")
    for number in range(200):
        add_record(number, tenant=f"tenant-{number % 20}", channel=f"channel-{number % 20}")
    connection.cursor().execute("ANALYZE")

    with CaptureQueriesContext(connection) as queries:
        root.get(LIST + query)

    read = [q["sql"] for q in queries if 'FROM "billing_usagerecord"' in q["sql"]]
    assert len(read) == 1
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {read[0]}")
        plan = " | ".join(row[3] for row in cursor.fetchall())
    assert index in plan, plan
    assert "TEMP B-TREE" not in plan or "?q=" in query, plan


def test_older_and_newer_walk_over_every_row_once(world: World, root: Client) -> None:
    for number in range(1, 135):
        add_record(number)
    everything = list(UsageRecord.objects.order_by("-pk").values_list("pk", flat=True))

    pages = [root.get(LIST)]
    while pages[-1].context["cl"].older_url:
        pages.append(root.get(LIST + pages[-1].context["cl"].older_url))
    assert [pk for page in pages for pk in shown(page)] == everything

    back = root.get(LIST + pages[-1].context["cl"].newer_url)
    assert shown(back) == shown(pages[-2])
    front = root.get(LIST + back.context["cl"].newer_url)
    assert shown(front) == shown(pages[0])
    assert front.context["cl"].newer_url is None


def test_a_filter_without_an_index_reads_a_bounded_number_of_rows_and_goes_on_from_there(
    world: World, root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "SCANNED_ROWS_AT_MOST", 20)
    UsageRecord.objects.all().delete()
    failed = [add_record(number, status="failed") for number in (0, 30)]
    for number in range(1, 30):
        add_record(number)
    for number in range(31, 40):
        add_record(number)

    first = root.get(LIST + "?status=failed")
    second = root.get(LIST + first.context["cl"].older_url)

    assert shown(first) == [failed[1].pk]
    assert "The search stopped after" in first.content.decode()
    assert shown(second) == [failed[0].pk]
    assert second.context["cl"].older_url is None


@pytest.mark.parametrize(
    ("query", "found"),
    [("?tenant=globex", 1), ("?tenant=glo", 0), ("?channel=backup", 1), ("?status=failed", 1), ("?billable=no", 1)],
)
def test_the_filters_find_exactly_what_they_name(world: World, root: Client, query: str, found: int) -> None:
    add_record(1, tenant="globex", channel="backup", status="failed", is_billable=False)

    assert len(shown(root.get(LIST + query))) == found


def test_the_search_finds_a_request_and_an_attempt_by_id_and_nothing_else(world: World, root: Client) -> None:
    record = add_record(1)

    assert shown(root.get(LIST, {"q": str(record.request_id)})) == [record.pk]
    assert shown(root.get(LIST, {"q": f" {record.pk} "})) == [record.pk]
    assert shown(root.get(LIST, {"q": "openai"})) == []


@pytest.mark.parametrize("query", ["error_message__contains=x", "prompt_tokens__gt=1", "price__input=1"])
def test_a_filter_that_would_read_the_whole_table_is_refused(world: World, root: Client, query: str) -> None:
    assert root.get(f"{LIST}?{query}").status_code == 400


@pytest.mark.parametrize("cursor", ["before.nonsense", "after.", "7", "before.00000000-0000-0000-0000-000000000000"])
def test_a_wrong_page_address_is_no_error(world: World, root: Client, cursor: str) -> None:
    assert root.get(LIST, {"p": cursor}).status_code == 200


def test_a_record_shows_all_attempts_of_its_request_in_order(world: World, root: Client) -> None:
    last = add_record(5, attempt=2, channel="openai-backup", cost_nusd=None, charge_nusd=None)
    first = add_record(
        4, attempt=1, request_id=last.request_id, is_billable=False, status="failed", error_class="transient",
        error_message="The server is overloaded.",
    )  # fmt: skip
    add_record(6)

    page = root.get(reverse("admin:billing_usagerecord_change", args=[last.pk]))

    assert [row["record"].pk for row in page.context["attempts"]] == [first.pk, last.pk]
    text = page.content.decode()
    assert "transient: The server is overloaded." in text
    assert "no price" in text


def test_a_record_can_be_neither_changed_nor_deleted(world: World, root: Client) -> None:
    address = reverse("admin:billing_usagerecord_change", args=[world.record.pk])

    assert root.post(address, {"status": "failed", "charge_nusd": "0"}).status_code == 403
    assert root.post(address.replace("change", "delete"), {"post": "yes"}).status_code == 403
    world.record.refresh_from_db()
    assert world.record.charge_nusd == 4500
