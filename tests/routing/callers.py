"""The configuration for tests of who is calling, and requests from addresses of this machine's own network."""

import http.client
from typing import Any

import orjson

from tests.stack import KEY, OTHER_KEY, Stack, two_channels

HOME_KEY = "rk_home_" + "h" * 40  # from 203.0.113.0/24 and 2001:db8:1::/48
LOCAL_KEY = "rk_local_" + "l" * 40  # from 127.0.0.1 and 127.0.0.9
NEW_KEY, OLD_KEY = "rk_new_" + "n" * 40, "rk_old_" + "o" * 40  # the old one is valid for years to come
NEXT_KEY, LAST_KEY = "rk_next_" + "n" * 40, "rk_last_" + "l" * 40  # the last one's overlap is over
SISTER_KEY = "rk_sister_" + "s" * 40
ENDS = "2090-01-01T00:00:00Z"
# Loopback addresses: who speaks from the proxy's is believed.
DIRECT, PROXY = "127.0.0.1", "127.0.0.2"
TRUSTED = f"{PROXY},10.0.0.0/8,2001:db8:ffff::/48"


def callers_document() -> dict[str, Any]:
    """The whole configuration."""
    document = two_channels()
    document["tenants"] = [
        {"name": "acme", "can_see_channels": True, "router_keys": [
            {"name": "main", "key": KEY},
            {"name": "sister", "key": SISTER_KEY},
            {"name": "home", "key": HOME_KEY, "networks": ["203.0.113.0/24", "2001:db8:1::/48"]},
            {"name": "local", "key": LOCAL_KEY, "networks": ["127.0.0.1", "127.0.0.9"]},
            {"name": "rotated", "key": NEW_KEY, "previous": {"key": OLD_KEY, "until": ENDS}},
            {"name": "replaced", "key": NEXT_KEY, "previous": {"key": LAST_KEY, "until": "2020-01-01"}},
        ]},
        {"name": "other", "router_keys": [{"name": "main", "key": OTHER_KEY}]},
    ]  # fmt: skip
    return document


def get(
    stack: Stack, path: str, key: str | None, *headers: tuple[str, str], source: str = DIRECT, body: bytes | None = None
) -> tuple[int, dict[str, str], Any]:
    """Status, headers (lower case) and document of a GET (with a body: a POST) from one of this machine's addresses.

    Headers may be repeated.
    """
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60, source_address=(source, 0))
    try:
        connection.putrequest("GET" if body is None else "POST", path)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1"))
        if key is not None:
            connection.putheader("Authorization", f"Bearer {key}")
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, orjson.loads(answer.read())
    finally:
        connection.close()
