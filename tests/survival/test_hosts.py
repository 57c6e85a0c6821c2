"""Two hosts on one PostgreSQL and one Redis: two data folders, each with web processes, a spool and an ingester."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.stack import KEY, OTHER_KEY, Stack, running_stack, two_channels
from tests.survival.operator import Operator
from tests.survival.traffic import assert_complete, chat

pytestmark = [pytest.mark.slow, pytest.mark.server]

LIVE_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def first() -> Iterator[Stack]:
    with running_stack(two_channels()) as running:
        running.start("manage.py", "ingest")
        yield running


@pytest.fixture(scope="module")
def second(first: Stack) -> Iterator[Stack]:
    with first.another_host() as running:
        running.start("manage.py", "ingest")
        yield running


@pytest.fixture(scope="module")
def operator(first: Stack) -> Iterator[Operator]:
    with Operator(first) as running:
        yield running


def channel_of(stack: Stack) -> str:
    return stack.post(chat("m"))[1]["x-smartrouter-channel"]


def status_of(stack: Stack, key: str) -> int:
    return stack.post(chat("m"), key)[0]


def seconds_until(is_so: Callable[[], bool], since: float) -> float:
    """How long after `since` it was so, and stayed so for some requests (there are several processes)."""
    last_not_so = since
    while time.monotonic() - last_not_so < 0.4:
        if not is_so():
            last_not_so = time.monotonic()
        assert last_not_so - since < 10
    return last_not_so - since


@pytest.mark.parametrize(
    ("change", "is_live"),
    [
        ("Channel.objects.filter(name='alpha').update(is_active=False)", lambda s: channel_of(s) == "beta"),
        ("Channel.objects.filter(name='alpha').update(is_active=True)", lambda s: channel_of(s) == "alpha"),
        ("k = RouterKey.objects.get(tenant__name='other'); k.is_active = False; k.save()",
         lambda s: status_of(s, OTHER_KEY) == 401),
        ("RouterKey.objects.filter(tenant__name='other').update(is_active=True)",
         lambda s: status_of(s, OTHER_KEY) == 200),
        ("RouterKey.objects.filter(tenant__name='other').update(allowed_models=['auto:*'])",
         lambda s: status_of(s, OTHER_KEY) == 403),
        ("from datetime import UTC, datetime\n"
         "RouterKey.objects.filter(tenant__name='other').update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))",
         lambda s: status_of(s, OTHER_KEY) == 401),
    ],
)  # fmt: skip
def test_a_change_is_live_on_both_hosts_within_a_second(
    first: Stack, second: Stack, operator: Operator, change: str, is_live: Callable[[Stack], bool]
) -> None:
    done_at = operator.run(change)

    live_s = seconds_until(lambda: is_live(first) and is_live(second), done_at)

    print(f"\nlive on both hosts after {live_s:.2f} s")
    assert live_s < LIVE_WITHIN_S


def test_both_spools_are_ingested(first: Stack, second: Stack) -> None:
    answers = [stack.post(chat("m")) for stack in (first, second) for _ in range(20)]
    ids = {headers["x-request-id"].replace("-", "") for _status, headers, _body in answers}

    until = time.monotonic() + 20
    while ids - {row["request_id"] for row in first.rows()} and time.monotonic() < until:
        time.sleep(0.1)

    assert ids <= {row["request_id"] for row in first.rows()}
    assert {status for status, _headers, _body in answers} == {200}


def test_a_session_costs_the_same_whichever_host_is_asked(first: Stack, second: Stack) -> None:
    headers = {"x-session-id": "both-hosts"}
    costs = []

    for stack in (first, second, first, second, second, first):
        _status, answer, _body = stack.post(chat("m"), KEY, headers=headers)
        costs.append((float(answer["x-smartrouter-cost-usd"]), float(answer["x-smartrouter-session-cost-usd"])))

    sums = [sum(cost for cost, _sum in costs[: n + 1]) for n in range(len(costs))]
    assert [total for _cost, total in costs] == pytest.approx(sums, abs=1e-9)


def test_both_hosts_are_in_the_register_and_leave_it(first: Stack, second: Stack) -> None:
    def folders() -> list[str]:
        serving = "SELECT data_folder FROM routing_webprocess WHERE left_at IS NULL"
        return [row["data_folder"] for row in first.query(serving)]

    before = folders()
    with first.another_host() as third:
        seconds_until(lambda: folders().count(str(third.data)) == 2, time.monotonic())
        third.stop()
        after = folders()
        third.ingest()

    assert sorted(before) == sorted([str(first.data)] * 2 + [str(second.data)] * 2)
    assert sorted(after) == sorted(before)
    assert str(third.data) not in {row["data_folder"] for row in first.query("SELECT * FROM routing_webprocess")}


def test_nothing_is_lost_and_nothing_is_counted_twice(first: Stack, second: Stack) -> None:
    for stack in (first, second):
        for process in stack.processes[1:]:
            process.terminate()
            process.wait(20)
    second.ingest()

    assert_complete(first)
