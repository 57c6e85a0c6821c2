"""Hot path. The budgets of the RoutingTable, by whom they are for."""

from collections import defaultdict

from billing.scopes import Limit, scope_key
from routing.rows import BudgetRow, ScopeRow

# How a scope is found that its owner points to.
OF_GROUP = "scope"


class Budgets:
    """Budgets by the key of their scope (billing.scopes); a group's by "scope:<ref of its scope>". version: of all of it."""

    def __init__(self) -> None:
        self.version = 0
        self._scopes: dict[int, str] = {}
        self._rows: dict[int, dict[int, BudgetRow]] = defaultdict(dict)
        self._with_end_users: dict[int, set[int]] = defaultdict(set)
        self._limits: dict[str, tuple[Limit, ...]] = {}

    def of(self, key: str) -> tuple[Limit, ...]:
        """The budgets of a scope."""
        return self._limits.get(key, ())

    def limit_money(self, scope: int | None) -> bool:
        """Whether a group's scope has a budget in money."""
        limits = () if scope is None else self.of(scope_key(OF_GROUP, scope))
        return any(limit.unit == "usd" and limit.limit is not None for limit in limits)

    def has_end_users(self, tenant: int) -> bool:
        """Whether a tenant has budgets for its end users, all or some."""
        return tenant in self._with_end_users

    def put_scope(self, row: ScopeRow) -> None:
        key = scope_key(OF_GROUP, row.ref) if row.of is None else scope_key(row.kind, row.of, row.end_user)
        self._scopes[row.ref] = key
        if row.end_user and row.of is not None:
            self._with_end_users[row.of].add(row.ref)
        self._renew(row.ref)

    def remove_scope(self, row: ScopeRow) -> None:
        key = self._scopes.pop(row.ref, None)
        if row.of in self._with_end_users:
            self._with_end_users[row.of].discard(row.ref)
            if not self._with_end_users[row.of]:
                del self._with_end_users[row.of]
        if key is not None:
            self._limits.pop(key, None)
        self.version += 1

    def put(self, row: BudgetRow) -> None:
        self._rows[row.scope][row.ref] = row
        self._renew(row.scope)

    def remove(self, row: BudgetRow) -> None:
        self._rows[row.scope].pop(row.ref, None)
        self._renew(row.scope)

    def _renew(self, scope: int) -> None:
        """Rows may come before their scope, and go after it."""
        self.version += 1
        key = self._scopes.get(scope)
        if key is not None:
            rows = self._rows[scope].values()
            self._limits[key] = tuple(
                Limit(row.unit, row.window, row.limit, row.soft_limit, row.counted_ms) for row in rows
            )
