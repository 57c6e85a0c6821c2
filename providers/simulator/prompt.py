"""Worker side. What a chat request says and how many tokens that is, in the simulator's own simple arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from providers.simulator.errors import invalid_request

TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 85
BYTES_PER_TOKEN = 4
# OpenAI caches prompts of more than 1024 tokens, in steps of 128 (platform.openai.com, prompt caching).
CACHED_FROM_TOKENS = 1024
CACHE_STEP = 128


@dataclass(frozen=True, slots=True)
class Prompt:
    """The request as the simulator understands it. `tokens` includes `cached_tokens`."""

    question: str
    tool_result: str | None
    images: int
    tokens: int

    @property
    def cached_tokens(self) -> int:
        return self.tokens * 3 // 4 // CACHE_STEP * CACHE_STEP if self.tokens > CACHED_FROM_TOKENS else 0


def read_prompt(body: Mapping[str, Any]) -> Prompt:
    """The prompt of a chat request. Raises Refusal when the messages are missing or malformed."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid_request("Missing required parameter: 'messages'.", "messages")
    tokens = images = 0
    question = ""
    tool_result = None
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise invalid_request(f"Invalid 'messages[{position}]': expected an object with a role.", "messages")
        text = "".join(_texts(message.get("content")))
        seen = _count_images(message.get("content"))
        images += seen
        tokens += TOKENS_PER_MESSAGE + seen * TOKENS_PER_IMAGE + _tokens_of(text.encode("utf-8", "replace"))
        tokens += _tokens_of(_json_of(message.get("tool_calls")))
        if message["role"] == "user":
            question = text
        tool_result = text if message["role"] == "tool" else None
    tokens += _tokens_of(_json_of(body.get("tools"))) + _tokens_of(_json_of(body.get("response_format")))
    return Prompt(question, tool_result, images, tokens)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _count_images(content: Any) -> int:
    if not isinstance(content, list):
        return 0
    return sum(1 for part in content if isinstance(part, Mapping) and part.get("type") == "image_url")


def _json_of(value: Any) -> bytes:
    return orjson.dumps(value) if value else b""


def _tokens_of(data: bytes) -> int:
    return -(-len(data) // BYTES_PER_TOKEN)
