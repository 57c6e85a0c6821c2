"""Worker side. Fields and blocks of later versions, each with the sentence that refuses it."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

_LIMIT = gettext_lazy("This limit or budget is not known to this version yet, and nothing would enforce it; remove it.")
_STICKY = gettext_lazy("Sticky routing is not known to this version yet; remove it.")
_PRICING = gettext_lazy("Pricing policies and credits are not known to this version yet; remove it.")
_GUARD = gettext_lazy("This rule is not known to this version yet, and nothing would enforce it; remove it.")

# Ignoring one would let an operator believe in it. Where the schema has a field of that name, it is not refused: a member
# of a group has a daily_limit, a channel has none yet.
LATER: dict[str, Promise] = {
    **dict.fromkeys(
        (
            "budget", "budgets", "limit_usd", "soft_limit", "soft_limit_usd", "max_budget", "window",
            "rpm", "tpm", "rpd", "tpd", "rps", "limits", "rate_limit", "rate_limits", "daily_limit", "monthly_limit",
            "requests_per_minute", "tokens_per_minute", "quota", "concurrency", "max_concurrency",
            "max_parallel_requests",
        ),
        _LIMIT,
    ),
    "sticky": _STICKY,
    **dict.fromkeys(
        ("pricing_policies", "pricing_policy", "pricing", "markup", "discount", "credits", "prepaid"), _PRICING
    ),
    **dict.fromkeys(
        ("allowed_ips", "guardrails", "webhooks", "cache", "scopes", "data_policy"),
        _GUARD,
    ),
}  # fmt: skip
