"""Worker side. What the simulator says: text, reasoning, tool calls, structured content; the same to the same request.

Text opens with `[name] ` and ends with ` (name)`, so that a reader can see that exactly one simulator spoke. An answer
is a list of pieces, and a piece is one token; a plain answer has the same pieces as a streamed one.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from providers.simulator.errors import invalid_request
from providers.simulator.modes import Asked
from providers.simulator.prompt import Prompt, read_prompt
from providers.simulator.schema import Sampler, UnusableSchema

MAX_OUTPUT_TOKENS = 16_384
MAX_CHOICES = 16
FRAGMENT_CHARS = 7
SENTENCES = (
    "The short answer is that it depends on the load and on the time of day.",
    "Most people start with the simplest thing that works and measure it.",
    "Three points matter here: the order, the limits, and what happens when one part fails.",
    "A small example makes this clear.",
    "In practice the second step takes longer than the first.",
    "Nothing is lost as long as each part writes down what it did.",
    "If the numbers disagree, trust the ones that were written first.",
    "That is also why a quiet system is not always a healthy one.",
)
THOUGHTS = (
    "The question seems simple, so a direct answer is best.",
    "First look at what was asked, then at what was left out.",
    "Two readings are possible; the more likely one is the plain one.",
)
UNICODE_TEXT = (
    "Grüße, 你好，世界! Ελληνικά, עברית, 🚀👩‍🚀 line\u2028separator, paragraph\u2029separator, next\u0085line, e\u0301."
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    fragments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer in pieces, each of them one token; the name of a tool call is one token too."""

    reasoning: tuple[str, ...]
    content: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.content) + sum(1 + len(call.fragments) for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that will be said to one request, and what it will cost in tokens."""

    id: str
    created: int
    model: str
    fingerprint: str
    choices: tuple[Choice, ...]
    prompt: Prompt
    wants_usage_chunk: bool

    @property
    def reasoning_tokens(self) -> int:
        return sum(len(choice.reasoning) for choice in self.choices)

    @property
    def completion_tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices)


def answer_to(body: Mapping[str, Any], asked: Asked, simulator: str) -> Answer:
    """The answer to a chat request. Raises Refusal when the request makes no sense."""
    prompt = read_prompt(body)
    count = body.get("n") or 1
    if not isinstance(count, int) or not 1 <= count <= MAX_CHOICES:
        raise invalid_request(f"'n' must be a whole number from 1 to {MAX_CHOICES}.", "n")
    options = body.get("stream_options")
    return Answer(
        id=f"chatcmpl-{_digest(simulator, time.time_ns(), prompt.question)[:24]}",
        created=int(time.time()),
        model="sim-something-else" if asked.mode.name == "other-model" else str(body["model"]),
        fingerprint=f"fp_{_digest(simulator)[:10]}",
        choices=tuple(_Speaker(body, asked, simulator, prompt, index).choice() for index in range(count)),
        prompt=prompt,
        wants_usage_chunk=isinstance(options, Mapping) and options.get("include_usage") is True,
    )


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Finds the words of one choice."""

    body: Mapping[str, Any]
    asked: Asked
    simulator: str
    prompt: Prompt
    index: int

    def choice(self) -> Choice:
        seed = self.body.get("seed")
        random = Random(f"{self.index}/{self.prompt.question if seed is None else seed}")  # noqa: S311 no secret
        reasoning = _pieces(" ".join(THOUGHTS)) if self.asked.model == "sim-reasoner" else ()
        calls = self._tool_calls(random)
        if calls:
            return _limited(Choice(reasoning, (), calls, "tool_calls"), self._limit())
        content = self._structured(random) or self._text(random)
        return _limited(Choice(reasoning, self._stopped(content), (), "stop"), self._limit())

    def _limit(self) -> int:
        limit = MAX_OUTPUT_TOKENS
        for name in ("max_completion_tokens", "max_tokens"):
            value = self.body.get(name)
            if value is None:
                continue
            if not isinstance(value, int) or value < 1:
                raise invalid_request(f"'{name}' must be a whole number of at least 1.", name)
            limit = min(limit, value)
        return limit

    def _text(self, random: Random) -> tuple[str, ...]:
        opening, ending = f"[{self.simulator}]", f" ({self.simulator})"
        chunks = int(self.asked.number("chunks"))
        if chunks:
            if chunks == 1:
                return (opening + ending,)
            words = " ".join(SENTENCES).split()
            middle = (f" {words[position % len(words)]}" for position in range(chunks - 2))
            return (opening, *middle, ending)
        sentences = [self._about(), *random.sample(SENTENCES, 3)]
        if self.asked.mode.name == "unicode":
            sentences.insert(1, UNICODE_TEXT)
        return (*_pieces(f"{opening} {' '.join(sentences)}"), ending)

    def _about(self) -> str:
        seen = f" I can see {self.prompt.images} image(s)." if self.prompt.images else ""
        if self.prompt.tool_result is not None:
            return f"The tool returned: {self.prompt.tool_result[:80].strip()}.{seen}"
        return f"You asked: {self.prompt.question[:80].strip() or 'nothing'}.{seen}"

    def _stopped(self, content: tuple[str, ...]) -> tuple[str, ...]:
        stops = self.body.get("stop") or []
        stops = [stops] if isinstance(stops, str) else stops
        text = "".join(content)
        found = [text.find(stop) for stop in stops if isinstance(stop, str) and stop]
        end = min((at for at in found if at >= 0), default=len(text))
        return content if end == len(text) else _pieces(text[:end])

    def _structured(self, random: Random) -> tuple[str, ...]:
        wanted = self.body.get("response_format")
        kind = wanted.get("type") if isinstance(wanted, Mapping) else None
        if kind == "json_object":
            made: Any = {"simulator": self.simulator, "answer": self._about(), "confidence": 0.9}
        elif kind == "json_schema":
            given = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
            schema = given.get("schema") if isinstance(given, Mapping) else None
            if not isinstance(schema, Mapping):
                raise invalid_request(
                    "Missing required parameter: 'response_format.json_schema.schema'.", "response_format"
                )
            made = self._sample(schema, random, "response_format")
        else:
            return ()
        return _fragments(orjson.dumps(made).decode())

    def _sample(self, schema: Mapping[str, Any], random: Random, param: str) -> Any:
        try:
            return Sampler(schema, random, prefix=f"{self.simulator} ").draw()
        except UnusableSchema as error:
            raise invalid_request(f"Invalid schema: {error}.", param) from error

    def _tool_calls(self, random: Random) -> tuple[ToolCall, ...]:
        choice = self.body.get("tool_choice") or "auto"
        functions = _functions_of(self.body.get("tools"))
        if not functions or choice == "none" or self.prompt.tool_result is not None:
            return ()
        if isinstance(choice, Mapping) and choice.get("type") == "function":
            name = (choice.get("function") or {}).get("name")
            functions = [function for function in functions if function.get("name") == name]
            if not functions:
                raise invalid_request(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
        count = 2 if self.body.get("parallel_tool_calls") is True else 1
        return tuple(self._call(function, random) for function in functions[:count])

    def _call(self, function: Mapping[str, Any], random: Random) -> ToolCall:
        name = str(function.get("name"))
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        arguments = orjson.dumps(self._sample(schema, random, "tools")).decode()
        call_id = f"call_{_digest(self.simulator, self.index, name, arguments)[:24]}"
        return ToolCall(call_id, name, _fragments(arguments))


def _functions_of(tools: Any) -> list[Mapping[str, Any]]:
    if not isinstance(tools, list):
        return []
    return [
        tool["function"] for tool in tools if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping)
    ]


def _limited(choice: Choice, limit: int) -> Choice:
    """The choice within its limit of tokens; what was cut off shows in the finish reason."""
    if choice.tokens <= limit:
        return choice
    reasoning = choice.reasoning[:limit]
    left = limit - len(reasoning)
    calls = []
    for call in choice.tool_calls:
        if left > 0:
            calls.append(ToolCall(call.id, call.name, call.fragments[: left - 1]))
            left -= 1 + len(calls[-1].fragments)
    return Choice(reasoning, choice.content[: limit - len(reasoning)], tuple(calls), "length")


def endless_words() -> Iterator[str]:
    """Words without end, for answers that never stop."""
    while True:
        yield from (f" {word}" for sentence in SENTENCES for word in sentence.split())


def _pieces(text: str) -> tuple[str, ...]:
    """The text cut before each run of blanks, so that joined pieces are the text again."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def _fragments(text: str) -> tuple[str, ...]:
    return tuple(text[start : start + FRAGMENT_CHARS] for start in range(0, len(text), FRAGMENT_CHARS))


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()
