"""How a web process opens its data plane and closes it again."""

import asyncio
import gc
import uuid

from django.conf import settings

from billing.fund_records import FundRecords
from billing.generation_rows import GenerationRows
from billing.generations import PatientLookups
from billing.ledger_process import BudgetLedger
from billing.limits_process import RateLimiter
from billing.quota import QuotaCounts
from billing.quota_history import QuotaRows
from billing.session_rows import SessionRows
from billing.sessions import SessionCosts
from billing.spool import Spool
from routing.live import LiveTable
from routing.payers import Cashier
from routing.plane import Plane, current_plane, set_plane
from routing.register import processes
from routing.sharing import SignalSharing
from routing.signals import Signals
from routing.table import RoutingTable
from smartrouter.lib.counters import open_store
from smartrouter.lib.logs import skip_unused_facts
from smartrouter.lib.outbound import open_session

_live: LiveTable | None = None


async def open_plane() -> None:
    """Load the table, then serve. Raises StartRefused, SpoolError or the database's error."""
    global _live
    uid, table = uuid.uuid4(), RoutingTable()
    spool = Spool(settings.SPOOL_DIR, uid.hex)
    live = LiveTable(table, uid)
    try:
        await live.start()
    except BaseException:
        spool.close()
        raise
    _live = live
    store = open_store(settings.REDIS_URL)
    cashier = Cashier(table)
    ledger = BudgetLedger(store.claims, FundRecords(processes), uid.hex, budgets=cashier)
    plane = Plane(
        table=table,
        session=open_session(settings.UPSTREAM_PRIVATE_NETWORKS),
        spool=spool,
        store=store,
        sessions=SessionCosts(store, SessionRows()),
        sharing=SignalSharing(Signals(QuotaCounts(store, QuotaRows)), store, table, uid.hex),
        cashier=cashier,
        ledger=ledger,
        note_settled=live.note_settled,
        limiter=RateLimiter(store.claims, uid.hex, lambda: ledger.processes),
        generations=PatientLookups(GenerationRows()),
        is_database_up=lambda: live.is_database_well,
        are_jobs_alive=lambda: live.are_jobs_alive,
        request_timeout_s=settings.REQUEST_TIMEOUT_SECONDS,
        drain_s=settings.DRAIN_SECONDS,
    )
    plane.watch_spool()
    plane.sessions.start()
    ledger.start()
    plane.limiter.start()
    live.attend(ledger)
    await plane.sharing.start()
    set_plane(plane)
    settle_in()


def settle_in() -> None:
    """Make the interpreter fit for serving: what is loaded stays, so the collector need not look at it again, and the
    short-lived objects of a few hundred requests are worth one look, not hundreds."""
    skip_unused_facts()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def close_plane() -> None:
    """End what still runs, leave the register, give up the spool.

    All at once: a database and a Redis that hang take their time, and whoever stops the process does not wait for a sum.
    Raises what went wrong when everything has come to its end.
    """
    plane, closing = current_plane(), []
    if plane is not None:
        plane.begin_drain()
        closing.append(plane.close())
    if _live is not None:
        closing.append(_live.stop())
    outcomes = await asyncio.gather(*closing, return_exceptions=True)
    set_plane(None)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
