"""Restarts under load: behind nginx one host after the other, and without a proxy one host's workers."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.delivery.hosts import Host, Servers
from tests.delivery.load import OFFERS, PLAIN, Load, wait_for
from tests.delivery.proxy import running_nginx
from tests.simulator.harness import simulator_process
from tests.survival.traffic import offering_document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PER_SECOND = 30


@contextmanager
def configured(servers: Servers) -> Iterator[None]:
    """Meanwhile the simulators answer and the configuration names them."""
    with simulator_process("alpha") as alpha, simulator_process("beta") as beta:
        servers.apply(offering_document(OFFERS), alpha, beta)
        yield


async def restart(host: Host, number: signal.Signals = signal.SIGTERM) -> None:
    """Stop and start again, as soon as it can be done."""
    assert await asyncio.to_thread(host.stop_web, number) == 0
    await asyncio.to_thread(host.start_web)


def assert_nothing_lost(servers: Servers, load: Load) -> None:
    """Every request was answered to its end, and has exactly one billable record, and there is no other."""
    assert load.failures() == []
    servers.ingest()
    billable = Counter(row["request_id"].hex for row in servers.rows() if row["is_billable"])
    assert billable == Counter(each.request_id for each in load.heard)
    assert {row["status"] for row in servers.rows()} == {"ok"}


def test_two_hosts_behind_nginx_are_restarted_in_both_orders_and_nobody_notices(servers: Servers) -> None:
    hosts = [servers.host(name) for name in ("web-1", "web-2")]

    async def act(load: Load) -> None:
        async with load.running():
            await asyncio.sleep(1)
            for number in (0, 1, 1, 0):
                await restart(hosts[number])

    with configured(servers), running_nginx([host.port for host in hosts], servers.folder / "nginx") as url:
        for host in hosts:
            host.start_web()
        load = Load(url, PER_SECOND)
        asyncio.run(act(load))

    print(f"\n{dict(load.outcomes())}, slowest plain answer began after {load.slowest_s:.2f} s")
    assert_nothing_lost(servers, load)


def test_two_workers_are_replaced_by_sighup_and_the_port_stays_open(servers: Servers) -> None:
    host = servers.host("web", WEB_CONCURRENCY="2")

    async def act(load: Load) -> None:
        async with load.running():
            await asyncio.sleep(1)
            for _ in range(2):
                before = set(host.workers())
                host.web.send_signal(signal.SIGHUP)
                await wait_for(lambda before=before: len(set(host.workers()) - before) == 2 == len(host.workers()))
            await asyncio.sleep(1)

    with configured(servers):
        host.start_web()
        load = Load(host.url, PER_SECOND)
        asyncio.run(act(load))
        assert host.stop_web() == 0

    print(f"\n{dict(load.outcomes())}, slowest plain answer began after {load.slowest_s:.2f} s")
    assert sum(each.model == PLAIN for each in load.heard) > PER_SECOND
    assert_nothing_lost(servers, load)


def test_a_worker_that_is_told_to_go_leaves_its_connections_to_the_others(servers: Servers) -> None:
    host = servers.host("web", WEB_CONCURRENCY="2")

    async def act(load: Load) -> None:
        async with load.running():
            await asyncio.sleep(1)
            for number in (signal.SIGTERM, signal.SIGQUIT):
                before = host.workers()
                os.kill(before[0], number)
                await wait_for(lambda before=before: before[0] not in host.workers() and len(host.workers()) == 2)

    with configured(servers):
        host.start_web()
        load = Load(host.url, PER_SECOND)
        asyncio.run(act(load))
        assert host.stop_web(signal.SIGQUIT) == 0

    assert_nothing_lost(servers, load)
