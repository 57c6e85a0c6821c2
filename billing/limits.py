"""Hot path. Requests and tokens a minute, and requests at a time, of keys, tenants and end users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose requests are counted; key as of a Scope. None: no limit."""

    key: str
    kind: str
    rpm: int | None
    tpm: int | None
    max_parallel: int | None


class RateRefused(Exception):
    """Too much at once. which: requests, tokens or parallel. wait_s: when it may be tried again."""

    def __init__(self, subject: Subject, which: str, limit: int, wait_s: float) -> None:
        super().__init__(f"{subject.key} {which}")
        self.subject = subject
        self.which = which
        self.limit = limit
        self.wait_s = wait_s


class Admission(Protocol):
    """One admitted request. None of the calls waits or fails."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """x-ratelimit-{limit,remaining,reset}-{requests,tokens} of the subject that has least left; none without limits."""
        ...

    def settle(self, tokens: int) -> None:
        """How many tokens it was in the end, in the place of those that were reserved."""
        ...

    def end(self) -> None:
        """It is no longer under way. May be called again."""
        ...

    def withdraw(self) -> None:
        """It was not sent after all and does not count."""
        ...


class Limiter(Protocol):
    """The limits of this process's requests."""

    def try_admit(self, subjects: Sequence[Subject], tokens: int) -> Admission | None:
        """The admission, if this process may give it by itself; else ask with admit(). tokens: to be reserved."""
        ...

    async def admit(self, subjects: Sequence[Subject], tokens: int) -> Admission:
        """The admission. Raises RateRefused, decided centrally."""
        ...
