"""What a store of claims promises of funds: in this process and in a Redis, the same."""

import asyncio
import time

import pytest
import pytest_asyncio
from redis.asyncio import Redis as Client

from smartrouter.lib.counters import LARGEST, CounterStore, TotalTooLarge, open_store
from smartrouter.lib.counters.claims import RECALL_S, UNUSED_S, Ask, ClaimStore, Fund, Given, Seen, State
from smartrouter.lib.counters.claims_memory import MemoryClaims
from smartrouter.lib.counters.claims_shared import RedisClaims
from smartrouter.lib.counters.link import RedisLink
from tests.lib.claim_calls import PATIENT_S, P, Q, R, claim, fund, open_epoch, sums
from tests.stores import Redis

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def claims(store: CounterStore) -> ClaimStore:
    """Claims in an open epoch e."""
    await open_epoch(store.claims)
    return store.claims


async def test_a_need_is_given_and_some_on_top_by_how_much_is_left(claims: ClaimStore) -> None:
    given = await claim(claims, P, Ask(fund(), spent=10, keeps=2, need=8, like=50))

    assert given == Given(State.OPEN, claim=20, got=8, spent=10, others=0, is_final=False)
    assert await sums(claims, fund()) == (10, 20)


async def test_no_one_is_given_more_on_top_than_it_likes(claims: ClaimStore) -> None:
    assert (await claim(claims, P, Ask(fund(), 0, 0, 4, like=3))).claim == 7
    assert (await claim(claims, P, Ask(fund(), 0, 4, like=1), processes=1)).claim == 5


async def test_a_claim_is_given_back_by_not_keeping_it(claims: ClaimStore) -> None:
    await claim(claims, P, Ask(fund(), 0, 0, 40))

    given = await claim(claims, P, Ask(fund(), 30, 5))

    assert given == Given(State.OPEN, 5, 0, 30, 0, False)
    assert await sums(claims, fund()) == (30, 5)


async def test_what_was_told_does_not_go_backwards_and_counts_once(claims: ClaimStore) -> None:
    for spent in (5, 5, 3, 7):
        await claim(claims, P, Ask(fund(), spent, 0))
    await claim(claims, Q, Ask(fund(), 1, 0))

    assert await sums(claims, fund()) == (8, 0)


async def test_a_need_that_does_not_fit_gets_what_is_left_if_it_makes_do_with_that(claims: ClaimStore) -> None:
    await claim(claims, P, Ask(fund(), 20, 0, 50))

    assert await claim(claims, Q, Ask(fund(), 0, 0, 60, least=30, like=9)) == Given(State.OPEN, 30, 30, 20, 50, False)
    assert (await claim(claims, R, Ask(fund(), 0, 0, 60, least=1))).got == 0
    assert await sums(claims, fund()) == (20, 80)


async def test_what_a_process_holds_is_kept_whatever_is_left(claims: ClaimStore) -> None:
    given = await claim(claims, P, Ask(fund(), 90, 30, 5, like=5))

    assert given == Given(State.OPEN, 30, 0, 90, 0, True)
    assert await claim(claims, P, Ask(fund(), 90, 30)) == Given(State.OPEN, 30, 0, 90, 0, False)


async def test_a_refusal_calls_back_what_others_have_and_is_final_after_that(claims: ClaimStore) -> None:
    await claim(claims, P, Ask(fund(), 0, 0, 60))
    before = time.monotonic()

    given = await claim(claims, Q, Ask(fund(), 0, 0, 50))
    assert given == Given(State.OPEN, 0, 0, 0, 60, False)
    assert await claims.recalled(deadline_s=PATIENT_S) == {fund().name}
    while not given.is_final:
        await asyncio.sleep(0.02)
        given = await claim(claims, Q, Ask(fund(), 0, 0, 50))

    assert time.monotonic() - before >= RECALL_S
    assert given.got == 0


async def test_while_a_fund_is_called_back_nobody_gets_anything_on_top(claims: ClaimStore) -> None:
    for _ in range(50):
        await claim(claims, P, Ask(fund(), 0, 0, 60))
        await claim(claims, Q, Ask(fund(), 0, 0, 50))
        given = await claim(claims, P, Ask(fund(), 0, 10, like=30))
        if await claims.recalled(deadline_s=PATIENT_S):
            break

    assert await claims.recalled(deadline_s=PATIENT_S) <= {fund().name}
    assert given.claim == 10
    assert (await claim(claims, Q, Ask(fund(), 0, 0, 50))).got == 50


async def test_a_recall_ends_and_leaves_nothing_behind(claims: ClaimStore) -> None:
    await claim(claims, P, Ask(fund(), 0, 0, 60))
    await claim(claims, Q, Ask(fund(), 0, 0, 50))

    until = time.monotonic() + PATIENT_S
    while await claims.recalled(deadline_s=PATIENT_S):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)

    assert (await claim(claims, Q, Ask(fund(), 0, 0, 4, like=30))).claim == 4 + 36 // 8


