"""Hot path. This process in the store's epoch: it joins, opens it when all are there, seeds what is asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import uuid4

from billing.funds import Allotment, Records, Roster
from smartrouter.lib.counters import SourceUnavailable, StoreUnavailable, TotalTooLarge
from smartrouter.lib.counters.claims import ClaimStore, Epoch

logger = logging.getLogger(__name__)

STORE_S = 1.0
READ_S = 5.0
ROSTER_EVERY_S = 2.0
# After records could not be read they are not asked for again at once.
PAUSE_S = 0.1


class Attendance:
    """Where this process stands in the epoch. processes: how many live; name: the epoch that it has joined."""

    def __init__(self, store: ClaimStore, records: Records, process: str) -> None:
        self.processes = 1
        self.name: str | None = None
        self._store = store
        self._records = records
        self._process = process
        self._roster_at = float("-inf")
        self._is_read = True

    async def look(self, tell_all: Callable[[], Awaitable[None]]) -> bool:
        """Whether all is well: the epoch is open and this process in it. Else it does what it can, and is asked again."""
        try:
            epoch = await self._joined(tell_all)
            if epoch is not None and not epoch.is_open:
                await self._open(epoch)
                return False
            await self._renew_roster()
            return epoch is not None
        except StoreUnavailable:
            return False
        except (SourceUnavailable, TimeoutError) as e:
            if self._is_read:
                logger.warning("register_not_read", extra={"reason": type(e).__name__})
            self._is_read = False
            return True

    async def _joined(self, tell_all: Callable[[], Awaitable[None]]) -> Epoch | None:
        epoch = await self._store.epoch(deadline_s=STORE_S)
        if epoch is None:
            self.name = None
            await self._store.begin(uuid4().hex, deadline_s=STORE_S)
            epoch = await self._store.epoch(deadline_s=STORE_S)
        if epoch is not None and (epoch.name != self.name or self._process not in epoch.joined):
            logger.info("epoch_joined", extra={"is_open": epoch.is_open})
            await tell_all()
            await self._store.join(epoch.name, self._process, deadline_s=STORE_S)
            self.name = epoch.name
            epoch = await self._store.epoch(deadline_s=STORE_S)
        return epoch

    async def _open(self, epoch: Epoch) -> None:
        """Open the epoch, if nobody is missing who may have spent something."""
        roster = await self._read_roster()
        if roster.live <= epoch.joined and not roster.ended:
            await self._store.open(epoch.name, deadline_s=STORE_S)
            logger.info("epoch_opened", extra={"processes": len(roster.live)})

    async def _renew_roster(self) -> None:
        if asyncio.get_running_loop().time() - self._roster_at > ROSTER_EVERY_S:
            await self._read_roster()

    async def _read_roster(self) -> Roster:
        async with asyncio.timeout(READ_S):
            roster = await self._records.read_roster()
        self._roster_at, self._is_read = asyncio.get_running_loop().time(), True
        self.processes = max(1, len(roster.live))
        return roster


class Seeding:
    """Reads what the store does not know of a fund, and tells it."""

    def __init__(self, store: ClaimStore, records: Records, attendance: Attendance) -> None:
        self._store = store
        self._records = records
        self._attendance = attendance
        self._wanted: dict[str, Allotment] = {}
        self._came = asyncio.Event()
        self._is_read = True

    def want(self, allotment: Allotment) -> None:
        """Have a fund seeded soon. It may be asked for again and again."""
        self._wanted[allotment.fund.name] = allotment
        self._came.set()

    async def run(self) -> None:
        """Seed what is wanted, all that has come together at once."""
        while True:
            await self._came.wait()
            self._came.clear()
            wanted, self._wanted = list(self._wanted.values()), {}
            try:
                await self._seed(wanted)
                self._is_read = True
            except (SourceUnavailable, StoreUnavailable) as e:
                if self._is_read:
                    logger.warning("funds_not_seeded", extra={"funds": len(wanted), "reason": type(e).__name__})
                self._is_read = False
                await asyncio.sleep(PAUSE_S)

    async def _seed(self, wanted: list[Allotment]) -> None:
        # Before they are read: in another epoch they would have to be complete anew.
        epoch = self._attendance.name
        found = await self._records.read_spent([allotment.spending for allotment in wanted])
        for allotment, spent in zip(wanted, found, strict=True):
            try:
                await self._store.seed(allotment.fund, spent, epoch=epoch, deadline_s=STORE_S)
            except TotalTooLarge:
                logger.error("budget_too_large", extra={"scope": allotment.key})
