"""Hot path. What an OpenAI chat request can come to at most, in tokens; and how its answer is kept short."""

from collections.abc import Mapping
from typing import Any

# Nobody's tokenizer makes more tokens of a text than it has bytes. What is not text counts by part: the most that the
# vendors' public tables give for one image (gpt-4o-mini: 2,833 and 5,667 for each of 8 tiles; Qwen-VL: 16,384).
IMAGE_TOKENS = 16_384
_IMAGE_TOKENS_OF = (("gpt-4o-mini", 48_169),)
# Gemini counts 32 tokens a second of sound, and Opus needs about 750 bytes for one; in base64 a third more.
AUDIO_CHARS_PER_TOKEN = 24
_IMAGES = ("image_url", "image", "input_image")
_SOUNDS = ("input_audio", "audio_url", "audio")
# A part of nothing but these is text.
_TEXT = frozenset(("type", "text", "refusal", "cache_control", "annotations"))
# Models that refuse max_tokens (OpenAI's reasoning models); most compatible vendors know nothing else.
_LIMITS = ("max_completion_tokens", "max_tokens")
_OPENAI = ("openai.com", "azure.com")
_COMPLETION_MODELS = ("o1", "o3", "o4", "gpt-5")


def prompt_bound(payload: Mapping[str, Any], size: int, context_length: int | None) -> int:
    """The most tokens that a prompt can have; size: of the encoded request in bytes; context_length: the model's, if known.

    Names and brackets of the JSON count like text: they stand for what a chat template puts around each message.
    """
    bound: int | None = size
    for message in payload["messages"]:
        content = message.get("content")
        if type(content) is list and bound is not None:
            for part in content:
                more = _beyond_text(part, payload["model"])
                bound = None if more is None else bound + more
                if bound is None:
                    break
    if bound is None:  # pages or pictures that nobody has counted
        return context_length or 10**6
    return bound if context_length is None else min(bound, context_length)


def _beyond_text(part: Any, model: str) -> int | None:
    """What a part adds to its own bytes; negative where its bytes are data. None: nobody can say."""
    if type(part) is not dict:
        return 0
    for name in _IMAGES:
        if name in part:
            most = next((most for start, most in _IMAGE_TOKENS_OF if start in model), IMAGE_TOKENS)
            return most - _data_size(part[name])
    for name in _SOUNDS:
        if name in part:
            size = _data_size(part[name])
            return size // AUDIO_CHARS_PER_TOKEN - size if size else None
    return 0 if part.keys() <= _TEXT else None


def _data_size(value: Any) -> int:
    """The characters of a data: URL or of base64 data; an ordinary address is text."""
    if type(value) is dict:
        value = value.get("url") or value.get("data")
        if type(value) is str and not value.startswith(("data:", "http")):
            return len(value)
    return len(value) if type(value) is str and value.startswith("data:") else 0


def output_asked(payload: Mapping[str, Any]) -> int | None:
    """The most output tokens that a request asks for, over all of its answers; None where it sets no limit.

    Where it sets both limits the larger one counts: an upstream may know either of them only.
    """
    limits = [payload[name] for name in _LIMITS if type(payload.get(name)) is int]
    return max(limits) * (payload.get("n") or 1) if limits else None


def keep_short(payload: dict[str, Any], tokens: int, *, host: str | None = None) -> None:
    """Let all answers together have at most so many tokens, whatever the request said.

    There is one limit afterwards, in the field that the upstream knows: most know max_tokens only, OpenAI's reasoning models
    refuse it, and OpenAI itself (host) takes what the client has chosen.
    """
    each = max(1, tokens // (payload.get("n") or 1))
    has_chosen = type(payload.get("max_completion_tokens")) is int and (host or "").endswith(_OPENAI)
    is_new = has_chosen or _plain(payload["model"]).startswith(_COMPLETION_MODELS)
    for name in _LIMITS:
        payload.pop(name, None)
    payload["max_completion_tokens" if is_new else "max_tokens"] = each


def _plain(model: str) -> str:
    return model.rpartition("/")[2].lower()
