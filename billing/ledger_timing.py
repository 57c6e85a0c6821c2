"""Hot path. When the ledger does what."""

from dataclasses import dataclass

from smartrouter.lib.counters import DEADLINE_S


@dataclass(frozen=True, slots=True)
class LedgerTiming:
    """In seconds. tick_s: how often the store is told, and its epoch looked at. idle_s: after how long without use a claim
    is given back. poll_s: how often a request that waits is asked for again. recall_s: how often a process with claims looks
    whether they are called back. sweep_s: how often all allotments are looked at. silent_s: a process whose loop stood still
    for longer may have been taken for dead, and trusts no claim. deadline_s, tell_s: for the store's answer to a request
    that waits, and to all else. settle_s: for each piece of what is told of a process that has ended. close_s: for giving
    everything back at the end.
    """

    tick_s: float = 1.0
    idle_s: float = 5.0
    poll_s: float = 0.02
    recall_s: float = 0.05
    sweep_s: float = 5.0
    silent_s: float = 8.0
    deadline_s: float = DEADLINE_S
    tell_s: float = 1.0
    settle_s: float = 5.0
    close_s: float = 1.0
