"""Hot path. Who may serve a request at all, and why the others may not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from channels.records import Candidate
from providers.capabilities import names_of
from routing.asking import Ask
from routing.joining import OWN_NAME
from routing.rank import Live
from routing.rows import GroupRow, fits


class Reason(Enum):
    """Why a candidate takes no part. FOREIGN is never told: its channel belongs to another tenant."""

    FOREIGN = "foreign"
    INACTIVE = "inactive"
    PROBLEM = "problem"
    DENIED = "denied"
    PROVIDER = "provider"
    COST = "max_cost_per_1k"
    MIN_CONTEXT = "min_context_length"
    ABILITIES = "capabilities"
    KIND = "provider_kinds"
    REGION = "regions"
    CAPABILITY = "lacks_capability"
    NOT_KNOWN = "capability_not_known"
    CONTEXT = "context_too_small"
    QUOTA = "daily_limit"
    UNPRICED = "price_not_known"
    REPEATED = "repeated"


REASON_LABELS: Mapping[Reason, Promise] = {
    Reason.INACTIVE: gettext_lazy("switched off"),
    Reason.PROBLEM: gettext_lazy("its channel cannot be used"),
    Reason.DENIED: gettext_lazy("denied to this key"),
    Reason.PROVIDER: gettext_lazy("another provider is asked for"),
    Reason.COST: gettext_lazy("dearer than the group's filter allows, or of unknown price"),
    Reason.MIN_CONTEXT: gettext_lazy("its context is shorter than the group's filter asks"),
    Reason.ABILITIES: gettext_lazy("it is not known to have what the group's filter asks"),
    Reason.KIND: gettext_lazy("its kind of provider is not among the group's"),
    Reason.REGION: gettext_lazy("its region is not among the group's"),
    Reason.CAPABILITY: gettext_lazy("it cannot do what the request needs"),
    Reason.NOT_KNOWN: gettext_lazy("it is not known whether it can do what the request needs; others can"),
    Reason.CONTEXT: gettext_lazy("the request is longer than its context"),
    Reason.QUOTA: gettext_lazy("its daily limit is used up"),
    Reason.UNPRICED: gettext_lazy("its price is not known, and a budget is to be kept"),
    Reason.REPEATED: gettext_lazy("it stands further up already"),
}
OF_THE_FILTERS = frozenset((Reason.COST, Reason.MIN_CONTEXT, Reason.ABILITIES, Reason.KIND, Reason.REGION))


@dataclass(frozen=True, slots=True)
class Excluded:
    """A candidate that takes no part. lacking: the capabilities that it lacks."""

    candidate: Candidate
    reason: Reason
    lacking: tuple[str, ...] = ()


@dataclass(slots=True)
class Gate:
    """What a candidate has to pass. owners: refs of the tenants whose channels the caller may use.

    denied: patterns of the key. filters: the group's, None for a plain name. provider: the only one, empty for any.
    needs_price: whether a budget or a highest cost is to be kept.
    """

    ask: Ask
    live: Live
    owners: frozenset[int]
    denied: tuple[str, ...]
    filters: GroupRow | None
    provider: str = ""
    needs_price: bool = False
    # Worked out once for all candidates.
    tokens: int = field(init=False)
    needs: int = field(init=False)
    has_rules: bool = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.needs = self.ask.context_tokens, self.ask.needs
        self.has_rules = bool(self.denied or self.provider)

    def reason_against(self, candidate: Candidate) -> Reason | None:
        """Why the candidate takes no part; None: it does. NOT_KNOWN is for the caller to weigh."""
        if self.is_foreign(candidate):
            return Reason.FOREIGN
        return lasting_reason(candidate, self.filters) or self.reason_now(candidate)

    def is_foreign(self, candidate: Candidate) -> bool:
        """Whether it belongs to a tenant whose channels the caller may not use."""
        owner = candidate.channel.owner
        return owner is not None and owner not in self.owners

    def reason_now(self, candidate: Candidate) -> Reason | None:
        """Why one that may serve others cannot serve this request."""
        channel = candidate.channel
        if not channel.is_active:  # switched off a moment ago
            return Reason.INACTIVE
        if self.has_rules:
            if is_denied(candidate, self.denied):
                return Reason.DENIED
            if self.provider and channel.provider != self.provider:
                return Reason.PROVIDER
        context = candidate.context_length
        if context is not None and self.tokens > context:
            return Reason.CONTEXT
        limit = candidate.daily_limit
        if limit is not None and self.live.used_today(candidate.ref) >= limit:
            return Reason.QUOTA
        if self.needs_price and candidate.price is None:
            return Reason.UNPRICED
        if self.needs:
            if candidate.capabilities is None:
                return Reason.NOT_KNOWN
            if self.needs & ~candidate.capabilities:
                return Reason.CAPABILITY
        return None

    def excluded(self, candidate: Candidate, reason: Reason) -> Excluded:
        """The exclusion with its details."""
        lacking: tuple[str, ...] = ()
        if reason is Reason.CAPABILITY:
            lacking = names_of(self.ask.needs & ~(candidate.capabilities or 0))
        return Excluded(candidate, reason, lacking)


class Standing(NamedTuple):
    """Those of a pool who may serve somebody, and the others with what stands against them for everybody."""

    open: tuple[Candidate, ...]
    closed: tuple[Excluded, ...]


def standing_of(candidates: Iterable[Candidate], filters: GroupRow | None) -> Standing:
    """What does not depend on the request: as long as the candidates stay the same, so does this."""
    reasons = [(candidate, lasting_reason(candidate, filters)) for candidate in candidates]
    return Standing(
        tuple(candidate for candidate, reason in reasons if reason is None),
        tuple(Excluded(candidate, reason) for candidate, reason in reasons if reason is not None),
    )


def sift(standing: Standing, gate: Gate) -> tuple[list[Candidate], list[Excluded]]:
    """Those who may serve, and the others. Those of whom nothing is known may serve where nobody is known to be able to."""
    able: list[Candidate] = []
    unknown: list[Candidate] = []
    others = [each for each in standing.closed if not gate.is_foreign(each.candidate)]
    owners, reason_now = gate.owners, gate.reason_now
    for candidate in standing.open:
        owner = candidate.channel.owner
        if owner is not None and owner not in owners:
            continue
        reason = reason_now(candidate)
        if reason is None:
            able.append(candidate)
        elif reason is Reason.NOT_KNOWN:
            unknown.append(candidate)
        else:
            others.append(gate.excluded(candidate, reason))
    if unknown:
        if not able:
            return unknown, others
        others += [Excluded(candidate, Reason.NOT_KNOWN) for candidate in unknown]
    return able, others


def lasting_reason(candidate: Candidate, filters: GroupRow | None) -> Reason | None:
    """What stands against a candidate whoever asks for whatever; filters: the group's, None for a plain name."""
    if not (candidate.is_active and candidate.channel.is_active):
        return Reason.INACTIVE
    if candidate.channel.problem:
        return Reason.PROBLEM
    return None if filters is None else reason_of_filters(candidate, filters)


def reason_of_filters(candidate: Candidate, group: GroupRow) -> Reason | None:
    """Why a group's filters keep the candidate out; None: they let it in.

    An unknown price or capability does not pass; an unknown context length does, for most that are not told are long enough.
    """
    most = group.max_cost_per_1k
    if most is not None:
        price = candidate.price
        if price is None or price.per_1k > most or (most == 0 and not price.is_free):
            return Reason.COST
    context = candidate.context_length
    if context is not None and group.min_context_length and context < group.min_context_length:
        return Reason.MIN_CONTEXT
    if group.capabilities & ~(candidate.capabilities or 0):
        return Reason.ABILITIES
    if group.kinds and candidate.channel.kind not in group.kinds:
        return Reason.KIND
    if group.regions and candidate.channel.region not in group.regions:
        return Reason.REGION
    return None


def is_denied(candidate: Candidate, patterns: Iterable[str]) -> bool:
    """Whether a deny list has one of the candidate's names, with or without its provider before it."""
    provider = candidate.channel.provider
    names = {candidate.model, *(name for name in candidate.names if not name.startswith(OWN_NAME))}
    names |= {f"{provider}/{name}" for name in names}
    return any(fits(pattern, name) for pattern in patterns for name in names)
