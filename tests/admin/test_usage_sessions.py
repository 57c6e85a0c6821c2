"""Usage records by session, in the admin."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.admin.conftest import World, add_record

LIST = reverse("admin:billing_usagerecord_changelist")


def test_a_session_id_finds_its_records_and_no_others(world: World, root: Client) -> None:
    wanted = {add_record(number, session_id="chat 7").pk for number in (1, 3)}
    add_record(2, session_id="chat 70")
    add_record(4)

    page = root.get(LIST, {"q": " chat 7 "})

    assert {record.pk for record in page.context["cl"].result_list} == wanted


def test_a_session_id_that_looks_like_a_request_id_is_found_as_both(world: World, root: Client) -> None:
    first = add_record(1)
    second = add_record(2, session_id=str(first.request_id))

    page = root.get(LIST, {"q": str(first.request_id)})

    assert {record.pk for record in page.context["cl"].result_list} == {first.pk, second.pk}


def test_the_record_shows_its_session(world: World, root: Client) -> None:
    record = add_record(1, session_id="chat <7>")

    page = root.get(reverse("admin:billing_usagerecord_change", args=[record.pk]))

    assert "chat &lt;7&gt;" in page.content.decode()


def test_a_search_for_a_session_is_read_through_its_index(world: World, root: Client) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's query plans")
    for number in range(200):
        add_record(number, session_id=f"s{number % 20}" if number % 3 else None)
    connection.cursor().execute("ANALYZE")

    with CaptureQueriesContext(connection) as queries:
        root.get(LIST, {"q": "s3"})

    [read] = [q["sql"] for q in queries if 'FROM "billing_usagerecord"' in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {read}")
        plan = " | ".join(row[3] for row in cursor.fetchall())
    assert "usage_of_session_newest" in plan
    assert "TEMP B-TREE" not in plan
