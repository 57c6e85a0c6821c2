"""Worker side. Fields and blocks that stand where nothing would heed them, each with the sentence that refuses it."""

from collections.abc import Collection

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from smartrouter.configfile.places import Path

_LIMIT = gettext_lazy("This limit or budget is not known to this version yet, and nothing would enforce it; remove it.")
_STICKY = gettext_lazy("Sticky routing is not known to this version yet; remove it.")
_PRICING = gettext_lazy("Pricing policies and credits are not known to this version yet; remove it.")
_GUARD = gettext_lazy("This rule is not known to this version yet, and nothing would enforce it; remove it.")
_BUDGETS = gettext_lazy(
    "Nothing would enforce this field here. Tenants, router keys, users, end_users, channels and model_groups have budgets: "
    "[{window: day, limit_usd: 20}], also with limit_requests or limit_tokens; each may have a soft limit."
)
_RATES = gettext_lazy(
    "Nothing would enforce this field here. Tenants and router_keys have rpm (requests a minute), tpm (tokens a minute) and "
    "max_parallel; tenants have end_user_rpm and end_user_tpm for each of their end users."
)
_NETWORKS = gettext_lazy("Nothing would enforce this field here. Each of router_keys may have networks: [10.0.0.0/8].")
_COST = gettext_lazy("Nothing would enforce this field here. Each of model_groups may have max_cost_per_request_usd.")

# Words for limits that some entries have, and words that people know for them.
_OF_OTHERS: dict[str, Promise] = {
    **dict.fromkeys(
        (
            "budget", "budgets", "limit_usd", "soft_limit", "soft_limit_usd", "max_budget", "limit_requests",
            "limit_tokens", "daily_limit", "monthly_limit", "quota", "rpd", "tpd",
        ),
        _BUDGETS,
    ),
    **dict.fromkeys(
        (
            "rpm", "tpm", "rps", "limits", "rate_limit", "rate_limits", "requests_per_minute", "tokens_per_minute",
            "concurrency", "max_concurrency", "max_parallel", "max_parallel_requests", "end_user_rpm", "end_user_tpm",
        ),
        _RATES,
    ),
    **dict.fromkeys(("networks", "allowed_ips"), _NETWORKS),
    **dict.fromkeys(("max_cost_per_request", "max_cost_per_request_usd"), _COST),
}  # fmt: skip

# Ignoring one would let an operator believe in it.
LATER: dict[str, Promise] = {
    "sticky": _STICKY,
    **dict.fromkeys(
        ("pricing_policies", "pricing_policy", "pricing", "markup", "discount", "credits", "prepaid"), _PRICING
    ),
    **dict.fromkeys(
        ("guardrails", "webhooks", "cache", "scopes", "data_policy"),
        _GUARD,
    ),
}  # fmt: skip


def sentence_for(name: str, path: Path, known: Collection[str]) -> Promise | None:
    """What to say of a field that the entry at the path does not have; None where nothing but "unknown" can be said.

    known: the fields that it has. A channel has budgets of its own; what it may send a minute or a day comes later.
    """
    if name in LATER:
        return LATER[name]
    if name not in _OF_OTHERS or {f"{name}s", f"{name}_usd"} & set(known):  # its own nearest word helps more
        return None
    is_later = path[:1] == ("channels",) and (name == "daily_limit" or _OF_OTHERS[name] is _RATES)
    return _LIMIT if is_later else _OF_OTHERS[name]
