"""Hot path. What an attempt may cost is held before it is sent: by all who pay for the request, its group, its channel.

Whoever pays for the request holds once, before the first attempt, for the dearest candidate that is likely to be tried; a
later one that is dearer still raises the hold or is passed over. A group holds when the first of its members is tried, a
channel for each of its attempts. Where less is left than the worst case, the answer is made shorter, if the tenant wants it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.translation import gettext as _

from billing.ledger import BudgetRefused, Hold, Refusal
from billing.limits import Admission
from billing.scopes import Amounts
from billing.worst_case import Bound, Weighed
from channels.records import Candidate
from providers.capabilities import AUDIO, BITS, VISION
from providers.dialects.openai_bounds import keep_short, output_asked, prompt_bound
from providers.dialects.openai_chat import build_payload
from routing.call import Call
from routing.payers import Payers
from routing.refusal import budget_error, dear_error, spent_error, unpriced_error
from smartrouter.lib.errors import RouterError

# What a model is let write where neither the request nor the catalogue says.
OUTPUT_TOKENS = 4096
# The first candidates are held for at once.
AHEAD = 3
# How often a request asks the ledger anew for a cheaper candidate.
REFUSALS_AT_MOST = 3
_MEDIA = BITS[VISION] | BITS[AUDIO]
_ONE = Amounts()


class Unaffordable(Exception):
    """A candidate must not be tried. error: for the caller, where no other is left."""

    def __init__(self, error: RouterError) -> None:
        super().__init__(error.code)
        self.error = error


@dataclass(frozen=True, slots=True)
class Sending:
    """An attempt that may be sent, and what is held for it. output: its limit of output tokens, None where it has none."""

    payload: bytes
    output: int | None
    payer: Hold
    group_payer: Hold | None
    channel_payer: Hold


async def prepare(call: Call, candidate: Candidate) -> Sending:
    """The request for one candidate, held for. Raises Unaffordable; RouterError for a body that cannot be written down."""
    channel, group = candidate.channel, call.choices.current.group
    _refuse_hopeless(call, candidate)
    asks_for_usage = not channel.adapter.refuses_stream_options
    payload = build_payload(call.body, candidate.model, channel.params, asks_for_usage=asks_for_usage)
    cashier = call.plane.cashier
    of_group = cashier.group(group) if group is not None else None
    of_channel = cashier.channel(channel)
    if _is_bounded(call, of_group, of_channel):
        return await _prepare_bounded(call, candidate, payload, of_group, of_channel)
    data = _encode(payload)
    if call.hold is None:
        try:
            call.hold = await _hold(call, call.payers, _ONE, _ONE)
        except Unaffordable as e:
            call.refused = _ONE, e.error
            raise
    held = call.group_holds.get(group.ref) if group is not None else None
    if group is not None and of_group is not None and held is None:
        held = call.group_holds[group.ref] = await _hold(call, of_group, _ONE, _ONE)
    channel_payer = await _hold(call, of_channel, _ONE, None, _error_of_channel)
    return Sending(data, output_asked(payload), call.hold, held, channel_payer)


async def _prepare_bounded(
    call: Call, candidate: Candidate, payload: dict[str, Any], of_group: Payers | None, of_channel: Payers
) -> Sending:
    number = payload.get("n") or 1
    asked = output_asked(payload) or (candidate.default_output_tokens or OUTPUT_TOKENS) * number
    host = candidate.channel.chat.url.host
    keep_short(payload, asked, host=host)
    data = _encode(payload)
    needs_media = bool(call.choices.ask.needs & _MEDIA)
    bound = Bound(prompt_bound(payload, len(data), candidate.context_length), asked, needs_media)
    weighed = _weigh(call, candidate, bound, number)
    call.bound = bound
    if not weighed.is_priced and of_channel.limits_money:
        raise Unaffordable(unpriced_error(call.facts.requested_model))
    weighed = _below_the_most(call, candidate, weighed)
    payer = await _pay(call, weighed)
    group, group_payer = call.choices.current.group, None
    if group is not None and of_group is not None:
        group_payer = await _pay_in_group(call, weighed, group.ref, of_group)
    if weighed.output < asked:
        keep_short(payload, weighed.output, host=host)
        data = _encode(payload)
        weighed = weighed.shortened()
    channel_payer = await _hold(call, of_channel, weighed.worst, None, _error_of_channel)
    return Sending(data, weighed.output, payer, group_payer, channel_payer)


def _below_the_most(call: Call, candidate: Candidate, weighed: Weighed) -> Weighed:
    """The request as the group's highest cost of one allows it. Raises Unaffordable."""
    group = call.choices.current.group
    if group is None or group.max_cost_nusd is None or weighed.worst.money_nusd <= group.max_cost_nusd:
        return weighed
    if call.caller.tenant.can_shorten:
        weighed.fit(group.max_cost_nusd)
    if not call.caller.tenant.can_shorten or not weighed.is_worth_it:
        raise Unaffordable(dear_error(group, call.caller))
    return weighed.shortened()


def _refuse_hopeless(call: Call, candidate: Candidate) -> None:
    """Raise Unaffordable for a candidate that costs no less than what the caller was refused: nobody is asked again."""
    if call.refused is None:
        return
    worst, error = call.refused
    if call.bound is None or call.refusals >= REFUSALS_AT_MOST:
        raise Unaffordable(error)
    own = _weigh(call, candidate, call.bound).worst
    if own.money_nusd >= worst.money_nusd and own.tokens >= worst.tokens:
        raise Unaffordable(error)


