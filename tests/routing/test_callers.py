"""Who is calling: a key's networks, what a client may claim of its address, and keys that were replaced."""

import time
from collections.abc import Iterator

import pytest

from tests.routing import callers as c
from tests.routing.callers import DIRECT, PROXY, get
from tests.stack import KEY, Stack, running_stack

FORWARDED = "X-Forwarded-For"
INSIDE, OUTSIDE = "203.0.113.9", "198.51.100.1"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(c.callers_document(), TRUSTED_PROXIES=c.TRUSTED) as made:
        yield made
        assert "Traceback" not in made.log


def headers(*values: str) -> list[tuple[str, str]]:
    return [(FORWARDED, value) for value in values]


CLAIMS = {
    "none": [],
    "one": [INSIDE],
    "several": [f"{INSIDE}, {INSIDE}"],
    "several headers": [INSIDE, INSIDE],
    "with a port": [f"{INSIDE}:4711"],
    "IPv6": ["2001:db8:1::7"],
    "IPv6 with a port": ["[2001:db8:1::7]:4711"],
    "mapped": [f"::ffff:{INSIDE}"],
    "by way of a proxy": [f"{INSIDE}, {PROXY}"],
    "garbage": ["garbage"],
    "garbage of bytes": ["\xff\xfe,,, ;"],
    "nothing": [""],
    "long": ["1" * 8000],
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_client_claims_of_its_address_changes_nothing(stack: Stack, claim: str) -> None:
    claimed = headers(*CLAIMS[claim])

    refused = get(stack, "/v1/models", c.HOME_KEY, *claimed)
    allowed = get(stack, "/v1/models", c.LOCAL_KEY, *claimed)

    error = refused[2]["error"]
    assert (refused[0], error["code"], error["type"], error["param"]) == (
        403, "address_not_allowed", "permission_error", None
    )  # fmt: skip
    assert "127.0.0.1" in error["message"]
    assert refused[1]["x-should-retry"] == "false"
    assert allowed[0] == 200


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP", "X-Forwarded", "X_Forwarded_For"],
)
@pytest.mark.parametrize("source", [DIRECT, PROXY])
def test_no_other_header_says_who_is_calling(stack: Stack, name: str, source: str) -> None:
    value = f"for={INSIDE}" if name == "Forwarded" else INSIDE

    status, _headers, answer = get(stack, "/v1/models", c.HOME_KEY, (name, value), source=source)

    assert (status, source in answer["error"]["message"]) == (403, True)


SAID = {
    "one": ([INSIDE], INSIDE),
    "a port": ([f"{INSIDE}:4711"], INSIDE),
    "a port that is none": ([f"{INSIDE}:x"], None),
    "IPv6": (["2001:db8:1::7"], "2001:db8:1::7"),
    "IPv6 with a port": (["[2001:db8:1::7]:443"], "2001:db8:1::7"),
    "mapped": ([f"::ffff:{INSIDE}"], INSIDE),
    "another": ([OUTSIDE], OUTSIDE),
    "another, which claims to be one": ([f"{INSIDE}, {OUTSIDE}"], OUTSIDE),
    "the same in two headers": ([INSIDE, OUTSIDE], OUTSIDE),
    "one who claims to be another": ([f"{OUTSIDE}, {INSIDE}"], INSIDE),
    "one behind a second proxy": ([f"{OUTSIDE}, {INSIDE}, 10.3.3.3"], INSIDE),
    "one behind three": ([f"{OUTSIDE}, {INSIDE}", "10.3.3.3, 2001:db8:ffff::1"], INSIDE),
    "another behind one that is not trusted": ([f"{INSIDE}, {OUTSIDE}, 10.3.3.3"], OUTSIDE),
    "a proxy that is trusted only in its claim": ([f"{INSIDE}, 11.3.3.3"], "11.3.3.3"),
    "proxies alone": (["10.3.3.3, 10.4.4.4"], "10.3.3.3"),
    "garbage": (["garbage"], None),
    "garbage after one": ([f"{INSIDE}, garbage"], None),
    "one after garbage": ([f"garbage, {INSIDE}"], INSIDE),
    "nothing": ([""], PROXY),
    "no header": ([], PROXY),
    "long": (["1" * 8000], None),
}


@pytest.mark.parametrize("case", SAID)
def test_behind_a_trusted_proxy_the_last_one_who_is_not_trusted_counts(stack: Stack, case: str) -> None:
    values, seen = SAID[case]

    status, _headers, answer = get(stack, "/v1/models", c.HOME_KEY, *headers(*values), source=PROXY)

    if seen in (INSIDE, "2001:db8:1::7"):
        assert status == 200
    else:
        assert (status, answer["error"]["code"]) == (403, "address_not_allowed")
        assert f" {seen or 'unknown'}." in answer["error"]["message"]


def test_a_key_without_networks_is_used_from_anywhere(stack: Stack) -> None:
    assert [
        get(stack, "/v1/models", KEY, *headers(*values), source=source)[0]
        for source in (DIRECT, PROXY, "127.0.0.77")
        for values in ([], [OUTSIDE], ["garbage"])
    ] == [200] * 9


def test_the_new_and_the_old_key_are_one_until_the_overlap_is_over(stack: Stack) -> None:
    status, _headers, answer = get(stack, "/v1/models", c.LAST_KEY)

    assert [get(stack, "/v1/models", key)[0] for key in (c.NEW_KEY, c.OLD_KEY, c.NEXT_KEY)] == [200] * 3
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert answer["error"]["message"] == "This router key was replaced."


def test_an_overlap_ends_by_the_clock_without_a_change(stack: Stack) -> None:
    script = (
        "import datetime as d; from smartrouter.accounts.models import RouterKey as K;"
        "k = K.objects.get(name='rotated'); k.previous_until = d.datetime.now(d.UTC) + d.timedelta(seconds={}); k.save()"
    )
    try:
        stack.manage("shell", "-c", script.format(3))
        until = time.monotonic() + 60
        while (status := get(stack, "/v1/models", c.OLD_KEY)[0]) == 200 and time.monotonic() < until:
            time.sleep(0.05)

        assert status == 401
        assert get(stack, "/v1/models", c.NEW_KEY)[0] == 200
    finally:
        stack.manage("shell", "-c", script.format(10**9))
