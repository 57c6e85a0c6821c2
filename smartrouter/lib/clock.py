"""Hot path. Time and identity: the wall clock, and UUIDv7 ids that sort by it."""

import os
import random
import time
from datetime import UTC, datetime
from uuid import UUID

# Seeded by the system; a fork must not repeat its parent's ids.
_random = random.Random()  # noqa: S311  (ids, not secrets)
os.register_at_fork(after_in_child=_random.seed)


def now_ms() -> int:
    """Milliseconds since the epoch (UTC)."""
    return time.time_ns() // 1_000_000


def at_ms(moment_ms: int) -> datetime:
    """The aware UTC datetime of milliseconds since the epoch."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC)


def mint_uuid7(moment_ms: int | None = None) -> UUID:
    """A new UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits. It identifies; it is not a secret."""
    return UUID(mint_hex7(now_ms() if moment_ms is None else moment_ms))


def mint_hex7(moment_ms: int) -> str:
    """A new UUIDv7 as 32 hex digits, for the hot path: a UUID object costs five times as much."""
    chance = _random.getrandbits(74)
    variant = 0x2 << 62 | chance & 0x3FFF_FFFF_FFFF_FFFF
    return f"{moment_ms & 0xFFFF_FFFF_FFFF:012x}7{chance >> 62:03x}{variant:016x}"


def dashed(digits: str) -> str:
    """The usual form of a UUID given as 32 hex digits."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
