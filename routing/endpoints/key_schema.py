"""Hot path. How GET /v1/key describes itself in /openapi.json."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from billing.scopes import UNITS, WINDOWS
from routing.endpoints.schema import CALLER_ERRORS, error

_AMOUNT = "In USD for the unit usd. Missing, like all amounts, where this key may not see them."
_PATTERNS = "A name, or a beginning with a * at its end."


def _amount(description: str) -> serializers.FloatField:
    return serializers.FloatField(required=False, allow_null=True, help_text=f"{description} {_AMOUNT}")


def _limit(description: str) -> serializers.IntegerField:
    return serializers.IntegerField(allow_null=True, help_text=f"{description} Null: none of its own.")


def _texts(description: str) -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(), help_text=description)


_BUDGET = inline_serializer(
    "KeyBudget",
    {
        "scope": serializers.ChoiceField(
            ["router_key", "user", "tenant", "end_user"],
            help_text="Whose budget it is: the key's, its owner's, that of its tenant or of one above, the end user's.",
        ),
        "name": serializers.CharField(required=False),
        "unit": serializers.ChoiceField(UNITS),
        "window": serializers.ChoiceField(WINDOWS),
        "resets_at": serializers.DateTimeField(allow_null=True, help_text="When the window ends. Null: never."),
        "limit": _amount("What must not be exceeded. Null: the budget only warns."),
        "soft_limit": _amount("From where operators are warned. Null: nowhere."),
        "used": _amount("By all requests in this window. Null: not known now."),
        "remaining": _amount(
            "What is neither used nor held by requests under way; for some seconds after a request it may be less by what "
            "was set aside for the next ones. Null: not limited, or not known now."
        ),
    },
)

KEY: dict[str, Any] = {
    "operation_id": "retrieve_key",
    "summary": "What this key may use, what is left, until when",
    "description": "A request must fit into every budget of the list; model groups may have further ones.",
    "parameters": [
        OpenApiParameter("user", str, OpenApiParameter.QUERY, description="Adds the budgets of this end user."),
    ],
    "responses": {
        200: inline_serializer(
            "Key",
            {
                "object": serializers.CharField(default="key"),
                "name": serializers.CharField(),
                "tenant": inline_serializer("KeyTenant", {"name": serializers.CharField()}),
                "labels": serializers.DictField(child=serializers.CharField()),
                "allowed_models": _texts(f"What it may ask for; empty: everything. {_PATTERNS}"),
                "denied_models": _texts(f"What never serves it. {_PATTERNS}"),
                "default_model": serializers.CharField(
                    allow_null=True, help_text="What a request without a model gets."
                ),
                "expires_at": serializers.DateTimeField(
                    allow_null=True,
                    help_text="When the key that was sent ends; one that was replaced, with its overlap. Null: never.",
                ),
                "networks": _texts("The addresses that it may be used from; empty: all."),
                "rate_limits": inline_serializer(
                    "KeyRateLimits",
                    {
                        "requests_per_minute": _limit("Of this key."),
                        "tokens_per_minute": _limit("Of this key."),
                        "parallel_requests": _limit("Of this key."),
                    },
                ),
                "budgets": serializers.ListField(child=_BUDGET),
                "limit_remaining_usd": serializers.FloatField(
                    allow_null=True,
                    help_text="The least that a hard budget in USD has left, of those whose amounts this key may see. "
                    "Null: there is none, or it is not known now.",
                ),
            },
        ),
        401: CALLER_ERRORS[401],
        403: error("address_not_allowed: this key may not be used from the client's address."),
        429: CALLER_ERRORS[429],
    },
}
