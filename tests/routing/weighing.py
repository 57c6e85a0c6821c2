"""Candidates and live numbers for tests of what is pure: filters, scores, orders."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from channels.records import Candidate
from providers.price_facts import PriceFacts
from routing.asking import Ask
from routing.eligible import Gate
from routing.joining import join_channel
from tests.routing import tables as t

ONE = Candidate(
    ref=1, channel=join_channel(t.channel(1, 1), t.provider(1), ()), name="o1", names=("o1",), model="m1", is_active=True,
    priority=1, weight=1.0,
)  # fmt: skip
ASK = Ask(needs=0, prompt_tokens=1000, output_tokens=500, is_streamed=False, at_ms=1_780_000_000_000)


@dataclass
class Numbers:
    """Live signals as a table: by channel for what is in flight, else by candidate."""

    flying: dict[int, int] = field(default_factory=dict)
    response: dict[int, float] = field(default_factory=dict)
    answer: dict[int, float] = field(default_factory=dict)
    good: dict[int, float] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)

    def in_flight(self, channel_ref: int) -> int:
        return self.flying.get(channel_ref, 0)

    def response_ms(self, ref: int, is_streamed: bool) -> float | None:
        return self.response.get(ref)

    def answer_s(self, ref: int) -> float | None:
        return self.answer.get(ref)

    def reliability(self, ref: int) -> float | None:
        return self.good.get(ref)

    def used_today(self, ref: int) -> int:
        return self.used.get(ref, 0)

    def known(self) -> Collection[int]:
        return self.response.keys() | self.answer.keys() | self.good.keys()


def price(usd_per_mtok: float, output: float | None = None) -> PriceFacts:
    """A price per million tokens, the same for input and output unless told."""
    output = usd_per_mtok if output is None else output
    return PriceFacts(
        (usd_per_mtok / 1e6, output / 1e6, 0.0), max(usd_per_mtok, output) / 1000, usd_per_mtok == output == 0
    )


def candidate(ref: int, **more: Any) -> Candidate:
    """A candidate on a channel of its own with the same number; `kind`, `provider`, `region`, `owner`, `problem` and
    `channel_active` are its channel's."""
    about = {name: more.pop(name) for name in ("kind", "provider", "region", "owner", "problem") if name in more}
    if "channel_active" in more:
        about["is_active"] = more.pop("channel_active")
    channel = replace(ONE.channel, ref=ref, name=f"c{ref}", **about)
    return replace(ONE, **{"ref": ref, "channel": channel, "position": ref, "price": price(1.0)} | more)


def gate(**more: Any) -> Gate:
    """A gate that lets everything through that can be used at all."""
    base: dict[str, Any] = {"ask": ASK, "live": Numbers(), "owners": frozenset(), "denied": (), "filters": None}
    return Gate(**base | more)