async def test_what_giving_back_could_not_help_is_final_at_once(claims: ClaimStore) -> None:
    await claim(claims, P, Ask(fund(), 60, 0, 30))

    assert (await claim(claims, Q, Ask(fund(), 0, 0, 41))).is_final
    assert await claims.recalled(deadline_s=PATIENT_S) == frozenset()
    assert not (await claim(claims, Q, Ask(fund(), 0, 0, 60, least=40))).is_final


async def test_a_fund_without_limit_is_only_counted(claims: ClaimStore) -> None:
    given = await claim(claims, P, Ask(fund(None), 7, 5, 1000, like=9))

    assert given == Given(State.OPEN, 1005, 1000, 7, 0, False)
    assert await sums(claims, fund()) == (7, 0)


async def test_each_ask_is_by_itself_also_where_others_are_refused(claims: ClaimStore) -> None:
    small, large = fund(5, "small"), fund(100, "large")

    given = await claims.claim(P, [Ask(small, 0, 0, 9), Ask(large, 0, 0, 9)], 1, deadline_s=PATIENT_S)

    assert [g.got for g in given] == [0, 9]
    assert await sums(claims, large) == (0, 9)
    assert await claims.claim(P, [], 1, deadline_s=PATIENT_S) == []


async def test_numbers_beyond_what_is_exact_are_refused_and_change_nothing(claims: ClaimStore) -> None:
    a, b = fund(LARGEST, "a"), fund(LARGEST, "b")
    assert (await claim(claims, P, Ask(a, LARGEST - 3, 0, 2))).got == 2

    for wrong in (Ask(a, LARGEST + 1, 0), Ask(a, 0, -1), Ask(a, LARGEST, 2), Ask(a, LARGEST - 2, 3)):
        with pytest.raises(TotalTooLarge):
            await claims.claim(P, [wrong, Ask(b, 1, 0, 1)], 2, deadline_s=PATIENT_S)
        assert await sums(claims, a) == (LARGEST - 3, 2)
        assert await sums(claims, b) == (1, 1)
    with pytest.raises(TotalTooLarge):
        await claims.settle(Q, {"a": LARGEST}, deadline_s=PATIENT_S)
    assert await sums(claims, a) == (LARGEST - 3, 2)
    await claims.settle(P, {"a": LARGEST}, deadline_s=PATIENT_S)
    assert await sums(claims, a) == (LARGEST, 0)


async def test_shares_of_the_largest_funds_are_exact(claims: ClaimStore) -> None:
    assert (await claim(claims, P, Ask(fund(LARGEST), 0, 0, like=LARGEST), 1)).claim == LARGEST // 4


async def test_a_process_that_ended_has_its_last_word_from_the_records_and_no_claims(claims: ClaimStore) -> None:
    a, b, c = fund(name="a"), fund(name="b"), fund(name="c")
    for of in (a, b, c):
        await claim(claims, P, Ask(of, 20, 5, 10))
        await claim(claims, Q, Ask(of, 1, 0, 2))
    await claim(claims, P, Ask(c, 20, 0))

    for _ in range(2):
        await claims.settle(P, {"a": 12, "b": 26, "nowhere": 3}, deadline_s=PATIENT_S)

        assert [await sums(claims, of) for of in (a, b, c)] == [(13, 2), (27, 2), (21, 2)]
    assert await sums(claims, fund(name="nowhere")) == (0, 0)


async def test_a_process_that_ended_may_be_settled_in_pieces(claims: ClaimStore) -> None:
    await claims.join("e", P, deadline_s=PATIENT_S)
    funds = [fund(name="a"), fund(name="b"), fund(name="c")]
    for of in funds:
        await claim(claims, P, Ask(of, 20, 5, 10))

    for _ in range(2):
        await claims.settle(P, {"a": 12, "nowhere": 3}, is_last=False, deadline_s=PATIENT_S)

        assert [await sums(claims, of) for of in funds] == [(12, 0), (20, 15), (20, 15)]
        epoch = await claims.epoch(deadline_s=PATIENT_S)
        assert epoch is not None and P in epoch.joined

    await claims.settle(P, {"b": 25}, deadline_s=PATIENT_S)

    assert [await sums(claims, of) for of in funds] == [(12, 0), (25, 0), (20, 0)]
    epoch = await claims.epoch(deadline_s=PATIENT_S)
    assert epoch is not None and P not in epoch.joined


async def test_who_looks_at_a_fund_makes_none(claims: ClaimStore) -> None:
    used, unseeded, unknown = fund(name="a b"), fund(name="c", needs_seed=True), fund(name="d", needs_seed=True)
    young = Fund("e", 100, int(time.time() + 3600) * 1000, 3600.0)
    await claim(claims, P, Ask(used, 20, 5, 10))
    await claim(claims, Q, Ask(used, 1, 2))
    await claim(claims, P, Ask(unseeded, 7, 0))

    for _ in range(2):
        assert await claims.look([used, unseeded, unknown, young], deadline_s=PATIENT_S) == [
            Seen(State.OPEN, 21, 17),
            Seen(State.UNSEEDED, 7, 0),
            Seen(State.UNSEEDED, 0, 0),
            Seen(State.OPEN, 0, 0),
        ]
    assert await claims.look([], deadline_s=PATIENT_S) == []


