"""End users who have used nothing here, and processes that have ended: nobody's funds are made for them, all is told."""

from dataclasses import replace

import pytest

from billing.funds import fund_name
from billing.ledger_process import SETTLED_AT_MOST
from billing.scopes import EVER, local_day
from smartrouter.lib.clock import now_ms
from smartrouter.lib.counters.claims import Ask, Fund, State
from tests.billing.ledgers import PATIENT_S, UTC, HandWritten, budget, is_told, opened, scope, until, usd
from tests.billing.test_ledger import Configured

pytestmark = pytest.mark.asyncio


async def test_a_stranger_leaves_nothing_behind_and_is_told_how_he_stands(url: str) -> None:
    alice = scope(budget(1000), budget(50, window="total"), key="end_user:1:alice")
    bob, carol = replace(alice, key="end_user:1:bob"), replace(alice, key="end_user:1:carol")
    records = HandWritten()
    records.spent["end_user:1:bob|total|1970-01-01|usd"] = {"d" * 32: 7, "e" * 32: 1}
    async with opened(url, records=records, processes=2 if url else 1) as (ledgers, _records, (store, *_)):
        (await ledgers[-1].hold([carol], usd(10), now_ms())).settle(usd(4))
        await until(lambda: is_told(ledgers[-1]))
        everybody = [await ledgers[0].standings([scope(budget(10)), of], now_ms()) for of in (alice, bob, carol)]

        assert [[one.spent for one in found] for found in everybody] == [[0, 0, 0], [0, 0, 8], [0, 4, 4]]
        assert [one.resets_ms is None for one in everybody[0]] == [False, False, True]
        assert not ({alice.key, bob.key} & {a.key for a in ledgers[0]._allotments.values()})
        assert not ({alice.key, bob.key} & ledgers[0]._pages.keys())
        names = [fund_name(alice.key, "total", EVER, "usd"), fund_name(carol.key, "total", EVER, "usd")]
        looked = await store.claims.look([Fund(name, 50, 0, 60.0) for name in names], deadline_s=PATIENT_S)
        assert [one.state for one in looked] == [State.UNSEEDED, State.OPEN]


async def test_of_a_stranger_nothing_is_known_where_the_records_are_away(url: str) -> None:
    alice, records = scope(budget(50, window="total"), key="end_user:1:alice"), HandWritten()
    async with opened(url, records=records) as ((ledger,), _records, _stores):
        records.is_away = True
        [standing] = await ledger.standings([alice], now_ms())

        assert (standing.spent, standing.held, standing.limit) == (None, 0, alice.limits[0])


async def test_of_a_process_that_has_ended_everything_is_told_piece_by_piece(url: str) -> None:
    ended = "d" * 32
    scopes = [scope(budget(100), key=f"user:{number}") for number in range(2 * SETTLED_AT_MOST + 1)]
    today = local_day(UTC, now_ms())
    names = [fund_name(of.key, "day", today, "usd") for of in scopes]
    async with opened(url) as ((ledger,), _records, (store,)):
        asks = [Ask(Fund(name, 100, 0, 3600.0), 1, 2) for name in names]
        await store.claims.claim(ended, asks, 1, deadline_s=PATIENT_S)
        await store.claims.claim(ended, [Ask(Fund("unnamed", 100, 0, 3600.0), 1, 2)], 1, deadline_s=PATIENT_S)

        assert await ledger.bury(ended, dict.fromkeys(names, 3))

        funds = [Fund(name, 100, 0, 3600.0, needs_seed=False) for name in [*names, "unnamed"]]
        seen = await store.claims.look(funds, deadline_s=PATIENT_S)
        assert [(one.spent, one.claimed) for one in seen] == [(3, 0)] * len(names) + [(1, 0)]


async def test_only_funds_of_todays_budgets_are_told_of_a_process_that_has_ended() -> None:
    of = scope(budget(100, window="month"))
    async with opened("", budgets=Configured(1, of.limits)) as ((ledger,), _records, _stores):
        found = ledger.spent_by_fund([("tenant:1", local_day(UTC, now_ms()), 1, 2, 3)])

        assert list(found.values()) == [1]
