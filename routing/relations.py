"""Hot path. Which rows hang on which: a row's children, and the offerings whose candidate is made from it."""

from collections import defaultdict
from collections.abc import Callable, Set
from typing import Any

KEYS, OFFERINGS, OWN_PRICES, LIST_PRICES = "keys", "offerings", "own prices", "list prices"
CHANNELS_OF_PROVIDER, OFFERINGS_OF_MODEL, MEMBERS = "channels of provider", "offerings of model", "members"
POLICIES = "time policies"
# For each model: under which parents its rows are found.
_PARENTS: dict[str, Callable[[Any], tuple[tuple[str, int], ...]]] = {
    "channels.channel": lambda row: ((CHANNELS_OF_PROVIDER, row.provider),),
    "channels.channelkey": lambda row: ((KEYS, row.channel),),
    "channels.offering": lambda row: ((OFFERINGS, row.channel), (OFFERINGS_OF_MODEL, row.model)),
    "channels.offeringprice": lambda row: ((OWN_PRICES, row.parent),),
    "providers.modelprice": lambda row: ((LIST_PRICES, row.parent),),
    "routing.groupmember": lambda row: ((MEMBERS, row.group),),
    "routing.timepolicy": lambda row: ((POLICIES, row.group),),
}


class Relations:
    """The children of each row, by their refs."""

    def __init__(self) -> None:
        # (which children, parent's ref) -> their refs
        self._children: dict[tuple[str, int], set[int]] = defaultdict(set)

    def link(self, label: str, row: Any) -> None:
        for parent in _PARENTS.get(label, lambda row: ())(row):
            self._children[parent].add(row.ref)

    def unlink(self, label: str, row: Any) -> None:
        for parent in _PARENTS.get(label, lambda row: ())(row):
            self._children[parent].discard(row.ref)

    def of(self, which: str, parent: int) -> Set[int]:
        """The children of a row."""
        return self._children.get((which, parent), frozenset())

    def channels_of(self, label: str, row: Any) -> Set[int]:
        """The channels whose record is made from this row."""
        match label:
            case "channels.channel":
                return {row.ref}
            case "channels.channelkey":
                return {row.channel}
            case "providers.provider":
                return self.of(CHANNELS_OF_PROVIDER, row.ref)
        return frozenset()

    def offerings_of(self, label: str, row: Any) -> Set[int]:
        """The offerings whose candidate is made from this row."""
        match label:
            case "channels.offering":
                return {row.ref}
            case "channels.offeringprice":
                return {row.parent}
            case "providers.providermodel":
                return self.of(OFFERINGS_OF_MODEL, row.ref)
            case "providers.modelprice":
                return self.of(OFFERINGS_OF_MODEL, row.parent)
        return {ref for channel in self.channels_of(label, row) for ref in self.of(OFFERINGS, channel)}
