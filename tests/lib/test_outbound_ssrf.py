"""No URL of the table leads inside, on either outbound path."""

import asyncio
from collections.abc import Callable

import aiohttp
import httpx
import pytest
import uvloop

from smartrouter.lib.outbound import REQUEST_ARGUMENTS, AddressPolicy, is_refused, open_client, open_session
from tests.lib.outbound_servers import running_origin
from tests.lib.ssrf_table import (
    PUBLIC_STAND_IN,
    REBINDING_NAME,
    SSRF_URLS,
    Trap,
    fake_names,
    literal_urls,
    watched_connects,
)

NO_PRIVATE = AddressPolicy()
# A second loopback address stands for the internet here: this one is allowed, 127.0.0.1 is not.
ONLY_2 = AddressPolicy.parse(["127.0.0.2"])
QUICK = aiohttp.ClientTimeout(total=0.4)
Errors = dict[str, BaseException | None]


async def _errors_of_session(policy: AddressPolicy, urls: list[str], proxy: str | None = None) -> Errors:
    errors: Errors = {}
    async with open_session(policy, timeout=QUICK) as session:
        for url in urls:
            try:
                async with session.get(url, proxy=proxy, **REQUEST_ARGUMENTS) as response:
                    await response.read()
            except (aiohttp.ClientError, ValueError, TimeoutError) as exc:
                errors[url] = exc
            else:
                errors[url] = None
    return errors


def _errors_of_client(policy: AddressPolicy, urls: list[str], proxy: str | None = None) -> Errors:
    errors: Errors = {}
    with open_client(policy, timeout_s=0.4, proxy=proxy) as client:
        for url in urls:
            try:
                client.get(url)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
                errors[url] = exc
            else:
                errors[url] = None
    return errors


def _run_asyncio(policy: AddressPolicy, urls: list[str]) -> Errors:
    return asyncio.run(_errors_of_session(policy, urls))


def _run_uvloop(policy: AddressPolicy, urls: list[str]) -> Errors:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_errors_of_session(policy, [url for url in urls if ".test" not in url]))


PATHS = pytest.mark.parametrize("send_all", [_run_asyncio, _run_uvloop, _errors_of_client])


@PATHS
def test_no_url_of_the_table_reaches_a_listener(send_all: Callable[[AddressPolicy, list[str]], Errors]) -> None:
    with Trap() as trap, fake_names(), watched_connects() as connects:
        errors = send_all(NO_PRIVATE, SSRF_URLS(trap.port))
        accepted = trap.settle()

    assert accepted == 0
    assert set(connects) <= {PUBLIC_STAND_IN}
    assert [url for url, error in errors.items() if error is None] == []


@PATHS
def test_the_table_reaches_the_listener_when_everything_is_allowed(
    send_all: Callable[[AddressPolicy, list[str]], Errors],
) -> None:
    with Trap() as trap, fake_names(), watched_connects() as connects:
        send_all(
            AddressPolicy.parse(["127.0.0.0/8"]), [f"http://127.0.0.1:{trap.port}/", f"http://localhost:{trap.port}/"]
        )
        accepted = trap.settle()

    assert accepted >= 2
    assert "127.0.0.1" in connects


def test_both_paths_recognise_a_refused_literal_and_a_refused_name() -> None:
    urls = ["http://127.0.0.1:9/", "http://[::1]:9/", "https://169.254.169.254/", "http://localhost:9/"]
    urls += ["http://both-loopbacks.test:9/", "http://private.test/", "http://mapped.test/"]

    with fake_names():
        by_session = asyncio.run(_errors_of_session(NO_PRIVATE, urls))
        by_client = _errors_of_client(NO_PRIVATE, urls)

    for errors in (by_session, by_client):
        assert [url for url, error in errors.items() if error is None or not is_refused(error)] == []
    assert all(isinstance(error, aiohttp.ClientConnectorError) for error in by_session.values())
    assert all(isinstance(error, httpx.ConnectError) for error in by_client.values())


