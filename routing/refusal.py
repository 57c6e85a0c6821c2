"""Hot path. The error that a caller gets where nobody may serve a request, and where nobody who was tried has answered."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from billing.ledger import Refusal
from billing.limits import RateRefused
from billing.scopes import Scope
from channels.records import Candidate
from routing.amounts import moment, usd_number
from routing.asking import Ask
from routing.choosing import Choices
from routing.eligible import OF_THE_FILTERS, Excluded, Reason
from routing.resolve import Caller
from routing.rows import GroupRow
from smartrouter.lib.errors import ErrorClass, RouterError, UpstreamError
from smartrouter.lib.language import in_active_language

# What passes: the request is not to blame where one of these could have served it.
PASSING = frozenset((Reason.QUOTA, Reason.PROBLEM))

# Only operators can mend these; their text says more about our accounts than a caller needs to know.
OURS = frozenset((ErrorClass.KEY, ErrorClass.KEY_MODEL, ErrorClass.CHANNEL))
# What callers are told to wait for upstreams that are too busy and do not say how long.
UNKNOWN_WAIT_S = 2.0


def check_choices(choices: Choices) -> None:
    """Raise RouterError where nobody may serve the request.

    503 where one could but for its daily limit or a problem of its channel; else 400 for what the request needs, 403 where a
    deny list stands in the way, 400 where only the price is missing, 503 for all else.
    """
    if choices.look_ahead(1):
        return
    excluded = [each for ranking in choices.rankings for each in ranking.excluded]
    reasons = {each.reason for each in excluded}
    name = choices.stages[0].name if choices.stages else ""
    used_up = [e.candidate for e in excluded if e.reason is Reason.QUOTA and _could(e.candidate, choices.ask)]
    if used_up:
        message = _("Every channel that could serve the model “%s” has used up its daily limit.") % name
        wait_s = min(_seconds_to_midnight(used_up, choices.ask.at_ms))
        raise RouterError(503, "no_available_channel", message, kind="server_error", retry_after_s=wait_s)
    if any(each.reason in PASSING and _could(each.candidate, choices.ask) for each in excluded):
        message = _("No channel can serve the model “%s” now.") % name
        raise RouterError(503, "no_available_channel", message, kind="server_error")
    if Reason.CONTEXT in reasons:
        longest = max(each.candidate.context_length or 0 for each in excluded if each.reason is Reason.CONTEXT)
        text = _("The request needs about %(tokens)d tokens; the longest context behind “%(name)s” has %(longest)d.")
        message = text % {"tokens": choices.ask.context_tokens, "name": name, "longest": longest}
        raise RouterError(400, "context_length_exceeded", message, param="messages")
    if Reason.CAPABILITY in reasons:
        lacking = sorted({each for one in excluded for each in one.lacking})
        text = _("No model behind “%(name)s” can do what this request needs: %(lacking)s.")
        message = text % {"name": name, "lacking": ", ".join(lacking)}
        raise RouterError(400, "capability_not_supported", message, param="model")
    if Reason.DENIED in reasons:
        message = _("This key may not use the model “%s”.") % name
        raise RouterError(403, "model_not_allowed", message, param="model", kind="permission_error")
    if Reason.UNPRICED in reasons:
        message = _("The price of the model “%s” is not known, so that no budget could be kept.") % name
        raise RouterError(400, "price_not_known", message, param="model")
    raise RouterError(503, "no_available_channel", _sentence(choices, name, excluded), kind="server_error")


def _could(candidate: Candidate, ask: Ask) -> bool:
    """Whether it can do what the request needs, as far as anybody knows."""
    capabilities, context = candidate.capabilities, candidate.context_length
    is_able = capabilities is None or not ask.needs & ~capabilities
    return is_able and (context is None or ask.context_tokens <= context)


def _seconds_to_midnight(candidates: Iterable[Candidate], at_ms: int) -> list[float]:
    """How long it is until each one's day ends."""
    now = datetime.fromtimestamp(at_ms / 1000, UTC)
    waits = []
    for candidate in candidates:
        local = now.astimezone(candidate.channel.zone)
        midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), candidate.channel.zone)
        waits.append(max(1.0, (midnight.astimezone(UTC) - now).total_seconds()))
    return waits


