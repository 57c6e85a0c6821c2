"""GET /v1/models: what a key can use now, and what is known of it."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from routing.endpoints.listing import Listings, Seen
from routing.orders import NothingKnown
from routing.table import RoutingTable
from tests.routing import choosing as c
from tests.routing import tables as t
from tests.routing.replies import listed, models_of
from tests.routing.test_bad_input import expect_error
from tests.routing.weighing import ASK
from tests.routing.wire import request
from tests.stack import KEY, Stack

ALL = ["function_calling", "vision", "json_schema"]


def price(input_: str, input_max: str, output: str, output_max: str, **more: str) -> dict[str, str]:
    found = {"currency": "USD", "input": input_, "input_max": input_max, "output": output, "output_max": output_max}
    return found | more


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cheap", ("model", "sim-a", 8000, 8000, [], price("0.15", "0.15", "0.6", "0.6"))),
        ("gift", ("model", "sim-b", None, None, [], price("0", "0", "0", "0"))),
        ("unknown", ("model", "sim-b", None, None, None, None)),
        ("secret", ("model", "sim-a", None, None, None, price("1", "1", "1", "1"))),
        ("dear", ("model", "sim-a", 200_000, 100_000, ALL, price("4", "10", "15", "20", request="0", request_max="0.01"))),
        ("auto:turns",
         ("group", "smartrouter", 200_000, 100_000, ALL, price("4", "10", "15", "20", request="0", request_max="0.01"))),
        ("auto:mixed", ("group", "smartrouter", 8000, 8000, [], price("0.15", "1", "0.6", "1"))),
        ("auto:house", ("group", "smartrouter", 200_000, 200_000, ALL, price("5", "10", "15", "15"))),
        ("auto:night", ("group", "smartrouter", None, None, None, price("1", "1", "1", "1"))),
        ("tag:cheap", ("tag", "smartrouter", 8000, 8000, [], price("0.15", "0.15", "0.6", "0.6"))),
        ("tag:free", ("tag", "smartrouter", None, None, [], price("0", "0", "0", "0"))),
    ],
)  # fmt: skip
def test_an_entry_tells_kind_context_capabilities_and_charge(choosing: Stack, name: str, expected: Any) -> None:
    entry = models_of(choosing)[name]

    assert (entry["id"], entry["object"]) == (name, "model")
    fields = ("type", "owned_by", "context_length", "context_length_min", "capabilities", "pricing")
    assert tuple(entry[field] for field in fields) == expected
    status, _headers, body = request(choosing, "GET", f"/v1/models/{name}", key=KEY)
    assert status == 200 and orjson.loads(body) == entry


def test_groups_come_first_then_models_and_tags_when_asked_for(choosing: Stack) -> None:
    plain, tagged, explicit = (models_of(choosing, query=query) for query in ("", "?tags=true", "?tags=false"))
    for found in (plain, tagged, explicit):
        found.pop("auto:once", None)  # another test may use it up meanwhile

    assert [(entry["type"], name) for name, entry in plain.items()] == sorted(
        (entry["type"], name) for name, entry in plain.items()
    )
    assert not [name for name in plain if name.startswith("tag:")]
    assert {name: entry for name, entry in tagged.items() if entry["type"] != "tag"} == plain
    assert {"tag:qwen3", "tag:8b", "tag:house", "tag:free", "tag:sim"} <= tagged.keys()
    assert explicit == plain


@pytest.mark.parametrize("query", ["?tags=maybe", "?tags=2"])
def test_a_flag_that_is_none_is_refused(choosing: Stack, query: str) -> None:
    expect_error(request(choosing, "GET", f"/v1/models{query}", key=KEY), 400, "invalid_request", "tags")


def test_what_nobody_can_serve_now_is_not_listed(choosing: Stack) -> None:
    names = listed(choosing)

    assert not {"gone", "auto:nobody", "auto:empty", "auto:off"} & names
    for name in ("gone", "auto:nobody", "auto:empty"):
        expect_error(request(choosing, "GET", f"/v1/models/{name}", key=KEY), 503, "no_available_channel")
    for name in ("auto:off", "tag:nobody", "hidden"):
        expect_error(request(choosing, "GET", f"/v1/models/{name}", key=KEY), 404, "model_not_found", "model")


def test_a_tag_query_is_looked_up_like_a_model(choosing: Stack) -> None:
    status, _headers, body = request(choosing, "GET", "/v1/models/tag:QWEN,free", key=KEY)

    assert (status, orjson.loads(body)["type"]) == (200, "tag")
    expect_error(request(choosing, "GET", "/v1/models/tag:", key=KEY), 400, "invalid_tag", "model")


def test_a_list_has_what_an_allow_list_spells_out_and_nothing_else(choosing: Stack) -> None:
    assert listed(choosing, c.RULES_KEY) == {
        "auto:house", "sim-a/broken", "sim-a/cheap", "sim-a/dear", "sim-a/hush", "sim-a/secret", "sim-a/vendor/secret",
        "sim-a/rare", "sim-b/sim-smart", "tag:house",
    }  # fmt: skip


def test_every_listed_name_can_be_asked_for(choosing: Stack) -> None:
    for key in (KEY, c.RULES_KEY, c.BY_NAME_KEY, c.ONLY_CHEAP_KEY):
        for name in listed(choosing, key) - {"auto:once"}:  # another test may use it up meanwhile
            status, _headers, body = choosing.post({"model": name, "prompt_tokens": 1}, key, path="/v1/route")
            assert status == 200 and orjson.loads(body)["candidates"], name


def test_a_changed_row_changes_the_list(stack: Stack) -> None:
    def is_listed(expected: bool) -> bool:
        until = time.monotonic() + 8
        while ("family" in listed(stack)) != expected and time.monotonic() < until:
            time.sleep(0.05)
        return ("family" in listed(stack)) == expected

    assert is_listed(True)
    stack.manage("shell", "-c", _SWITCH % False)
    try:
        assert is_listed(False)
    finally:
        stack.manage("shell", "-c", _SWITCH % True)
    assert is_listed(True)


_SWITCH = "from channels.models import Channel; Channel.objects.filter(name='family').update(is_active=%s)"


def many(count: int) -> RoutingTable:
    """A table of so many names on two channels, and a group that selects them all."""
    items: list[tuple[str, Any]] = [
        ("accounts.tenant", t.tenant(1)), ("accounts.routerkey", t.router_key(1, 1)),
        ("accounts.routerkey", t.router_key(2, 1)), ("accounts.routerkey", t.router_key(3, 1, denied=("model-1*",))),
        ("providers.provider", t.provider(1)), ("channels.channel", t.channel(1, 1)), ("channels.channel", t.channel(2, 1)),
        ("routing.modelgroup", t.group(1, selects=True)),
    ]  # fmt: skip
    for ref in range(1, count + 1):
        name = f"model-{ref}"
        items.append(("providers.providermodel", t.model(ref, 1, name=name, context_length=ref)))
        items.append(("channels.offering", t.offering(ref, 1 + ref % 2, ref, name=name)))
    return t.table_of(items)


def seen_by(table: RoutingTable, key: int, at_ms: int = ASK.at_ms) -> Seen:
    return Seen(table, t.caller_of(table, key), NothingKnown(), at_ms)


def test_a_long_list_is_made_while_others_run() -> None:
    async def run() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count())
        body = await Listings().body(seen_by(table, 1), has_tags=True)
        other.cancel()
        assert len(orjson.loads(body)["data"]) == 1 + 3000 + 3001  # the group, the models, their numbers and `model`
        return turns

    table = many(3000)

    # Each turn is a slice of a millisecond; the work is dozens of them on any machine.
    assert asyncio.run(run()) > 10


def test_keys_with_the_same_rules_share_a_list_until_something_changes() -> None:
    async def run() -> None:
        listings, table = Listings(), many(20)

        async def body(key: int, **more: Any) -> bytes:
            return await listings.body(seen_by(table, key, **more), has_tags=False)

        first = await body(1)
        assert await body(2) is first
        assert await body(3) is not first
        assert b"model-7" in first and b"model-17" not in await body(3)
        assert await body(1, at_ms=ASK.at_ms + 9_999) is first
        assert await body(1, at_ms=ASK.at_ms + 10_000) is not first
        table.put("channels.offering", 7, None)
        assert b'"model-7"' not in await body(1)

    asyncio.run(run())


def test_a_list_that_nobody_asks_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        listings, table = Listings(), many(20)
        first = await listings.body(seen_by(table, 1), has_tags=False)
        monkeypatch.setattr("routing.endpoints.listing.KEPT_BYTES", len(first) + 10)
        assert await listings.body(seen_by(table, 1), has_tags=False) is first
        await listings.body(seen_by(table, 3), has_tags=False)
        assert await listings.body(seen_by(table, 1), has_tags=False) is not first

    asyncio.run(run())
