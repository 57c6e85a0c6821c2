"""Hot path. Counters, in this process or shared by all: one interface, two stores, and their reseeding."""

from smartrouter.lib.counters.base import (
    DEADLINE_S,
    LARGEST,
    CounterStore,
    Entry,
    SeedCounter,
    StoreUnavailable,
    TotalTooLarge,
)
from smartrouter.lib.counters.keeper import CounterKeeper
from smartrouter.lib.counters.source import Source, SourceUnavailable, Timing

__all__ = [
    "DEADLINE_S",
    "LARGEST",
    "CounterKeeper",
    "CounterStore",
    "Entry",
    "SeedCounter",
    "Source",
    "SourceUnavailable",
    "StoreUnavailable",
    "Timing",
    "TotalTooLarge",
    "open_store",
]


def open_store(redis_url: str) -> CounterStore:
    """The store behind a REDIS_URL; without one, a store in this process. To be called on the event loop that uses it."""
    # Each is imported only where it is used: the Redis client takes a tenth of a second.
    if redis_url:
        from smartrouter.lib.counters.shared import RedisStore

        return RedisStore(redis_url)
    from smartrouter.lib.counters.memory import MemoryStore

    return MemoryStore()
