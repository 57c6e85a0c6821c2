"""Hot path. The full account of a choice: who would be tried, in which order and why, and who takes no part."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from channels.records import Candidate
from providers.capabilities import names_of
from routing.asking import Ask
from routing.choosing import Choices
from routing.eligible import REASON_LABELS, Excluded, Reason
from routing.glance import Glance, glance_at
from routing.payers import payers_of
from routing.rank import USUAL_OUTPUT_TOKENS, Live, weigh
from routing.ranking import PLAIN_LOOKS, Looks, Ranking
from routing.refusal import check_choices
from routing.resolve import Caller, resolve
from routing.strategies import Kind, Strategy
from routing.table import RoutingTable
from smartrouter.lib.errors import RouterError

# Of those that are not listed, so many are counted; who is behind them changes nothing for the reader.
COUNTED_AT_MOST = 300
# The largest whole number that every reader of JSON takes exactly; what is asked for times its answers may be larger.
INTEGER_AT_MOST = 2**53 - 1


def choices_for_account(
    table: RoutingTable,
    names: Sequence[str],
    caller: Caller,
    ask: Ask,
    *,
    live: Live,
    turns: Mapping[str, int],
    override: Strategy | None = None,
) -> Choices:
    """Choices to explain: as a request would have them now, but with chance and turns of their own, so that no request
    notices. Raises RouterError as resolve does.
    """
    stages = resolve(table, names, caller, at_ms=ask.at_ms, override=override)
    chance = Random()  # noqa: S311  (no secret)
    needs_price = bool(caller.chain) and any(scope.limits_money for scope in payers_of(table, caller, ""))
    looks = Looks(PLAIN_LOOKS, PLAIN_LOOKS)
    return Choices(stages, caller, ask, glance_at(live), chance, dict(turns), needs_price, looks)


def explain(choices: Choices, *, show_channels: bool, limit: int = 100) -> dict[str, Any]:
    """The account, ready for JSON; at most limit candidates and limit excluded ones, and how many there are beside them.

    choices: made for this account only (choices_for_account). show_channels: whether the reader may see which channels there
    are and how busy. Sentences are in the active language. `refusal` is the error that a request would get where nobody may
    serve, with its status.
    """
    refusal = _refusal_of(choices)
    choices.rank_all()
    candidates = _in_order(choices)
    listed = [
        _shown(choices, ranking, candidate, score, rank, show_channels=show_channels)
        for rank, (ranking, candidate, score) in enumerate(islice(candidates, limit), start=1)
    ]
    more = sum(1 for _each in islice(candidates, COUNTED_AT_MOST + 1))
    excluded = [(ranking, each) for ranking in choices.rankings for each in ranking.excluded]
    return {
        "asked": _asked(choices),
        "stages": [_stage(ranking) for ranking in choices.rankings],
        "candidates": listed,
        "more_candidates": min(more, COUNTED_AT_MOST),
        "has_uncounted": more > COUNTED_AT_MOST,
        "excluded": [_kept_out(ranking, each, show_channels=show_channels) for ranking, each in excluded[:limit]],
        "more_excluded": max(0, len(excluded) - limit),
        "refusal": refusal,
    }


def _refusal_of(choices: Choices) -> dict[str, Any] | None:
    try:
        check_choices(choices)
    except RouterError as e:
        return {**e.body()["error"], "status": e.status}
    return None


def _in_order(choices: Choices) -> Iterator[tuple[Ranking, Candidate, float | None]]:
    """Each candidate once, stage after stage; the score is None for those that come unweighed behind a long list."""
    seen: set[int] = set()
    for ranking in choices.rankings:
        for ranked in ranking.head:
            if ranked.candidate.ref not in seen:
                seen.add(ranked.candidate.ref)
                yield ranking, ranked.candidate, ranked.score
        for candidate in ranking.rest:
            if candidate.ref not in seen:
                seen.add(candidate.ref)
                yield ranking, candidate, None


def _asked(choices: Choices) -> dict[str, Any]:
    ask = choices.ask
    return {
        "models": list(dict.fromkeys(stage.name for stage in choices.stages)),
        "needs": list(names_of(ask.needs)),
        "prompt_tokens": min(ask.prompt_tokens, INTEGER_AT_MOST),
        "output_tokens": None if ask.output_tokens is None else min(ask.output_tokens, INTEGER_AT_MOST),
        "assumed_output_tokens": min(ask.output_tokens or USUAL_OUTPUT_TOKENS, INTEGER_AT_MOST),
        "streamed": ask.is_streamed,
        "provider": ask.provider or None,
    }


def _stage(ranking: Ranking) -> dict[str, Any]:
    stage = ranking.stage
    return {
        "model": stage.name,
        "group": stage.group.name if stage.group else None,
        "is_fallback": stage.is_fallback,
        "strategy": stage.strategy.name,
        "layers": [
            {"field": layer.field, "order": layer.order, "weight": layer.weight} for layer in stage.strategy.layers
        ],
        "excluded": len(ranking.excluded),
    }


def _shown(
    choices: Choices, ranking: Ranking, candidate: Candidate, score: float | None, rank: int, *, show_channels: bool
) -> dict[str, Any]:
    strategy, price, ask, live = ranking.stage.strategy, candidate.price, choices.ask, glance_at(choices.live)
    found = list(zip(strategy.layers, weigh(candidate, strategy, ask, live), strict=True))
    is_weighed = score is not None
    if score is None:
        score = round(sum(layer.weight * each.value for layer, each in found) * candidate.weight, 9)
    charge = None if price is None else price.usd(ask.prompt_tokens, ask.output_tokens or USUAL_OUTPUT_TOKENS)
    return {
        "rank": rank,
        "stage": ranking.index,
        **_names(ranking, candidate, show_channels=show_channels),
        "score": score if strategy.kind is Kind.SCORE else None,
        "is_weighed": is_weighed,
        "layers": [
            {
                "field": each.field,
                "number": _plain(each.number),
                "value": each.value,
                "weighted": layer.weight * each.value,
            }
            for layer, each in found
        ],
        "priority": candidate.priority,
        "weight": candidate.weight,
        "estimated_charge_usd": None if charge is None else _usd(charge),
        "live": _live(live, candidate, show_channels=show_channels),
    }


def _kept_out(ranking: Ranking, each: Excluded, *, show_channels: bool) -> dict[str, Any]:
    return {
        "stage": ranking.index,
        **_names(ranking, each.candidate, show_channels=show_channels),
        "reason": each.reason.value,
        "sentence": str(REASON_LABELS[each.reason]),
        "lacking": list(each.lacking),
        "context_length": each.candidate.context_length if each.reason in _ABOUT_CONTEXT else None,
    }


_ABOUT_CONTEXT = frozenset((Reason.CONTEXT, Reason.MIN_CONTEXT))


def _names(ranking: Ranking, candidate: Candidate, *, show_channels: bool) -> dict[str, Any]:
    names: dict[str, Any] = {"provider": candidate.channel.provider}
    if show_channels:
        names["channel"] = candidate.channel.name
    group = ranking.stage.group
    return {
        **names,
        "model": candidate.name,
        "upstream_model": candidate.model,
        "group": group.name if group else None,
    }


def _live(live: Live, candidate: Candidate, *, show_channels: bool) -> dict[str, Any]:
    """What is known of the candidate now; how busy a shared channel is, only for those who may see channels."""
    ref, found = candidate.ref, {}
    if show_channels:
        found = {
            "in_flight": live.in_flight(candidate.channel.ref),
            "used_today": live.used_today(ref),
            "daily_limit": candidate.daily_limit,
        }
    if isinstance(live, Glance):
        known = live.snapshot(ref)
        times = ("first_content_ms", "answer_ms", "tokens_per_s", "p50_ms", "p95_ms", "reliability")
        found.update((name, value) for name in times if (value := getattr(known, name)) is not None)
    return found


def _plain(number: float | None) -> float | int | None:
    return int(number) if isinstance(number, bool) else number


def _usd(amount: float) -> str:
    """The amount without an exponent, to the nano-USD."""
    text = f"{amount:.9f}".rstrip("0")
    return text.rstrip(".") if text.endswith(".") else text
