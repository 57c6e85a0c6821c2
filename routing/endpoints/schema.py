"""How the /v1 endpoints describe themselves in /openapi.json."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from providers.capabilities import CAPABILITIES
from routing.resolve import NAMES_AT_MOST
from routing.strategies import PRESETS


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


def error(description: str) -> OpenApiResponse:
    return OpenApiResponse(ERROR, description=description)


CALLER_ERRORS = {
    401: error("invalid_api_key: the router key is missing, unknown, revoked, replaced or expired."),
    403: error(
        "model_not_allowed: this key may not ask for this model. address_not_allowed: nor be used from the client's address."
    ),
    404: error("model_not_found: the name means nothing to this tenant."),
    429: error("too_many_wrong_keys: answers to other wrong keys from this address are waiting."),
}

MODEL_OBJECT = inline_serializer(
    "Model",
    {
        "id": serializers.CharField(),
        "object": serializers.CharField(default="model"),
        "created": serializers.IntegerField(),
        "owned_by": serializers.CharField(help_text="A provider; smartrouter for a model group and for a tag."),
        "type": serializers.ChoiceField(["group", "model", "tag"]),
        "context_length": serializers.IntegerField(
            allow_null=True,
            help_text="The longest context behind the name, in tokens: requests go where they fit. Null: none known.",
        ),
        "context_length_min": serializers.IntegerField(allow_null=True, help_text="The shortest known one."),
        "capabilities": serializers.ListField(
            child=serializers.ChoiceField(CAPABILITIES),
            allow_null=True,
            help_text="What some channel behind the name is known to do; what needs it goes there. Null: nothing known.",
        ),
        "pricing": inline_serializer(
            "Pricing",
            {
                "currency": serializers.CharField(default="USD"),
                "input": serializers.CharField(
                    help_text="For a million tokens, of the cheapest channel, as a decimal."
                ),
                "input_max": serializers.CharField(help_text="Of the dearest one, in its dearest tier."),
                "output": serializers.CharField(),
                "output_max": serializers.CharField(),
                "request": serializers.CharField(
                    required=False, help_text="For each request, where there is such a price."
                ),
                "request_max": serializers.CharField(required=False),
            },
            allow_null=True,
            help_text="What you are charged now. Null: no price known.",
        ),
        "parameters": serializers.IntegerField(
            required=False, help_text="The size of the largest model behind the name, where its name tells."
        ),
    },
)


_MESSAGE = inline_serializer(
    "Message",
    {
        "role": serializers.ChoiceField(["developer", "system", "user", "assistant", "tool", "function"]),
        "content": serializers.JSONField(help_text="A text, or a list of parts."),
    },
)


def messages_field(*, required: bool = True) -> serializers.ListField:
    """The messages of a chat; each schema needs a field of its own."""
    return serializers.ListField(child=type(_MESSAGE)(), required=required)


CHAT_FIELDS: dict[str, Any] = {
    "model": serializers.CharField(
        required=False,
        help_text="A model group (auto:fast), a tag query (tag:qwen,free), an offered model or alias, or provider/model. "
        "Left out or empty: the key's default model, if it has one.",
    ),
    "models": serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=NAMES_AT_MOST,
        help_text="More names, tried in this order after `model` when nobody behind the ones before has answered.",
    ),
    "stream": serializers.BooleanField(required=False),
    "stream_options": serializers.DictField(required=False, help_text='{"include_usage": true} for a usage chunk.'),
    "max_tokens": serializers.IntegerField(required=False, min_value=1),
    "max_completion_tokens": serializers.IntegerField(required=False, min_value=1),
    "n": serializers.IntegerField(required=False, min_value=1),
    "temperature": serializers.FloatField(required=False),
    "tools": serializers.ListField(child=serializers.DictField(), required=False),
    "response_format": serializers.DictField(required=False),
    "user": serializers.CharField(required=False, help_text="Kept as the end user in usage records."),
}
CHAT_REQUEST = inline_serializer("ChatCompletionRequest", {**CHAT_FIELDS, "messages": messages_field()})

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


def _limit_header(what: str, unit: str, description: str) -> OpenApiParameter:
    name, text = f"x-ratelimit-{what}-{unit}", f"{description} Missing where {unit} are not limited."
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[200, 429], description=text)


_LIMIT_HEADERS = [
    _limit_header(what, unit, description.format(unit))
    for unit in ("requests", "tokens")
    for what, description in (
        ("limit", "How many {} a minute are allowed, by the limit that has least left."),
        ("remaining", "How many {} of them are left."),
        ("reset", "When all of the {} will be there again, such as 6s or 1m0s."),
    )
]


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

WISHES = [
    OpenApiParameter(
        "x-smartrouter-strategy",
        str,
        OpenApiParameter.HEADER,
        enum=list(PRESETS),
        description="Puts the candidates in order by this strategy. Only for keys that may choose it.",
    ),
    OpenApiParameter(
        "x-smartrouter-provider",
        str,
        OpenApiParameter.HEADER,
        description="Only channels of this provider take part. Only for keys that may choose it.",
    ),
]

CHAT: dict[str, Any] = {
    "operation_id": "create_chat_completion",
    "summary": "Chat completions, streamed or not",
    "description": (
        "The OpenAI chat completions format. Unknown fields are passed to the upstream unchanged. With `stream`, the answer "
        "is text/event-stream; a failure after the first content is an error event without [DONE]."
    ),
    "parameters": [*_SESSION_HEADERS, *_LIMIT_HEADERS, *WISHES],
    "request": CHAT_REQUEST,
    "responses": {
        200: CHAT_RESPONSE,
        400: error(
            "invalid_request, invalid_json, invalid_tag, context_length_exceeded, capability_not_supported (no model behind "
            "the name can do what the request needs), content_filter: `param` names the field."
        ),
        **CALLER_ERRORS,
        403: error(
            "model_not_allowed: this key may not use this model. strategy_not_allowed: nor choose a strategy or provider. "
            "address_not_allowed: nor be used from the client's address."
        ),
        408: error("request_timeout: the body did not arrive in time."),
        402: error(
            "budget_exceeded: the request does not fit into a budget. `metadata` has `scope`, `window` and `resets_at`, "
            "and amounts where this key may see them. A tenant may have chosen 429 for it."
        ),
        413: error("request_too_large."),
        415: error("unsupported_encoding: the body is compressed."),
        429: error(
            "rate_limit_exceeded: more than a limit of requests or tokens a minute, of requests at a time, or a quota "
            "allows; `Retry-After` says when to come again. budget_exceeded, too_many_wrong_keys."
        ),
        502: error("upstream_error: every channel that was tried failed."),
        503: error("no_available_channel, usage_unavailable, overloaded, starting, shutting_down."),
        504: error("upstream_timeout."),
    },
}
MODELS: dict[str, Any] = {
    "operation_id": "list_models",
    "summary": "The models and model groups that this key can use now",
    "description": (
        "Model groups first, then models, each with a channel that can serve it now. Names that only an allow list spells "
        "out (provider/model, tag queries) are there for the keys that have it. A changed configuration shows at once, a "
        "very large change and a daily limit that is used up within ten seconds."
    ),
    "parameters": [
        OpenApiParameter("tags", bool, OpenApiParameter.QUERY, description="Lists each tag as well, as `tag:qwen`."),
    ],
    "responses": {
        200: inline_serializer(
            "ModelList",
            {"object": serializers.CharField(default="list"), "data": serializers.ListField(child=MODEL_OBJECT)},
        ),
        400: error("invalid_request: `tags` is neither true nor false."),
        401: CALLER_ERRORS[401],
        403: error("address_not_allowed: this key may not be used from the client's address."),
        429: CALLER_ERRORS[429],
    },
}
MODEL: dict[str, Any] = {
    "operation_id": "retrieve_model",
    "summary": "One model, model group or tag query",
    "responses": {200: MODEL_OBJECT, **CALLER_ERRORS, 503: error("no_available_channel: it has no usable channel.")},
}
