"""Hot path. How GET /v1/generations/{id} describes itself in /openapi.json."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from routing.endpoints.schema import CALLER_ERRORS, error


def _text(description: str = "") -> serializers.CharField:
    return serializers.CharField(allow_null=True, help_text=description)


def _milliseconds(description: str) -> serializers.IntegerField:
    return serializers.IntegerField(allow_null=True, help_text=description)


def _counts(name: str, *fields: str) -> Any:
    return inline_serializer(name, {field: serializers.IntegerField() for field in fields})


GENERATION: dict[str, Any] = {
    "operation_id": "retrieve_generation",
    "summary": "One request of this key: what was used, what it cost, how it went",
    "description": (
        "A request is there when it has ended and its record is stored, a second or two later; one of the last ten seconds "
        "is waited for, for up to three seconds."
    ),
    "parameters": [
        OpenApiParameter("generation_id", str, OpenApiParameter.PATH, description="What `x-request-id` told."),
    ],
    "responses": {
        200: inline_serializer(
            "Generation",
            {
                "object": serializers.CharField(default="generation"),
                "id": serializers.UUIDField(),
                "created": serializers.IntegerField(),
                "model": serializers.CharField(help_text="The name that was asked for."),
                "offering": serializers.CharField(help_text="The public name under which it was served."),
                "served_model": serializers.CharField(help_text="The upstream's name of the model that served."),
                "group": _text("The model group that was asked for."),
                "provider": serializers.CharField(),
                "channel": serializers.CharField(required=False, help_text="Only where the tenant may see channels."),
                "streamed": serializers.BooleanField(),
                "status": serializers.ChoiceField(["ok", "failed", "cut", "client_gone", "drained", "abandoned"]),
                "finish_reason": _text(),
                "attempts": serializers.IntegerField(help_text="Upstreams that were tried."),
                "latency_ms": _milliseconds("Of the attempt that is billed."),
                "first_content_ms": _milliseconds("Until its first content."),
                "usage": inline_serializer(
                    "GenerationUsage",
                    {
                        "prompt_tokens": serializers.IntegerField(help_text="Includes cached tokens."),
                        "completion_tokens": serializers.IntegerField(help_text="Includes reasoning tokens."),
                        "total_tokens": serializers.IntegerField(),
                        "prompt_tokens_details": _counts(
                            "PromptDetails", "cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"
                        ),
                        "completion_tokens_details": _counts("CompletionDetails", "reasoning_tokens", "audio_tokens"),
                        "cost": serializers.FloatField(
                            allow_null=True, help_text="The charge in USD; null: no known price."
                        ),
                    },
                ),
                "estimated": serializers.BooleanField(help_text="Whether the tokens are our count."),
                "user": _text("The end user that the request named."),
                "client_request_id": _text("The client's own `x-request-id`."),
                "session_id": _text(),
            },
        ),
        401: CALLER_ERRORS[401],
        403: error("address_not_allowed: this key may not be used from the client's address."),
        404: error("generation_not_found: no request of this key, or not recorded yet."),
        429: CALLER_ERRORS[429],
        503: error("records_unavailable: the database is away. overloaded, starting, shutting_down."),
    },
}
