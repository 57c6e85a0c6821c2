"""Hot path. One request of a client on its way: what was asked, who asks, what was tried."""

from dataclasses import dataclass, field
from typing import Any

from billing.attempts import AttemptAccount, RequestFacts
from billing.ledger import Hold
from billing.limits import Admission
from billing.scopes import Amounts
from billing.worst_case import Bound
from channels.upstream import EventStream
from routing.choosing import Choices
from routing.payers import Payers
from routing.plane import Plane
from routing.resolve import Caller
from routing.signals import Flight
from smartrouter.lib.counters.keeper import Noted
from smartrouter.lib.errors import RouterError


@dataclass(slots=True)
class Call:
    """A request that was parsed, authenticated and resolved.

    began, attempt_began: seconds on the event loop's clock, for deadlines; coarse. began_exactly and upstream_s (of it spent
    waiting for upstreams): seconds on the performance counter. end_reason: what a cancellation means: drained, unless
    client_gone was set just before it.
    """

    plane: Plane
    caller: Caller
    facts: RequestFacts
    body: dict[str, Any]
    choices: Choices
    began: float
    began_exactly: float
    wants_usage: bool = False
    attempts: int = 0
    upstream_s: float = 0.0
    end_reason: str = "drained"
    has_left: bool = False
    attempt_began: float = 0.0
    account: AttemptAccount | None = None
    flight: Flight | None = None  # the attempt of this account, as the live signals see it
    in_session: Noted | None = None  # its charge, on its way into its session
    # who pays, and what is held of theirs
    payers: Payers = field(default_factory=lambda: Payers(()))
    hold: Hold | None = None
    group_holds: dict[int, Hold] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)  # all of them, to be given back at the end
    bound: Bound | None = None  # what it may come to, as it was last weighed
    refused: tuple[Amounts, RouterError] | None = None  # with what the caller's budgets would not have made do
    refusals: int = 0
    admission: Admission | None = None
    log: dict[str, Any] = field(default_factory=dict)
    traces: dict[int, dict[str, Any]] = field(default_factory=dict)  # how its candidates were chosen, by stage

    @property
    def is_streamed(self) -> bool:
        return self.facts.is_streamed


@dataclass(slots=True)
class Answer:
    """The attempt that answered. A stream: its events up to the first content, whose index is `first`. Plain: the object."""

    account: AttemptAccount
    stream: EventStream | None = None
    events: list[bytes] = field(default_factory=list)
    first: int = 0
    doc: dict[str, Any] = field(default_factory=dict)
