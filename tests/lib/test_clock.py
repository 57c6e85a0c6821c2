"""UUIDv7: the version and variant of RFC 9562, sorted by time, different from one another, and from those of a fork."""

import os
import time
from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrouter.lib.clock import at_ms, dashed, mint_hex7, mint_uuid7, now_ms


def test_an_id_has_version_7_the_rfc_variant_and_its_moment() -> None:
    before = now_ms()
    found = mint_uuid7()
    after = now_ms()

    assert (found.version, found.variant) == (7, RFC_4122)
    assert before <= found.int >> 80 <= after


@given(st.integers(0, 2**48 - 1))
def test_every_moment_makes_a_well_formed_id(moment_ms: int) -> None:
    digits = mint_hex7(moment_ms)
    found = UUID(digits)

    assert len(digits) == 32 and found.hex == digits and str(found) == dashed(digits)
    assert (found.version, found.variant, found.int >> 80) == (7, RFC_4122, moment_ms)


@given(st.integers(0, 2**47), st.integers(1, 2**40))
def test_a_later_id_sorts_after_an_earlier_one_as_number_and_as_text(moment_ms: int, later_ms: int) -> None:
    first, second = mint_uuid7(moment_ms), mint_uuid7(moment_ms + later_ms)

    assert first < second and first.hex < second.hex and str(first) < str(second)


def test_ids_of_one_moment_differ() -> None:
    assert len({mint_hex7(1_700_000_000_000) for _turn in range(100_000)}) == 100_000


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_ids_of_its_own() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "".join(mint_hex7(7) for _turn in range(20)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(reading, 4096).decode()
    os.close(reading)
    os.close(writing)

    theirs = {text[begin : begin + 32] for begin in range(0, len(text), 32)}
    ours = {mint_hex7(7) for _turn in range(20)}

    assert len(theirs) == 20 and not theirs & ours


def test_now_and_at_are_utc() -> None:
    assert abs(now_ms() - time.time() * 1000) < 1000
    assert at_ms(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
