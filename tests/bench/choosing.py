"""Worker side. What choosing costs in a large table, in memory and without a database: `python -m tests.bench.choosing`."""

import asyncio
import gc
import os
import resource
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from random import Random
from time import process_time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")

from providers.prices import Rates  # (the rooms need Django's settings)
from routing.asking import Ask
from routing.choosing import Choices
from routing.orders import NothingKnown
from routing.resolve import Caller, Stage
from routing.strategies import PRESETS, Strategy
from routing.table import RoutingTable
from smartrouter.lib.clock import now_ms
from tests.bench.large_table import rows

REPEATS = 200
TAG = frozenset({"wide"})


def memory_mb() -> float:
    """What this process holds now, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def cost_ms(act: Callable[[], Any], repeats: int = REPEATS) -> float:
    """CPU milliseconds of one call, on average."""
    began = process_time()
    for _ in range(repeats):
        act()
    return (process_time() - began) * 1000 / repeats


async def change_ms(table: RoutingTable, acts: Iterable[Callable[[], Any]]) -> tuple[float, float, float, float]:
    """CPU milliseconds of changes on an event loop: median, longest; of the work behind them, the longest slice and all."""
    took, slices, behind = [], [0.0], [0.0]
    for act in acts:
        began = process_time()
        act()
        took.append((process_time() - began) * 1000)
        used = process_time()
        while not table._backlog.is_empty:
            began = process_time()
            await asyncio.sleep(0)
            slices.append((process_time() - began) * 1000)
        behind.append((process_time() - used) * 1000)
    return sorted(took)[len(took) // 2], max(took), max(slices), max(behind)


def build() -> RoutingTable:
    """The table with all rows; prints what it took."""
    made = list(rows())
    gc.collect()
    before_mb, began = memory_mb(), process_time()
    table = RoutingTable()
    for label, row in made:
        table.put(label, row.ref, row)
    print(f"build: {process_time() - began:.2f} s CPU for {len(made):,} rows, {len(table.candidates):,} candidates")
    gc.collect()
    print(f"memory: {memory_mb() - before_mb:.0f} MiB beside the rows themselves ({before_mb:.0f} MiB with Python)")
    return table


def measure_reading(table: RoutingTable) -> None:
    """Prints what asking for pools costs."""
    small = next(g for g in table.groups_by_name.values() if not g.selects)
    large = next(g for g in table.groups_by_name.values() if g.selects)
    print(f"pool of a group with {table.pool_of(small).size} members: {cost_ms(lambda: table.pool_of(small)):.4f} ms")
    print(f"pool of a group with {table.pool_of(large).size} selected: {cost_ms(lambda: table.pool_of(large)):.4f} ms")
    for name in ("cost_first", "balanced", "auto", "quality_optimized"):
        strategy = PRESETS[name]

        def first_ten(strategy: Strategy = strategy) -> list[Any]:
            return list(islice(table.tagged(TAG).best_first(strategy), 10))

        def all_of_them(strategy: Strategy = strategy) -> list[Any]:
            return list(table.tagged(TAG).best_first(strategy))

        cold = cost_ms(first_ten, 1)
        table._all.selections._queries.clear()
        again = cost_ms(first_ten, 1)
        print(
            f"first ten of {table.tagged(TAG).size} with a tag, {name}: with the order made {cold:.1f} ms, query new "
            f"{again:.2f} ms, warm {cost_ms(first_ten):.4f} ms; all of them {cost_ms(all_of_them, 3):.1f} ms"
        )


def measure_choosing(table: RoutingTable) -> None:
    """Prints what it costs to choose the first candidate: of one, of a group with 20 members, of a large tag query."""
    key = next(iter(table.rows["accounts.routerkey"].values()))
    caller = Caller(key, table.chain_of(key.tenant))
    signals, chance = NothingKnown(), Random(1)
    small = next(g for g in table.groups_by_name.values() if not g.selects)
    ask = Ask(needs=0, prompt_tokens=1000, output_tokens=None, is_streamed=True, at_ms=now_ms())

    def first_of(stage: Stage) -> Callable[[], Any]:
        return lambda: Choices((stage,), caller, ask, signals, chance, {}).take(3)

    one = first_of(Stage("one", None, table.pool(list(table.pool_of(small))[:1]), PRESETS["auto"]))
    empty_ms = cost_ms(one, 2000)
    print(f"choosing of one: {empty_ms:.4f} ms")
    for name in ("auto", "cost_first", "balanced", "hybrid", "least_connections"):
        group = first_of(Stage(small.name, small, table.pool_of(small), PRESETS[name], small))
        tag = first_of(Stage("tag:wide", None, table.tagged(TAG), PRESETS[name]))
        tag()  # makes the strategy's order
        print(
            f"{name}: of a group with {table.pool_of(small).size} members {cost_ms(group, 2000) - empty_ms:.4f} ms more; "
            f"of {table.tagged(TAG).size} with a tag {cost_ms(tag) - empty_ms:.4f} ms more"
        )


async def measure_changing(table: RoutingTable) -> None:
    """Prints what the change of one row costs, everything being warm; the orders' own work included."""

    def change(label: str, ref: int, **more: Any) -> Callable[[], None]:
        return lambda: table.put(label, ref, replace(table.rows[label][ref], **more))

    other = Rates(input=Decimal("0.01"), output=Decimal("0.02"))
    changes = {
        "a router key": [change("accounts.routerkey", ref, is_active=False) for ref in range(1, 50)],
        "a price": [change("providers.modelprice", ref, rates=other) for ref in range(1, 50)],
        "an offering": [change("channels.offering", ref, aliases=("other",)) for ref in range(1, 50)],
        "a channel's weight": [change("channels.channel", ref, weight=2.0) for ref in range(1, 50)],
        "a channel key": [change("channels.channelkey", ref, is_active=True) for ref in range(1, 50)],
        "a member": [change("routing.groupmember", 30 + ref, weight=2.0) for ref in range(1, 50)],
        "a group's filter": [change("routing.modelgroup", ref, max_cost_per_1k=0.003) for ref in range(1, 10)],
        "a provider": [change("providers.provider", ref, region="eu") for ref in range(1, 5)],
        "an exchange rate": [change("providers.exchangerate", 1, usd=Decimal("0.13"))],
    }
    for what, acts in changes.items():
        median, most, longest, behind = await change_ms(table, acts)
        print(
            f"{what}: median {median:.2f}, longest {most:.2f}, slice behind {longest:.2f}, all behind {behind:.1f} ms"
        )


def main() -> None:
    """Print all figures."""
    table = build()
    gc.freeze()
    measure_reading(table)
    measure_choosing(table)
    asyncio.run(measure_changing(table))


if __name__ == "__main__":
    main()
