"""Worker side. The httpx client of scheduled jobs: discovery, price pages, probes, webhooks."""

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpcore
import httpx

from .address import AddressPolicy, AddressRefused
from .tls import verifying_context
from .urls import normalise_proxy_url

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_CONNECTIONS = 20
KEEPALIVE_S = 15

_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)


def open_client(
    policy: AddressPolicy,
    *,
    timeout_s: float,
    proxy: str | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
) -> httpx.Client:
    """A client whose every connection, to the target or to the proxy, is checked against the policy.

    A refusal is an httpx.ConnectError for which `is_refused` is True. `timeout_s` bounds each step (connecting, each
    read) and reading a whole body. No redirects, environment proxies, cookies, or inflating: an answer in an encoding
    that was not asked for raises httpx.DecodingError, a body above MAX_BODY_BYTES httpx.RemoteProtocolError.
    """
    transport = _CheckedTransport(policy, timeout_s=timeout_s, proxy=proxy, tls=verifying_context(ca_file))
    return httpx.Client(
        transport=transport,
        timeout=timeout_s,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "SmartRouter", **(headers or {}), "Accept-Encoding": "identity"},
    )


class _CheckedBackend(httpcore.NetworkBackend):
    """Resolves, checks and connects in one place: what is connected to is the address that was checked.

    Not by rewriting the URL to the address: the pool would then share a connection between two names on one address,
    although its certificate was verified for the first name only.
    """

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A stream to the first allowed address that answers; `timeout` (seconds) is for all of them together."""
        addresses = self._resolve(host, port)
        deadline = None if timeout is None else time.monotonic() + timeout
        last_error: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            try:
                return self._sockets.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                last_error = exc
        raise last_error or httpcore.ConnectTimeout(f"no time left to connect to {host}")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.UnsupportedProtocol("outbound calls use TCP only")

    def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        return self._policy.select(dict.fromkeys(str(info[4][0]) for info in found))


class _CheckedTransport(httpx.BaseTransport):
    """httpx's own transport cannot be given a network backend, so this one drives httpcore by its public interface."""

    def __init__(self, policy: AddressPolicy, *, timeout_s: float, proxy: str | None, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._is_proxied = proxy is not None
        self._pool = _open_pool(_CheckedBackend(policy), proxy, tls)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The response with its body still to be read; raises httpx errors only."""
        if self._is_proxied:
            with _as_httpx_errors(request):
                self._policy.check_host(request.url.raw_host.decode("ascii"))
        assert isinstance(request.stream, httpx.SyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _as_httpx_errors(request):
            answer = self._pool.handle_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        body = _BoundedBody(answer, request, self._timeout_s)
        encoding = httpx.Headers(answer.headers).get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            body.close()
            raise httpx.DecodingError("the answer is in an encoding that was not asked for", request=request)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


class _BoundedBody(httpx.SyncByteStream):
    """The body as it was sent, cut with an error when it grows too big or comes too slowly."""

    def __init__(self, answer: httpcore.Response, request: httpx.Request, timeout_s: float) -> None:
        self._answer = answer
        self._request = request
        self._deadline = time.monotonic() + timeout_s

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        with _as_httpx_errors(self._request):
            for part in self._answer.iter_stream():
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise httpx.RemoteProtocolError("the answer is too big", request=self._request)
                if time.monotonic() > self._deadline:
                    raise httpx.ReadTimeout("the answer takes too long", request=self._request)
                yield part

    def close(self) -> None:
        self._answer.close()


def _open_pool(backend: httpcore.NetworkBackend, proxy: str | None, tls: ssl.SSLContext) -> httpcore.ConnectionPool:
    if proxy is None:
        return httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=backend,
        )
    via = httpx.Proxy(normalise_proxy_url(proxy))  # takes user and password out of the address
    return httpcore.HTTPProxy(
        str(via.url),
        proxy_auth=via.raw_auth,
        ssl_context=tls,
        proxy_ssl_context=tls if via.url.scheme == "https" else None,
        max_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEPALIVE_S,
        network_backend=backend,
    )


@contextmanager
def _as_httpx_errors(request: httpx.Request) -> Iterator[None]:
    """httpx names its network errors exactly as httpcore does."""
    try:
        yield
    except AddressRefused as exc:
        # It comes through httpcore as it is; as the cause of an httpcore error it would be lost, for the pool raises
        # such errors again `from None`.
        raise httpx.ConnectError(str(exc), request=request) from exc
    except _HTTPCORE_ERRORS as exc:
        error: type[httpx.RequestError] = getattr(httpx, type(exc).__name__)
        raise error(str(exc), request=request) from exc
