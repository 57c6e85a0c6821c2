"""Worker side. Asks the data plane of this process how it would choose; where none serves, a table made from the database."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _

from channels.records import Candidate
from routing.asking import Ask
from routing.explain import choices_for_account, explain
from routing.loading import load_all
from routing.orders import NothingKnown
from routing.plane import current_plane
from routing.rank import Live
from routing.resolve import Caller
from routing.rows import RouterKeyRow
from routing.strategies import PRESETS
from routing.table import RoutingTable
from smartrouter.lib.clock import now_ms
from smartrouter.lib.errors import RouterError

ANSWER_WITHIN_S = 5.0
_KEYS = "accounts.routerkey"
_NO_KEY = RouterKeyRow(0, 0, "", "", (), True, None)


class NoAnswer(Exception):
    """There is no account of such a request; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request that nobody sends. key: a router key's id, None for nobody's; strategy: a preset, empty for the usual one."""

    key: int | None
    names: tuple[str, ...]
    needs: int
    prompt_tokens: int
    output_tokens: int | None
    is_streamed: bool
    strategy: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The account. is_live: from a process that serves, with its signals. is_refused: the key is not accepted now."""

    account: dict[str, Any]
    is_live: bool
    is_refused: bool


@dataclass(frozen=True, slots=True)
class Everyone(Caller):
    """Nobody in particular: all channels, also those of tenants, and no lists."""

    everyone: frozenset[int] = frozenset()

    @property
    def owners(self) -> frozenset[int]:
        return self.everyone

    def may_use(self, candidate: Candidate) -> bool:
        return True


def answer_to(question: Question) -> Answer:
    """How a request would be served now. No upstream is called. Raises NoAnswer."""
    plane = current_plane()
    if plane is None:
        table = _table_from_database(question.key)
        return _answer(table, NothingKnown(), {}, question, is_live=False)
    language = translation.get_language()

    async def ask() -> Answer:
        # The table belongs to the event loop; what is said there is for the reader of this page.
        with translation.override(language):
            return _answer(plane.table, plane.signals, plane.turns, question, is_live=True)

    asked = asyncio.run_coroutine_threadsafe(ask(), plane.loop)
    try:
        return asked.result(ANSWER_WITHIN_S)
    except TimeoutError as e:
        asked.cancel()
        raise NoAnswer(_("The router is too busy to answer; try again.")) from e


def _answer(table: RoutingTable, live: Live, turns: Mapping[str, int], question: Question, *, is_live: bool) -> Answer:
    caller = _caller_of(table, question.key)
    names = question.names or ((caller.key.default_model,) if caller.key.default_model else ())
    if not names:
        raise NoAnswer(_("Name a model: without a key that has a default model there is none."))
    ask = Ask(question.needs, question.prompt_tokens, question.output_tokens, question.is_streamed, at_ms := now_ms())
    override = PRESETS.get(question.strategy)
    try:
        choices = choices_for_account(table, names, caller, ask, live=live, turns=turns, override=override)
    except RouterError as e:
        raise NoAnswer(e.message) from e
    return Answer(explain(choices, show_channels=True), is_live, is_refused=not _is_accepted(caller, at_ms))


def _caller_of(table: RoutingTable, key: int | None) -> Caller:
    if key is None:
        return Everyone(_NO_KEY, (), frozenset(table.rows["accounts.tenant"]))
    row = table.rows[_KEYS].get(key)
    if row is None:
        raise NoAnswer(_("The router does not know this key yet; try again in a second."))
    return Caller(row, table.chain_of(row.tenant))


def _is_accepted(caller: Caller, at_ms: int) -> bool:
    key = caller.key
    is_over = key.expires_ms is not None and key.expires_ms <= at_ms
    return key.is_active and not is_over and all(tenant.is_active for tenant in caller.chain)


def _table_from_database(key: int | None) -> RoutingTable:
    table = RoutingTable()
    table.put_many([item for item in load_all() if item[0] != _KEYS or item[1] == key])
    return table
