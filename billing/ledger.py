"""Hot path. The ledger: holds what a request may cost in every scope that pays, and settles what it has cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from billing.scopes import Amounts, Limit, Scope


@dataclass(frozen=True, slots=True)
class Refusal:
    """Whose budget does not allow a request.

    resets_ms: when its window begins anew; None: never. left: what is neither spent nor held, in the limit's unit.
    is_known False: that cannot be said now (the store is away, or the records are still to be read): 503, and try again.
    """

    scope: Scope
    limit: Limit
    resets_ms: int | None
    left: int
    is_known: bool = True


class BudgetRefused(Exception):
    """The request must not be sent."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.scope.key)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Standing:
    """How one budget stands. spent: by all, as last heard; None: not known. resets_ms: None: never.

    held: by requests here, and by other processes for theirs, under way or to come.
    """

    scope: Scope
    limit: Limit
    spent: int | None
    held: int
    resets_ms: int | None


class CurrentBudgets(Protocol):
    """The budgets as they are configured now. version: changes with any of them."""

    @property
    def version(self) -> int: ...

    def limits_of(self, key: str) -> tuple[Limit, ...]:
        """The budgets of a scope, by its key."""
        ...


class Hold(Protocol):
    """What one request (or one attempt, for its channel) holds. All calls on the event loop; none waits or fails."""

    held: Amounts  # less than what was asked for where the request made do with less

    @property
    def days(self) -> tuple[tuple[str, int], ...]:
        """The scopes' keys, each with its local day (date.toordinal()) of the admission: for the spool."""
        ...

    def settle(self, used: Amounts) -> None:
        """What it has come to; what was held is free again. Absolute: of several calls the last one counts."""
        ...

    def release(self) -> None:
        """Nothing was sent for it: nothing is counted. After a settlement it does nothing."""
        ...


class Ledger(Protocol):
    """The budgets of this process's requests, and what each scope has used, budget or not. at_ms: the admission, which
    decides on the windows."""

    def try_hold(self, scopes: Sequence[Scope], worst: Amounts, at_ms: int) -> Hold | None:
        """The hold, if what this process has claimed is enough for it; else ask with hold()."""
        ...

    async def hold(self, scopes: Sequence[Scope], worst: Amounts, at_ms: int, *, least: Amounts | None = None) -> Hold:
        """The hold, also of less than the worst case down to least. Raises BudgetRefused, decided centrally."""
        ...

    async def raise_to(self, hold: Hold, worst: Amounts) -> bool:
        """Whether the hold is at least so large now."""
        ...

    async def standings(self, scopes: Sequence[Scope], at_ms: int) -> list[Standing]:
        """How every budget of these scopes stands."""
        ...
