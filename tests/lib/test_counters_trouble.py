"""A Redis that freezes, dies, comes back, or is not what it says it is: nobody waits for it twice, and no password shows."""

import asyncio
import logging
import os
import random
import signal
import subprocess
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis as redis_client

from smartrouter.lib.counters import CounterKeeper, Entry, SeedCounter, StoreUnavailable, Timing, open_store
from smartrouter.lib.counters.link import CONNECTIONS_AT_MOST
from smartrouter.lib.counters.shared import RedisStore
from tests.stores import Redis

pytestmark = pytest.mark.asyncio
DAY = 24 * 3600.0
PATIENT_S = 30.0
ONE = Entry("f:a", "one", 1, DAY)
QUICK = Timing(tick_s=0.1, grace_s=0.3, retry_s=0.2, late_after_s=(), late_every_s=3600)


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


class Records:
    """What is in the records: sums, and no entry that a process has noted since."""

    def __init__(self, **sums: int) -> None:
        self.sums = sums
        self.seeds_read = 0

    async def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        self.seeds_read += 1
        yield [SeedCounter(f"f:{name}", base, DAY) for name, base in self.sums.items()]

    async def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        yield []

    def is_behind(self) -> bool:
        return False

    async def close(self) -> None: ...


@asynccontextmanager
async def keeping(url: str, records: Records, timing: Timing = QUICK) -> AsyncIterator[CounterKeeper]:
    store = open_store(url)
    keeper = CounterKeeper(store, "f", records, timing=timing)
    keeper.start()
    yield keeper
    await keeper.close()
    await store.close()


async def until_known(keeper: CounterKeeper, name: str, expected: int) -> None:
    """Return when the counter is known to be what is expected."""
    found: object = None
    until = time.monotonic() + PATIENT_S
    while time.monotonic() < until:
        try:
            found = await keeper.store.total(name, deadline_s=5)
        except StoreUnavailable as e:
            found = e
        if found == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is {found}, not {expected}")


async def until_up(store: RedisStore) -> None:
    until = time.monotonic() + PATIENT_S
    while not store.is_up:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


async def test_a_frozen_redis_costs_those_who_wait_one_deadline_and_all_others_nothing(redis: Redis) -> None:
    store, pid = RedisStore(redis.url()), redis.pid()
    await store.add(Entry("f:a", "one", 5, DAY), deadline_s=PATIENT_S)
    os.kill(pid, signal.SIGSTOP)
    try:
        calls = [store.add(Entry("f:a", str(number), 1, DAY), deadline_s=0.5) for number in range(20)]
        assert {type(result) for result in await asyncio.gather(*calls, return_exceptions=True)} == {StoreUnavailable}
        assert not store.is_up

        began = time.monotonic()
        for _number in range(1000):
            with pytest.raises(StoreUnavailable):
                await store.total("f:a", deadline_s=0.5)
        assert time.monotonic() - began < 100  # and not 500
    finally:
        os.kill(pid, signal.SIGCONT)

    await until_up(store)
    assert await store.total("f:a", deadline_s=PATIENT_S) is None
    await store.close()


async def test_a_killed_redis_is_reached_again_when_it_is_back(redis: Redis) -> None:
    store = RedisStore(redis.url())
    await store.add(ONE, deadline_s=PATIENT_S)
    redis.kill()
    with pytest.raises(StoreUnavailable):
        await store.add(ONE, deadline_s=5)
    assert not store.is_up

    redis.start()
    await until_up(store)

    assert await store.lead("f", "t", 60, deadline_s=PATIENT_S)
    await store.add(ONE, deadline_s=PATIENT_S)
    assert await store.finish_seed("f", "t", 60, deadline_s=PATIENT_S)
    assert await store.total("f:a", deadline_s=PATIENT_S) == 1
    await store.close()


async def test_scripts_that_the_server_has_forgotten_are_sent_again(redis: Redis) -> None:
    store = RedisStore(redis.url())
    assert await store.lead("f", "t", 60, deadline_s=PATIENT_S)
    with redis_client.Redis.from_url(redis.url()) as client:
        client.script_flush()

    assert not await store.lead("f", "t", 60, deadline_s=PATIENT_S)
    assert await store.renew("f", "t", 60, deadline_s=PATIENT_S)
    await store.close()


async def test_cancelled_calls_cost_no_connection(redis: Redis) -> None:
    store, chance = RedisStore(redis.url()), random.Random(1)

    async def call(number: int) -> None:
        try:
            async with asyncio.timeout(chance.random() * 0.01):
                await store.add(Entry("f:a", str(number), 1, DAY), deadline_s=PATIENT_S)
        except TimeoutError:
            pass

    for start in range(0, 600, 40):
        await asyncio.gather(*(call(number) for number in range(start, start + 40)))

    await until_up(store)
    await asyncio.gather(*(store.add(Entry("f:b", str(number), 1, DAY), deadline_s=PATIENT_S) for number in range(20)))
    assert await store.totals([], deadline_s=PATIENT_S) == []
    with redis_client.Redis.from_url(redis.url()) as client:
        assert client.hget("{smartrouter}:counter:f:b", "t") == b"20"
        assert len(client.client_list()) <= CONNECTIONS_AT_MOST + 1
        assert {key.split(b":")[0] for key in client.scan_iter()} == {b"{smartrouter}"}
    await store.close()


