"""Worker side. The literal error bodies that vendors send, as recorded from their APIs and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = "application/json"
HTML = "text/html; charset=utf-8"
PAGE = b"<!DOCTYPE html><html><head><title>%b</title></head><body><center><h1>%b</h1></center><hr></body></html>\n"


@dataclass(slots=True, eq=False)
class Refusal(Exception):
    """An error response: what goes out, and why (for the journal)."""

    reason: str
    status: int
    body: bytes
    content_type: str = JSON
    headers: list[tuple[str, str]] = field(default_factory=list)


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's envelope."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_request(message: str, param: str | None = None) -> Refusal:
    """A 400 in OpenAI's words."""
    return _refusal("bad-request", 400, error_body(message, "invalid_request_error", None, param))


def wrong_key(key: str) -> Refusal:
    """OpenAI's 401, with the key masked as OpenAI does; without a key, its other text."""
    if not key:
        text = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
    else:
        masked = f"{key[:5]}***{key[-2:]}" if len(key) > 7 else "***"
        text = (
            f"Incorrect API key provided: {masked}. You can find your API key at "
            "https://platform.openai.com/account/api-keys."
        )
    return _refusal("invalid-key", 401, error_body(text, "invalid_request_error", "invalid_api_key"))


def no_quota() -> Refusal:
    """OpenAI's 429 for an account without money, which is about the key and not about the rate."""
    text = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    return _refusal("insufficient-quota", 429, error_body(text, "insufficient_quota", "insufficient_quota"))


def model_not_found(model: str, hint: str = "") -> Refusal:
    """OpenAI's 404 for a model, with a hint for the author of a test."""
    text = f"The model `{model}` does not exist or you do not have access to it."
    body = error_body(f"{text} ({hint})" if hint else text, "invalid_request_error", "model_not_found")
    return _refusal("model-not-found", 404, body)


def unknown_url(method: str, path: str) -> Refusal:
    return _refusal("unknown-url", 404, error_body(f"Invalid URL ({method} {path})", "invalid_request_error"))


def served_error(mode: str, model: str, key: str, retry_after: float | None) -> Refusal:
    """What a mode whose whole point is its error sends."""
    headers = [] if retry_after is None else [("retry-after", f"{retry_after:g}")]
    match mode:
        case "401":
            return wrong_key(key)
        case "404":
            return model_not_found(model)
        case "404-html":
            return Refusal(mode, 404, PAGE % (b"404 Not Found", b"404 Not Found"), HTML)
        case "html":
            return Refusal(mode, 200, PAGE % (b"Welcome", b"It works!"), HTML)
        case "redirect":
            return Refusal(mode, 302, b"", JSON, [("location", "/v1/models")])
    status, message, kind, code, param = _LITERALS[mode]
    return _refusal(mode, status, error_body(message.format(model=model), kind, code, param), headers)


def _refusal(
    reason: str, status: int, body: Mapping[str, Any], headers: list[tuple[str, str]] | None = None
) -> Refusal:
    return Refusal(reason, status, orjson.dumps(body), JSON, headers or [])


SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"
# mode: status, message, type, code, param
_LITERALS: Mapping[str, tuple[int, str, str, str | None, str | None]] = {
    "400": (
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "invalid_request_error",
        "unsupported_parameter",
        "max_tokens",
    ),
    "context": (
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 204308 tokens. "
        "Please reduce the length of the messages.",
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
    "content-filter": (
        400,
        "Your request was rejected as a result of our safety system.",
        "invalid_request_error",
        "content_policy_violation",
        None,
    ),
    "402": (402, "Insufficient Balance", "unknown_error", "invalid_request_error", None),
    "403": (403, "You have no permission to use `{model}`.", "permission_denied", "permission_denied", None),
    "429": (
        429,
        "Rate limit reached for {model} in organization org-simulator on tokens per min (TPM): Limit 30000, "
        "Used 29000, Requested 2000. Please try again in 2s.",
        "tokens",
        "rate_limit_exceeded",
        None,
    ),
    "500": (500, SERVER_ERROR, "server_error", None, None),
    "502": (502, "Bad gateway: the upstream server did not answer.", "server_error", None, None),
    "503": (503, "The engine is currently overloaded, please try again later.", "server_error", None, None),
    "529": (529, "Overloaded", "overloaded_error", "overloaded_error", None),
}


def stream_error() -> dict[str, Any]:
    """The error object that comes with status 200, whole or as an event."""
    return error_body(SERVER_ERROR, "server_error", "server_error")
