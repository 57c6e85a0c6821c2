"""Worker side. Answers in the shapes of OpenAI's chat completions: the plain object, the chunks of a stream, usage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from providers.simulator.answers import Answer, Choice, ToolCall

INPUT_USD_PER_MTOK = 0.15
OUTPUT_USD_PER_MTOK = 0.60


@dataclass(frozen=True, slots=True)
class Event:
    """One chunk of a stream: its body, the completion tokens that it carries (1 or 0) and its readable text."""

    body: dict[str, Any]
    tokens: int = 0
    text: str = ""


def usage_of(answer: Answer, mode: str, completion_tokens: int | None = None) -> dict[str, Any]:
    """OpenAI's usage object for an answer, or for the part of it that has been sent."""
    completion = answer.completion_tokens if completion_tokens is None else completion_tokens
    usage: dict[str, Any] = {
        "prompt_tokens": answer.prompt.tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt.tokens + completion,
        "prompt_tokens_details": {"cached_tokens": answer.prompt.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": min(completion, answer.reasoning_tokens),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if mode == "cost":
        cost = answer.prompt.tokens * INPUT_USD_PER_MTOK + completion * OUTPUT_USD_PER_MTOK
        usage["cost"] = round(cost / 1_000_000, 10)
    return usage


def completion_of(answer: Answer, mode: str) -> dict[str, Any]:
    """The plain answer."""
    body: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [_plain_choice(index, choice, mode) for index, choice in enumerate(answer.choices)],
        "service_tier": "default",
        "system_fingerprint": answer.fingerprint,
    }
    if mode == "usage-null":
        body["usage"] = None
    elif mode not in ("no-usage", "no-finish"):
        body["usage"] = usage_of(answer, mode)
    return body


def _plain_choice(index: int, choice: Choice, mode: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(choice.content) if choice.content or not choice.tool_calls else None,
        "refusal": None,
        "annotations": [],
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.fragments)}}
            for call in choice.tool_calls
        ]
    finish = None if mode == "no-finish" else choice.finish_reason
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


class ChunkWriter:
    """Makes the chunks of one stream, in order; it counts what it has made, for cumulative usage."""

    def __init__(self, answer: Answer, mode: str) -> None:
        self._answer = answer
        self._mode = mode
        self._tokens = 0

    def events(self) -> Iterator[Event]:
        """Every chunk of the answer: roles, content, finish reasons, usage. [DONE] is not a chunk and not here."""
        yield from self.roles()
        yield from self.contents()
        for index, choice in enumerate(self._answer.choices):
            yield self._chunk(index, {}, finish=choice.finish_reason)
        yield from self._usage_chunks()

    def roles(self) -> Iterator[Event]:
        for index, choice in enumerate(self._answer.choices):
            content = None if choice.tool_calls else ""
            yield self._chunk(index, {"role": "assistant", "content": content, "refusal": None})

    def contents(self) -> Iterator[Event]:
        """The chunks that carry tokens; several choices take turns."""
        turns = zip_longest(*(_deltas(choice) for choice in self._answer.choices))
        for turn in turns:
            for index, delta in enumerate(turn):
                if delta is not None:
                    yield self.content(delta, index)

    def content(self, delta: dict[str, Any], index: int = 0) -> Event:
        """One chunk that carries one token."""
        self._tokens += 1
        return Event(self._chunk(index, delta).body, 1, delta.get("content", ""))

    def _usage_chunks(self) -> Iterator[Event]:
        if not self._answer.wants_usage_chunk or self._mode == "no-usage":
            return
        usage = usage_of(self._answer, self._mode)
        if self._mode == "usage-twice":
            yield self._envelope([], usage_of(self._answer, self._mode, self._tokens // 2))
        yield self._envelope([], None if self._mode == "usage-null" else usage)

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if self._mode == "usage-every-chunk":
            return self._envelope([choice], usage_of(self._answer, self._mode, self._tokens))
        return self._envelope([choice], None)

    def _envelope(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> Event:
        answer = self._answer
        body: dict[str, Any] = {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.model,
            "service_tier": "default",
            "system_fingerprint": answer.fingerprint,
            "choices": choices,
        }
        # OpenAI has the key on every chunk once usage was asked for, null on all but the last.
        if usage is not None or self._mode == "usage-null" or (answer.wants_usage_chunk and self._mode != "no-usage"):
            body["usage"] = usage
        return Event(body)


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    for piece in choice.reasoning:
        yield {"reasoning_content": piece}
    for piece in choice.content:
        yield {"content": piece}
    for position, call in enumerate(choice.tool_calls):
        yield from _call_deltas(position, call)


def _call_deltas(position: int, call: ToolCall) -> Iterator[dict[str, Any]]:
    opening = {"index": position, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield {"tool_calls": [opening]}
    for fragment in call.fragments:
        yield {"tool_calls": [{"index": position, "function": {"arguments": fragment}}]}
