"""What is denied to a key is reached on no path: not by any name, not by chance, not through a failure, not in a listing.

Each way is first gone with a key that may, which shows that it leads there.
"""

from typing import Any

import orjson
import pytest

from tests.routing import choosing as c
from tests.routing.replies import listed
from tests.stack import KEY, OTHER_KEY, Stack

STRATEGY, PROVIDER = "x-smartrouter-strategy", "x-smartrouter-provider"
# way: the body, the headers; and what keys get to which the secret is denied: a status, or the model that serves instead.
WAYS: dict[str, tuple[dict[str, Any], dict[str, str], int | str]] = {
    "its name": ({"model": "secret"}, {}, 403),
    "an alias": ({"model": "hush"}, {}, 403),
    "an alias with a slash": ({"model": "vendor/secret"}, {}, 403),
    "a provider's prefix": ({"model": "sim-a/secret"}, {}, 403),
    "a prefix and an alias": ({"model": "sim-a/hush"}, {}, 403),
    "a prefix and the provider's own name": ({"model": "sim-b/sim-reasoner"}, {}, 403),
    "a tag": ({"model": "tag:reasoner"}, {}, 403),
    "several tags": ({"model": "tag:sim,reasoner,hush"}, {}, 403),
    "a list": ({"model": "auto:nobody", "models": ["secret"]}, {}, 403),
    "a list, after a failure": ({"models": ["broken", "tag:reasoner"]}, {}, 502),
    "a group's member": ({"model": "auto:cheap"}, {}, 502),
    "a group of it alone": ({"model": "auto:secret"}, {}, 403),
    "a fallback group": ({"model": "auto:first"}, {}, 502),
    "a fallback group, where no member may": ({"model": "auto:cheap", "max_tokens": 10}, {PROVIDER: "sim-b"}, 403),
    "the members of set hours": ({"model": "auto:night"}, {}, 403),
    "a group that selects": ({"model": "auto:selected"}, {}, 403),
    "a strategy": ({"model": "auto:mixed"}, {STRATEGY: "quality_optimized"}, "sim-fast"),
    "a provider": ({"model": "auto:spread"}, {PROVIDER: "sim-b"}, 403),
    "the default model": ({}, {}, 403),
    "an empty model": ({"model": "", "models": []}, {}, 403),
}
DENIED_KEYS = {"by name": c.BY_NAME_KEY, "by upstream name": c.BY_UPSTREAM_KEY, "by provider": c.BY_PROVIDER_KEY}
# Of the keys that deny models only, not groups, some ways lead to another end.
OTHERWISE: dict[tuple[str, str], int | str] = {("by name", "the members of set hours"): "sim-fast"}


def go(stack: Stack, way: str, key: str, path: str = "/v1/chat/completions") -> tuple[int, dict[str, str], Any]:
    body, headers, _expected = WAYS[way]
    messages = [{"role": "user", "content": "hi"}]
    status, found, answer = stack.post({**body, "messages": messages}, key, path=path, headers=headers)
    return status, found, orjson.loads(answer)


def upstream_models(stack: Stack, request_id: str) -> list[str]:
    """What was sent for a request, to whom ever."""
    tags = [f"{request_id}-{attempt}" for attempt in (1, 2, 3)]
    return [entry["body"]["model"] for tag in tags for entry in stack.alpha.journal(tag) + stack.beta.journal(tag)]


