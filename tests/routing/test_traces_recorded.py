"""Real servers: what a record says of how its candidate was chosen, and what “Why this one?” says while they serve."""

import json
import re
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from tests.stack import KEY, Stack, running_stack, two_channels

PASSWORD = "a-long-password-1"


def document() -> dict[str, Any]:
    """Two channels, dear `alpha` that always fails and cheap `beta`; groups that weigh them, and one that has only one."""
    found = two_channels("sim-fast!500", "sim-fast")
    alone = {
        "name": "alone",
        "provider": "sim-b",
        "keys": ["sim-key-beta-0002"],
        "models": [{"name": "single", "model": "sim-fast"}],
    }
    found["channels"].append(alone)
    layers = [
        {"field": "priority", "order": "asc", "weight": 1.0},
        {"field": "effective_cost", "order": "asc", "weight": 0.1},
    ]
    found["model_groups"] = [
        {
            "name": "auto:weighed", "routing_strategy": layers, "fallback": "auto:spare",
            "channels": [
                {"channel": "alpha", "model": "m", "priority": 1}, {"channel": "beta", "model": "m", "priority": 2},
                {"channel": "alone", "model": "single", "priority": 3, "daily_limit": 0},
            ],
        },
        {"name": "auto:spare", "channels": [{"channel": "beta", "model": "m"}]},
    ]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(document(), DJANGO_SUPERUSER_PASSWORD=PASSWORD) as made:
        made.manage("createsuperuser", "--noinput", "--username", "root", "--email", "root@example.com")
        yield made


def records(stack: Stack, model: str) -> list[dict[str, Any]]:
    """The records of one request for a model, in the order of its attempts."""
    status, headers, _body = stack.post({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    assert status == 200
    stack.ingest()
    sql = "SELECT * FROM billing_usagerecord WHERE request_id = ? ORDER BY attempt"
    rows = stack.query(sql, UUID(headers["x-request-id"]).hex)
    for row in rows:
        if isinstance(row["trace"], str):
            row["trace"] = json.loads(row["trace"])
    return rows


def test_each_attempt_of_a_request_records_the_same_choice_and_its_own_place(stack: Stack) -> None:
    failed, answered = records(stack, "auto:weighed")

    assert (failed["channel"], answered["channel"]) == ("alpha", "beta")
    assert (failed["trace"]["place"], answered["trace"]["place"]) == (1, 2)
    trace = answered["trace"]
    assert {**failed["trace"], "place": 0} == {**trace, "place": 0}
    assert (trace["strategy"], trace["fields"]) == ("layers", ["priority", "effective_cost"])
    assert [entry[:2] for entry in trace["first"]] == [["alpha", "m"], ["beta", "m"]]
    assert trace["excluded"] == {"daily_limit": 1}
    assert trace["named"] == [["alone", "single", "daily_limit"]]


def test_a_request_with_one_candidate_records_no_trace(stack: Stack) -> None:
    [only] = records(stack, "single")

    assert only["trace"] is None


def signed_in(stack: Stack) -> urllib.request.OpenerDirector:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies := CookieJar()))
    opener.open(f"{stack.url}/admin/login/", timeout=60).close()
    [token] = [cookie.value for cookie in cookies if cookie.name == "smartrouter_csrf"]
    form = urlencode(
        {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token, "next": "/admin/"}
    ).encode()
    opener.open(f"{stack.url}/admin/login/", form, timeout=60).close()
    return opener


def test_the_page_asks_the_serving_process_with_its_live_signals_and_no_upstream(stack: Stack) -> None:
    records(stack, "auto:weighed")
    opener = signed_in(stack)
    before = len(stack.alpha.journal()), len(stack.beta.journal())

    with opener.open(f"{stack.url}/admin/why/?{urlencode({'models': 'auto:weighed', 'prompt_tokens': 50})}") as page:
        text = page.read().decode()

    assert (len(stack.alpha.journal()), len(stack.beta.journal())) == before
    assert "without live signals" not in text
    assert re.search(r"0 in flight", text)
    assert text.index("alpha") < text.index("beta")
    assert "Its daily limit is used up" in text
    assert "fallback group" in text and "It stands further up already" in text
    assert KEY not in text
