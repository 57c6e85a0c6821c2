"""Hot path. OpenRouter: the OpenAI dialect, and `usage.cost` in USD is what it takes from our account.

Errors: OpenRouter's OpenAPI document and error guide (2026-08).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from providers.adapters.openai import OPENAI, read_error
from providers.adapters.openai import classify as classify_as_openai
from smartrouter.lib.errors import ErrorClass, UpstreamError

# error.metadata.error_type, and error.availability.code: more exact than the status beside them.
_KINDS: Mapping[str, ErrorClass] = {
    **dict.fromkeys(("context_length_exceeded", "token_limit_exceeded"), ErrorClass.CONTEXT),
    **dict.fromkeys(("content_policy_violation", "refusal"), ErrorClass.CONTENT),
    **dict.fromkeys(("authentication", "payment_required"), ErrorClass.KEY),
    **dict.fromkeys(("permission_denied", "privacy_restricted"), ErrorClass.KEY_MODEL),
    **dict.fromkeys(
        (
            "invalid_request",
            "invalid_prompt",
            "max_tokens_exceeded",
            "string_too_long",
            "payload_too_large",
            "unprocessable",
        ),
        ErrorClass.REQUEST,
    ),
    **dict.fromkeys(
        ("not_found", "model_not_found", "wrong_endpoint", "no_endpoints", "model_deprecated", "constraint_filtered"),
        ErrorClass.MODEL,
    ),
    "free_variant_ended": ErrorClass.MODEL,
    "region_restricted": ErrorClass.CHANNEL,
    **dict.fromkeys(("rate_limit_exceeded", "capacity_exhausted", "in_flight_budget_exhausted"), ErrorClass.RATE),
    **dict.fromkeys(
        ("provider_overloaded", "provider_unavailable", "model_unavailable_upstream", "temporarily_unavailable"),
        ErrorClass.TRANSIENT,
    ),
    **dict.fromkeys(("server", "timeout", "unmapped"), ErrorClass.TRANSIENT),
}


def classify(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The classified error of a failed answer."""
    error = classify_as_openai(status, headers, body)
    found = read_error(body) or {}
    metadata, availability = _object(found, "metadata"), _object(found, "availability")
    named = (availability.get("code"), metadata.get("error_type"), found.get("error_type"))
    kind = next((_KINDS[name] for name in named if isinstance(name, str) and name in _KINDS), None)
    if kind is None and status == 403 and metadata.keys() & {"reasons", "flagged_input", "patterns"}:
        kind = ErrorClass.CONTENT  # moderation, and not our key
    if kind is not None:
        error.kind = kind
    wait = availability.get("retry_after")
    if error.retry_after_s is None and isinstance(wait, int | float) and wait >= 0:
        error.retry_after_s = float(wait)
    return error


def _object(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


OPENROUTER = replace(OPENAI, name="openrouter", label="OpenRouter", classify=classify, is_cost_reported=True)
