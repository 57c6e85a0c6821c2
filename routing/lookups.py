"""Hot path. What the RoutingTable finds rows by, beside their ids: digests, names, patterns, currencies, budgets' owners."""

from collections.abc import Callable
from typing import Any

from routing import rows as r
from routing.budget_index import Budgets
from routing.indexes import Policies, RuleIndex
from routing.strategies import Strategy, strategy_of


class Lookups:
    """Kept true row by row. policies_of: the rows of a group's time policies as they are now."""

    def __init__(self, policies_of: Callable[[int], list[Any]]) -> None:
        self._policies_of = policies_of
        self.keys_by_digest: dict[str, r.RouterKeyRow] = {}
        self.groups_by_name: dict[str, r.GroupRow] = {}
        self.group_strategies: dict[int, Strategy | None] = {}
        self.policies: dict[int, Policies] = {}
        self.rules = RuleIndex()
        self.provider_names: dict[str, int] = {}
        self.channel_names: dict[str, int] = {}
        self.exchange: dict[str, tuple[r.ExchangeRateRow, ...]] = {}
        self.budgets = Budgets()

    def link(self, label: str, row: Any) -> None:
        match label:
            case "accounts.routerkey":
                self.keys_by_digest[row.digest] = row
                if row.previous_digest:
                    self.keys_by_digest.setdefault(row.previous_digest, row)
            case "billing.budgetscope":
                self.budgets.put_scope(row)
            case "billing.budget":
                self.budgets.put(row)
            case "routing.modelgroup":
                self.groups_by_name[row.name] = row
                self.group_strategies[row.ref] = strategy_of(row.strategy, row.layers)
            case "routing.timepolicy":
                self.policies[row.group] = Policies(self._policies_of(row.group))
            case "routing.strategyrule":
                self.rules.put(row)
            case "providers.provider":
                self.provider_names[row.name] = row.ref
            case "channels.channel":
                self.channel_names[row.name] = row.ref
            case "providers.exchangerate":
                self.exchange[row.currency] = (*self.exchange.get(row.currency, ()), row)

    def unlink(self, label: str, row: Any) -> None:
        match label:
            case "accounts.routerkey":
                _forget(self.keys_by_digest, row.digest, row)
                if row.previous_digest:
                    _forget(self.keys_by_digest, row.previous_digest, row)
            case "billing.budgetscope":
                self.budgets.remove_scope(row)
            case "billing.budget":
                self.budgets.remove(row)
            case "routing.modelgroup":
                _forget(self.groups_by_name, row.name, row)
                self.group_strategies.pop(row.ref, None)
            case "routing.timepolicy":
                self.policies[row.group] = Policies(self._policies_of(row.group))
            case "routing.strategyrule":
                self.rules.remove(row)
            case "providers.provider":
                _forget(self.provider_names, row.name, row.ref)
            case "channels.channel":
                _forget(self.channel_names, row.name, row.ref)
            case "providers.exchangerate":
                self.exchange[row.currency] = tuple(x for x in self.exchange[row.currency] if x is not row)


def _forget(index: dict[str, Any], name: str, entry: Any) -> None:
    """Take an entry out; one that another row has put under the same name meanwhile (two rows swapped names) stays."""
    if index.get(name) == entry:
        del index[name]
