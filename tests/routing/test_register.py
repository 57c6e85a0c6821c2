"""The register of web processes: who lives, who has ended, and who is kept from starting."""

import os
import signal
import socket
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.utils.timezone import now

from billing.ingest import Ingester
from routing.models import WebProcess
from routing.register import (
    LOST_AFTER_S,
    RegisteredProcess,
    StartRefused,
    beat,
    forget_drained,
    is_here,
    leave_register,
    lost_places,
    processes,
    register_process,
)
from tests.routing.places import add_process, holding_lock, leave_spool

pytestmark = pytest.mark.django_db
ELSEWHERE = {"host": "elsewhere", "pid": 1}


@pytest.fixture(autouse=True)
def folder(settings: LazySettings, tmp_path: Path) -> Iterator[Path]:
    settings.DATA_DIR, settings.SPOOL_DIR = tmp_path, tmp_path / "spool"
    settings.SPOOL_DIR.mkdir()
    yield settings.SPOOL_DIR


def is_live(row: WebProcess) -> bool:
    return {process.uid: process.is_live for process in processes()}[row.uid.hex]


def test_a_dead_process_keeps_nobody_from_starting_and_waits_for_its_burial(settings: LazySettings) -> None:
    settings.REDIS_URL = ""
    dead = add_process()
    leave_spool(dead.uid)
    ended = add_process(pid=os.getppid(), left_at=now())
    silent = add_process(**ELSEWHERE, seconds_ago=60)

    register_process(own := uuid.uuid4())

    assert set(WebProcess.objects.values_list("uid", flat=True)) == {dead.uid, ended.uid, silent.uid, own}


@pytest.mark.parametrize("other", [{"pid": os.getppid()}, ELSEWHERE])
def test_a_living_one_keeps_a_second_one_from_starting(settings: LazySettings, other: dict[str, object]) -> None:
    settings.REDIS_URL = ""
    add_process(**other)

    with pytest.raises(StartRefused, match="REDIS_URL"):
        register_process(uuid.uuid4())

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    register_process(uuid.uuid4())
    assert WebProcess.objects.count() == 2


def test_a_stopped_process_is_not_dead_for_its_own_host(settings: LazySettings, folder: Path) -> None:
    settings.REDIS_URL = ""
    with holding_lock(folder, uid := uuid.uuid4()) as process:
        process.send_signal(signal.SIGSTOP)
        here = add_process(uid=uid, pid=process.pid, seconds_ago=90)
        reused = add_process(pid=process.pid, seconds_ago=90)  # of a machine that was started anew, perhaps

        assert is_live(here) and not is_live(reused)
        with pytest.raises(StartRefused):
            register_process(uuid.uuid4())
        WebProcess.objects.filter(pk=uid).update(host="elsewhere")
        assert not is_live(here)
        WebProcess.objects.filter(pk=uid).update(host=here.host)

    assert not is_live(here)


def test_who_ends_in_order_leaves_at_once_or_when_its_spool_is_in_the_database(folder: Path) -> None:
    drained, undrained, unsettled = add_process(), add_process(), add_process()
    for row in (undrained, unsettled):
        leave_spool(row.uid)

    for row in (drained, undrained):
        leave_register(row.uid, is_settled=True)
    leave_register(unsettled.uid, is_settled=False)

    found = dict(WebProcess.objects.values_list("uid", "left_at"))
    assert found.keys() == {undrained.uid, unsettled.uid}
    assert found[undrained.uid] is not None and found[unsettled.uid] is None


def test_the_ingester_lets_those_go_that_ended_in_order_here(settings: LazySettings, folder: Path) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    ended, killed = add_process(left_at=now()), add_process()
    elsewhere, of_other_folder = add_process(**ELSEWHERE, left_at=now()), add_process(data_folder="/x", left_at=now())
    leave_spool(ended.uid)
    assert forget_drained() == 0

    ingester = Ingester(folder)
    ingester.run_once()
    ingester.close()

    assert forget_drained() == 1
    assert set(WebProcess.objects.all()) == {killed, elsewhere, of_other_folder}


def test_what_the_ledger_is_told() -> None:
    live = add_process(pid=os.getppid())
    ended = add_process(pid=os.getppid(), left_at=now())
    released = add_process(**ELSEWHERE, data_folder="/y", seconds_ago=60, released_at=now())
    here = (socket.gethostname(), live.data_folder)

    assert sorted(processes(), key=lambda process: process.uid) == sorted(
        [
            RegisteredProcess(live.uid.hex, here, is_live=True, is_lost=False),
            RegisteredProcess(ended.uid.hex, here, is_live=False, is_lost=False),
            RegisteredProcess(released.uid.hex, ("elsewhere", "/y"), is_live=False, is_lost=True),
        ],
        key=lambda process: process.uid,
    )


def test_who_is_heard_of_again_is_not_released_any_more() -> None:
    row = add_process(**ELSEWHERE, seconds_ago=90, released_at=now())

    beat(row.uid)

    row.refresh_from_db()
    assert row.released_at is None and now() - row.heartbeat_at < timedelta(seconds=60)


def test_a_place_is_lost_when_nothing_was_heard_of_any_process_there_for_a_while(settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    long_ago = LOST_AFTER_S + 5
    add_process(host="half", data_folder="/d", pid=1, seconds_ago=3600)
    add_process(host="half", data_folder="/d", pid=2, seconds_ago=0)
    add_process(host="lost", data_folder="/d", pid=1, seconds_ago=3600)
    add_process(host="lost", data_folder="/d", pid=2, seconds_ago=long_ago, left_at=now())
    add_process(host="lately", data_folder="/d", pid=1, seconds_ago=15)
    add_process(seconds_ago=3600)

    assert lost_places(WebProcess.objects.all()) == {("lost", "/d")}


def test_a_container_that_was_made_anew_has_its_place_where_only_one_may_serve(settings: LazySettings) -> None:
    before = add_process(**ELSEWHERE, seconds_ago=60)
    of_other_folder = add_process(**ELSEWHERE, data_folder="/x", seconds_ago=60)

    settings.REDIS_URL = ""
    assert is_here(before) and not is_here(of_other_folder)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert not is_here(before)
