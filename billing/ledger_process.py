"""Hot path. The ledger of one web process: it holds from what the process has claimed, and asks the store for more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC

from billing.funds import Allotment, Answers, Order, Records, UsedRow, fund_name, needs_of, spent_by_fund
from billing.ledger import BudgetRefused, CurrentBudgets, Hold, Standing
from billing.ledger_courier import Courier
from billing.ledger_epoch import Attendance, Seeding
from billing.ledger_holds import BudgetHold
from billing.ledger_strangers import Strangers
from billing.ledger_telling import Telling
from billing.ledger_timing import LedgerTiming
from billing.ledger_wants import Want, Wants
from billing.scopes import WINDOWS, Amounts, Scope, local_day
from billing.tallies import Page, Tallies
from smartrouter.lib.clock import now_ms
from smartrouter.lib.counters import StoreUnavailable
from smartrouter.lib.counters.claims import ClaimStore, State

logger = logging.getLogger(__name__)

# So many funds of a process that has ended are told of in one go; a Redis takes about 10 us for each.
SETTLED_AT_MOST = 300


class BudgetLedger:
    """Fulfils the protocol Ledger. process: the uid of this web process, 32 hex digits; clock: milliseconds."""

    def __init__(
        self,
        store: ClaimStore,
        records: Records,
        process: str,
        *,
        clock: Callable[[], int] = now_ms,
        budgets: CurrentBudgets | None = None,
        timing: LedgerTiming | None = None,
    ) -> None:
        self._store = store
        self._records = records
        self._clock = clock
        self._timing = timing or LedgerTiming()
        self._tallies = Tallies(self._allot)
        self._pages = self._tallies.pages
        self._budgets = budgets
        self._wants = Wants()
        self._strangers = Strangers(store, records, self._timing.tell_s)
        self._attendance = Attendance(store, records, process)
        self._seeding = Seeding(store, records, self._attendance)
        self._courier = Courier(store, process, lambda: self.processes, self._seeding.want)
        self._telling = Telling(self._courier, self._tallies, self._timing, clock, budgets)
        self._active = self._telling.active
        self._allotments = self._telling.allotments
        self._trusted_ms: float = float("inf")
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def processes(self) -> int:
        """How many web processes share the budgets, as last heard."""
        return self._attendance.processes

    def start(self) -> None:
        """From now on, ask and tell."""
        self._check_time()
        jobs: dict[str, Callable[[], Awaitable[None]]] = {
            "wants": self._serve,
            "telling": lambda: self._telling.keep_telling(self._check_time),
            "epoch": self._keep_up,
            "seeding": self._seeding.run,
        }
        if self._store.is_shared:
            jobs["recalls"] = lambda: self._telling.answer_recalls(self._wants.spare)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(_go_on(name, job), name=f"ledger-{name}") for name, job in jobs.items()]

    async def close(self) -> bool:
        """Tell everything and give all claims back; whether all was told. What was not is settled from the spool."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._wants.end_all()
        orders = self._telling.last_orders()
        try:
            async with asyncio.timeout(self._timing.close_s):
                await self._courier.bring(orders, self._timing.close_s)
        except (StoreUnavailable, TimeoutError):
            logger.info("claims_left_to_be_settled", extra={"funds": len(orders)})
            return False
        finally:
            await self._records.close()
        return not self._telling.last_orders()

    def try_hold(self, scopes: Sequence[Scope], worst: Amounts, at_ms: int) -> BudgetHold | None:
        pages, allotments = self._pages_of(scopes, at_ms)
        if not allotments:
            return BudgetHold(pages, worst)
        needs = needs_of(worst)
        for a in allotments:
            need = needs[a.unit]
            if need and a.is_hard and (a.waiting or a.line - a.held - a.sums[a.unit] < need):
                return None
        if at_ms > self._trusted_ms:
            return None
        hold = BudgetHold(pages, worst, scopes, allotments, self._active)
        hold.take_at_once(needs)
        return hold

    async def hold(
        self, scopes: Sequence[Scope], worst: Amounts, at_ms: int, *, least: Amounts | None = None
    ) -> BudgetHold:
        self._check_time()
        found = self.try_hold(scopes, worst, at_ms)
        if found is not None:
            return found
        pages, allotments = self._pages_of(scopes, at_ms)
        hold = BudgetHold(pages, worst, scopes, allotments, self._active)
        try:
            await self._wants.wait_for(Want(hold, needs_of(worst), None if least is None else needs_of(least)))
        except BaseException:
            hold.release()  # it may have got it in the moment in which its request was cancelled
            raise
        return hold

    async def raise_to(self, hold: Hold, worst: Amounts) -> bool:
        if not isinstance(hold, BudgetHold) or not hold.is_open:
            return False
        more = hold.lacks(worst)
        if not any(more):
            return True
        self._check_time()
        if all(a.free >= more[a.unit] for a in hold.allotments if a.is_hard and more[a.unit]):
            hold.take(more)
            return True
        try:
            return await self._wants.wait_for(Want(hold, more))
        except BudgetRefused:
            return False

    async def standings(self, scopes: Sequence[Scope], at_ms: int) -> list[Standing]:
        strangers = [scope for scope in scopes if scope.kind == "end_user" and scope.key not in self._pages]
        found = self._budgets_of([scope for scope in scopes if scope not in strangers], at_ms)
        orders = [Order(a, like=max(0, a.free)) for _scope, a in found]
        self._active.update([a for _scope, a in found])
        known: set[Allotment] = set()
        until = asyncio.get_running_loop().time() + self._timing.tell_s
        while orders and asyncio.get_running_loop().time() < until:
            try:
                answers = await self._courier.bring(orders, self._timing.deadline_s)
            except StoreUnavailable:
                break
            known |= {a for a, given in answers.items() if given.state is State.OPEN}
            orders = [Order(a, like=max(0, a.free)) for _scope, a in found if a not in known]
            if orders:
                await asyncio.sleep(self._timing.poll_s)
        standings = [_standing_of(scope, a, is_known=a in known) for scope, a in found]
        return standings + await self._strangers.standings(strangers, at_ms) if strangers else standings

    def spent_by_fund(self, rows: Iterable[UsedRow]) -> dict[str, int]:
        """What a process that has ended has spent of the funds of today's budgets. May be called in any thread."""
        limits_of = (lambda _key: ()) if self._budgets is None else self._budgets.limits_of
        return spent_by_fund(rows, limits_of, local_day(UTC, self._clock()))

    async def bury(self, process: str, spent: Mapping[str, int]) -> bool:
        """Whether the store has it: a process that has ended has spent this in its life, and its claims end."""
        return await self._settle(process, spent)

    async def release(self, process: str) -> bool:
        """Whether the store has it: what a lost process had claimed does not count any more; what it told counts."""
        return await self._settle(process, {})

    async def _settle(self, process: str, spent: Mapping[str, int]) -> bool:
        """In pieces: neither the store nor this loop has anything large to do at once."""
        names = list(spent)
        try:
            for start in range(0, max(1, len(names)), SETTLED_AT_MOST):
                piece = {name: spent[name] for name in names[start : start + SETTLED_AT_MOST]}
                is_last = start + SETTLED_AT_MOST >= len(names)
                await self._store.settle(process, piece, is_last=is_last, deadline_s=self._timing.settle_s)
                await asyncio.sleep(0)
        except StoreUnavailable:
            return False
        return True

    def _pages_of(self, scopes: Sequence[Scope], at_ms: int) -> tuple[list[Page], list[Allotment]]:
        pages: list[Page] = []
        allotments: list[Allotment] = []
        known = self._pages
        for scope in scopes:
            page = known.get(scope.key)
            if (
                page is None
                or page.limits is not scope.limits
                or not page.begins_ms <= at_ms < page.ends_ms
                or page.zone is not scope.zone
            ):
                page = self._tallies.turn(scope, at_ms)
            page.used_ms = at_ms
            pages.append(page)
            if page.allotments:
                allotments += page.allotments
        return pages, allotments

    def _budgets_of(self, scopes: Sequence[Scope], at_ms: int) -> list[tuple[Scope, Allotment]]:
        pages, _allotments = self._pages_of(scopes, at_ms)
        return [(scope, a) for scope, page in zip(scopes, pages, strict=True) for a in page.allotments]

    def _allot(self, scope: Scope, page: Page) -> tuple[Allotment, ...]:
        """What this process has of each budget of a scope in the windows of a page; of a new one nothing yet."""
        found = []
        for limit in scope.limits:
            i = WINDOWS.index(limit.window)
            first = page.day.firsts[i]
            name = fund_name(scope.key, limit.window, first, limit.unit)
            allotment = self._allotments.get(name)
            if allotment is None:
                allotment = self._allotments[name] = Allotment(scope, limit, first, page.sums[i])
            elif allotment.sums is not page.sums[i] and not any(allotment.sums):
                # Of a page that was dropped, for nothing was ever added to it: what is added now counts.
                allotment.sums = page.sums[i]
                self._active.add(allotment)
            if allotment.limit != limit:
                allotment.renew(scope, limit, first)
                self._active.add(allotment)
            found.append(allotment)
        return tuple(found)

    async def _serve(self) -> None:
        """Ask for those who wait, all together, until each has what it wants or is refused."""
        while True:
            await self._wants.came.wait()
            self._wants.came.clear()
            wants, orders = self._wants.gather()
            asked = {order.allotment for order in orders}
            self._active |= asked  # also if nobody holds what is claimed
            answers = await self._answers(orders)
            for want in wants:
                want.decide(answers, self.processes)
            if all(want.outcome.done() for want in wants):
                continue
            if answers is not None:
                await self._answers(self._wants.spare_of_tight())
            is_moving = self._wants.came.is_set() or any(want.is_granted for want in wants)
            is_moving = is_moving or any(order.allotment not in asked for order in self._wants.gather()[1])
            await asyncio.sleep(0 if is_moving else self._timing.poll_s)
            self._wants.came.set()

    async def _answers(self, orders: Sequence[Order]) -> Answers | None:
        """What the store says for those who wait; None where it does not."""
        try:
            return await self._courier.bring(orders, self._timing.deadline_s)
        except StoreUnavailable:
            return None
        except Exception:
            logger.exception("ledger_failed", extra={"job": "wants"})
            return None  # whoever waits must not wait for ever

    async def _keep_up(self) -> None:
        """Stay in the store's epoch."""
        while True:
            is_well = await self._attendance.look(self._tell_all)
            await asyncio.sleep(self._timing.tick_s if is_well else min(self._timing.tick_s, 0.1))

    async def _tell_all(self) -> None:
        """Tell of every fund, and have nothing of it but what is held. Raises StoreUnavailable."""
        self._drop_free()
        await self._courier.bring([Order(a) for a in self._allotments.values()], self._timing.tell_s)

    def _drop_free(self) -> None:
        for a in self._allotments.values():
            a.drop_free()
            if not a.is_agreed:
                self._active.add(a)

    def _check_time(self) -> None:
        """A process that stood still may have been buried: it trusts nothing that it does not hold."""
        now = self._clock()
        if now > self._trusted_ms:
            logger.warning("ledger_stood_still")
            self._drop_free()
        self._trusted_ms = now + self._timing.silent_s * 1000


async def _go_on(name: str, job: Callable[[], Awaitable[None]]) -> None:
    """Do a job that never ends: without it budgets would stand still, and nobody would know."""
    while True:
        try:
            await job()
        except Exception:
            logger.exception("ledger_failed", extra={"job": name})
            await asyncio.sleep(1)


def _standing_of(scope: Scope, a: Allotment, *, is_known: bool) -> Standing:
    heard = a.heard if is_known else None
    if heard is None:
        return Standing(scope, a.limit, None, a.held, a.ends_ms)
    return Standing(scope, a.limit, heard.spent, a.held + heard.others, a.ends_ms)
