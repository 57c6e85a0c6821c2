"""How the /v1 endpoints describe themselves in /openapi.json."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers


class RouterKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the base registers by name
    """How a caller says who it is."""

    target_class = "routing.endpoints.base.RouterKeyAuthentication"
    name = "routerKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "rk_...", "description": "A router key."}


ERROR = inline_serializer(
    "Error",
    {
        "error": inline_serializer(
            "ErrorObject",
            {
                "message": serializers.CharField(help_text="For people."),
                "type": serializers.CharField(),
                "param": serializers.CharField(allow_null=True),
                "code": serializers.CharField(help_text="Stable; for programs."),
                "metadata": serializers.DictField(required=False),
            },
        )
    },
)


def _error(description: str) -> OpenApiResponse:
    return OpenApiResponse(ERROR, description=description)


_CALLER_ERRORS = {
    401: _error("invalid_api_key: the router key is missing, unknown, revoked or expired."),
    403: _error("model_not_allowed: this key may not ask for this model."),
    404: _error("model_not_found: the name means nothing to this tenant."),
}

MODEL_OBJECT = inline_serializer(
    "Model",
    {
        "id": serializers.CharField(),
        "object": serializers.CharField(default="model"),
        "created": serializers.IntegerField(),
        "owned_by": serializers.CharField(help_text="A provider; smartrouter for a model group."),
    },
)

_MESSAGE = inline_serializer(
    "Message",
    {
        "role": serializers.ChoiceField(["developer", "system", "user", "assistant", "tool", "function"]),
        "content": serializers.JSONField(help_text="A text, or a list of parts."),
    },
)

CHAT_REQUEST = inline_serializer(
    "ChatCompletionRequest",
    {
        "model": serializers.CharField(
            help_text="A model group (auto:fast), an offered model or alias, or provider/model."
        ),
        "messages": serializers.ListField(child=_MESSAGE),
        "stream": serializers.BooleanField(required=False),
        "stream_options": serializers.DictField(required=False, help_text='{"include_usage": true} for a usage chunk.'),
        "max_tokens": serializers.IntegerField(required=False, min_value=1),
        "max_completion_tokens": serializers.IntegerField(required=False, min_value=1),
        "n": serializers.IntegerField(required=False, min_value=1),
        "temperature": serializers.FloatField(required=False),
        "tools": serializers.ListField(child=serializers.DictField(), required=False),
        "response_format": serializers.DictField(required=False),
        "user": serializers.CharField(required=False, help_text="Kept as the end user in usage records."),
    },
)

CHAT_RESPONSE = inline_serializer(
    "ChatCompletion",
    {
        "id": serializers.CharField(),
        "object": serializers.CharField(default="chat.completion"),
        "created": serializers.IntegerField(),
        "model": serializers.CharField(help_text="The model that answered, as the upstream names it."),
        "choices": serializers.ListField(child=serializers.DictField()),
        "usage": inline_serializer(
            "Usage",
            {
                "prompt_tokens": serializers.IntegerField(help_text="Includes cached tokens."),
                "completion_tokens": serializers.IntegerField(help_text="Includes reasoning tokens."),
                "total_tokens": serializers.IntegerField(),
                "cost": serializers.FloatField(allow_null=True, help_text="The charge in USD; null: no known price."),
            },
        ),
    },
)


def _plain_header(name: str, description: str) -> OpenApiParameter:
    text = f"{description} Not in the head of a stream, which is sent before the price is known."
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[200], description=text)


_SESSION_HEADERS = [
    OpenApiParameter(
        "x-session-id",
        str,
        OpenApiParameter.HEADER,
        description=(
            "Adds the request's charge to a session: all requests with this id and this router key, until there was none for "
            "24 hours. At most 128 printable characters; anything else counts as no session."
        ),
    ),
    _plain_header("x-smartrouter-cost-usd", "The charge of this request in USD. Missing while its price is not known."),
    _plain_header(
        "x-smartrouter-session-cost-usd",
        "What the session has come to in USD, this request included. Missing without `x-session-id` and while the sum is "
        "not known: that means unknown, never zero.",
    ),
]

CHAT: dict[str, Any] = {
    "operation_id": "create_chat_completion",
    "summary": "Chat completions, streamed or not",
    "description": (
        "The OpenAI chat completions format. Unknown fields are passed to the upstream unchanged. With `stream`, the answer "
        "is text/event-stream; a failure after the first content is an error event without [DONE]."
    ),
    "parameters": _SESSION_HEADERS,
    "request": CHAT_REQUEST,
    "responses": {
        200: CHAT_RESPONSE,
        400: _error("invalid_request, invalid_json, context_length_exceeded, content_filter: `param` names the field."),
        **_CALLER_ERRORS,
        408: _error("request_timeout: the body did not arrive in time."),
        413: _error("request_too_large."),
        415: _error("unsupported_encoding: the body is compressed."),
        502: _error("upstream_error: every channel that was tried failed."),
        503: _error("no_available_channel, usage_unavailable, overloaded, starting, shutting_down."),
        504: _error("upstream_timeout."),
    },
}
MODELS: dict[str, Any] = {
    "operation_id": "list_models",
    "summary": "The models and model groups that this key can use now",
    "responses": {
        200: inline_serializer(
            "ModelList",
            {"object": serializers.CharField(default="list"), "data": serializers.ListField(child=MODEL_OBJECT)},
        ),
        401: _CALLER_ERRORS[401],
    },
}
MODEL: dict[str, Any] = {
    "operation_id": "retrieve_model",
    "summary": "One model or model group",
    "responses": {200: MODEL_OBJECT, **_CALLER_ERRORS, 503: _error("no_available_channel: it has no usable channel.")},
}
