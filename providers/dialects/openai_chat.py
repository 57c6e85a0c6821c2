"""Hot path. The OpenAI chat completions format: what the router reads in it and the little that it changes.

Requests and answers are parsed to dicts; every field that is not named here passes untouched. Field names: OpenAI API
reference, openai-python 3.52 (2026-11); the variants of compatible vendors are named where they are read.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from providers.usage import Usage
from smartrouter.lib.sse import event_of

DONE = b"[DONE]"
# Rough figures for estimates only, used where an upstream reports no usage.
BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 765
_CACHED = frozenset(("prompt_cache_hit_tokens", "cached_tokens"))
_NOT_TEXT = frozenset(("role", "id", "type", "data"))
# A stream whose events carry more than so many bytes of text on average does not send token by token.
TOKEN_EVENT_BYTES = 12
# More than any answer has; what is beyond it is nonsense.
MOST_TOKENS = 2**31
MOST_USD = 10_000


def build_payload(
    body: Mapping[str, Any], model: str, params: Mapping[str, Any], *, asks_for_usage: bool
) -> dict[str, Any]:
    """The request for one upstream: its model name, the channel's parameters (None removes one), usage asked for."""
    payload = {**body, "model": model}
    for name, value in params.items():
        if value is None:
            payload.pop(name, None)
        else:
            payload[name] = value
    if payload.get("stream"):
        if asks_for_usage:
            payload["stream_options"] = {**(payload.get("stream_options") or {}), "include_usage": True}
        else:
            payload.pop("stream_options", None)
    return payload


