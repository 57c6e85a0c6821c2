"""A member whose daily limit is used up: the next one takes over, and at the first one's next midnight it returns."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

from billing.quota import QuotaCounts
from providers.price_facts import PriceFacts
from routing.asking import Ask
from routing.choosing import Choices
from routing.pools import Pool
from routing.resolve import Caller, Stage
from routing.signals import Signals
from routing.strategies import Layer, strategy_of
from smartrouter.lib.clock import mint_hex7
from smartrouter.lib.counters.memory import MemoryStore
from tests.routing import tables as t
from tests.routing.signal_bench import NoRows
from tests.routing.weighing import candidate

FREE = PriceFacts((0.0, 0.0, 0.0), 0.0, True)
# The design's auto:free.
LAYERS = (Layer("effective_cost", "asc", 1.0), Layer("speed_score", "desc", 0.9), Layer("quota_remaining", "desc", 0.7))
CALLER = Caller(t.router_key(1, 1), (t.tenant(1),))


def test_the_first_returns_on_its_next_local_day() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    signals = Signals(QuotaCounts(MemoryStore(), NoRows, clock_ms=lambda: int(now.timestamp() * 1000)))
    first = candidate(1, priority=1, weight=1.5, daily_limit=3, price=FREE)
    first = replace(first, channel=replace(first.channel, zone=ZoneInfo("Asia/Shanghai")))
    second = candidate(2, priority=2, weight=1.0, daily_limit=1000, price=FREE)
    strategy = strategy_of("", LAYERS)
    assert strategy is not None
    group = t.group(1, name="auto:free", max_cost_per_1k=0.0)

    def served() -> int:
        at_ms = int(now.timestamp() * 1000)
        stage = Stage("auto:free", group, Pool.of([first, second]), strategy, group)
        chosen = Choices((stage,), CALLER, Ask(0, 100, None, False, at_ms), signals, Random(1), {}).take(3)
        assert chosen is not None
        signals.begin(chosen, mint_hex7(at_ms), is_streamed=False).left()
        return chosen.ref

    at_noon = [served() for _request in range(5)]
    now = datetime(2026, 11, 21, 15, 59, 59, tzinfo=UTC)  # a second before midnight in Shanghai
    before_midnight = [served() for _request in range(2)]
    now = datetime(2026, 11, 21, 16, 0, 0, tzinfo=UTC)
    after_midnight = [served() for _request in range(4)]

    assert at_noon == [1, 1, 1, 2, 2]
    assert before_midnight == [2, 2]
    assert after_midnight == [1, 1, 1, 2]
