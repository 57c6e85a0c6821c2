"""Hot path. What the sessions of callers have come to: the charges of all requests with one x-session-id and router key.

A session ends after 24 h without a request. A request whose price is not known adds nothing to it. The amounts are a copy
of what the usage records say, for the record of a request carries its session: a store that was lost is seeded from them
(billing.session_history), with the last 31 days. What was settled and is not in the database yet is remembered by the
process that settled it.
"""

from billing.attempts import RequestFacts
from smartrouter.lib.counters import CounterKeeper, CounterStore, Entry, Source, Timing
from smartrouter.lib.counters.keeper import Noted

FAMILY = "session"
FORGOTTEN_AFTER_S = 24 * 3600.0
# Why that is long enough: billing.session_history.
REMEMBERED_S = 2 * 3600.0
SESSION_ID_AT_MOST = 128


def session_id_of(text: object) -> str | None:
    """The session id that a client sent; None where it is none: at most 128 characters, all of them printable.

    It is never cut to fit, as other ids are: two sessions would become one.
    """
    is_one = isinstance(text, str) and 0 < len(text) <= SESSION_ID_AT_MOST and text.isprintable() and text.strip()
    return str(text) if is_one else None


def counter_name(router_key_ref: int, session_id: str) -> str:
    """The name of a session's counter: another key with the same session id has its own."""
    return f"{FAMILY}:{router_key_ref}:{session_id}"


def session_entry(router_key_ref: int, session_id: str, request_id: str, charge_nusd: int) -> Entry:
    """What a request adds to its session; request_id: 32 hex digits."""
    return Entry(counter_name(router_key_ref, session_id), request_id, charge_nusd, FORGOTTEN_AFTER_S, REMEMBERED_S)


class SessionCosts:
    """The sessions' costs, in the store of this installation."""

    def __init__(self, store: CounterStore, source: Source, *, timing: Timing | None = None) -> None:
        self._keeper = CounterKeeper(store, FAMILY, source, timing=timing)

    def start(self) -> None:
        """From now on, count."""
        self._keeper.start()

    def note(self, facts: RequestFacts, charge_nusd: int | None) -> Noted | None:
        """The charge of a request, on its way into its session; None where there is no session or no price.

        Never waits and never fails. Once for each settlement: the last one counts.
        """
        if facts.session_id is None or charge_nusd is None:
            return None
        return self._keeper.note(session_entry(facts.router_key_ref, facts.session_id, facts.request_id, charge_nusd))

    async def cost_with(self, noted: Noted) -> int | None:
        """What the session has come to in nano-USD, this request included; None where that is not known at once."""
        return await self._keeper.total_of(noted)

    async def close(self) -> None:
        """Bring what is left to the store."""
        await self._keeper.close()
