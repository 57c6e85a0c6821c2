"""What is compared after worlds have paid: rows, their sums, the funds in the store, and what the upstreams wrote down."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.stack import Stack
from tests.stores import IS_SERVER
from tests.survival.budget_worlds import (
    INPUT_NUSD,
    KINDS,
    OUTPUT_NUSD,
    SETTLED_WITHIN_S,
    SMALLEST_WORST_NUSD,
    TABLES,
    Answered,
    World,
)
from tests.survival.traffic import journals, tag_of


@dataclass(frozen=True)
class Fund:
    """What the store has of one budget."""

    used: int
    held: int


def scope_of(stack: Stack, world: World, kind: str) -> str:
    """The key under which a scope of the world is counted."""
    table, column, scope = TABLES[kind]
    (row,) = stack.query(f"SELECT id FROM {table} WHERE {column} = ?", world.name_of(kind))
    return f"{scope}:{row['id']}"


def funds_of(stack: Stack, world: World) -> dict[str, Fund]:
    """Every budget of a world: from Redis; without one, those that /v1/key tells of (of the key and the tenant)."""
    if not IS_SERVER:
        return _told_funds(stack, world)
    import redis

    found: dict[str, Fund] = {}
    with redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        for kind in KINDS:
            for key in client.scan_iter(f"*fund:{scope_of(stack, world, kind)}|*|usd", count=1000):
                used, held = client.hmget(key, "s", "c")  # not a pipeline's answer
                found[kind] = Fund(int(used), int(held))
    return found


def _told_funds(stack: Stack, world: World) -> dict[str, Fund]:
    import urllib.request

    request = urllib.request.Request(f"{stack.url}/v1/key", headers={"Authorization": f"Bearer {world.key}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        budgets = json.load(response)["budgets"]
    found = {}
    for budget in budgets:
        if "used" in budget:
            limit, used, left = (round(budget[name] * 1e9) for name in ("limit", "used", "remaining"))
            found[budget["scope"]] = Fund(used, limit - used - left)
    return found


def settled_funds(stack: Stack, world: World) -> dict[str, Fund]:
    """The budgets, as soon as nothing is held of any."""
    until = time.monotonic() + SETTLED_WITHIN_S
    found = funds_of(stack, world)
    while any(fund.held for fund in found.values()):
        assert time.monotonic() < until, found
        time.sleep(0.2)
        found = funds_of(stack, world)
    assert found.keys() == (set(KINDS) if IS_SERVER else {"router_key", "tenant"}), found
    return found


def price_of(entry: dict[str, Any]) -> int:
    """What an entry of a journal comes to."""
    return int(entry["prompt_tokens"]) * INPUT_NUSD + int(entry["completion_tokens"]) * OUTPUT_NUSD


def check_world(
    stack: Stack,
    world: World,
    rows: Sequence[dict[str, Any]],
    *,
    beyond_nusd: int = 0,
    is_checked_with_limit: bool = True,
) -> int:
    """What the world has spent: within its limits, and the same in its rows, hours, scopes and budgets."""
    own = [row for row in rows if row["tenant"] == world.name]
    charged = sum(row["charge_nusd"] or 0 for row in own if row["is_billable"])
    spent = dict.fromkeys(KINDS, charged) | {
        "group": sum(row["charge_nusd"] or 0 for row in own if row["is_billable"] and row["group"]),
        "channel": sum(row["cost_nusd"] or 0 for row in own),
    }
    hours = stack.query("SELECT SUM(charge_nusd) AS sum FROM billing_usagehour WHERE tenant = ?", world.name)
    assert int(hours[0]["sum"] or 0) == charged
    for kind in KINDS:
        used = stack.query("SELECT SUM(money_nusd) AS sum FROM billing_scopeusage WHERE scope = ?",
                           scope_of(stack, world, kind))  # fmt: skip
        assert int(used[0]["sum"] or 0) == spent[kind], (world, kind)
    funds = settled_funds(stack, world)
    assert {kind: fund.used for kind, fund in funds.items()} == {kind: spent[kind] for kind in funds}, world
    assert spent[world.tight] <= world.limit_nusd, world
    return spent[world.tight]


def check_journal(stack: Stack, rows: Sequence[dict[str, Any]]) -> int:
    """How many rows have a journal's tokens and price: all that ended well, and none else was sent."""
    entries = {entry["attempt_id"]: entry for entry in journals(stack)}
    whole = [row for row in rows if row["status"] == "ok"]
    assert [row for row in whole if row["charge_nusd"] != price_of(entries[tag_of(row)])] == []
    assert [row for row in whole if row["cost_nusd"] != row["charge_nusd"]] == []
    return len(whole)


def check_refused(stack: Stack, answers: Sequence[Answered]) -> int:
    """How many were refused for a spent budget; nothing of them, nor of those that were told to try again, was sent."""
    refused = {each.heard.headers["x-request-id"]: each.is_spent for each in answers if each.is_spent or each.is_unsure}
    sent = {entry["attempt_id"].rpartition("-")[0] for entry in journals(stack)}
    assert refused.keys() & sent == set()
    return sum(refused.values())


def is_exhausted(world: World, spent: int) -> bool:
    """Whether nearly all was spent, or less is left than the smallest request may cost."""
    return spent >= 0.99 * world.limit_nusd or world.limit_nusd - spent < SMALLEST_WORST_NUSD
