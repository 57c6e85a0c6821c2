"""Whoever sends many wrong keys waits longer for each answer; nobody else does, and nothing piles up."""

import asyncio
import json
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from routing import wrong_keys as w
from routing.wrong_keys import WrongKeys
from tests.routing import callers as c
from tests.routing.callers import get
from tests.stack import KEY, Stack, running_stack

HERE, THERE = "203.0.113.7", "203.0.113.8"
WRONG = "rk_wrong_" + "w" * 40


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_ten_are_answered_at_once_and_each_next_waits_twice_as_long(clock: Clock) -> None:
    keys = WrongKeys(clock)

    assert [keys.count(HERE) for _turn in range(18)] == [0.0] * 10 + [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_a_sender_who_waits_for_each_answer_comes_to_the_longest_wait_and_stays_there(clock: Clock) -> None:
    keys, waits = WrongKeys(clock), []
    for _turn in range(200):
        waits.append(keys.count(HERE))
        clock.now += waits[-1]

    assert max(waits) == 5.0
    assert min(waits[30:]) >= 4.0


def test_what_is_long_ago_is_forgotten(clock: Clock) -> None:
    keys = WrongKeys(clock)
    for _turn in range(1000):
        keys.count(HERE)

    clock.now += 42
    assert keys.count(HERE) == 0.0
    clock.now += 96
    assert [keys.count(HERE) for _turn in range(11)] == [0.0] * 10 + [0.25]


def test_a_few_wrong_keys_a_minute_are_never_slowed(clock: Clock) -> None:
    keys = WrongKeys(clock)

    for _turn in range(500):
        assert keys.count(HERE) == 0.0
        clock.now += 6.0


@pytest.mark.parametrize(
    ("other", "is_slowed"),
    [
        ("203.0.113.8", False),
        ("::ffff:203.0.113.7", True),
        ("::ffff:203.0.113.8", False),
        ("2001:db8::1", False),
        ("garbage", False),
    ],
)
def test_each_address_is_counted_for_itself(clock: Clock, other: str, is_slowed: bool) -> None:
    keys = WrongKeys(clock)
    for _turn in range(20):
        keys.count(HERE)

    assert bool(keys.count(other)) is is_slowed


def test_all_addresses_of_a_64_count_as_one(clock: Clock) -> None:
    keys = WrongKeys(clock)
    for number in range(20):
        keys.count(f"2001:db8:0:1::{number:x}")

    assert keys.count("2001:db8:0:1:ffff::") == 5.0
    assert keys.count("2001:db8:0:2::1") == 0.0


def test_only_so_many_addresses_are_remembered_and_the_oldest_go_first(clock: Clock) -> None:
    keys = WrongKeys(clock)
    for _turn in range(20):
        keys.count(HERE)
    for number in range(w.ADDRESSES_AT_MOST - 1):
        keys.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert keys.count(HERE) == 5.0

    for number in range(w.ADDRESSES_AT_MOST * 2):
        keys.count(f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(keys) == w.ADDRESSES_AT_MOST
    assert keys.count(HERE) == 0.0


def test_only_so_many_answers_wait_at_once_and_a_client_that_leaves_makes_room() -> None:
    async def scenario() -> None:
        keys = WrongKeys()
        for number in range(50):
            for _turn in range(16):
                keys.count(f"10.0.0.{number}")
        senders = [[asyncio.ensure_future(keys.slow(f"10.0.0.{n}")) for _turn in range(17)] for n in range(17)]
        await asyncio.sleep(0.01)

        refused = [task for tasks in senders for task in tasks if task.done() and not task.result()]
        assert (keys.waiting, len(refused)) == (w.WAITING_AT_MOST, 17 * 17 - w.WAITING_AT_MOST)
        assert [sum(task.done() for task in tasks) for tasks in senders] == [1] * 16 + [17]

        for tasks in senders:
            for task in tasks:
                task.cancel()
        await asyncio.sleep(0.01)
        assert keys.waiting == 0

    asyncio.run(scenario())


def test_each_address_has_one_line_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    keys = WrongKeys(clock)
    for _turn in range(130):
        keys.count(HERE)
        keys.count(THERE)
        clock.now += 1.0

    lines = [(record.getMessage(), record.__dict__["address"], record.__dict__["count"]) for record in caplog.records]
    assert {(event, address) for event, address, _count in lines} == {
        ("wrong_keys_slowed", HERE),
        ("wrong_keys_slowed", THERE),
    }
    assert [count for _event, address, count in lines if address == HERE] == [12, 60]


# --- over sockets; each test comes from addresses of its own


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    document = c.callers_document()
    with running_stack(document, TRUSTED_PROXIES=c.TRUSTED, WEB_CONCURRENCY="1", MAX_BUFFERED_MB="1") as made:
        yield made
        assert "Traceback" not in made.log
        assert WRONG not in made.log


def slowed(stack: Stack) -> list[tuple[object, object]]:
    """The addresses whose wrong keys are said to be slowed, each with the level of its line."""
    found = [json.loads(line) for line in stack.log.splitlines() if line.startswith("{")]
    return [(line["address"], line["level"]) for line in found if line["event"] == "wrong_keys_slowed"]


def test_wrong_keys_wait_and_right_ones_of_the_same_address_do_not(stack: Stack) -> None:
    source = "127.0.0.11"

    def guess(_turn: int) -> tuple[int, str, float]:
        began = time.monotonic()
        status, headers, answer = get(stack, "/v1/models", WRONG, source=source)
        assert (headers["x-should-retry"], headers.get("retry-after")) == ("false", "5" if status == 429 else None)
        assert answer["error"]["type"] == "authentication_error"
        return status, answer["error"]["code"], time.monotonic() - began

    with ThreadPoolExecutor(40) as pool:
        guesses = [pool.submit(guess, turn) for turn in range(40)]
        began, right = time.monotonic(), 0
        while not all(each.done() for each in guesses):
            assert get(stack, "/v1/models", KEY, source=source)[0] == 200
            right += 1
        lasted = time.monotonic() - began
        found = [each.result() for each in guesses]

    kinds = [(status, code) for status, code, _seconds in found]
    assert kinds.count((401, "invalid_api_key")) >= 10 + w.WAITING_OF_ONE
    assert kinds.count((429, "too_many_wrong_keys")) == 40 - kinds.count((401, "invalid_api_key"))
    waits = sorted(seconds for status, _code, seconds in found if status == 401)
    assert waits[-1] >= 4.9
    assert sum(seconds >= 0.25 for seconds in waits) >= w.WAITING_OF_ONE
    assert right > lasted  # none of them waited as the wrong ones did
    assert slowed(stack).count((source, "WARNING")) == 1


def test_a_missing_key_and_keys_that_are_known_are_not_counted(stack: Stack) -> None:
    source = "127.0.0.12"

    for _turn in range(15):
        assert get(stack, "/v1/models", None, source=source)[0] == 401
        assert get(stack, "/v1/models", c.LAST_KEY, source=source)[0] == 401
        assert get(stack, "/v1/models", c.HOME_KEY, source=source)[0] == 403
    for _turn in range(10):
        assert get(stack, "/v1/models", WRONG, source=source)[0] == 401

    assert source not in dict(slowed(stack))


def test_behind_a_proxy_each_client_is_slowed_for_itself_and_a_claim_helps_nobody(stack: Stack) -> None:
    liar, behind = "127.0.0.13", "198.51.100.1"

    for number in range(12):
        get(stack, "/v1/models", WRONG, ("X-Forwarded-For", f"192.0.2.{number}, {behind}"), source=c.PROXY)
        get(stack, "/v1/models", WRONG, ("X-Forwarded-For", f"192.0.2.{number}"), source=liar)
        get(stack, "/v1/models", WRONG, ("X-Forwarded-For", f"203.0.113.{number}"), source=c.PROXY)

    found = dict(slowed(stack)).keys()
    assert {liar, behind} <= found
    assert not {
        address for address in found if str(address).startswith(("192.0.2.", "203.0.113.")) or address == c.PROXY
    }


def test_an_answer_that_waits_holds_no_body(stack: Stack) -> None:
    """More of them wait than would fit into what all bodies together may take (MAX_BUFFERED_MB)."""
    body = b'{"model": "' + b"x" * 60_000 + b'"}'
    sources = [f"127.0.0.{number}" for number in range(20, 24)]
    for source in sources:
        for _turn in range(10):
            get(stack, "/v1/models", WRONG, source=source)

    def guess(source: str) -> int:
        return get(stack, "/v1/chat/completions", WRONG, source=source, body=body)[0]

    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(guess, sources * w.WAITING_OF_ONE))

    assert found.count(401) > 17  # so many would fit at once
    assert set(found) <= {401, 429}


def test_large_bodies_without_a_key_take_nothing_from_others(stack: Stack) -> None:
    """More of them than would fit at once, one after the other; the room that each took is free again."""
    for _turn in range(30):
        with socket.create_connection(("127.0.0.1", stack.port)) as connection:
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + b"x" * 60_000
            )
            time.sleep(0.05)  # so that it is taken in before the rest comes
            connection.sendall(b"x" * 30_000)
            assert connection.recv(100).startswith(b"HTTP/1.1 401")

    ours = json.dumps({"model": "nothing", "messages": [{"role": "user", "content": "x" * 900_000}]}).encode()
    assert get(stack, "/v1/chat/completions", KEY, source="127.0.0.15", body=ours)[0] == 404


def test_an_answer_that_waits_ends_with_its_client(stack: Stack) -> None:
    source = "127.0.0.14"
    for _turn in range(16):  # the last of them wait for seconds
        with socket.create_connection(("127.0.0.1", stack.port), source_address=(source, 0)) as connection:
            head = f"GET /v1/models/left HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {WRONG}\r\n\r\n"
            connection.sendall(head.encode())
            select.select([connection], [], [], 0.2)

    found: list[tuple[int, float]] = []
    until = time.monotonic() + 60
    while len(found) < 16 and time.monotonic() < until:
        time.sleep(0.1)
        lines = [json.loads(line) for line in stack.log.splitlines() if "/v1/models/left" in line]
        found = [(line["status"], line["duration_ms"]) for line in lines]
    assert len(found) == 16
    assert all(status in (0, 401) for status, _ms in found)
    assert 0 in {status for status, _ms in found[-2:]}
