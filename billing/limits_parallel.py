"""Hot path. How many requests of one subject may be under way at a time, and how many are in this process.

It is a fund of which nothing is ever spent: this process claims places in it, and gives back those that it does not use.
"""

from billing.limits import Subject
from billing.rates import share_of
from smartrouter.lib.counters.claims import RECALLED_S, Ask, Fund, Given, State

KEEP_S = 600.0
# What is as it was told before is told again so rarely, so that a store that was emptied learns of it.
TOLD_EVERY_S = 5.0
PLACES_AHEAD = 2


class Places:
    """claim: the places that this process has; as many as are under way at least, but for what it allowed by itself while
    the store was away (is_closed: or does not give any yet)."""

    __slots__ = (
        "_fund",
        "_quiet_until",
        "_told",
        "_told_at",
        "claim",
        "is_active",
        "is_closed",
        "is_final",
        "limit",
        "name",
        "refused",
        "subject",
        "under_way",
        "used_at",
        "waiting",
    )

    def __init__(self, subject: Subject, limit: int) -> None:
        self.name = f"{subject.key}|parallel"
        self.set_limit(subject, limit)
        self.under_way = self.claim = self.waiting = 0
        self.used_at = self._told_at = self._quiet_until = float("-inf")
        self.is_active = self.is_closed = self.is_final = False
        self.refused = 0
        self._told = (0, 0)

    def set_limit(self, subject: Subject, limit: int) -> None:
        """Of now on."""
        self.subject = subject
        self.limit = limit
        self._fund = Fund(self.name, limit, 0, KEEP_S, needs_seed=False)

    def can_begin(self, processes: int) -> bool:
        """Whether a place is free here. processes: how many share while the store gives none."""
        if self.is_closed:
            return self.can_begin_alone(processes)
        return self.under_way < self.claim

    def can_begin_alone(self, processes: int) -> bool:
        """Whether it is within this process's share."""
        return self.under_way < share_of(self.limit, processes)

    def begin(self, now: float) -> None:
        """One more."""
        self.under_way += 1
        self.used_at = now

    def end(self, now: float) -> None:
        """One less."""
        self.under_way -= 1
        self.used_at = now

    @property
    def idle(self) -> int:
        """The places that nobody uses."""
        return max(0, self.claim - self.under_way)

    def is_due(self, now: float) -> bool:
        """Whether the store does not know how it stands, or may have forgotten."""
        is_late = now - self._told_at > TOLD_EVERY_S
        return self.is_closed or self._told != (self.under_way, self.claim) or (is_late and self.claim > 0)

    def ahead(self, others: int, now: float) -> int:
        """What it would like on top: for the others that wait here, and a few; nothing while other processes want it."""
        return 0 if now < self._quiet_until else max(others + PLACES_AHEAD, self.idle)

    def quieten(self, now: float) -> None:
        """Take nothing ahead for a while."""
        self._quiet_until = now + RECALLED_S

    def doubt(self) -> None:
        """The store may have forgotten it."""
        self._told_at = float("-inf")

    def ask(self, need: int, like: int) -> Ask:
        """What to send. Until the answer is there, only the places that are in use may be used."""
        self.claim = self.under_way
        return Ask(self._fund, 0, self.under_way, need, 0, like)

    def note(self, given: Given, need: int, now: float) -> None:
        """The store's answer."""
        self.claim = given.claim
        self.is_closed = given.state is not State.OPEN
        self.refused = 0 if given.got or self.is_closed else need
        self.is_final = given.is_final
        self._told = (self.under_way, self.claim)
        self._told_at = now