@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_may_gets_there(choosing: Stack, way: str) -> None:
    status, headers, _answer = go(choosing, way, KEY)
    _status, _headers, account = go(choosing, way, KEY, "/v1/route")

    assert status == 200
    assert c.SECRET in upstream_models(choosing, headers["x-request-id"])
    assert c.SECRET in {each["upstream_model"] for each in account["candidates"]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by", DENIED_KEYS)
def test_a_key_to_which_it_is_denied_does_not(choosing: Stack, by: str, way: str) -> None:
    status, headers, answer = go(choosing, way, DENIED_KEYS[by])

    expected = OTHERWISE.get((by, way), WAYS[way][2])
    assert (headers["x-smartrouter-model"] if status == 200 else status) == expected, answer
    assert c.SECRET not in upstream_models(choosing, headers["x-request-id"])
    if status == 403:
        assert (answer["error"]["code"], answer["error"]["type"]) == ("model_not_allowed", "permission_error")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by", DENIED_KEYS)
def test_a_dry_run_has_it_among_the_excluded_only(choosing: Stack, by: str, way: str) -> None:
    status, _headers, account = go(choosing, way, DENIED_KEYS[by], "/v1/route")

    if status != 200:
        assert (status, account["error"]["code"]) == (403, "model_not_allowed")
        return
    assert c.SECRET not in {each["upstream_model"] for each in account["candidates"]}
    reasons = {each["reason"] for each in account["excluded"] if each["upstream_model"] == c.SECRET}
    assert reasons <= {"denied"}
    assert not account["candidates"] or account["error"] is None


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("a group's member", "the default model", "an empty model",
                                                                    "a fallback group, where no member may")])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
def test_a_key_for_one_group_can_ask_for_nothing_else(choosing: Stack, path: str, way: str) -> None:
    status, headers, answer = go(choosing, way, c.ONLY_CHEAP_KEY, path)

    assert (status, answer["error"]["code"]) == (403, "model_not_allowed")
    assert upstream_models(choosing, headers["x-request-id"]) == []


@pytest.mark.parametrize("way", ["a group's member", "the default model", "an empty model"])
def test_a_key_for_one_group_gets_that_groups_permitted_members(choosing: Stack, way: str) -> None:
    """Its default model is the group, of which one member fails; all else, the fallback group's too, is denied."""
    status, headers, answer = go(choosing, way, c.ONLY_CHEAP_KEY)
    _status, _headers, account = go(choosing, way, c.ONLY_CHEAP_KEY, "/v1/route")

    assert (status, answer["error"]["code"]) == (502, "upstream_error")
    assert upstream_models(choosing, headers["x-request-id"]) == ["sim-fast!500"]
    assert [each["upstream_model"] for each in account["candidates"]] == ["sim-fast!500"]


def test_what_is_denied_is_in_no_list_of_models(choosing: Stack) -> None:
    from_all = listed(choosing, KEY)
    assert {"secret", "hush", "vendor/secret", "auto:secret", "auto:selected", "tag:reasoner", "tag:hush"} <= from_all
    for key in DENIED_KEYS.values():
        assert from_all - listed(choosing, key) >= {
            "secret", "hush", "vendor/secret", "auto:secret", "auto:selected", "tag:reasoner", "tag:hush",
        }  # fmt: skip
    assert listed(choosing, c.ONLY_CHEAP_KEY) == {"auto:cheap"}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "dear"}, {"model": "auto:house"}, {"model": "tag:house"}, {"model": "tag:free"}, {"model": "tag:sim,fast"},
        {"model": "sim-b/dear"}, {"models": ["cheap", "tag:dear"]}, {"model": "hidden"}, {"model": "sim-b/hidden"},
        {"model": "sim-b/sim-fast"}, {"model": "tag:hidden"},
    ],
)  # fmt: skip
def test_another_tenants_channel_is_nowhere(choosing: Stack, body: dict[str, Any]) -> None:
    for key in (KEY, c.PLAIN_KEY):
        asked = {**body, "messages": [{"role": "user", "content": "hi"}]}
        _status, headers, answer = choosing.post(asked, key)
        _status, _headers, account = choosing.post(asked, key, path="/v1/route")

        assert headers.get("x-smartrouter-channel") != "theirs"
        assert b"theirs" not in answer + account
        # a refusal repeats the name that was asked for
        assert "hidden" in str(body) or b"hidden" not in answer + account
    named = choosing.post({**body, "prompt_tokens": 1}, OTHER_KEY, path="/v1/route")[2]
    assert b'"channel":"theirs"' in named


def test_another_tenants_models_are_in_no_list(choosing: Stack) -> None:
    assert {"hidden", "tag:hidden"} <= listed(choosing, OTHER_KEY)
    assert not {name for name in listed(choosing, KEY) | listed(choosing, c.PLAIN_KEY) if "hidden" in name}
