"""Funds and calls that several tests of claims make."""

from smartrouter.lib.counters.claims import Ask, ClaimStore, Fund, Given

# A machine that is busy takes its time; nothing here is about how fast it is.
PATIENT_S = 20.0
P, Q, R = "a" * 32, "b" * 32, "c" * 32


def fund(limit: int | None = 100, name: str = "tenant:1|day|2026-11-22|usd", *, needs_seed: bool = False) -> Fund:
    return Fund(name, limit, 0, 3600.0, needs_seed)


async def claim(claims: ClaimStore, process: str, ask: Ask, processes: int = 2) -> Given:
    return (await claims.claim(process, [ask], processes, deadline_s=PATIENT_S))[0]


async def sums(claims: ClaimStore, of: Fund) -> tuple[int, int]:
    """What all have spent and claimed, asked by a stranger who has nothing."""
    given = await claim(claims, "f" * 32, Ask(of, 0, 0))
    return given.spent, given.others


async def open_epoch(claims: ClaimStore, name: str = "e") -> None:
    await claims.begin(name, deadline_s=PATIENT_S)
    await claims.open(name, deadline_s=PATIENT_S)