async def test_the_password_never_shows(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    port, secret = redis.url().rpartition(":")[2], "hidden-word-%2F"
    caplog.set_level(logging.DEBUG)
    store = RedisStore(f"redis://user:{secret}@127.0.0.1:{port}")

    with pytest.raises(StoreUnavailable) as caught:
        await store.total("f:a", deadline_s=PATIENT_S)
    trace = "".join(traceback.format_exception(caught.value, chain=True))
    shown = [repr(store), repr(store._link), str(caught.value), trace, caplog.text]

    assert not [text for text in shown if "hidden-word" in text]
    assert "store_unavailable" in caplog.text
    assert caught.value.__cause__ is None
    await store.close()


async def test_tls_is_verified(redis: Redis, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    async with tls_in_front(int(redis.url().split(":")[2].split("/")[0]), certificate, key) as port:
        trusting = RedisStore(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}")
        assert await trusting.lead("f", "t", 60, deadline_s=PATIENT_S)
        for url in (f"rediss://localhost:{port}/0", f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"):
            store = RedisStore(url)
            with pytest.raises(StoreUnavailable):
                await store.total("f:a", deadline_s=PATIENT_S)
            await store.close()
        await trusting.close()


@asynccontextmanager
async def tls_in_front(redis_port: int, certificate: Path, key: Path) -> AsyncIterator[int]:
    """The port of a server that speaks TLS and passes everything on."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", redis_port)
        for pair in ((reader, behind[1]), (behind[0], writer)):
            tasks.add(asyncio.create_task(pump(*pair)))

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_was_noted_and_is_in_no_record_outlives_the_store(redis: Redis) -> None:
    records = Records(a=1000)
    async with keeping(redis.url(), records) as one, keeping(redis.url(), records) as two:
        await until_known(one, "f:a", 1000)
        one.note(Entry("f:a", "one", 5, DAY))
        two.note(Entry("f:a", "two", 70, DAY))
        await until_known(one, "f:a", 1075)

        with redis_client.Redis.from_url(redis.url()) as client:
            client.flushall()
        await until_known(one, "f:a", 1075)

        redis.kill()
        one.note(Entry("f:a", "three", 200, DAY))
        redis.start()
        await until_known(two, "f:a", 1275)
        one.note(Entry("f:a", "one", 6, DAY))
        await until_known(two, "f:a", 1276)


async def test_a_keeper_answers_at_once_and_not_at_all_while_the_store_is_frozen(redis: Redis) -> None:
    async with keeping(redis.url(), Records()) as keeper:
        await until_known(keeper, "f:a", 0)
        pid = redis.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            first = [keeper.note(Entry("f:a", f"first-{number}", 1, DAY)) for number in range(10)]
            assert set(await asyncio.gather(*map(keeper.total_of, first))) == {None}
            while keeper.store.is_up:
                await asyncio.sleep(0.05)
            began = time.monotonic()
            for number in range(400):
                assert await keeper.total_of(keeper.note(Entry("f:a", f"next-{number}", 1, DAY))) is None
            assert time.monotonic() - began < 50  # and not 100
        finally:
            os.kill(pid, signal.SIGCONT)

        await until_known(keeper, "f:a", 410)


async def test_closing_brings_what_was_noted_to_the_store(redis: Redis) -> None:
    async with keeping(redis.url(), Records()) as keeper:
        await until_known(keeper, "f:a", 0)
        for number in range(1000):
            keeper.note(Entry("f:a", str(number), 1, DAY))

    store = RedisStore(redis.url())
    assert await store.total("f:a", deadline_s=PATIENT_S) == 1000
    await store.close()


async def test_a_total_that_no_store_can_hold_is_dropped_and_keeps_no_other_out(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for url in ("", redis.url()):
        async with keeping(url, Records(a=2**53 - 1)) as keeper:
            await until_known(keeper, "f:a", 2**53 - 1)
            refused, taken = keeper.note(Entry("f:a", "one", 1, DAY)), keeper.note(Entry("f:b", "one", 1, DAY))

            assert await keeper.total_of(taken, deadline_s=PATIENT_S) == 1
            assert await keeper.total_of(refused, deadline_s=PATIENT_S) is None
    assert caplog.text.count("counter_too_large") == 2


async def test_without_a_redis_there_is_no_connection_and_the_records_are_read_once() -> None:
    records = Records(a=7)
    async with keeping("", records) as keeper:
        await until_known(keeper, "f:a", 7)

        assert await keeper.total_of(keeper.note(Entry("f:a", "one", 5, DAY)), deadline_s=PATIENT_S) == 12
        assert (keeper.store.is_shared, keeper.store.is_up, records.seeds_read) == (False, True, 1)
