"""Which channel, key, price and headers a request gets: names, groups, keys, overrides, proxy, guarded fields, ids."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from tests.routing.configuration import LIMITED_KEY, TEAM_KEY
from tests.routing.proxy import LOGIN, ForwardProxy
from tests.routing.replies import Reply, ask, ask_often, chat
from tests.stack import OTHER_KEY, Stack


def ask_once(stack: Stack, body: Any, **headers: str) -> Reply:
    """One answer, read in whole."""

    async def run() -> Reply:
        async with aiohttp.ClientSession() as session:
            return await ask(session, stack.url, body, **headers)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("m", "alpha"), ("m-alias", "alpha"), ("vendor/m", "alpha"), ("sim-a/m", "alpha"), ("sim-a/sim-fast", "alpha"),
        ("sim-a/vendor/m", "alpha"), ("sim-b/m", "beta"), ("sim-b/sim-fast", "beta"), ("sim-b/sim-smart", "beta"),
        ("free", "beta"), ("auto:ordered", "beta"),
    ],
)  # fmt: skip
def test_a_model_goes_by_its_name_its_aliases_its_provider_or_its_group(stack: Stack, name: str, speaker: str) -> None:
    reply = ask_once(stack, chat(name))

    assert reply.status == 200 and reply.text.startswith(f"[{speaker}]")
    assert reply.headers.get("x-smartrouter-group") == (name if name.startswith("auto:") else None)


def test_a_group_follows_the_order_of_its_members(stack: Stack, recorded: Any) -> None:
    reply = ask_once(stack, chat("auto:ordered"))

    assert reply.headers["x-smartrouter-attempts"] == "2"
    assert [(row["channel"], row["status"], row["group"]) for row in recorded(reply.request_id)] == [
        ("failing", "failed", "auto:ordered"),
        ("second", "ok", "auto:ordered"),
    ]


def test_equal_members_share_by_weight_and_weight_0_comes_last(stack: Stack) -> None:
    replies = asyncio.run(ask_often(stack.url, chat("auto:even"), 200, 20))

    shares = Counter(reply.text[:7] for reply in replies)
    assert set(shares) == {"[alpha]", "[beta] "}
    assert 120 <= shares["[alpha]"] <= 178  # 150 expected; five standard deviations
    assert {reply.headers["x-smartrouter-attempts"] for reply in replies} == {"1"}


@pytest.mark.parametrize("model", ["keyed", "broke"])
def test_a_wrong_or_empty_key_gives_way_to_the_channels_next_one(stack: Stack, recorded: Any, model: str) -> None:
    replies = asyncio.run(ask_often(stack.url, chat(model), 40, 20))

    assert {reply.status for reply in replies} == {200}
    second = [reply for reply in replies if reply.headers["x-smartrouter-attempts"] == "2"]
    assert 5 <= len(second) <= 35  # the keys share the load from a random start
    failed, answered = recorded(second[0].request_id)
    assert (failed["channel_key"], failed["error_class"], failed["is_billable"]) == ("key-1", "key", 0)
    assert (answered["channel_key"], answered["status"], answered["is_billable"]) == ("key-2", "ok", 1)


def test_a_channel_whose_only_key_is_wrong_tells_the_caller_nothing_about_it(stack: Stack, recorded: Any) -> None:
    reply = ask_once(stack, chat("dead"))

    assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
    told = reply.json["error"]["message"]
    assert "refused the router" in told and "key" not in told.lower() and "sim-i" not in told
    (row,) = recorded(reply.request_id)
    assert row["error_class"] == "key" and "sim-invalid-000003" not in row["error_message"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_channels_parameters_and_headers_go_upstream(stack: Stack, sent: Any, stream: bool) -> None:
    reply = ask_once(stack, chat("tuned", stream=stream, temperature=0.9, seed=7, top_p=0.5))

    (entry,) = sent(reply.request_id)
    body, headers = entry["body"], entry["headers"]
    assert (body["temperature"], body["top_k"], body["top_p"]) == (0.1, 5, 0.5) and "seed" not in body
    assert (headers["x-team"], headers["http-referer"]) == ("blue-1234", "https://smartrouter.example")
    assert headers["authorization"] == "0001"  # the simulator keeps the last four
    assert headers["accept-encoding"] == "identity" and headers["content-type"] == "application/json"


def test_nothing_of_the_callers_headers_goes_upstream(stack: Stack, sent: Any) -> None:
    reply = ask_once(stack, chat("m"), **{"Cookie": "a=b", "X-Secret": "mine", "OpenAI-Organization": "org-mine",
                                          "X-Forwarded-For": "1.2.3.4", "X-Request-Id": "client-id"})  # fmt: skip

    (entry,) = sent(reply.request_id)
    assert set(entry["headers"]) <= {
        "host", "authorization", "x-request-id", "content-type", "content-length", "accept", "accept-encoding",
        "user-agent",
    }  # fmt: skip
    assert entry["headers"]["x-request-id"] == f"{reply.request_id}-1"


@pytest.mark.parametrize("stream", [False, True])
def test_a_channels_proxy_is_used_with_its_login(stack: Stack, proxy: ForwardProxy, sent: Any, stream: bool) -> None:
    before = len(proxy.seen)

    reply = ask_once(stack, chat("proxied", stream=stream))

    assert reply.status == 200 and reply.text.endswith("(alpha)")
    (seen,) = proxy.seen[before:]
    assert seen == ("POST", f"{stack.alpha.base_url}/chat/completions", "Bearer sim-key-proxied-0001")
    (entry,) = sent(reply.request_id)
    assert "proxy-authorization" not in entry["headers"]
    assert LOGIN.partition(":")[2] not in stack.log


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstreams_cost_is_removed_and_used_only_where_it_is_what_we_pay(
    stack: Stack, recorded: Any, stream: bool
) -> None:
    plain, aggregated = ask_once(stack, chat("cost", stream=stream)), ask_once(stack, chat("or-cost", stream=stream))

    for reply in (plain, aggregated):
        (row,) = recorded(reply.request_id)
        ours = (row["prompt_tokens"] - row["cached_tokens"]) * 1000 + row["cached_tokens"] * 500
        ours += row["completion_tokens"] * 2000
        theirs = row["prompt_tokens"] * 150 + row["completion_tokens"] * 600
        assert row["charge_nusd"] == ours
        assert row["cost_nusd"] == (theirs if reply is aggregated else ours)
        assert row["is_cost_reported"] == (reply is aggregated)
        assert reply.usage and reply.usage["cost"] == pytest.approx(ours / 1e9)


def test_prices_are_the_offerings_own_else_the_list_price_else_free_else_unknown(stack: Stack, recorded: Any) -> None:
    own, free, unknown = (ask_once(stack, chat(name)) for name in ("half-free", "free", "unpriced"))

    (row,) = recorded(own.request_id)
    assert row["charge_nusd"] == row["completion_tokens"] * 4000
    (row,) = recorded(free.request_id)
    assert (row["charge_nusd"], row["cost_nusd"]) == (0, 0) and row["completion_tokens"] > 0
    (row,) = recorded(unknown.request_id)
    assert (row["charge_nusd"], row["cost_nusd"]) == (None, None)
    assert unknown.usage and unknown.usage["cost"] is None
    assert "x-smartrouter-cost-usd" not in unknown.headers and free.headers["x-smartrouter-cost-usd"] == "0"


def test_another_model_than_the_one_asked_for_is_flagged(stack: Stack, recorded: Any) -> None:
    same, other = ask_once(stack, chat("m")), ask_once(stack, chat("other-model", stream=True))

    (row,) = recorded(same.request_id)
    assert (row["reported_model"], row["is_model_mismatch"]) == ("sim-fast", 0)
    (row,) = recorded(other.request_id)
    assert (row["reported_model"], row["is_model_mismatch"]) == ("sim-something-else", 1)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_usage_is_estimated_marked_and_shown(stack: Stack, recorded: Any, stream: bool) -> None:
    reply = ask_once(stack, chat("no-usage", stream=stream))

    (row,) = recorded(reply.request_id)
    assert row["is_estimated"] == 1 and row["charge_nusd"] > 0
    assert 0.5 < row["completion_tokens"] / len(reply.text.split()) < 3
    assert reply.usage and reply.usage["completion_tokens"] == row["completion_tokens"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("route", "fallback"), ("provider", {"order": ["x"]}), ("plugins", [{"id": "web"}]),
        ("preset", "x"), ("fallbacks", ["x"]), ("previous_response_id", "resp_1"), ("web_search_options", {}),
        ("service_tier", "priority"), ("service_tier", "flex"), ("modalities", ["text", "audio"]), ("modalities", "text"),
        ("service_tier", ["auto"]), ("api_base", "http://x"), ("enable_search", True), ("service_tier", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("model", ["m", "or-cost", "auto:even"])
def test_fields_that_change_the_model_or_the_price_are_refused_by_name(
    stack: Stack, name: str, value: Any, model: str
) -> None:
    reply = ask_once(stack, chat(model, **{name: value}))

    assert reply.status == 400
    assert (reply.json["error"]["code"], reply.json["error"]["param"]) == ("invalid_request", name)


def test_guarded_fields_that_mean_the_default_are_taken_out(stack: Stack, sent: Any) -> None:
    reply = ask_once(stack, chat("m", service_tier="auto", modalities=["text"], provider=None, models=None))

    (entry,) = sent(reply.request_id)
    assert reply.status == 200
    assert not {"service_tier", "modalities", "provider", "models"} & entry["body"].keys()


def test_a_tenants_channel_serves_those_below_it_and_nobody_else(stack: Stack) -> None:
    def status(model: str, key: str) -> int:
        return stack.post(chat(model), key)[0]

    assert [status("family", key) for key in (TEAM_KEY, OTHER_KEY)] == [200, 404]
    assert [status("private", key) for key in (OTHER_KEY, TEAM_KEY)] == [200, 404]
    assert [status("sim-b/private", key) for key in (OTHER_KEY, TEAM_KEY)] == [200, 404]
    assert [status("auto:private", key) for key in (OTHER_KEY, TEAM_KEY)] == [200, 503]
    # The provider's model is offered by other tenants' channels as well: these are not used.
    bodies = [stack.post(chat("sim-b/sim-fast"), TEAM_KEY)[1].get("x-smartrouter-provider") for _turn in range(5)]
    assert bodies == ["sim-b"] * 5
    rows = stack.query("SELECT DISTINCT channel FROM billing_usagerecord WHERE tenant = 'acme-team'")
    assert {row["channel"] for row in rows} <= {"family", "second"}


def test_an_allow_list_checks_the_name_that_was_asked_for(stack: Stack) -> None:
    found = {
        name: stack.post(chat(name), LIMITED_KEY)[0] for name in ("m", "auto:even", "m-alias", "sim-a/sim-fast", "free")
    }

    assert found == {"m": 200, "auto:even": 200, "m-alias": 403, "sim-a/sim-fast": 403, "free": 403}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("mine-1", "mine-1"),
        ("x" * 500, "x" * 128),
        ("tab\there", "tabhere"),
        ("\t" * 200 + "z", "z"),
    ],
)
def test_the_clients_request_id_is_kept_to_128_printable_characters(
    stack: Stack, recorded: Any, given: str, kept: str
) -> None:
    body = chat("m", user="end-user-7" + "u" * 300)
    _status, headers, _body = stack.post(body, headers={"X-Request-Id": given})

    (row,) = recorded(headers["x-request-id"])
    assert row["client_request_id"] == kept
    assert row["end_user"] == ("end-user-7" + "u" * 300)[:256]
    assert headers["x-request-id"] != given


def test_a_hundred_calls_with_one_request_id_are_a_hundred_billable_rows(stack: Stack, recorded: Any) -> None:
    async def ask_all() -> list[Reply]:
        async with aiohttp.ClientSession() as session:
            asked = [
                ask(session, stack.url, chat("m", stream=bool(n % 2)), **{"X-Request-Id": "always-the-same"})
                for n in range(100)
            ]
            return list(await asyncio.gather(*asked))

    replies = asyncio.run(ask_all())
    for reply in replies:
        recorded(reply.request_id)

    rows = stack.query("SELECT * FROM billing_usagerecord WHERE client_request_id = 'always-the-same'")
    assert {reply.status for reply in replies} == {200}
    assert len({reply.request_id for reply in replies}) == 100
    assert {row["request_id"] for row in rows} == {UUID(reply.request_id).hex for reply in replies}
    assert len(rows) == sum(row["is_billable"] for row in rows) == 100