async def test_until_the_epoch_is_open_nothing_can_be_seen(store: CounterStore) -> None:
    for _ in range(2):
        assert await store.claims.look([fund()], deadline_s=PATIENT_S) == [Seen(State.CLOSED, 0, 0)]
        await store.claims.begin("e", deadline_s=PATIENT_S)


async def test_a_fund_of_which_nothing_is_used_is_not_kept_for_long() -> None:
    now = [1000.0]
    claims = MemoryClaims(lambda: now[0])
    await open_epoch(claims)
    kept_s = UNUSED_S * 10
    asked, seeded, held, spent, begun = (
        Fund(name, 100, 0, kept_s) for name in ("asked", "seeded", "held", "spent", "begun")
    )
    for of in (asked, seeded, held, begun):
        await claims.seed(of, {R: 0})
    await claims.seed(spent, {R: 5})
    await claim(claims, P, Ask(asked, 0, 0, 200))
    await claim(claims, P, Ask(held, 0, 3))
    await claim(claims, P, Ask(begun, 1, 0))

    now[0] += UNUSED_S + 1
    seen = await claims.look([asked, seeded, held, spent, begun])

    assert [one.state for one in seen] == [State.UNSEEDED, State.UNSEEDED, State.OPEN, State.OPEN, State.OPEN]
    assert [(one.spent, one.claimed) for one in seen] == [(0, 0), (0, 0), (0, 3), (5, 0), (1, 0)]


async def test_a_redis_keeps_what_is_not_used_for_as_long_as_memory_does(redis: Redis) -> None:
    url = redis.fresh_url()
    store = open_store(url)
    await open_epoch(store.claims)
    kept_s = UNUSED_S * 10
    for name, spent, keeps in (("asked", 0, 0), ("spent", 1, 0), ("held", 0, 1)):
        await claim(store.claims, P, Ask(Fund(name, 100, 0, kept_s), spent, keeps))
    for name, spent in (("seeded", 0), ("recorded", 5)):
        await store.claims.seed(Fund(name, 100, 0, kept_s), {R: spent}, deadline_s=PATIENT_S)
    await store.close()

    link = Client.from_url(url)
    keys = [key for key in await link.keys("*fund:*") if isinstance(key, bytes)]
    left = {key.decode().rpartition(":")[2]: await link.pttl(key) for key in keys}
    await link.aclose()

    assert {name for name, left_ms in left.items() if left_ms <= UNUSED_S * 1000} == {"asked", "seeded"}
    assert len(left) == 5


async def test_a_fund_is_forgotten_after_it_was_last_told_of(claims: ClaimStore) -> None:
    short = Fund("short", 100, 0, 0.05, needs_seed=False)
    await claim(claims, P, Ask(short, 5, 0))

    until = time.monotonic() + PATIENT_S
    while (await claim(claims, Q, Ask(short, 0, 0))).spent:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)


async def test_names_of_any_text_keep_apart(claims: ClaimStore) -> None:
    names = ["end_user:1:a b|day", "end_user:1:a\nb|day", "end_user:1:a|day", "{x}: 会话", "fund:a", "a"]
    for number, name in enumerate(names):
        await claim(claims, P, Ask(fund(name=name), number + 1, 0, 99 - number))
        await claim(claims, Q, Ask(fund(name=name), 0, 0, 50))

    assert [await sums(claims, fund(name=name)) for name in names] == [(n + 1, 99 - n) for n in range(len(names))]
    await claims.settle(P, dict.fromkeys(names, 0), deadline_s=PATIENT_S)
    assert [await sums(claims, fund(name=name)) for name in names] == [(0, 0)] * len(names)


async def test_a_call_that_arrives_after_a_later_one_changes_nothing(redis: Redis) -> None:
    link, times = RedisLink(redis.fresh_url(), "probe"), iter([5.0, 5.0, 7.0, 6.0, 7.0, 8.0])
    claims = RedisClaims(link, "{test}:", clock=lambda: next(times))
    await claims.begin("e", deadline_s=PATIENT_S)
    await claims.open("e", deadline_s=PATIENT_S)

    assert (await claim(claims, P, Ask(fund(), 1, 0, 5))).claim == 5
    assert (await claim(claims, P, Ask(fund(), 2, 0, 6))).claim == 6
    assert (await claim(claims, P, Ask(fund(), 3, 20))).claim == 20
    assert await claim(claims, P, Ask(fund(), 9, 4, 5)) == Given(State.OPEN, 20, 0, 3, 0, False)
    assert (await claim(claims, P, Ask(fund(), 4, 30))).claim == 30
    assert await sums(claims, fund()) == (4, 30)
    await link.close()
