"""What a request on the two outbound paths does, and what it leaves out."""

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
import pytest
import uvloop

from smartrouter.lib.outbound import REQUEST_ARGUMENTS, AddressPolicy, jobs, open_client, open_session
from tests.lib.outbound_servers import running_origin

LOCAL = AddressPolicy.parse(["127.0.0.0/8", "::1"])
LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
BOMB = gzip.compress(bytes(4_000_000))


def _run(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], use: Callable[[aiohttp.ClientSession], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with open_session(LOCAL, timeout=aiohttp.ClientTimeout(total=10)) as session:
            await use(session)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


@LOOPS
def test_a_session_reaches_an_allowed_server(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def use(session: aiohttp.ClientSession) -> None:
        for host in ("127.0.0.1", "localhost"):
            async with session.post(
                f"http://{host}:{origin.server_port}/x", json={"a": 1}, **REQUEST_ARGUMENTS
            ) as response:
                assert (response.status, await response.read()) == (200, b"hello")

    with running_origin() as origin:
        _run(loop_factory, use)

    assert [seen[:2] for seen in origin.seen] == [("POST", "/x")] * 2
    assert origin.seen[0][2]["accept-encoding"] == "identity"


@LOOPS
def test_a_session_follows_no_redirect_keeps_no_cookie_and_inflates_nothing(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def use(session: aiohttp.ClientSession) -> None:
        async with session.get(f"{origin.url}/old", **REQUEST_ARGUMENTS) as response:
            assert response.status == 302
        async with session.get(f"{origin.url}/bomb", **REQUEST_ARGUMENTS) as response:
            assert await response.read() == BOMB

    with running_origin() as origin:
        origin.answers["/old"] = (302, {"Location": "/new", "Set-Cookie": "a=b"}, b"")
        origin.answers["/bomb"] = (200, {"Content-Encoding": "gzip"}, BOMB)
        _run(loop_factory, use)

    assert [path for _, path, _ in origin.seen] == ["/old", "/bomb"]
    assert "cookie" not in origin.seen[1][2]


def test_a_client_reaches_an_allowed_server_by_address_and_by_name() -> None:
    with running_origin() as origin, open_client(LOCAL, timeout_s=5, headers={"X-Ours": "1"}) as client:
        by_address = client.post(f"{origin.url}/x", json={"a": 1})
        by_name = client.get(f"http://localhost:{origin.server_port}/y")

    assert (by_address.text, by_name.text) == ("hello", "hello")
    assert origin.seen[1][2]["host"] == f"localhost:{origin.server_port}"
    assert origin.seen[1][2]["x-ours"] == "1"
    assert origin.seen[1][2]["accept-encoding"] == "identity"


def test_a_client_follows_no_redirect_keeps_no_cookie_and_inflates_nothing() -> None:
    with running_origin() as origin, open_client(LOCAL, timeout_s=5) as client:
        origin.answers["/old"] = (302, {"Location": "/new", "Set-Cookie": "a=b"}, b"")
        origin.answers["/bomb"] = (200, {"Content-Encoding": "gzip"}, BOMB)

        assert client.get(f"{origin.url}/old").status_code == 302
        with pytest.raises(httpx.DecodingError):
            client.get(f"{origin.url}/bomb")

    assert [path for _, path, _ in origin.seen] == ["/old", "/bomb"]
    assert "cookie" not in origin.seen[1][2]


def test_a_client_gives_up_on_a_body_that_is_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_BODY_BYTES", 100_000)

    with running_origin() as origin, open_client(LOCAL, timeout_s=5) as client:
        origin.answers["/fits"] = (200, {}, bytes(100_000))
        origin.answers["/big"] = (200, {}, bytes(100_001))

        assert len(client.get(f"{origin.url}/fits").content) == 100_000
        with pytest.raises(httpx.RemoteProtocolError, match="too big"):
            client.get(f"{origin.url}/big")
        assert client.get(f"{origin.url}/fits").status_code == 200


async def _serve_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@pytest.mark.asyncio
async def test_a_client_gives_up_on_a_body_that_trickles() -> None:
    def fetch(port: int) -> None:
        with open_client(LOCAL, timeout_s=0.5) as client, pytest.raises(httpx.ReadTimeout, match="takes too long"):
            client.get(f"http://127.0.0.1:{port}/")

    async with await asyncio.start_server(_serve_slowly, "127.0.0.1", 0) as server:
        await asyncio.wait_for(asyncio.to_thread(fetch, server.sockets[0].getsockname()[1]), 5)


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(session: aiohttp.ClientSession) -> None:
        async with session.get(f"{origin.url}/", **REQUEST_ARGUMENTS) as response:
            assert response.status == 200

    with running_origin() as origin, running_origin() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        _run(asyncio.new_event_loop, use)
        with open_client(LOCAL, timeout_s=5) as client:
            assert client.get(f"{origin.url}/").status_code == 200

    assert len(origin.seen) == 2
    assert proxy.seen == []


class _SlowServer:
    """Answers after 0 to 30 ms and counts its open connections."""

    def __init__(self) -> None:
        self.open = 0
        self.served = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(random.uniform(0, 0.03))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                await writer.drain()
                self.served += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


@LOOPS
def test_a_session_works_and_leaks_nothing_after_many_cancelled_requests(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    cancelled = 0

    async def get(session: aiohttp.ClientSession, url: str) -> bytes:
        async with session.get(url, **REQUEST_ARGUMENTS) as response:
            return await response.read()

    async def churn(session: aiohttp.ClientSession, url: str, until: float) -> None:
        nonlocal cancelled
        while asyncio.get_running_loop().time() < until:
            try:
                async with asyncio.timeout(random.uniform(0, 0.04)):
                    await get(session, url)
            except TimeoutError:
                cancelled += 1

    async def main() -> None:
        slow = _SlowServer()
        server = await asyncio.start_server(slow, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with open_session(LOCAL, timeout=aiohttp.ClientTimeout(total=5)) as session:
            until = asyncio.get_running_loop().time() + 1
            await asyncio.gather(*(churn(session, url, until) for _ in range(20)))

            answers = await asyncio.gather(*(get(session, url) for _ in range(20)))
            await asyncio.sleep(0.1)
            kept_alive = slow.open
        await asyncio.sleep(0.1)
        server.close()

        assert answers == [b"hello"] * 20
        assert kept_alive <= 40  # at most one for each of the churning tasks and each of the requests after them
        assert slow.open == 0

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    assert cancelled > 50