def _sentence(choices: Choices, name: str, excluded: list[Excluded]) -> str:
    reasons = {each.reason for each in excluded}
    group = choices.stages[0].group if choices.stages else None
    if group is not None and not choices.stages[0].pool.size:
        if group.selects:
            return _("No model has the tags and meets the filters of the model group “%s”.") % name
        return _("The model group “%s” has no members that are configured yet.") % name
    if group is not None and reasons and reasons <= OF_THE_FILTERS:
        return _("No member of the model group “%s” meets its filters.") % name
    if Reason.PROVIDER in reasons:
        return _("No channel of the provider that was asked for can serve the model “%s” now.") % name
    return _("No channel can serve the model “%s” now.") % name


def failure_for_caller(failed: Sequence[UpstreamError], *, has_begun: bool = False) -> RouterError:
    """The documented error for what the attempts met; the last one decides, unless all were told to wait.

    has_begun: the answer broke off, so that waiting for a channel is no longer the question.
    """
    last = failed[-1]
    text = in_active_language(last.message)
    if last.kind is ErrorClass.CONTEXT:
        return RouterError(400, "context_length_exceeded", text, param=last.param or "messages")
    if last.kind is ErrorClass.CONTENT:
        return RouterError(400, "content_filter", text, param=last.param)
    if last.kind is ErrorClass.REQUEST:
        status = last.status if last.status in (400, 413, 415, 422) else 400
        return RouterError(status, last.code or "invalid_request", text, param=last.param)
    metadata = {"attempts": len(failed)}
    if all(error.kind is ErrorClass.RATE for error in failed) and not has_begun:
        waits = [error.retry_after_s for error in failed if error.retry_after_s is not None]
        message = _("All channels for this model are rate limited.")
        wait = min(waits) if waits else UNKNOWN_WAIT_S
        return RouterError(
            503, "no_available_channel", message, kind="server_error", retry_after_s=wait, metadata=metadata
        )
    if last.timed_out:
        message = _("The upstream did not answer in time: %s.") % text
        return RouterError(504, "upstream_timeout", message, kind="server_error", metadata=metadata)
    shown = _("it refused the router") if last.kind in OURS else text
    message = _("The upstream failed: %s.") % shown.rstrip(".")
    return RouterError(502, "upstream_error", message, kind="server_error", metadata=metadata)


def budget_error(refusal: Refusal, caller: Caller, at_ms: int) -> RouterError:
    """The documented error where a budget does not allow a request: which, until when; its amounts where they may be seen."""
    scope, limit = refusal.scope, refusal.limit
    if not refusal.is_known:
        message = _("What is left of a budget is not known at the moment; try again.")
        return RouterError(503, "budget_unavailable", message, kind="server_error", retry_after_s=2)
    metadata: dict[str, Any] = {
        "scope": scope.kind,
        "window": limit.window,
        "resets_at": moment(refusal.resets_ms),
    }
    if limit.unit != "usd":
        metadata["unit"] = limit.unit
    if scope.shows_amounts and limit.limit is not None:
        left = max(0, refusal.left)
        if limit.unit == "usd":
            metadata |= {"limit_usd": usd_number(limit.limit), "remaining_usd": usd_number(left)}
        else:
            metadata |= {f"limit_{limit.unit}": limit.limit, f"remaining_{limit.unit}": left}
    about = {"scope": _scope_text(scope), "window": _window_text(limit.window)}
    if limit.unit == "usd":
        message = _("The budget of %(scope)s for %(window)s does not allow this request.") % about
        kind = "insufficient_quota" if caller.tenant.budget_status == 402 else "rate_limit_error"
        return RouterError(caller.tenant.budget_status, "budget_exceeded", message, kind=kind, metadata=metadata)
    message = _("The quota of %(scope)s for %(window)s is used up.") % about
    wait_s = None if refusal.resets_ms is None else max(1.0, (refusal.resets_ms - at_ms) / 1000)
    return RouterError(
        429, "rate_limit_exceeded", message, kind="rate_limit_error", retry_after_s=wait_s, metadata=metadata
    )