def test_a_connection_refused_by_the_server_is_not_a_refusal_of_ours() -> None:
    with running_origin() as origin:
        url = origin.url
    policy = AddressPolicy.parse(["127.0.0.1"])

    by_session = asyncio.run(_errors_of_session(policy, [url]))[url]
    by_client = _errors_of_client(policy, [url])[url]

    assert isinstance(by_session, aiohttp.ClientConnectorError)
    assert isinstance(by_client, httpx.ConnectError)
    assert not is_refused(by_session)
    assert not is_refused(by_client)


@pytest.mark.parametrize("send_all", [_run_asyncio, _errors_of_client])
def test_a_name_that_changes_its_address_between_lookups_is_connected_to_what_was_checked(
    send_all: Callable[[AddressPolicy, list[str]], Errors],
) -> None:
    with Trap() as trap, fake_names() as asked, watched_connects() as connects:
        send_all(NO_PRIVATE, [f"http://{REBINDING_NAME}:{trap.port}/{turn}" for turn in range(3)])
        accepted = trap.settle()

    assert asked[REBINDING_NAME] >= 1
    assert connects[:1] == [PUBLIC_STAND_IN]
    assert accepted == 0


def test_a_redirect_to_a_refused_address_is_not_followed_even_when_asked_to() -> None:
    async def follow(url: str) -> BaseException:
        async with open_session(ONLY_2, timeout=QUICK) as session:
            with pytest.raises(aiohttp.ClientError) as caught:
                await session.get(url, allow_redirects=True)
            return caught.value

    with Trap() as trap, running_origin("127.0.0.2") as origin:
        origin.answers["/out"] = (302, {"Location": f"http://127.0.0.1:{trap.port}/"}, b"")
        by_session = asyncio.run(follow(f"{origin.url}/out"))
        with open_client(ONLY_2, timeout_s=1) as client, pytest.raises(httpx.ConnectError) as caught:
            client.get(f"{origin.url}/out", follow_redirects=True)
        accepted = trap.settle()

    assert accepted == 0
    assert [path for _, path, _ in origin.seen] == ["/out", "/out"]
    assert is_refused(by_session)
    assert is_refused(caught.value)


def test_a_proxy_on_a_refused_address_is_not_connected_to() -> None:
    with Trap() as trap, watched_connects() as connects:
        proxy = f"http://127.0.0.1:{trap.port}"
        urls = ["http://8.8.8.8/", "https://8.8.8.8/"]
        by_session = asyncio.run(_errors_of_session(NO_PRIVATE, urls, proxy))
        by_client = _errors_of_client(NO_PRIVATE, urls, proxy)
        accepted = trap.settle()

    assert accepted == 0
    assert connects == []
    assert all(error is not None and is_refused(error) for error in [*by_session.values(), *by_client.values()])


def test_an_allowed_proxy_is_not_asked_for_an_address_inside() -> None:
    with running_origin("127.0.0.2") as proxy:
        urls = [url for url in literal_urls(80) if "127.0.0.2" not in url] + ["http://localhost/", "https://127.0.0.1/"]
        by_session = asyncio.run(_errors_of_session(ONLY_2, urls, proxy.url))
        by_client = _errors_of_client(ONLY_2, urls, proxy.url)

    assert proxy.seen == []
    assert None not in by_session.values()
    assert None not in by_client.values()


def test_an_allowed_proxy_is_asked_for_a_public_target() -> None:
    with running_origin("127.0.0.2") as proxy:
        by_session = asyncio.run(_errors_of_session(ONLY_2, ["http://8.8.8.8/a"], proxy.url))
        by_client = _errors_of_client(ONLY_2, ["http://8.8.8.8/b"], proxy.url.replace("://", "://me:secret@"))

    assert [(method, path) for method, path, _ in proxy.seen] == [
        ("GET", "http://8.8.8.8/a"),
        ("GET", "http://8.8.8.8/b"),
    ]
    assert "proxy-authorization" in proxy.seen[1][2]
    assert [*by_session.values(), *by_client.values()] == [None, None]
