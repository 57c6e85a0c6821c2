"""The first page."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from billing.models import UsageHour, UsageRecord
from providers.models import Provider
from tests.admin.conftest import World, add_record


def test_an_empty_installation_is_told_what_to_do_first(root: Client) -> None:
    page = root.get(reverse("admin:index"))

    text = page.content.decode()
    assert "First steps" in text
    assert f'href="{reverse("admin:providers_provider_add")}"' in text
    assert [step["is_done"] for step in page.context["steps"]] == [False] * 6

    Provider.objects.create(name="openai", base_url="https://api.openai.com/v1")
    assert root.get(reverse("admin:index")).context["steps"][0]["is_done"]


def test_the_cards_sum_the_last_day_only(world: World, root: Client) -> None:
    names = {"tenant": "acme", "router_key": "ci", "offering": "x", "provider": "openai", "channel": "openai-main"}
    this_hour = now().replace(minute=0, second=0, microsecond=0)
    UsageHour.objects.create(hour=this_hour, **names, requests=7, failures=2, charge_nusd=1_500_000_000, unpriced=3)
    UsageHour.objects.create(hour=this_hour - timedelta(hours=24), **names, requests=100, charge_nusd=9_000_000_000)

    cards = root.get(reverse("admin:index")).context["cards"]

    assert [card["value"] for card in cards] == ["7", "2", "0", "$1.50"]
    assert "3 without a known price" in cards[3]["note"]


def test_the_latest_requests_are_listed_once_each_without_their_failed_attempts(world: World, root: Client) -> None:
    UsageRecord.objects.all().delete()
    for number in range(12):
        billable = add_record(number * 10 + 1, requested_model=f"model-{number}")
        add_record(number * 10, request_id=billable.request_id, is_billable=False, status="failed")

    rows: list[Any] = root.get(reverse("admin:index")).context["latest"]["rows"]

    assert [row[3] for row in rows] == [f"model-{number}" for number in range(11, 1, -1)]


def test_the_queries_do_not_grow_and_never_count_records(world: World, root: Client) -> None:
    counts = []
    for wanted in (3, 200):
        for number in range(wanted):
            add_record(1000 * wanted + number)
        with CaptureQueriesContext(connection) as queries:
            root.get(reverse("admin:index"))
        counts.append(len(queries))
        assert not [q for q in queries if "COUNT" in q["sql"] and "billing_usagerecord" in q["sql"]]

    assert counts[0] == counts[1] <= 8