def choices_of(doc: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or chunk, as far as they are what the dialect promises."""
    found = doc.get("choices")
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def error_object(doc: Mapping[str, Any]) -> Any:
    """The error that an answer or chunk carries under status 200, in whatever form; a false value where none.

    OpenRouter may put it into a choice.
    """
    found = doc.get("error")
    return found or next((choice["error"] for choice in choices_of(doc) if choice.get("error")), None)


def _says_anything(details: Any) -> bool:
    return type(details) is dict and any(details.values())


def _count(source: Any, name: str) -> int:
    """A count of tokens; some vendors send whole numbers as 12.0."""
    value = source.get(name) if isinstance(source, dict) else None
    if type(value) is int and 0 <= value < MOST_TOKENS:
        return value
    return int(value) if value and _is_count(value) else 0


def is_usage(found: Any) -> bool:
    """Whether this is a usage object that says what was used: a half of it would be billed as if the rest were nothing.

    An explicit 0 is an answer; a null, a missing count and a nonsensical one are not.
    """
    if not isinstance(found, dict) or not _is_count(found.get("prompt_tokens")):
        return False
    return _is_count(found.get("completion_tokens")) or _is_count(found.get("total_tokens"))


def _is_count(value: Any) -> bool:
    if type(value) is int:
        return 0 <= value < MOST_TOKENS
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS


def read_usage(found: Mapping[str, Any]) -> Usage:
    """The usage object of an answer, of OpenAI's and of the compatible vendors' making."""
    prompt, completion = found.get("prompt_tokens_details"), found.get("completion_tokens_details")
    cost = found.get("cost")
    has_cost = isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < MOST_USD
    prompt_tokens = _count(found, "prompt_tokens")
    if _is_count(found.get("completion_tokens")):
        completion_tokens = _count(found, "completion_tokens")
    else:
        completion_tokens = max(0, _count(found, "total_tokens") - prompt_tokens)
    if not (has_cost or _says_anything(prompt) or _says_anything(completion) or found.keys() & _CACHED):
        return Usage(prompt_tokens, completion_tokens)  # most answers
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        # DeepSeek: prompt_cache_hit_tokens beside the details; Moonshot: cached_tokens at the top
        cached_tokens=_count(prompt, "cached_tokens")
        or _count(found, "prompt_cache_hit_tokens")
        or _count(found, "cached_tokens"),
        cache_write_tokens=_count(prompt, "cache_write_tokens"),
        reasoning_tokens=_count(completion, "reasoning_tokens"),
        audio_input_tokens=_count(prompt, "audio_tokens"),
        audio_output_tokens=_count(completion, "audio_tokens"),
        image_tokens=_count(prompt, "image_tokens"),
        reported_cost_usd=Decimal(str(cost)) if has_cost else None,
    )


def usage_in(doc: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage object of an answer or chunk; None where there is none, or only null.

    Groq puts it into x_groq, Moonshot into the choice.
    """
    if is_usage(doc.get("usage")):
        return dict(doc["usage"])
    for holder in (doc.get("x_groq"), *choices_of(doc)):
        if isinstance(holder, dict) and is_usage(holder.get("usage")):
            return dict(holder["usage"])
    return None


def usage_object(usage: Usage) -> dict[str, Any]:
    """The usage object for an answer whose upstream sent none."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def with_charge(found: Mapping[str, Any], charge_usd: float | None) -> dict[str, Any]:
    """A usage object as callers see it: the upstream's own cost fields gone, ours in `cost`."""
    # OpenRouter: cost, cost_details, is_byok; DeepInfra: estimated_cost; xAI: cost_in_usd_ticks
    kept = {k: v for k, v in found.items() if "cost" not in k and k != "is_byok"}
    kept["cost"] = charge_usd
    return kept


def show_usage(doc: dict[str, Any], usage: Mapping[str, Any]) -> None:
    """Put the usage that callers see into an answer or chunk, and take it out of the places where vendors put theirs."""
    for holder in (doc.get("x_groq"), *choices_of(doc)):
        if isinstance(holder, dict):
            holder.pop("usage", None)
    doc["usage"] = usage


def has_content(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk commits: text, reasoning, a tool call, a refusal, audio or a finish reason."""
    return any(
        choice.get("finish_reason") or is_content(choice.get("delta") or choice.get("message"))
        for choice in choices_of(chunk)
    )


def is_content(delta: Any) -> bool:
    """Whether a delta says anything."""
    return isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role")


def text_bytes(message: Any) -> int:
    """The UTF-8 bytes of all text in a delta or message: content, reasoning, refusal, tool arguments."""
    size, waiting = 0, [message]
    while waiting:  # not by recursion: a client's JSON may be nested deeper than Python's stack
        value = waiting.pop()
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, dict):
            waiting += [v for name, v in value.items() if name not in _NOT_TEXT]
        elif isinstance(value, list):
            waiting += value
    return size


def estimate_prompt_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a request has: for rows whose upstream never says."""
    messages = body["messages"]
    size, extra = text_bytes(body["tools"]) if "tools" in body else 0, MESSAGE_TOKENS * len(messages)
    for message in messages:
        content = message.get("content")
        if type(content) is str and content.isascii():
            size += len(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and "image_url" in part:
                    extra += IMAGE_TOKENS
                elif isinstance(part, dict):
                    size += text_bytes(part.get("text"))
        else:
            size += text_bytes(content)
        if "tool_calls" in message:
            size += text_bytes(message["tool_calls"])
    return extra + -(-size // BYTES_PER_TOKEN)


def estimate_answer_tokens(doc: Mapping[str, Any]) -> int:
    """About how many tokens a whole answer has."""
    size = sum(text_bytes(choice.get("message")) for choice in choices_of(doc))
    return -(-size // BYTES_PER_TOKEN)


def output_limit(body: Mapping[str, Any]) -> int | None:
    """The request's own limit of output tokens, over all n choices; None where it sets none."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit * (body.get("n") or 1) if isinstance(limit, int) else None


def usage_event(template: Mapping[str, Any], usage: Mapping[str, Any]) -> bytes:
    """The last chunk of a stream, which carries only usage, in the likeness of the stream's own chunks."""
    kept = {k: template[k] for k in ("id", "object", "created", "model", "system_fingerprint") if k in template}
    return event_of(orjson.dumps({**kept, "choices": [], "usage": usage}))


def error_event(error: Mapping[str, Any]) -> bytes:
    """The event that ends a stream that failed after its first content; no [DONE] follows it."""
    return event_of(orjson.dumps(error))
