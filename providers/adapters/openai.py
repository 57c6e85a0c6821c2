"""Hot path. The OpenAI adapter: also right for every vendor that is compatible with it (error codes: see signs.py)."""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from providers.adapters.base import Adapter, FieldRule
from providers.adapters.signs import FIRST_TEXTS, TEXTS, kind_by_code, kind_by_text
from smartrouter.lib.errors import ErrorClass, UpstreamError
from smartrouter.lib.logs import redact

_TRY_AGAIN = re.compile(r"(?:try again|retry) (?:in|after) (?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]*\d) ?(ms|s))?", re.I)
# What must not reach a caller even inside an upstream's message: organisation, project and account ids, addresses inside.
_IDS = re.compile(
    r"\b(?:org|proj|acct)[-_][\w-]{4,}|\b(?:user|team)[-_](?=[\w-]{0,64}\d)[\w-]{6,64}"
    r"|(?<=account )[`'\"]?\d{6,}|\baccount[ _]?id\W{0,3}\d{6,}|\barn:[\w:/.-]{1,200}"
    r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\bhttps?://(?:localhost|\d+\.\d+\.\d+\.\d+|[\w.-]{1,100}:\d+)[^\s'\"]{0,300}"
    r"|\b(?:10|127|172|192)\.\d{1,3}\.\d{1,3}\.\d{1,3}\b(?::\d+)?",
    re.I,
)
MESSAGE_AT_MOST = 500
# What is looked at: an upstream may quote the whole request, and patterns take time.
TEXT_AT_MOST = 2000
NAME_AT_MOST = 100
WAIT_AT_MOST_S = 86_400.0

# Another model; paid searches (xAI, DashScope); models inside the model (Groq); another upstream (LiteLLM proxies).
_GUARDED_NAMES = (
    *("models", "route", "provider", "plugins", "preset", "fallbacks", "previous_response_id"),
    *("search_parameters", "enable_search", "search_options", "search_settings", "compound_custom"),
    *("api_base", "base_url", "api_key", "model_list", "user_config"),
)
GUARDED: Mapping[str, FieldRule] = {
    **{name: FieldRule(harmless=(False,)) for name in _GUARDED_NAMES},
    "web_search_options": FieldRule(),
    "service_tier": FieldRule(harmless=("auto", "default")),
    "modalities": FieldRule(harmless=(["text"],)),
}


def auth_headers(key: str) -> Mapping[str, str]:
    """The bearer header; none for an empty key (a local server without one)."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def clean_message(text: str) -> str:
    """An upstream's message as a caller may see it: no keys, no organisation or account ids, not endless."""
    return _IDS.sub("***", redact(text[:TEXT_AT_MOST]))[:MESSAGE_AT_MOST]


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
    return {**inner, "message": detail if isinstance(detail, str) else repr(detail)[:TEXT_AT_MOST]}


def retry_after_of(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds to wait by retry-after-ms, retry-after (seconds) or the message's own words; None where nothing says."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text:
            try:
                seconds = float(text) * scale
            except ValueError:
                continue
            if math.isfinite(seconds):
                return min(max(0.0, seconds), WAIT_AT_MOST_S)
    found = _TRY_AGAIN.search(message)
    if found and any(found.groups()):
        hours, minutes, count, unit = found.groups()
        seconds = (
            float(hours or 0) * 3600 + float(minutes or 0) * 60 + float(count or 0) * (0.001 if unit == "ms" else 1)
        )
        return min(seconds, WAIT_AT_MOST_S)
    return None


def kind_of(status: int, code: str, etype: str, message: str, *, is_json: bool) -> ErrorClass:
    """The class of a failure. The order matters: a listed code outweighs the text, and both the status."""
    # Without a listed code or text a 429 is only RATE: an empty account says so.
    return (
        kind_by_text(FIRST_TEXTS, status, message)
        or kind_by_code(code, etype)
        or (ErrorClass.KEY if status in (401, 402) else None)
        or kind_by_text(TEXTS, status, message)
        or _kind_by_status(status, is_json=is_json)
    )


def _kind_by_status(status: int, *, is_json: bool) -> ErrorClass:
    """What a status alone means. A page instead of JSON where the caller would be to blame: not the API that we think."""
    if status in (429, 529):
        return ErrorClass.RATE
    if 300 <= status < 400:
        return ErrorClass.CHANNEL
    if status in (400, 403, 404, 405, 406, 413, 415, 422):
        if not is_json:
            return ErrorClass.CHANNEL
        return {403: ErrorClass.KEY_MODEL, 404: ErrorClass.MODEL}.get(status, ErrorClass.REQUEST)
    return ErrorClass.TRANSIENT


def classify(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The one classified error of a failed answer."""
    found = read_error(body)
    error = found or {}
    code, etype = str(error.get("code") or "").lower(), str(error.get("type") or "").lower()
    message = str(error.get("message") or "")[:TEXT_AT_MOST]
    kind = kind_of(status, code, etype, message, is_json=found is not None)
    wait = retry_after_of(headers, message) if kind in (ErrorClass.RATE, ErrorClass.TRANSIENT) else None
    if status == 503 and wait is not None:
        kind = ErrorClass.RATE
    param = error.get("param")
    return UpstreamError(
        kind,
        clean_message(message) or f"HTTP {status}",
        status=status,
        code=clean_message(code)[:NAME_AT_MOST] or None,
        param=(clean_message(param)[:NAME_AT_MOST] or None) if isinstance(param, str) else None,
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
