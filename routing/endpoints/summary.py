"""Hot path. What is known of the candidates behind one name, as /v1/models tells it."""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from math import inf
from typing import Any

from channels.records import Candidate
from providers.capabilities import names_of
from smartrouter.lib.money import plain_number

PER_MILLION = 1_000_000
PRICES = ("input", "output", "request")


class Summary:
    """The ranges of what candidates have; what is not known of a candidate is left out."""

    __slots__ = (
        "capabilities",
        "cheapest",
        "count",
        "created_s",
        "dearest",
        "longest",
        "parameters",
        "provider",
        "shortest",
    )

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self.count = 0
        self.created_s = 0
        self.provider = ""  # the first by name
        self.capabilities: int | None = None
        self.shortest: int | None = None
        self.longest: int | None = None
        self.parameters: int | None = None  # the most
        self.cheapest, self.dearest = [inf, inf, inf], [-inf, -inf, -inf]  # of PRICES, USD for a token or a request
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """Take one more into the ranges."""
        provider, context = candidate.channel.provider, candidate.context_length
        if not self.count or provider < self.provider:
            self.provider = provider
        self.count += 1
        self.created_s = max(self.created_s, candidate.created_s)
        if candidate.capabilities is not None:
            self.capabilities = (self.capabilities or 0) | candidate.capabilities
        if context is not None:
            self.shortest = context if self.shortest is None else min(self.shortest, context)
            self.longest = context if self.longest is None else max(self.longest, context)
        if candidate.parameters is not None:
            self.parameters = max(self.parameters or 0, candidate.parameters)
        if candidate.price is not None:
            self._widen(candidate.price.flat)
            for _above, vector in candidate.price.tiers:
                self._widen(vector)

    def _widen(self, vector: tuple[float, float, float]) -> None:
        cheapest, dearest = self.cheapest, self.dearest
        for index, price in enumerate(vector):
            if price < cheapest[index]:
                cheapest[index] = price
            if price > dearest[index]:
                dearest[index] = price

    def entry(self, name: str, kind: str, owner: str = "", *, created_s: int = 0) -> dict[str, Any]:
        """The model object. owner: empty for the first provider by name."""
        entry = {
            "id": name,
            "object": "model",
            "created": created_s or self.created_s,
            "owned_by": owner or self.provider,
            "type": kind,
            "context_length": self.longest,
            "context_length_min": self.shortest,
            "capabilities": None if self.capabilities is None else names_of(self.capabilities),
            "pricing": self._pricing(),
        }
        return entry if self.parameters is None else entry | {"parameters": self.parameters}

    def _pricing(self) -> dict[str, str] | None:
        if self.dearest[0] == -inf:
            return None
        pricing = {"currency": "USD"}
        for name, low, high in zip(PRICES, self.cheapest, self.dearest, strict=True):
            if name == "request":
                if high <= 0:
                    continue
                pricing[name], pricing[f"{name}_max"] = _shown(low), _shown(high)
            else:
                pricing[name], pricing[f"{name}_max"] = _shown(low * PER_MILLION), _shown(high * PER_MILLION)
        return pricing


@lru_cache(maxsize=4096)
def _shown(usd: float) -> str:
    """The amount without exponent; what a float's last bits have added is gone."""
    return plain_number(Decimal(repr(round(usd, 9)))) or "0"