def spent_error(refusal: Refusal, name: str, at_ms: int) -> RouterError:
    """The documented error where every channel that could serve has spent its own budget."""
    message = _("Every channel that could serve the model “%s” has spent its budget.") % name
    wait_s = None if refusal.resets_ms is None else max(1.0, (refusal.resets_ms - at_ms) / 1000)
    if not refusal.is_known:
        wait_s = 2.0
    return RouterError(503, "no_available_channel", message, kind="server_error", retry_after_s=wait_s)


def unpriced_error(name: str) -> RouterError:
    """The documented error where a channel keeps a budget and the price of what it offers is not known."""
    return RouterError(
        503, "no_available_channel", _("No channel can serve the model “%s” now.") % name, kind="server_error"
    )


def dear_error(group: GroupRow | None, caller: Caller) -> RouterError:
    """The documented error where one request may cost more than a group allows, or than was left for it."""
    status = caller.tenant.budget_status
    kind = "insufficient_quota" if status == 402 else "rate_limit_error"
    metadata = {"scope": "group" if group is not None else "request", "window": "request", "resets_at": None}
    message = _(
        "This request may cost more than a single request is allowed to; ask for a shorter answer (max_tokens)."
    )
    return RouterError(status, "budget_exceeded", message, kind=kind, metadata=metadata)


def rate_error(refused: RateRefused) -> RouterError:
    """The documented error where the minute's requests or tokens are used up, or too many requests are under way."""
    about = {"limit": refused.limit, "scope": _subject_text(refused.subject.kind)}
    match refused.which:
        case "parallel":
            message = _("At most %(limit)d requests of %(scope)s may be under way at a time.") % about
        case "tokens":
            message = _("At most %(limit)d tokens a minute are allowed to %(scope)s.") % about
        case _:
            message = _("At most %(limit)d requests a minute are allowed to %(scope)s.") % about
    metadata = {"scope": refused.subject.kind, "window": "minute", "unit": refused.which}
    return RouterError(
        429,
        "rate_limit_exceeded",
        message,
        kind="rate_limit_error",
        retry_after_s=max(0.01, refused.wait_s),
        metadata=metadata,
    )


def rate_headers(refused: RateRefused) -> list[tuple[bytes, bytes]]:
    """The headers of a limit that is used up; none for requests under way, of which no client knows a header."""
    if refused.which == "parallel":
        return []
    which = refused.which.encode()
    return [
        (b"x-ratelimit-limit-" + which, b"%d" % refused.limit),
        (b"x-ratelimit-remaining-" + which, b"0"),
        (b"x-ratelimit-reset-" + which, b"%dms" % max(1, round(refused.wait_s * 1000))),
    ]


def _scope_text(scope: Scope) -> str:
    kind = _subject_text(scope.kind)
    return _("%(kind)s “%(name)s”") % {"kind": kind, "name": scope.name} if scope.name else kind


def _subject_text(kind: str) -> str:
    texts = {
        "router_key": _("this key"),
        "user": _("the key's owner"),
        "tenant": _("the tenant"),
        "end_user": _("this end user"),
        "group": _("the model group"),
        "channel": _("the channel"),
    }
    return texts[kind]


def _window_text(window: str) -> str:
    return {"day": _("the day"), "week": _("the week"), "month": _("the month"), "total": _("all time")}[window]
