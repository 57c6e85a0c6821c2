"""Hot path. The counters that all processes share, in a Redis. What must be one step there is one script.

All keys carry one hash tag, so that a cluster keeps them together.
"""

from collections.abc import Sequence

from smartrouter.lib.counters import scripts
from smartrouter.lib.counters.base import (
    DEADLINE_S,
    Entry,
    SeedCounter,
    Standing,
    TotalTooLarge,
    check_amount,
    family_of,
)
from smartrouter.lib.counters.claims_shared import RedisClaims
from smartrouter.lib.counters.link import Args, RedisLink, Script, is_refusal

PREFIX = "{smartrouter}:"
_ADD, _TOTALS, _SEED = Script(scripts.ADD), Script(scripts.TOTALS), Script(scripts.SEED)
_LEAD, _RENEW, _FINISH = Script(scripts.LEAD), Script(scripts.RENEW), Script(scripts.FINISH)
_DROP, _PROLONG = Script(scripts.DROP), Script(scripts.PROLONG)
_HOLD, _TURN = Script(scripts.HOLD), Script(scripts.TURN)
_PUBLISH, _READ = Script(scripts.PUBLISH), Script(scripts.READ)


class RedisStore:
    """Counters in a Redis."""

    is_shared = True

    def __init__(self, url: str) -> None:
        self._link = RedisLink(url, f"{PREFIX}probe")
        self._claims = RedisClaims(self._link, PREFIX)

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    @property
    def claims(self) -> RedisClaims:
        return self._claims

    async def add(self, entry: Entry, *, deadline_s: float = DEADLINE_S) -> int | None:
        return (await self.add_many([entry], deadline_s=deadline_s))[0]

    async def add_many(self, entries: Sequence[Entry], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        refused: TotalTooLarge | None = None
        calls: list[tuple[Args, Args]] = []
        for entry in entries:
            try:
                check_amount(entry.amount)
            except TotalTooLarge as e:
                refused = e
                continue
            keys = (*_counter_keys(entry.name), _entry_key(entry.name, entry.id))
            calls.append((keys, (entry.amount, _ms(entry.ttl_s), _ms(entry.remembered_s))))
        answers = await self._link.call_many(_ADD, calls, deadline_s) if calls else []
        if refused is not None or any(is_refusal(answer) for answer in answers):
            raise refused or TotalTooLarge("a total beyond 2^53 - 1")
        return [int(total) if is_known else None for total, is_known in answers]

    async def total(self, name: str, *, deadline_s: float = DEADLINE_S) -> int | None:
        return (await self.totals([name], deadline_s=deadline_s))[0]

    async def totals(self, names: Sequence[str], *, deadline_s: float = DEADLINE_S) -> list[int | None]:
        keys = [key for name in names for key in _counter_keys(name)]
        answers = await self._link.call(_TOTALS, keys, (), deadline_s)
        return [None if total is None else int(total) for total in answers]

    async def standing(self, family: str, *, deadline_s: float = DEADLINE_S) -> Standing:
        found = await self._link.values((_epoch_key(family), _lock_key(family)), deadline_s)
        return Standing(*(None if value is None else value.decode() for value in found))

    async def lead(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        keys = (_lock_key(family), _epoch_key(family), _generation_key(family))
        return bool(await self._link.call(_LEAD, keys, (token, _ms(lock_s)), deadline_s))

    async def renew(self, family: str, token: str, lock_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        return bool(await self._link.call(_RENEW, (_lock_key(family),), (token, _ms(lock_s)), deadline_s))

    async def seed(
        self, family: str, token: str, counters: Sequence[SeedCounter], *, deadline_s: float = DEADLINE_S
    ) -> bool:
        calls: list[tuple[Args, Args]] = []
        for counter in counters:
            entries = [_entry_key(counter.name, id) for id in counter.entries]
            keys = (_lock_key(family), _generation_key(family), _counter_key(counter.name), *entries)
            times = (_ms(counter.ttl_s), _ms(counter.remembered_s))
            calls.append((keys, (token, counter.base, *times, *counter.entries.values())))
        answers = await self._link.call_many(_SEED, calls, deadline_s) if calls else []
        is_leading = all(answers)
        if is_leading and any(is_refusal(answer) for answer in answers):
            raise TotalTooLarge("a seed beyond 2^53 - 1")
        return is_leading

    async def finish_seed(self, family: str, token: str, stands_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        keys = (_lock_key(family), _epoch_key(family))
        return bool(await self._link.call(_FINISH, keys, (token, _ms(stands_s)), deadline_s))

    async def prolong(self, family: str, stands_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_PROLONG, (_epoch_key(family),), (_ms(stands_s),), deadline_s)

    async def resign(self, family: str, token: str, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_DROP, (_lock_key(family),), (token,), deadline_s)

    async def start_over(self, family: str, epoch: str, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_DROP, (_epoch_key(family),), (epoch,), deadline_s)

    async def hold_back(self, family: str, for_s: float, *, deadline_s: float = DEADLINE_S) -> None:
        await self._link.call(_HOLD, (_held_key(family),), (_ms(for_s),), deadline_s)

    async def take_turn(self, name: str, token: str, for_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        return bool(await self._link.call(_TURN, (f"{PREFIX}turn:{name}",), (token, _ms(for_s)), deadline_s))

    async def publish(
        self, board: str, member: str, payload: bytes, ttl_s: float, *, deadline_s: float = DEADLINE_S
    ) -> None:
        await self._link.call(_PUBLISH, (_board_key(board),), (member, payload, _ms(ttl_s)), deadline_s)

    async def read(self, board: str, *, deadline_s: float = DEADLINE_S) -> dict[str, bytes]:
        found = await self._link.call(_READ, (_board_key(board),), (), deadline_s)
        return {member.decode(): payload for member, payload in zip(found[::2], found[1::2], strict=True)}

    async def close(self) -> None:
        await self._link.close()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _epoch_key(family: str) -> str:
    return f"{PREFIX}epoch:{family}"


def _held_key(family: str) -> str:
    return f"{PREFIX}held:{family}"


def _generation_key(family: str) -> str:
    return f"{PREFIX}generation:{family}"


def _lock_key(family: str) -> str:
    return f"{PREFIX}seeding:{family}"


def _counter_key(name: str) -> str:
    return f"{PREFIX}counter:{name}"


def _counter_keys(name: str) -> tuple[str, ...]:
    """What says what a counter comes to."""
    family = family_of(name)
    return _epoch_key(family), _held_key(family), _generation_key(family), _counter_key(name)


def _board_key(board: str) -> str:
    return f"{PREFIX}board:{board}"


def _entry_key(name: str, entry: str) -> str:
    # With the length of the id, so that no two pairs have one key whatever they consist of.
    return f"{PREFIX}entry:{len(entry)}:{entry}:{name}"
