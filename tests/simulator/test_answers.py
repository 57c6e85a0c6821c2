"""Worker side. Healthy answers: text, tools, structured content, limits, usage; streamed and plain say the same."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest

from tests.simulator.harness import SimulatorProcess
from tests.simulator.reader import DONE, KEY, Seen, chat_body, read_chat

pytestmark = pytest.mark.asyncio
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 20},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "height": {"type": "number", "exclusiveMinimum": 1, "maximum": 2.5},
        "kind": {"const": "person"},
        "mood": {"enum": ["happy", "sad", None]},
        "nickname": {"type": ["string", "null"]},
        "is_here": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3},
        "address": {"$ref": "#/$defs/address"},
        "friend": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "born": {"type": "string", "format": "date"},
    },
    "required": ["name", "age", "kind", "tags", "address", "friend"],
    "additionalProperties": False,
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer", "multipleOf": 5}},
            "required": ["street", "number"],
        }
    },
}


async def both(alpha: SimulatorProcess, model: str, **more: Any) -> tuple[Seen, dict[str, Any]]:
    """The streamed answer and the plain one to the same request."""
    streamed = await read_chat(alpha.base_url, chat_body(model, stream=True, **more))
    plain = await read_chat(alpha.base_url, chat_body(model, **more))
    assert (streamed.status, plain.status) == (200, 200), plain.body
    return streamed, plain.json


async def test_streamed_and_plain_answers_say_and_cost_the_same(alpha: SimulatorProcess) -> None:
    streamed, plain = await both(alpha, "sim-fast")

    message = plain["choices"][0]["message"]
    assert message["content"] == streamed.text
    assert streamed.text.startswith("[alpha] ") and streamed.text.endswith(" (alpha)")
    assert streamed.usages == [plain["usage"]]
    assert plain["usage"]["completion_tokens"] == len(streamed.pieces) > 20
    assert streamed.events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert streamed.events[-2]["choices"] == [] and streamed.events[-1] == DONE


async def test_usage_is_streamed_only_when_asked_for(alpha: SimulatorProcess) -> None:
    seen = await read_chat(alpha.base_url, {**chat_body("sim-fast"), "stream": True})

    assert b'"usage"' not in seen.body
    assert seen.finishes == ["stop"]


async def test_the_same_request_has_the_same_answer_and_another_seed_another(alpha: SimulatorProcess) -> None:
    texts = [(await both(alpha, "sim-smart", seed=seed))[0].text for seed in (1, 1, 2)]

    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_on_tokens_is_kept_exactly(alpha: SimulatorProcess, limit: str) -> None:
    streamed, plain = await both(alpha, "sim-fast", **{limit: 6})

    assert len(streamed.pieces) == plain["usage"]["completion_tokens"] == 6
    assert streamed.finishes == [plain["choices"][0]["finish_reason"]] == ["length"]


async def test_chunks_sets_the_number_of_pieces(alpha: SimulatorProcess) -> None:
    for count in (1, 2, 57):
        seen = await read_chat(alpha.base_url, chat_body(f"sim-fast!ok:chunks={count}", stream=True))

        assert len(seen.pieces) == count == seen.usages[0]["completion_tokens"]
        assert seen.text.startswith("[alpha] ") and seen.text.endswith(" (alpha)")


async def test_stop_ends_the_text_before_the_stop_sequence(alpha: SimulatorProcess) -> None:
    streamed, plain = await both(alpha, "sim-fast", stop=["something", "never said"])

    assert streamed.text == plain["choices"][0]["message"]["content"] == "[alpha] You asked: Say "
    assert streamed.finishes == ["stop"]


async def test_n_gives_several_choices(alpha: SimulatorProcess) -> None:
    streamed, plain = await both(alpha, "sim-fast!ok:chunks=5", n=3)

    assert [choice["index"] for choice in plain["choices"]] == [0, 1, 2]
    assert plain["usage"]["completion_tokens"] == streamed.usages[0]["completion_tokens"] == 15
    assert streamed.finishes == ["stop"] * 3


async def test_a_reasoner_thinks_before_it_speaks(alpha: SimulatorProcess) -> None:
    streamed, plain = await both(alpha, "sim-reasoner")

    deltas = [event["choices"][0]["delta"] for event in streamed.events if event != DONE and event["choices"]]
    kinds = [key for delta in deltas for key in ("reasoning_content", "content") if delta.get(key)]
    thought = "".join(delta.get("reasoning_content", "") for delta in deltas)
    details = plain["usage"]["completion_tokens_details"]
    assert kinds == sorted(kinds, reverse=True)
    assert thought == plain["choices"][0]["message"]["reasoning_content"]
    assert details["reasoning_tokens"] == kinds.count("reasoning_content") > 0
    assert plain["usage"]["completion_tokens"] == len(kinds)


async def test_long_prompts_are_partly_cached_and_images_are_counted(alpha: SimulatorProcess) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text = {"type": "text", "text": "x" * 8000}
    _, long = await both(alpha, "sim-vision", messages=[{"role": "user", "content": [text]}])
    _, seen = await both(alpha, "sim-vision", messages=[{"role": "user", "content": [text, image, image]}])

    assert long["usage"]["prompt_tokens"] == 2004
    assert long["usage"]["prompt_tokens_details"]["cached_tokens"] == 1408
    assert seen["usage"]["prompt_tokens"] == 2004 + 2 * 85
    assert "2 image(s)" in seen["choices"][0]["message"]["content"]


def streamed_calls(seen: Seen) -> list[dict[str, Any]]:
    """Tool calls put together from their deltas, as the protocol says."""
    calls: list[dict[str, Any]] = []
    for event in seen.events:
        for choice in event["choices"] if event != DONE else []:
            for delta in choice["delta"].get("tool_calls", []):
                if delta["index"] == len(calls):
                    calls.append({"id": delta["id"], "type": delta["type"], "function": {**delta["function"]}})
                else:
                    assert "id" not in delta
                    calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]
    return calls


async def test_a_tool_is_called_with_valid_arguments(alpha: SimulatorProcess) -> None:
    streamed, plain = await both(alpha, "sim-fast", tools=[WEATHER, CLOCK])

    [call] = plain["choices"][0]["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert plain["choices"][0]["finish_reason"] == "tool_calls"
    assert plain["choices"][0]["message"]["content"] is None
    assert streamed_calls(streamed) == [call]
    assert streamed.usages[0] == plain["usage"]
    jsonschema.validate(json.loads(call["function"]["arguments"]), WEATHER["function"]["parameters"])


async def test_parallel_and_forced_tools(alpha: SimulatorProcess) -> None:
    streamed, _ = await both(alpha, "sim-fast", tools=[WEATHER, CLOCK], parallel_tool_calls=True)
    forced = {"type": "function", "function": {"name": "get_time"}}
    _, chosen = await both(alpha, "sim-fast", tools=[WEATHER, CLOCK], tool_choice=forced)
    _, none = await both(alpha, "sim-fast", tools=[WEATHER], tool_choice="none")

    assert [call["function"]["name"] for call in streamed_calls(streamed)] == ["get_weather", "get_time"]
    assert [call["function"]["name"] for call in chosen["choices"][0]["message"]["tool_calls"]] == ["get_time"]
    assert none["choices"][0]["finish_reason"] == "stop"


async def test_a_tool_result_is_answered_with_text(alpha: SimulatorProcess) -> None:
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    _, plain = await both(alpha, "sim-fast", messages=messages, tools=[WEATHER])

    assert "The tool returned: 21 degrees" in plain["choices"][0]["message"]["content"]


async def test_structured_answers_are_valid(alpha: SimulatorProcess) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    streamed, plain = await both(alpha, "sim-fast", response_format=wanted)
    _, loose = await both(alpha, "sim-fast", response_format={"type": "json_object"})

    content = plain["choices"][0]["message"]["content"]
    assert streamed.text == content
    jsonschema.validate(json.loads(content), PERSON)
    assert json.loads(loose["choices"][0]["message"]["content"])["simulator"] == "alpha"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": ["hello"]}, "messages"),
        ({"model": ""}, "model"),
        ({"n": 99}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}},
            "response_format",
        ),
    ],
)
async def test_a_request_without_sense_is_refused(alpha: SimulatorProcess, change: dict[str, Any], param: str) -> None:
    seen = await read_chat(alpha.base_url, {**chat_body("sim-fast"), **change}, attempt=f"senseless-{change}")

    assert (seen.status, seen.json["error"]["param"]) == (400, param)
    assert alpha.closed_journal(f"senseless-{change}")[0]["outcome"] == "fault:bad-request"


async def test_the_official_client_is_content(alpha: SimulatorProcess) -> None:
    async with openai.AsyncOpenAI(base_url=alpha.base_url, api_key=KEY, max_retries=0) as client:
        models = await client.models.list()
        answer = await client.chat.completions.create(
            model="sim-fast", messages=[{"role": "user", "content": "Hello"}], tools=[WEATHER]
        )
        stream = await client.chat.completions.create(
            model="sim-smart", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert [model.id for model in models.data][:2] == ["sim-fast", "sim-smart"]
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"
    assert text.endswith("(alpha)")
