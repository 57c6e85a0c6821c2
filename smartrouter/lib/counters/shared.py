"""Hot path. The counters that all processes share, in a Redis. What must be one step there is one script.

All keys carry one hash tag, so that a cluster keeps them together.
"""

from collections.abc import Sequence

from smartrouter.lib.counters import scripts
from smartrouter.lib.counters.base import (
    DEADLINE_S,
    REMEMBERED_S,
    Entry,
    SeedCounter,
    Standing,
    TotalTooLarge,
    check_amount,
    family_of,
)
from smartrouter.lib.counters.link import Args, RedisLink, Script, is_refusal

PREFIX = "{smartrouter}:"
REMEMBERED_MS = round(REMEMBERED_S * 1000)
_ADD, _TOTALS, _SEED = Script(scripts.ADD), Script(scripts.TOTALS), Script(scripts.SEED)
_LEAD, _RENEW, _RESIGN = Script(scripts.LEAD), Script(scripts.RENEW), Script(scripts.RESIGN)
_FINISH, _PUT, _ALL = Script(scripts.FINISH), Script(scripts.PUT), Script(scripts.ALL)


class RedisStore:
    """Counters and facts in a Redis."""

    is_shared = True

    def __init__(self, url: str) -> None:
        self._link = RedisLink(url, f"{PREFIX}probe")

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    async def add(
        self, name: str, entry: str, amount: int, ttl_s: float, *, deadline_s: float = DEADLINE_S
    ) -> int | None:
        return (await self.add_many([Entry(name, entry, amount, ttl_s)], deadline_s=deadline_s))[0]

    async def add_many(self, entries: Sequence[Entry], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        refused: TotalTooLarge | None = None
        calls: list[tuple[Args, Args]] = []
        for entry in entries:
            try:
                check_amount(entry.amount)
            except TotalTooLarge as e:
                refused = e
                continue
            keys = (_epoch_key(family_of(entry.name)), _counter_key(entry.name), _entry_key(entry.name, entry.id))
            calls.append((keys, (entry.amount, _ms(entry.ttl_s), REMEMBERED_MS)))
        answers = await self._link.call_many(_ADD, calls, deadline_s) if calls else []
        if refused is not None or any(is_refusal(answer) for answer in answers):
            raise refused or TotalTooLarge("a total beyond 2^53 - 1")
        return [None if epoch is None else int(total) for total, epoch in answers]

    async def total(self, name: str, *, deadline_s: float = DEADLINE_S) -> int | None:
        return (await self.totals([name], deadline_s=deadline_s))[0]

    async def totals(self, names: Sequence[str], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        keys = [key for name in names for key in (_epoch_key(family_of(name)), _counter_key(name))]
        answers = await self._link.call(_TOTALS, keys, (), deadline_s)
        return [None if total is None else int(total) for total in answers]

    async def put(self, topic: str, name: str, value: bytes, ttl_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_PUT, (_topic_key(topic),), (name, value, _ms(ttl_s)), deadline_s)

    async def all(self, topic: str, *, deadline_s: float = DEADLINE_S) -> dict[str, bytes]:
        found = await self._link.call(_ALL, (_topic_key(topic),), (), deadline_s)
        return {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}

    async def standing(self, family: str, *, deadline_s: float = DEADLINE_S) -> Standing:
        found = await self._link.values((_epoch_key(family), _lock_key(family)), deadline_s)
        return Standing(*(None if value is None else value.decode() for value in found))

    async def lead(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        keys = (_lock_key(family), _epoch_key(family))
        return bool(await self._link.call(_LEAD, keys, (token, _ms(lock_s)), deadline_s))

    async def renew(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        return bool(await self._link.call(_RENEW, (_lock_key(family),), (token, _ms(lock_s)), deadline_s))

    async def seed(
        self, family: str, token: str, counters: Sequence[SeedCounter], *, deadline_s: float = DEADLINE_S
    ) -> bool:
        calls: list[tuple[Args, Args]] = []
        for counter in counters:
            check_amount(counter.base)
            entries = [_entry_key(counter.name, id) for id in counter.entries]
            keys = (_lock_key(family), _counter_key(counter.name), *entries)
            calls.append((keys, (token, counter.base, _ms(counter.ttl_s), REMEMBERED_MS, *counter.entries.values())))
        answers = await self._link.call_many(_SEED, calls, deadline_s) if calls else []
        if any(is_refusal(answer) for answer in answers):
            raise TotalTooLarge("a total beyond 2^53 - 1")
        return all(answers)

    async def finish_seed(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> bool:
        return bool(await self._link.call(_FINISH, (_lock_key(family), _epoch_key(family)), (token,), deadline_s))

    async def resign(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_RESIGN, (_lock_key(family),), (token,), deadline_s)

    async def close(self) -> None:
        await self._link.close()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _epoch_key(family: str) -> str:
    return f"{PREFIX}epoch:{family}"


def _lock_key(family: str) -> str:
    return f"{PREFIX}seeding:{family}"


def _counter_key(name: str) -> str:
    return f"{PREFIX}counter:{name}"


def _entry_key(name: str, entry: str) -> str:
    # With the length of the id, so that no two pairs have one key whatever they consist of.
    return f"{PREFIX}entry:{len(entry)}:{entry}:{name}"


def _topic_key(topic: str) -> str:
    return f"{PREFIX}facts:{topic}"
