"""Hot path. Wrong router keys: who sends many from one address gets each answer later than the one before.

A key of 256 bits is not found by guessing; this keeps whoever tries, and every client that was left with an old key, from
taking the time of others. Each process counts for itself. A known key is never slowed or counted, nor is a request without a
key, which guesses nothing.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from routing.addresses import client_network

logger = logging.getLogger(__name__)

# So many are answered at once, and as many in each minute from then on.
FREE = 10
PER_MINUTE = 10
FIRST_WAIT_S = 0.25
WAIT_AT_MOST_S = 5.0
# What lies above is not counted: the longest wait is reached, and it shall end within a minute after the last wrong key.
SCORE_AT_MOST = FREE + 6
# So many answers wait at once: of one address, and of all together. Each keeps a connection open.
WAITING_OF_ONE = 16
WAITING_AT_MOST = 256
ADDRESSES_AT_MOST = 10_000
LOG_EVERY_S = 60.0


@dataclass(slots=True)
class Sender:
    """One address. score: its wrong keys, those of long ago forgotten; at: when the last one came.

    count: those since its last line in the log, which was at logged_at, or since all were forgotten.
    """

    at: float
    score: float = 0.0
    count: int = 0
    logged_at: float = -math.inf
    waiting: int = 0


class WrongKeys:
    """The wrong keys of one process. clock: seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._senders: OrderedDict[str, Sender] = OrderedDict()  # whose last wrong key is longest ago comes first
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._senders)

    def count(self, host: str) -> float:
        """Count one wrong key: how many seconds its answer has to wait."""
        return self._count(client_network(host))[1]

    async def slow(self, host: str) -> bool:
        """Count one wrong key, and return when it may be answered; False, at once, where too many answers wait already."""
        sender, wait_s = self._count(client_network(host))
        if not wait_s:
            return True
        if sender.waiting >= WAITING_OF_ONE or self.waiting >= WAITING_AT_MOST:
            return False
        sender.waiting += 1
        self.waiting += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            sender.waiting -= 1
            self.waiting -= 1
        return True

    def _count(self, network: str) -> tuple[Sender, float]:
        now = self._clock()
        sender = self._senders.get(network)
        if sender is None:
            sender = self._senders[network] = Sender(now)
            if len(self._senders) > ADDRESSES_AT_MOST:
                self._senders.popitem(last=False)
        else:
            self._senders.move_to_end(network)
        left = max(0.0, sender.score - (now - sender.at) * PER_MINUTE / 60)
        sender.score, sender.at = min(left + 1, SCORE_AT_MOST), now
        sender.count = sender.count + 1 if left else 1
        wait_s = 0.0 if sender.score <= FREE else _wait_s(sender.score)
        if wait_s and now - sender.logged_at >= LOG_EVERY_S:
            logger.warning("wrong_keys_slowed", extra={"address": network or "unknown", "count": sender.count})
            sender.logged_at, sender.count = now, 0
        return sender, wait_s


def _wait_s(score: float) -> float:
    """0.25 s for the first above those that are free, twice as much for each next."""
    return min(WAIT_AT_MOST_S, FIRST_WAIT_S * 2.0 ** int(score - FREE - 1e-9))


WRONG_KEYS = WrongKeys()
