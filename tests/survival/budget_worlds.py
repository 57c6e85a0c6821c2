"""Worlds that pay: each a tree of its own in which one scope has least money, and what is compared afterwards.

A world has a parent tenant, a tenant, a router key with an owner, a group and a channel, all of them with a budget, so that
whatever its requests come to is counted for six scopes of which none belongs to another world.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.stack import Stack, free_port
from tests.stores import IS_SERVER
from tests.survival.traffic import Heard, assert_complete, chat, listen

KINDS = ("router_key", "user", "tenant", "parent", "group", "channel")
WINDOWS = dict(zip(KINDS, ("total", "month", "total", "month", "month", "total"), strict=True))
TABLES = {
    "router_key": ("accounts_routerkey", "name", "router_key"),
    "user": ("accounts_user", "username", "user"),
    "tenant": ("accounts_tenant", "name", "tenant"),
    "parent": ("accounts_tenant", "name", "tenant"),
    "group": ("routing_modelgroup", "name", "group"),
    "channel": ("channels_channel", "name", "channel"),
}
INPUT_NUSD, OUTPUT_NUSD = 1_000, 2_000
SIZES = (20, 60, 200)
# What the smallest request is held for is less: its bytes are its prompt's bound.
SMALLEST_WORST_NUSD = 200 * INPUT_NUSD + min(SIZES) * OUTPUT_NUSD
TYPICAL_NUSD = 105_000
# A caller's scopes hold together; while requests wait for a group or a channel, its callers hold for all of them.
LOOSE = {"group": 20, "channel": 20}
# A plain answer whose client has left is read to its end for 30 s; an idle claim goes back after 5.
SETTLED_WITHIN_S = 45.0
ENDS_WITHIN_S = 110.0


@dataclass(frozen=True)
class World:
    """tight: whose budget is the smallest. shortens: whether its tenant takes a shorter answer instead of none."""

    name: str
    tight: str
    limit_nusd: int
    shortens: bool = False
    models: tuple[str, ...] = ("sim-fast",)

    @property
    def offers(self) -> dict[str, str]:
        """Public names, with the model behind each."""
        return {f"m{number}-{self.name}": model for number, model in enumerate(self.models)}

    @property
    def key(self) -> str:
        return f"rk_{self.name}_" + "w" * 40

    @property
    def group(self) -> str:
        return f"auto:{self.name}"

    def name_of(self, kind: str) -> str:
        """What the scope of this kind is called."""
        return {"parent": f"{self.name}-above", "group": self.group}.get(kind, self.name)

    def budget(self, kind: str) -> list[dict[str, Any]]:
        limit = self.limit_nusd * (1 if kind == self.tight else LOOSE.get(self.tight, 2))
        return [{"window": WINDOWS[kind], "limit_usd": f"{limit / 1e9:.9f}"}]


def worlds_document(worlds: Sequence[World]) -> dict[str, Any]:
    """A configuration with these worlds; both simulators serve, world by world in turns."""
    models = sorted({model for world in worlds for model in world.models})
    price = {"input": INPUT_NUSD / 1000, "output": OUTPUT_NUSD / 1000}
    return {
        "providers": [{"name": name, "kind": "local", "base_url": place} for name, place in
                      (("sim-a", "ALPHA"), ("sim-b", "BETA"))],
        "models": [{"provider": provider, "model": model, "price": price} for provider in ("sim-a", "sim-b")
                   for model in models],
        "channels": [
            {"name": world.name, "provider": ("sim-a", "sim-b")[number % 2], "keys": [f"sim-key-{world.name}"],
             "budgets": world.budget("channel"),
             "models": [{"name": name, "model": model} for name, model in world.offers.items()]}
            for number, world in enumerate(worlds)
        ],
        "model_groups": [
            {"name": world.group, "budgets": world.budget("group"),
             "channels": [{"channel": world.name, "model": name} for name in world.offers]} for world in worlds
        ],
        "tenants": [tenant for world in worlds for tenant in (
            {"name": world.name_of("parent"), "budgets": world.budget("parent")},
            {"name": world.name, "parent": world.name_of("parent"), "can_see_budgets": True,
             "can_shorten_answers": world.shortens, "budgets": world.budget("tenant"),
             "users": [{"username": world.name, "role": "member", "budgets": world.budget("user")}],
             "router_keys": [{"name": world.name, "key": world.key, "owner": world.name,
                              "budgets": world.budget("router_key")}]},
        )],
    }  # fmt: skip


@dataclass(frozen=True)
class Answered:
    """One request: when it was answered, how, and the code of its error if it was one."""

    heard: Heard
    code: str | None

    @property
    def is_good(self) -> bool:
        return self.heard.status == 200 and self.heard.end == "done" and self.code is None

    @property
    def is_spent(self) -> bool:
        """Refused for a spent budget, of a caller's or of the only channel."""
        return self.code in ("budget_exceeded", "no_available_channel") and self.heard.status in (402, 503)

    @property
    def is_unsure(self) -> bool:
        """Told to try again: the store of the budgets did not answer in time, or does not know enough yet."""
        return (self.heard.status, self.code) == (503, "budget_unavailable")


