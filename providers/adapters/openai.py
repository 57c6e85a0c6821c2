"""Hot path. The OpenAI adapter: also right for every vendor that is compatible with it.

Error codes and texts: OpenAI's error guide and recorded answers (2026-11), and those of the compatible vendors that answer in
the same envelope.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from providers.adapters.base import Adapter, FieldRule
from smartrouter.lib.errors import ErrorClass, UpstreamError
from smartrouter.lib.logs import redact

_KEY_CODES = frozenset(
    (
        "invalid_api_key",
        "account_deactivated",
        "billing_not_active",
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "authentication_error",
        "billing_error",
        "invalid_authentication_error",
        "incorrect_api_key_error",
        "exceeded_current_quota_error",
        "ip_not_authorized",
    )
)
_KEY_TEXT = re.compile(
    r"credit balance is too low|organization has been disabled|insufficient balance|余额不足|欠费", re.I
)
_CONTEXT_CODES = frozenset(("context_length_exceeded", "string_above_max_length"))
_CONTEXT_TEXT = re.compile(
    r"maximum context length|prompt is too long|exceed(?:s|ed)? (?:the )?(?:model'?s? )?(?:context|available context|model token) ?"
    r"(?:limit|size|length)?|input length .*exceed|range of input length|is longer than the model's context",
    re.I,
)
_CONTENT_CODES = frozenset(
    ("content_policy_violation", "content_filter", "invalid_prompt", "data_inspection_failed", "moderation_blocked")
)
_MODEL_CODES = frozenset(("model_not_found", "model_decommissioned", "invalid_model", "deploymentnotfound"))
_TOO_LARGE_TEXT = re.compile(r"request too large", re.I)
_TRY_AGAIN = re.compile(r"(?:try again|retry) (?:in|after) (?:(\d+)m)?([\d.]+) ?(ms|s)", re.I)
# What must not reach a caller even inside an upstream's message: organisation, project and account ids.
_IDS = re.compile(r"\b(?:org|proj|acct|user|team)[-_][A-Za-z0-9]{6,}\b")
MESSAGE_AT_MOST = 500

GUARDED: Mapping[str, FieldRule] = {
    **{
        name: FieldRule()
        for name in ("models", "route", "provider", "plugins", "preset", "fallbacks", "previous_response_id")
    },
    "web_search_options": FieldRule(),
    "service_tier": FieldRule(harmless=("auto", "default")),
    "modalities": FieldRule(harmless=(["text"],)),
}


def auth_headers(key: str) -> Mapping[str, str]:
    """The bearer header; none for an empty key (a local server without one)."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def clean_message(text: str) -> str:
    """An upstream's message as a caller may see it: no keys, no organisation or account ids, not endless."""
    return _IDS.sub("***", redact(text))[:MESSAGE_AT_MOST]


def read_error(body: bytes) -> dict[str, Any] | None:
    """message, type, code, param of an error body in any of the envelopes seen; None where it is not JSON."""
    try:
        doc = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(doc, list) and doc:
        doc = doc[0]
    if isinstance(doc, str):
        return {"message": doc}
    if not isinstance(doc, dict):
        return {"message": ""}
    inner = doc.get("error", doc)
    if isinstance(inner, str):
        inner = {"message": inner, "code": doc.get("code")}
    if not isinstance(inner, dict):
        inner = doc
    detail = inner.get("message") or inner.get("detail") or ""
    return {**inner, "message": detail if isinstance(detail, str) else orjson.dumps(detail).decode()}


def retry_after_of(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds to wait by retry-after-ms, retry-after (seconds) or the message's own words; None where nothing says."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text:
            try:
                return max(0.0, float(text) * scale)
            except ValueError:
                continue
    found = _TRY_AGAIN.search(message)
    if found:
        return int(found[1] or 0) * 60 + float(found[2]) * (0.001 if found[3] == "ms" else 1)
    return None


def kind_of(status: int, code: str, etype: str, message: str, *, is_json: bool) -> ErrorClass:
    """The class of a failure. The order matters: a listed code outweighs the status, the status outweighs nothing."""
    names = {code, etype}
    if status == 429 and _TOO_LARGE_TEXT.search(message):
        return ErrorClass.REQUEST
    # OpenAI's own 429s for an empty account carry type insufficient_quota; without a listed code a 429 is only RATE.
    if names & _KEY_CODES or status in (401, 402) or (status in (400, 403) and _KEY_TEXT.search(message)):
        return ErrorClass.KEY
    if names & _CONTEXT_CODES or (status in (400, 413, 422) and _CONTEXT_TEXT.search(message)):
        return ErrorClass.CONTEXT
    if names & _CONTENT_CODES:
        return ErrorClass.CONTENT
    if names & _MODEL_CODES:
        return ErrorClass.MODEL
    if status == 404:
        return ErrorClass.MODEL if is_json else ErrorClass.CHANNEL
    if status == 403:
        return ErrorClass.KEY_MODEL
    if status == 429 or status == 529:
        return ErrorClass.RATE
    if status in (400, 405, 406, 413, 415, 422):
        return ErrorClass.REQUEST if is_json else ErrorClass.CHANNEL
    if 300 <= status < 400:
        return ErrorClass.CHANNEL
    return ErrorClass.TRANSIENT


def classify(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The one classified error of a failed answer."""
    found = read_error(body)
    error = found or {}
    code, etype = str(error.get("code") or "").lower(), str(error.get("type") or "").lower()
    message = str(error.get("message") or "")
    kind = kind_of(status, code, etype, message, is_json=found is not None)
    wait = retry_after_of(headers, message) if kind in (ErrorClass.RATE, ErrorClass.TRANSIENT) else None
    if status == 503 and wait is not None:
        kind = ErrorClass.RATE
    param = error.get("param")
    return UpstreamError(
        kind,
        clean_message(message) or f"HTTP {status}",
        status=status,
        code=code or None,
        param=param if isinstance(param, str) and param else None,
        retry_after_s=wait,
    )


OPENAI = Adapter(
    name="openai",
    label="OpenAI",
    dialect="openai_chat",
    chat_path="/chat/completions",
    models_path="/models",
    auth_headers=auth_headers,
    classify=classify,
    guarded=GUARDED,
)
