"""Hot path. What one process tells the store of its limits, and takes from it: one call at a time, so that of each rate and
each fund the last thing said is what holds."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from billing.limits_parallel import Places
from billing.rates import Window
from smartrouter.lib.counters.claims import Ask, ClaimStore, Take

# What nobody has used for so long is given back.
IDLE_S = 1.0
TOLD_AT_ONCE = 200
# So long after the store is back everybody has noticed, and has told what it used meanwhile.
REJOIN_S = 2.5

# Each with what it needs, and would like on top.
Windows = Sequence[tuple[Window, int, int]]
Parallels = Sequence[tuple[Places, int, int]]


class Exchange:
    """windows, places: those of which there is something to tell or to give back, by name.

    Every coroutine raises StoreUnavailable; what was not told is told later. lock: to be held while one asks.
    """

    def __init__(
        self,
        store: ClaimStore,
        process: str,
        processes: Callable[[], int],
        *,
        clock: Callable[[], float],
        deadline_s: float,
    ) -> None:
        self.now = clock
        self.lock = asyncio.Lock()
        self.windows: dict[str, Window] = {}
        self.places: dict[str, Places] = {}
        self._store = store
        self._process = process
        self._processes = processes
        self._deadline_s = deadline_s
        self._number = 0
        self._alone_until: float | None = None

    def processes(self) -> int:
        """How many share the limits."""
        return max(1, self._processes())

    def alone(self) -> int | None:
        """How many processes share the limits without the store; None while that is up and has heard of all of them."""
        if self._store.is_up:
            if self._alone_until is None:
                return None
            if self.now() >= self._alone_until:
                self._alone_until = None
                return None
        else:
            if self._alone_until is None:
                for places in self.places.values():
                    places.doubt()
            self._alone_until = self.now() + REJOIN_S
        return self.processes()

    def tell_window(self, window: Window) -> None:
        """Tell the store of it before long."""
        window.is_active = True
        self.windows[window.name] = window

    def tell_places(self, places: Places) -> None:
        """Tell the store of it before long."""
        places.is_active = True
        self.places[places.name] = places

    async def ask(self, windows: Windows, parallels: Parallels) -> None:
        """Tell and take, in one go, what was collected under the lock."""
        if parallels:
            asks: list[Ask] = [places.ask(need, like) for places, need, like in parallels]
            given = await self._store.claim(self._process, asks, self.processes(), deadline_s=self._deadline_s)
            for (places, need, _like), each in zip(parallels, given, strict=True):
                places.note(each, need, self.now())
                if not places.is_active:
                    self.tell_places(places)
        if windows:
            sent_at = self.now()
            takes: list[Take] = []
            answers: list[int] = []
            for window, need, like in windows:
                takes += window.takes(self._number, sent_at, need, like)
                self._number += 1
                answers.append(len(takes) - 1)
                if not window.is_active:
                    self.tell_window(window)
            taken = await self._store.take(self._process, takes, self.processes(), deadline_s=self._deadline_s)
            now = self.now()
            for (window, need, _like), answer in zip(windows, answers, strict=True):
                window.note(taken[answer], need, sent_at, now)

    async def tell(self) -> None:
        """Everything that is due once a second: tell, take ahead where much is used, and give back what is idle."""
        for window in self.windows.values():
            window.end_second()
        if not self._store.is_up:
            for window in self.windows.values():
                window.prune(self.now())
            return
        windows, places = iter(tuple(self.windows.values())), iter(tuple(self.places.values()))
        while True:
            some, others = tuple(islice(windows, TOLD_AT_ONCE)), tuple(islice(places, TOLD_AT_ONCE))
            if not some and not others:
                return
            async with self.lock:
                await self._tell(some, others)

    async def give_back_recalled(self) -> None:
        """Give back at once what others are in want of."""
        if not (self.windows or self.places) or not self._store.is_up:
            return
        names = await self._store.recalled(deadline_s=self._deadline_s)
        if not names:
            return
        async with self.lock:
            now = self.now()
            windows = [self.windows[name] for name in names if name in self.windows]
            windows = [window for window in windows if window.has or window.owes]
            places = [self.places[name] for name in names if name in self.places]
            places = [each for each in places if each.idle]
            for window in windows:
                window.give_back(now, is_recalled=True)
            for each in places:
                each.quieten(now)
            await self.ask([(window, 0, 0) for window in windows], [(each, 0, 0) for each in places])

    async def give_back_all(self) -> None:
        """Keep nothing but what is under way."""
        async with self.lock:
            for window in self.windows.values():
                window.give_back(self.now())
            windows = [(window, 0, 0) for window in self.windows.values()]
            await self.ask(windows, [(each, 0, 0) for each in self.places.values()])

    async def _tell(self, windows: Sequence[Window], places: Sequence[Places]) -> None:
        now = self.now()
        idle_since = now - IDLE_S
        asked, claimed = [], []
        for window in windows:
            if window.used_at > idle_since:
                asked.append((window, 0, window.ahead(0, now)))
            elif window.has or window.owes:
                window.give_back(now)
                asked.append((window, 0, 0))
        for each in places:
            like = each.idle if each.used_at > idle_since else 0
            if each.is_due(now) or like < each.idle:
                claimed.append((each, 0, like))
        await self.ask(asked, claimed)
        for window in windows:
            if window.used_at <= idle_since and not window.has and not window.owes:
                window.is_active = False
                self.windows.pop(window.name, None)
        for each in places:
            if not each.claim and not each.under_way:
                each.is_active = False
                self.places.pop(each.name, None)
