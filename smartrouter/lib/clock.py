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
    stamp = now_ms() if moment_ms is None else moment_ms
    chance = _random.getrandbits(74)
    value = (stamp & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (chance >> 62) << 64
    return UUID(int=value | 0x2 << 62 | chance & 0x3FFF_FFFF_FFFF_FFFF)