async def send(session: aiohttp.ClientSession, stack: Stack, key: str, body: dict[str, Any]) -> Answered:
    """One request and its whole answer."""
    heard = await listen(session, stack, body, Heard(body["model"]), {"Authorization": f"Bearer {key}"})
    if heard.end == "broken":
        return Answered(heard, None)
    if heard.status != 200:
        heard.end = "done"  # an error is not streamed
    return Answered(heard, heard.error_code)


async def _demand(
    session: aiohttp.ClientSession, stack: Stack, world: World, first: int, least: int, may_end: asyncio.Event
) -> list[Answered]:
    """A client that asks at least so often, and goes on until it may end and is refused for every size in a row."""
    answers: list[Answered] = []
    refused = 0
    until = time.monotonic() + ENDS_WITHIN_S
    while len(answers) < least or refused < len(SIZES):
        number = first + len(answers)
        body = chat(world.group, stream=number % 2 == 0, max_tokens=SIZES[number % len(SIZES)])
        answers.append(await send(session, stack, world.key, body))
        refused = refused + 1 if answers[-1].is_spent and may_end.is_set() else 0
        assert time.monotonic() < until, Counter((each.heard.status, each.code) for each in answers)
        if not answers[-1].is_good:
            await asyncio.sleep(0.1 if may_end.is_set() else 0.5)
    return answers


async def overload(
    session: aiohttp.ClientSession, stacks: Sequence[Stack], worlds: Sequence[World], *, clients: int, least: int,
    until: asyncio.Event | None = None,
) -> dict[str, list[Answered]]:  # fmt: skip
    """What the clients of each world were answered, started together; client by client another world and another host.

    until: before it is set, nobody gives up however often he is refused.
    """
    may_end = until or asyncio.Event()
    if until is None:
        may_end.set()
    tasks: list[tuple[str, asyncio.Task[list[Answered]]]] = []
    for number in range(clients):
        world, stack = worlds[number % len(worlds)], stacks[number // len(worlds) % len(stacks)]
        act = _demand(session, stack, world, number, least, may_end)
        tasks.append((world.name, asyncio.create_task(act)))
    found: dict[str, list[Answered]] = defaultdict(list)
    for name, task in tasks:
        found[name] += await task
    return found


def error_of(answered: Answered) -> dict[str, Any]:
    """The error object of an answer that is one."""
    error: dict[str, Any] = json.loads(answered.heard.body)["error"]
    return error


@contextmanager
def single_process(stack: Stack) -> Iterator[Stack]:
    """A host on which one web process serves, without a master that watches it: the stack itself, or another one."""
    if not IS_SERVER:
        yield stack
        return
    with tempfile.TemporaryDirectory(prefix="smartrouter-host-") as folder:
        port = free_port()
        env = {**stack.env, "SMARTROUTER_DATA": folder, "PORT": str(port)}
        other = Stack(Path(folder), port, env, stack.alpha, stack.beta, stack.stores)
        try:
            other.start_web([sys.executable, "manage.py", "web"])
            yield other
        finally:
            other.stop()
            other.ingest()  # else what it has spent is on its way for ever, and no new budget is known


@contextmanager
def ingesting(stack: Stack) -> Iterator[None]:
    """An ingester runs, and has ended afterwards."""
    process = stack.start("manage.py", "ingest")
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def rows_of(stack: Stack, *others: Stack) -> list[dict[str, Any]]:
    """All rows, after every host's spool was ingested."""
    for other in others:
        other.ingest()
    return assert_complete(stack)
