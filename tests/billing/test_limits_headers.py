"""What callers are told of their limits."""

import asyncio

import pytest

from billing.limits_admission import duration
from smartrouter.lib.counters.claims_memory import MemoryClaims
from tests.billing.limiters import ask, close_all, limiters_of, run_quickly, subject


def text(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    assert len({name for name, _value in headers}) == len(headers)
    return {name.decode().removeprefix("x-ratelimit-"): value.decode() for name, value in headers}


def test_the_headers_tell_of_requests_and_of_tokens() -> None:
    async def main() -> None:
        limiters = limiters_of(MemoryClaims(asyncio.get_running_loop().time), 2)
        limit = (subject(rpm=100, tpm=5000),)
        for _request in range(3):
            admission = await ask(limiters[0], limit, 200)
        assert text(admission.headers()) == {
            "limit-requests": "100",
            "remaining-requests": "97",
            "reset-requests": "1m0s",
            "limit-tokens": "5000",
            "remaining-tokens": "4400",
            "reset-tokens": "1m0s",
        }

        admission.settle(50)
        await asyncio.sleep(14.5)

        later = text(admission.headers())
        assert (later["remaining-tokens"], later["reset-requests"], later["reset-tokens"]) == ("4550", "46s", "46s")
        await close_all(limiters)

    run_quickly(main())


def test_what_other_processes_used_is_not_left() -> None:
    async def main() -> None:
        limiters = limiters_of(MemoryClaims(asyncio.get_running_loop().time), 2)
        for _request in range(30):
            await ask(limiters[0], (subject(rpm=100),))
        await asyncio.sleep(1.1)

        assert text((await ask(limiters[1], (subject(rpm=100),))).headers())["remaining-requests"] == "69"
        await close_all(limiters)

    run_quickly(main())


def test_the_subject_with_the_least_left_counts() -> None:
    async def main() -> None:
        limiters = limiters_of(MemoryClaims(asyncio.get_running_loop().time), 2)
        key, tenant = subject(rpm=100, tpm=1000), subject("tenant:1", rpm=50, tpm=90_000)
        found = text((await ask(limiters[0], (key, tenant), 10)).headers())

        assert (found["limit-requests"], found["remaining-requests"]) == ("50", "49")
        assert (found["limit-tokens"], found["remaining-tokens"]) == ("1000", "990")
        await close_all(limiters)

    run_quickly(main())


def test_there_are_none_where_there_is_no_such_limit() -> None:
    async def main() -> None:
        limiters = limiters_of(MemoryClaims(asyncio.get_running_loop().time), 2)

        nothing = limiters[0].try_admit((), 10)
        assert nothing is not None and nothing.headers() == []
        assert (await ask(limiters[0], (subject(parallel=3),))).headers() == []
        assert set(text((await ask(limiters[0], (subject(tpm=30),), 5)).headers())) == {
            "limit-tokens",
            "remaining-tokens",
            "reset-tokens",
        }
        await close_all(limiters)

    run_quickly(main())


def test_without_the_store_the_share_of_this_process_is_left() -> None:
    async def main() -> None:
        store = MemoryClaims(asyncio.get_running_loop().time)
        limiters = limiters_of(store, 4)
        store.is_up = False  # type: ignore[misc]  # as if it was a Redis
        found = text((await ask(limiters[0], (subject(rpm=100),))).headers())

        assert (found["limit-requests"], found["remaining-requests"]) == ("100", "24")
        await close_all(limiters)

    run_quickly(main())


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (-1, "0s"),
        (0, "0s"),
        (0.12, "120ms"),
        (0.1201, "121ms"),
        (0.9999, "999ms"),
        (1, "1s"),
        (6.2, "7s"),
        (59.5, "1m0s"),
        (60, "1m0s"),
    ],
)
def test_durations_are_written_as_the_official_client_reads_them(seconds: float, written: str) -> None:
    assert duration(seconds) == written.encode()
