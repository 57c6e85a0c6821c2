"""What becomes of processes that have ended: their sums are told once they are complete, and lost hosts wait for a person."""

import asyncio
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.utils.timezone import now

from billing.budgets import ScopeUsage
from billing.ingest import Ingester
from billing.spool import Spool
from routing.burial import BURY_S, WAITS_S, Undertaker, UsedRow
from routing.models import WebProcess
from tests.billing.lines import close_line, open_line
from tests.routing.places import add_process, holding_lock

pytestmark = pytest.mark.django_db(transaction=True)
DAY = date(2026, 11, 21)
LOST = {"host": "lost", "data_folder": "/d", "pid": 1, "seconds_ago": 3600}


class Store:
    """Takes what it is told, or not, or breaks."""

    def __init__(self) -> None:
        self.answers: list[bool | Exception] = []
        self.buried: list[tuple[str, Mapping[str, int]]] = []
        self.read: list[UsedRow] = []
        self.readers: set[int] = set()
        self.released: list[str] = []

    def spent_by_fund(self, rows: Iterable[UsedRow]) -> Mapping[str, int]:
        self.readers.add(threading.get_ident())
        self.read = list(rows)
        return {f"{scope}|{day}": money for scope, day, money, _tokens, _requests in self.read}

    async def bury(self, process: str, spent: Mapping[str, int]) -> bool:
        self.buried.append((process, spent))
        return self._answer()

    async def release(self, process: str) -> bool:
        self.released.append(process)
        return self._answer()

    def _answer(self) -> bool:
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(autouse=True)
def folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.SPOOL_DIR = tmp_path, tmp_path / "spool"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.SPOOL_DIR.mkdir()
    return tmp_path / "spool"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


class Graveyard:
    """An undertaker, the store that it tells, and the time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.store, self.clock, self._loop = Store(), Clock(), loop
        self.undertaker = Undertaker(self.store, loop, self.clock)

    def turn(self) -> None:
        """One look around, and whatever it asked for has been answered."""
        self.clock.time += BURY_S
        self.undertaker.keep()
        # What was handed over before this runs before this, and none of it waits for anything.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(30)


@pytest.fixture
def graveyard(loop: asyncio.AbstractEventLoop) -> Graveyard:
    return Graveyard(loop)


def ingest(folder: Path) -> None:
    ingester = Ingester(folder)
    ingester.run_once()
    ingester.close()


def use(row: WebProcess, folder: Path) -> None:
    """Two requests of the process, one of them never closed, in the spool that it leaves."""
    spool = Spool(folder, row.uid.hex)
    scopes = (("tenant:1", DAY.toordinal()), ("channel:9", DAY.toordinal() - 1))
    first, second = open_line(scopes=scopes), open_line(scopes=scopes)
    spool.append(first, second)
    spool.append(close_line(first, prompt_tokens=5, completion_tokens=6, cost_nusd=40, charge_nusd=70), keep=True)
    spool.close()


def test_a_dead_process_is_buried_with_its_sums_when_its_spool_is_in_the_database(
    graveyard: Graveyard, folder: Path
) -> None:
    row = add_process()
    use(row, folder)
    ScopeUsage.objects.create(scope="tenant:1", day=DAY, process=add_process(**LOST).uid, money_nusd=5)
    graveyard.turn()
    assert graveyard.store.buried == []

    ingest(folder)
    graveyard.turn()
    assert WebProcess.objects.filter(pk=row.pk).exists()
    graveyard.turn()

    yesterday = date(2026, 11, 20)
    sums = [("channel:9", yesterday, 40 + 1500, 21, 2), ("tenant:1", DAY, 70 + 1500, 21, 2)]
    assert graveyard.store.read == sums
    assert graveyard.store.buried == [(row.uid.hex, {"channel:9|2026-11-20": 1540, "tenant:1|2026-11-21": 1570})]
    assert graveyard.store.readers == {threading.get_ident()}  # not the event loop's
    assert not WebProcess.objects.filter(pk=row.pk).exists()


def test_whoever_was_not_heard_is_told_again(graveyard: Graveyard, caplog: pytest.LogCaptureFixture) -> None:
    row = add_process()
    graveyard.store.answers = [False, RuntimeError("away"), False]

    for _turn in range(4):
        graveyard.turn()
        assert WebProcess.objects.filter(pk=row.pk).exists()
    graveyard.turn()

    assert [process for process, _rows in graveyard.store.buried] == [row.uid.hex] * 4
    assert not WebProcess.objects.exists()
    assert [record.message for record in caplog.records].count("burial_failed") == 1


def test_it_looks_around_every_two_seconds(graveyard: Graveyard) -> None:
    graveyard.turn()
    add_process()

    graveyard.undertaker.keep()
    assert graveyard.store.buried == []
    graveyard.turn()
    assert len(graveyard.store.buried) == 1


def test_the_living_and_those_of_other_places_are_not_buried(graveyard: Graveyard, folder: Path) -> None:
    elsewhere = add_process(**LOST)
    of_other_folder = add_process(data_folder="/d", seconds_ago=3600)
    row = add_process()
    with holding_lock(folder, row.uid) as process:
        WebProcess.objects.filter(pk=row.pk).update(pid=process.pid)
        graveyard.turn()
        graveyard.turn()

        assert graveyard.store.buried == []
    assert set(WebProcess.objects.all()) == {row, elsewhere, of_other_folder}


def test_two_may_bury_the_same_process(graveyard: Graveyard, loop: asyncio.AbstractEventLoop) -> None:
    row, other = add_process(), Graveyard(loop)

    for each in (graveyard, other, graveyard, other):
        each.turn()

    assert graveyard.store.buried == other.store.buried == [(row.uid.hex, {})]
    assert not WebProcess.objects.exists()


def test_a_lost_host_is_told_of_once_and_released_when_an_operator_says_so(
    graveyard: Graveyard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    row = add_process(**LOST)
    for _turn in range(3):
        graveyard.turn()
    assert [record.message for record in caplog.records] == ["host_lost"]
    assert graveyard.store.released == []

    WebProcess.objects.update(released_at=now())
    graveyard.store.answers = [False]
    for _turn in range(5):
        graveyard.turn()
    assert graveyard.store.released == [row.uid.hex] * 2  # the first time it was not heard
    assert WebProcess.objects.filter(pk=row.pk).exists()

    WebProcess.objects.update(released_at=None, heartbeat_at=now())
    graveyard.turn()
    assert [record.message for record in caplog.records] == ["host_lost", "host_back"]
    WebProcess.objects.update(released_at=now(), heartbeat_at=row.heartbeat_at)
    graveyard.turn()
    assert graveyard.store.released == [row.uid.hex] * 3
    assert graveyard.store.buried == []


def test_a_spool_that_nobody_takes_in_is_named_once(
    graveyard: Graveyard, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = add_process()
    use(row, folder)
    graveyard.turn()
    graveyard.clock.time += WAITS_S
    assert "spool_not_taken_in" not in caplog.text

    for _turn in range(3):
        graveyard.turn()

    [record] = [record for record in caplog.records if record.message == "spool_not_taken_in"]
    assert record.__dict__["process_uid"] == row.uid.hex
    assert record.__dict__["files"] == sorted(path.name for path in folder.glob("*.spool"))
    assert graveyard.store.buried == []
