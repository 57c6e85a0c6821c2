"""How /v1/route describes itself in /openapi.json."""

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from routing.endpoints.schema import CALLER_ERRORS, CHAT_FIELDS, WISHES, error, messages_field

_CANDIDATE: dict[str, Any] = {
    "stage": serializers.IntegerField(help_text="Its place in `stages`, from 0."),
    "provider": serializers.CharField(),
    "channel": serializers.CharField(required=False, help_text="Where the tenant may see channels."),
    "model": serializers.CharField(help_text="As the channel offers it."),
    "upstream_model": serializers.CharField(help_text="As the provider calls it."),
    "group": serializers.CharField(allow_null=True),
}
ROUTE: dict[str, Any] = {
    "operation_id": "explain_route",
    "summary": "Who would serve a chat request, and why",
    "description": (
        "A dry run of POST /v1/chat/completions with the same body, headers and key: nothing is sent, recorded or counted. "
        "`messages` may be left out where `prompt_tokens` says how large the prompt is. A wrong body and a refused name get "
        "the same error as the request itself. Where nobody may serve it, the answer is 200 all the same, with no candidates "
        "and the `error` that the request would get."
    ),
    "parameters": WISHES,
    "request": inline_serializer(
        "RouteRequest",
        {
            **CHAT_FIELDS,
            "messages": messages_field(required=False),
            "prompt_tokens": serializers.IntegerField(
                required=False, min_value=1, help_text="The size of the prompt, in the place of our own estimate."
            ),
        },
    ),
    "responses": {
        200: inline_serializer(
            "Route",
            {
                "object": serializers.CharField(default="route"),
                "asked": serializers.DictField(help_text="What was understood of the request."),
                "stages": serializers.ListField(
                    child=serializers.DictField(),
                    help_text="What is tried one after the other: names, groups, their fallback groups.",
                ),
                "candidates": inline_serializer(
                    "RouteCandidate",
                    {
                        "rank": serializers.IntegerField(help_text="1 is tried first."),
                        **_CANDIDATE,
                        "score": serializers.FloatField(allow_null=True, help_text="Null: the strategy has no layers."),
                        "is_weighed": serializers.BooleanField(
                            help_text="False behind a long list, where the order was worked out ahead."
                        ),
                        "layers": serializers.ListField(
                            child=serializers.DictField(), help_text="Each layer's number and its value from 0 to 1."
                        ),
                        "priority": serializers.IntegerField(),
                        "weight": serializers.FloatField(),
                        "estimated_charge_usd": serializers.CharField(allow_null=True),
                        "live": serializers.DictField(help_text="What was measured lately."),
                    },
                    many=True,
                ),
                "more_candidates": serializers.IntegerField(help_text="How many more there are than listed."),
                "has_uncounted": serializers.BooleanField(help_text="Whether there are even more."),
                "excluded": inline_serializer(
                    "RouteExcluded",
                    {
                        **_CANDIDATE,
                        "reason": serializers.CharField(help_text="Stable; for programs."),
                        "sentence": serializers.CharField(help_text="For people."),
                        "lacking": serializers.ListField(child=serializers.CharField()),
                        "context_length": serializers.IntegerField(allow_null=True),
                    },
                    many=True,
                ),
                "more_excluded": serializers.IntegerField(),
                "error": serializers.DictField(
                    allow_null=True,
                    help_text="The error that the request would get, with its `status`. Null: somebody may serve it.",
                ),
            },
        ),
        400: error("As of chat completions."),
        **CALLER_ERRORS,
        413: error("request_too_large."),
        503: error("starting, shutting_down, overloaded."),
    },
}
