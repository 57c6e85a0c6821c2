"""Hot path. What one request holds of the budgets of its scopes, and what it has come to in the end."""

from collections.abc import Sequence

from billing.funds import Allotment, Needs, amounts_of, needs_of
from billing.scopes import Amounts, Scope
from billing.tallies import Page

NOTHING: Needs = (0, 0, 0)


class BudgetHold:
    """A hold of this process's ledger. active: where allotments are noted of which the store has to be told."""

    __slots__ = (
        "_active",
        "_is_settled",
        "_money",
        "_pages",
        "_requests",
        "_tokens",
        "allotments",
        "held",
        "is_open",
        "scopes",
        "taken",
    )

    def __init__(
        self,
        pages: Sequence[Page],
        held: Amounts,
        scopes: Sequence[Scope] = (),
        allotments: Sequence[Allotment] = (),
        active: set[Allotment] | None = None,
    ) -> None:
        self.held = held
        self.scopes = scopes
        self.allotments = allotments
        self.taken = NOTHING  # what the allotments have of it
        self.is_open = True
        self._pages = pages
        self._active = active
        self._money = self._requests = self._tokens = 0
        self._is_settled = False
        for page in pages:
            page.holds[0] += 1

    @property
    def days(self) -> tuple[tuple[str, int], ...]:
        """The scopes' keys, each with its local day (date.toordinal()) of the admission."""
        return tuple([(page.key, page.day.ordinal) for page in self._pages])

    def take_at_once(self, needs: Needs) -> None:
        """Hold what it was made for; the first time only."""
        self.taken = needs
        for allotment in self.allotments:
            allotment.held += needs[allotment.unit]
        self._note()

    def take(self, more: Needs) -> None:
        """Hold so much more, and say so."""
        money, requests, tokens = self.taken
        self.taken = money + more[0], requests + more[1], tokens + more[2]
        self.held = amounts_of(self.taken)
        for allotment in self.allotments:
            allotment.held += more[allotment.unit]
        self._note()

    def lacks(self, worst: Amounts) -> Needs:
        """How much larger it would have to be."""
        taken, needs = self.taken if self.allotments else needs_of(self.held), needs_of(worst)
        return max(0, needs[0] - taken[0]), max(0, needs[1] - taken[1]), max(0, needs[2] - taken[2])

    def settle(self, used: Amounts) -> None:
        """What it has come to; what was held is free again. Absolute: of several calls the last one counts."""
        money, requests, tokens = (
            used.money_nusd - self._money,
            used.requests - self._requests,
            used.tokens - self._tokens,
        )
        self._money, self._requests, self._tokens = used.money_nusd, used.requests, used.tokens
        for page in self._pages:
            for sums in page.sums:
                sums[0] += money
                sums[1] += requests
                sums[2] += tokens
        self._is_settled = True
        self._free()

    def release(self) -> None:
        """Nothing was sent for it: nothing is counted. After a settlement it does nothing."""
        if not self._is_settled:
            self._free()

    def _free(self) -> None:
        if self.allotments:
            if self.is_open:
                taken = self.taken
                for allotment in self.allotments:
                    allotment.held -= taken[allotment.unit]
            self._note()
        if self.is_open:
            for page in self._pages:
                page.holds[0] -= 1
        self.is_open = False

    def _note(self) -> None:
        if self._active is not None:
            self._active.update(self.allotments)
