"""Hot path. The aiohttp session through which every request is relayed."""

import socket
from pathlib import Path
from typing import Final, TypedDict

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .address import AddressPolicy, AddressRefused
from .tls import verifying_context

KEEPALIVE_S = 60
DNS_CACHE_S = 60
READ_BUFFER_BYTES = 64 * 1024
# aiohttp's 8 KiB is too short for some vendors' headers (content security policies, tracing baggage).
MAX_LINE_BYTES = 16 * 1024
MAX_FIELD_BYTES = 32 * 1024
MAX_HEADERS = 256
ACCEPT_ENCODING = "identity"
USER_AGENT = "SmartRouter"
# For a caller that passes none; the relay always does.
DEFAULT_TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=5)


class _RequestArguments(TypedDict):
    allow_redirects: bool


REQUEST_ARGUMENTS: Final = _RequestArguments(allow_redirects=False)
"""Spread into every request: `session.post(url, **REQUEST_ARGUMENTS)`. aiohttp has this setting per request only."""

# What aiohappyeyeballs hands to a socket factory: family, type, protocol, canonical name, socket address.
_AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str | int | bytes, ...]]


def open_session(
    policy: AddressPolicy,
    *,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
    ca_file: Path | None = None,
) -> aiohttp.ClientSession:
    """A session whose every connection, to upstreams and proxies alike, is checked against the policy.

    A refusal is a ClientConnectorError for which `is_refused` is True (a DNS error if a name led there). No
    environment proxies, cookies, or inflating; no limit on connections. Call it in the running loop and close it there.
    Bodies come as they were sent: a `Content-Encoding` other than identity was not asked for; the caller refuses it.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=0,
        ttl_dns_cache=DNS_CACHE_S,
        keepalive_timeout=KEEPALIVE_S,
        ssl=verifying_context(ca_file),
        resolver=_CheckedResolver(policy),
        socket_factory=_checked_socket_factory(policy),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": ACCEPT_ENCODING, "User-Agent": USER_AGENT},
        auto_decompress=False,
        read_bufsize=READ_BUFFER_BYTES,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_FIELD_BYTES,
        max_headers=MAX_HEADERS,
        middlewares=(_proxied_target_check(policy),),
    )


class _CheckedResolver(AbstractResolver):
    """Leaves only allowed addresses of a name, so that one refused address among them is never tried.

    The lookup itself runs in the loop's executor; the connector asks once in DNS_CACHE_S for each name.
    """

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            found = await self._resolver.resolve(host, port, family)
        except UnicodeError as exc:  # a label that is empty or too long never reaches the resolver
            raise OSError(f"{host!r} is not a host name") from exc
        allowed = set(self._policy.select(each["host"] for each in found))
        return [each for each in found if each["host"] in allowed]

    async def close(self) -> None:
        await self._resolver.close()


def _checked_socket_factory(policy: AddressPolicy) -> aiohttp.SocketFactoryType:
    """The barrier itself: aiohttp calls it for every connection attempt, for literals too, which skip the resolver."""

    def make_socket(addr_info: _AddrInfo) -> socket.socket:
        family, kind, protocol, _, address = addr_info
        policy.check(str(address[0]))
        return socket.socket(family, kind, protocol)

    return make_socket


def _proxied_target_check(policy: AddressPolicy) -> aiohttp.ClientMiddlewareType:
    """With a proxy the socket leads to the proxy, so that a literal target has to be checked here."""

    async def check_target(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.proxy is not None:
            try:
                policy.check_host(request.url.raw_host or "")
            except AddressRefused as exc:
                raise aiohttp.ClientProxyConnectionError(request.connection_key, exc) from exc
        return await handler(request)

    return check_target
