"""A web process's sign of life: what it tells of the jobs, and what becomes of it where it is not taken."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils.timezone import now

from routing.heartbeat import REFUSED_AT_MOST_S, Heartbeat
from routing.models import Pulse, WebProcess
from routing.register import HEARTBEAT_S, JOBS_SILENT_S, StartRefused
from routing.tasks import JOBS

pytestmark = pytest.mark.django_db

# What makes this connection one that can only read, and what ends that.
READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
}


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeat(clock: Callable[[], float]) -> Heartbeat:
    made = Heartbeat(uuid.uuid4(), clock)
    made.begin()
    return made


def test_jobs_are_silent_three_minutes_after_the_last_one(heartbeat: Heartbeat, clock: Clock) -> None:
    clock.time += JOBS_SILENT_S - 1
    Pulse.objects.create(name=JOBS, at=now() - timedelta(seconds=JOBS_SILENT_S - 10))
    heartbeat.keep()
    assert heartbeat.are_jobs_alive

    clock.time += 5
    assert heartbeat.are_jobs_alive
    clock.time += 6
    assert not heartbeat.are_jobs_alive

    Pulse.objects.update(at=now() + timedelta(hours=1))  # another host's clock
    heartbeat.keep()
    assert heartbeat.are_jobs_alive
    Pulse.objects.update(at=now() - timedelta(hours=1))
    clock.time += JOBS_SILENT_S
    heartbeat.keep()
    assert not heartbeat.are_jobs_alive


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_that_the_database_does_not_take_is_tried_again(heartbeat: Heartbeat, clock: Clock) -> None:
    heartbeat.keep()
    assert heartbeat.is_taken
    forbid, allow = READ_ONLY[connection.vendor]
    run(forbid)
    try:
        clock.time += HEARTBEAT_S
        heartbeat.keep()
        assert not heartbeat.is_taken
    finally:
        run(allow)

    clock.time += HEARTBEAT_S
    heartbeat.keep()

    assert heartbeat.is_taken


def test_a_process_without_a_place_waits_for_as_long_as_the_other_one_may_be_dead(
    heartbeat: Heartbeat, clock: Clock, settings: LazySettings
) -> None:
    settings.REDIS_URL = ""
    WebProcess.objects.all().delete()
    other = WebProcess.objects.create(uid=uuid.uuid4(), host="other", pid=1, data_folder="/d")

    heartbeat.keep()
    assert not heartbeat.is_taken
    clock.time += REFUSED_AT_MOST_S
    heartbeat.keep()
    other.delete()
    clock.time += HEARTBEAT_S
    heartbeat.keep()

    assert heartbeat.is_taken
    assert WebProcess.objects.count() == 1


def test_a_process_without_a_place_is_refused_when_the_other_one_lives(
    heartbeat: Heartbeat, clock: Clock, settings: LazySettings
) -> None:
    settings.REDIS_URL = ""
    WebProcess.objects.all().delete()
    WebProcess.objects.create(uid=uuid.uuid4(), host="other", pid=1, data_folder="/d")
    heartbeat.keep()

    clock.time += REFUSED_AT_MOST_S + 1
    with pytest.raises(StartRefused, match="pid 1 on other"):
        heartbeat.keep()

    clock.time += HEARTBEAT_S
    heartbeat.keep()  # it has been told
    assert not heartbeat.is_taken