def _is_bounded(call: Call, of_group: Payers | None, of_channel: Payers) -> bool:
    """Whether it matters what the request may come to."""
    group = call.choices.current.group
    if call.payers.limits_money or call.payers.limits_tokens or of_channel.limits_money or of_channel.limits_tokens:
        return True
    if group is None or of_group is None:
        return False
    return of_group.limits_money or of_group.limits_tokens or group.max_cost_nusd is not None


def _weigh(call: Call, candidate: Candidate, bound: Bound, number: int = 1) -> Weighed:
    """What it may come to. Of unknown price is only what nobody has to pay within a limit."""
    at_ms = call.facts.admitted_ms
    rates = candidate.rates_at(at_ms)
    usd = (
        call.plane.table.usd_per_unit(rates.currency, at_ms) if rates is not None and rates.currency != "USD" else None
    )
    return Weighed.of(bound, rates, usd, at_ms, number)


async def _pay(call: Call, weighed: Weighed) -> Hold:
    """The caller's hold, for this attempt as well. Raises Unaffordable."""
    if call.hold is None:
        worst, least = _ahead(call, weighed)
        try:
            call.hold = await _hold(call, call.payers, worst, least)
        except Unaffordable as e:
            call.refused = least, e.error
            call.refusals += 1
            raise
    elif await _is_raised(call, call.hold, weighed):
        return call.hold
    return _shortened(call, call.hold, weighed)


async def _pay_in_group(call: Call, weighed: Weighed, ref: int, payers: Payers) -> Hold:
    """The group's hold, for this attempt as well. Raises Unaffordable."""
    hold = call.group_holds.get(ref)
    if hold is None:
        hold = call.group_holds[ref] = await _hold(call, payers, *_ahead(call, weighed))
    elif await _is_raised(call, hold, weighed):
        return hold
    return _shortened(call, hold, weighed)


async def _is_raised(call: Call, hold: Hold, weighed: Weighed) -> bool:
    """Whether a hold that was made for another attempt is enough for this one by now."""
    return _covers(hold, weighed.worst) or await call.plane.ledger.raise_to(hold, weighed.worst)


def _shortened(call: Call, hold: Hold, weighed: Weighed) -> Hold:
    """The hold, with the answer made so short that it is enough. Raises Unaffordable."""
    if _covers(hold, weighed.worst):
        return hold
    if call.caller.tenant.can_shorten:
        weighed.fit(hold.held.money_nusd)
        weighed.fit_tokens(hold.held.tokens)
        if weighed.is_worth_it:
            return hold
    raise Unaffordable(dear_error(None, call.caller))


def _covers(hold: Hold, worst: Amounts) -> bool:
    return hold.held.money_nusd >= worst.money_nusd and hold.held.tokens >= worst.tokens


def _ahead(call: Call, weighed: Weighed) -> tuple[Amounts, Amounts]:
    """The worst case of this candidate and of those that are likely to follow; and the least that makes sense."""
    least = weighed.least() if call.caller.tenant.can_shorten else weighed.worst
    money = max([weighed.worst.money_nusd, *[
        _weigh(call, other, weighed.bound).worst.money_nusd for other in call.choices.peek(AHEAD - 1)
    ]])  # fmt: skip
    return Amounts(money, weighed.worst.tokens), least


def _error_of_payers(call: Call, refusal: Refusal) -> RouterError:
    return budget_error(refusal, call.caller, call.facts.admitted_ms)


def _error_of_channel(call: Call, refusal: Refusal) -> RouterError:
    """That a channel has spent its budget is no fault of the caller."""
    return spent_error(refusal, call.facts.requested_model, call.facts.admitted_ms)


async def _hold(
    call: Call,
    payers: Payers,
    worst: Amounts,
    least: Amounts | None,
    error_of: Callable[[Call, Refusal], RouterError] = _error_of_payers,
) -> Hold:
    """What these payers hold for the call; no less than the worst case where least is None. Raises Unaffordable."""
    ledger, at_ms = call.plane.ledger, call.facts.admitted_ms
    hold = ledger.try_hold(payers.scopes, worst, at_ms)
    if hold is None:
        try:
            hold = await ledger.hold(payers.scopes, worst, at_ms, least=least)
        except BudgetRefused as e:
            raise Unaffordable(error_of(call, e.refusal)) from e
    call.holds.append(hold)
    return hold


def _encode(payload: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(payload)
    except TypeError as e:
        raise RouterError(400, "invalid_request", _("The body is nested too deeply.")) from e


async def admit(call: Call) -> Admission | None:
    """Count the request against the limits of its minute. Raises RateRefused; None where there are no limits."""
    subjects = call.payers.subjects
    if not subjects:
        return None
    output = output_asked(call.body) or OUTPUT_TOKENS * (call.body.get("n") or 1)
    # One that asks for more than a whole minute's may have it alone.
    tokens = min([call.facts.prompt_tokens + output, *[subject.tpm for subject in subjects if subject.tpm]])
    limiter = call.plane.limiter
    return limiter.try_admit(subjects, tokens) or await limiter.admit(subjects, tokens)


def finish(call: Call) -> None:
    """Give back what is held and was not settled: nothing was sent for it."""
    for hold in call.holds:
        hold.release()
    if call.admission is not None:
        # One that a budget has refused counts in its minute all the same, without tokens.
        call.admission.settle(0 if call.account is None else call.account.tokens)
        call.admission.end()
