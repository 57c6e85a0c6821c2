"""What the official OpenAI client gets through the router: answers, streams, tools, pictures, schemas, errors."""

import asyncio
import json
import time
from typing import Any
from uuid import UUID

import openai
import pytest

from tests.routing.configuration import LIMITED_KEY
from tests.routing.replies import chat
from tests.stack import KEY, OTHER_KEY, Stack

HELLO: Any = [{"role": "user", "content": "Say hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"], "additionalProperties": False,
        },
    },
}  # fmt: skip
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6"
    "kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def client(stack: Stack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0)


def test_a_plain_answer_has_text_usage_and_our_charge(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=HELLO)

    text = answer.choices[0].message.content or ""
    assert text.startswith("[alpha]") and text.endswith("(alpha)")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage and answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    cost = answer.usage.prompt_tokens + 2 * answer.usage.completion_tokens
    assert answer.usage.cost == pytest.approx(cost / 1e6)  # type: ignore[attr-defined]


def test_the_headers_say_who_served_it_and_what_it_cost(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=HELLO)

    headers = raw.headers
    assert UUID(headers["x-request-id"]).version == 7
    assert (headers["x-smartrouter-provider"], headers["x-smartrouter-model"]) == ("sim-a", "sim-fast")
    assert (headers["x-smartrouter-attempts"], headers["x-smartrouter-channel"]) == ("1", "main")
    assert 0 <= float(headers["x-smartrouter-overhead-ms"]) < 1000
    assert "x-smartrouter-group" not in headers
    usage: Any = raw.parse().usage
    assert float(headers["x-smartrouter-cost-usd"]) == pytest.approx(usage.cost)
    assert "e" not in headers["x-smartrouter-cost-usd"]


def test_a_tenant_that_may_not_see_channels_is_not_told_one(stack: Stack) -> None:
    status, headers, _body = stack.post(chat("m"), OTHER_KEY)

    assert status == 200
    assert "x-smartrouter-channel" not in headers and headers["x-smartrouter-provider"] == "sim-a"


def test_the_asynchronous_client_gets_answers_side_by_side(stack: Stack) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0) as client:
            create = client.chat.completions.create
            asked = [create(model="m", messages=[{"role": "user", "content": f"No {n}"}]) for n in range(8)]
            streamed = [event async for event in await create(model="m", messages=HELLO, stream=True)]
            texts = [answer.choices[0].message.content or "" for answer in await asyncio.gather(*asked)]
            return [*texts, "".join(event.choices[0].delta.content or "" for event in streamed)]

    texts = asyncio.run(ask())

    assert [f"No {n}" in text for n, text in enumerate(texts[:8])] == [True] * 8
    assert all(text.startswith("[alpha]") and text.endswith("(alpha)") for text in texts)


def test_a_stream_with_include_usage_ends_with_usage_and_our_charge(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)

    *chunks, last = events
    assert last.choices == [] and last.usage is not None and last.object == "chat.completion.chunk"
    assert last.usage.cost == pytest.approx((last.usage.prompt_tokens + 2 * last.usage.completion_tokens) / 1e6)  # type: ignore[attr-defined]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert {chunk.id for chunk in events} == {last.id}
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.startswith("[alpha]") and text.endswith("(alpha)")


def test_a_stream_without_include_usage_has_no_usage_chunk(client: openai.OpenAI, sent: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=HELLO, stream=True)

    events = list(raw.parse())

    assert all(event.choices for event in events) and not any(event.usage for event in events)
    assert events[-1].choices[0].finish_reason == "stop"
    (entry,) = sent(raw.headers["x-request-id"])
    assert entry["body"]["stream_options"] == {"include_usage": True}


def test_tools_are_called_and_their_results_are_taken(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER])
    message = first.choices[0].message
    (call,) = message.tool_calls or ()
    result = {"role": "tool", "tool_call_id": call.id, "content": "17 degrees"}
    second = client.chat.completions.create(
        model="m", messages=[*HELLO, message.model_dump(exclude_none=True), result], tools=[WEATHER]
    )

    assert first.choices[0].finish_reason == "tool_calls"
    arguments = json.loads(call.function.arguments)  # type: ignore[union-attr]
    assert isinstance(arguments["city"], str) and isinstance(arguments["days"], int)
    assert "17 degrees" in (second.choices[0].message.content or "")


def test_streamed_tool_calls_arrive_in_pieces_that_fit_together(client: openai.OpenAI) -> None:
    twice = [WEATHER, {**WEATHER, "function": {**WEATHER["function"], "name": "get_tides"}}]
    events = client.chat.completions.create(
        model="m", messages=HELLO, tools=twice, parallel_tool_calls=True, stream=True
    )

    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    finish = None
    for event in events:
        for call in event.choices[0].delta.tool_calls or ():
            assert call.function is not None
            names[call.index] = names.get(call.index, "") + (call.function.name or "")
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
        finish = event.choices[0].finish_reason or finish

    assert names == {0: "get_weather", 1: "get_tides"} and finish == "tool_calls"
    assert all(set(json.loads(text)) == {"city", "days"} for text in arguments.values())


def test_a_picture_reaches_the_model(client: openai.OpenAI, sent: Any) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    raw = client.chat.completions.with_raw_response.create(
        model="vision", messages=[{"role": "user", "content": parts}]
    )  # type: ignore[list-item,misc]

    assert "I can see 1 image(s)" in (raw.parse().choices[0].message.content or "")
    (entry,) = sent(raw.headers["x-request-id"])
    assert entry["body"]["messages"][0]["content"] == parts


def test_answers_follow_a_schema_or_are_at_least_json(client: openai.OpenAI) -> None:
    schema: Any = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": WEATHER["function"]["parameters"]},
    }
    by_schema = client.chat.completions.create(model="m", messages=HELLO, response_format=schema)
    by_object = client.chat.completions.create(model="m", messages=HELLO, response_format={"type": "json_object"})

    assert set(json.loads(by_schema.choices[0].message.content or "")) == {"city", "days"}
    assert json.loads(by_object.choices[0].message.content or "")["simulator"] == "alpha"


def test_several_choices_are_all_there_and_all_billed(client: openai.OpenAI, recorded: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=HELLO, n=2)
    streamed = list(client.chat.completions.create(model="m", messages=HELLO, n=2, stream=True))

    answer = raw.parse()
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.index for event in streamed for choice in event.choices} == {0, 1}
    (row,) = recorded(raw.headers["x-request-id"])
    assert answer.usage and row["completion_tokens"] == answer.usage.completion_tokens > 50


def test_reasoning_passes_and_is_counted(client: openai.OpenAI, recorded: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(model="think", messages=HELLO)
    message: Any = raw.parse().choices[0].message
    events = list(client.chat.completions.create(model="think", messages=HELLO, stream=True))

    assert message.reasoning_content
    assert any(getattr(event.choices[0].delta, "reasoning_content", None) for event in events)
    (row,) = recorded(raw.headers["x-request-id"])
    assert 0 < row["reasoning_tokens"] < row["completion_tokens"]


def test_unknown_fields_arrive_unchanged_in_both_directions(client: openai.OpenAI, sent: Any) -> None:
    extra = {
        "enable_thinking": True,
        "top_k": 3,
        "chat_template_kwargs": {"a": [1, 2.5, None, "é\u2028"]},
        "x-y": 2**53,
    }
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=HELLO, temperature=0.25, extra_body=extra
    )
    answer = json.loads(raw.content)

    (entry,) = sent(raw.headers["x-request-id"])
    assert entry["body"] == {"model": "sim-fast", "messages": HELLO, "temperature": 0.25, **extra}
    assert answer["system_fingerprint"].startswith("fp_") and answer["service_tier"] == "default"
    assert answer["choices"][0]["message"]["annotations"] == [] and answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens_details"]["rejected_prediction_tokens"] == 0


def test_models_are_listed_and_looked_up(client: openai.OpenAI, stack: Stack) -> None:
    listed = {model.id: model for model in client.models.list()}

    assert {"m", "m-alias", "vendor/m", "vision", "auto:ordered", "auto:even", "keyed"} <= listed.keys()
    assert not {"private", "off", "auto:waiting", "auto:off", "auto:private", "sim-fast"} & listed.keys()
    assert not [name for name in listed if "\0" in name]
    assert (listed["m"].owned_by, listed["auto:even"].owned_by) == ("sim-a", "smartrouter")
    assert client.models.retrieve("m").id == "m"
    assert client.models.retrieve("vendor/m").id == "vendor/m"
    assert client.models.retrieve("sim-a/sim-fast").owned_by == "sim-a"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing-of-the-sort")


def test_the_list_is_that_of_the_key(stack: Stack) -> None:
    def listed(key: str) -> set[str]:
        return {model.id for model in openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key).models.list()}

    assert listed(LIMITED_KEY) == {"m", "auto:ordered", "auto:even"}
    assert {"private", "auto:private"} <= listed(OTHER_KEY) and "family" not in listed(OTHER_KEY)


def test_the_client_raises_its_own_errors(client: openai.OpenAI, stack: Stack) -> None:
    create: Any = client.chat.completions.create
    limited: Any = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=LIMITED_KEY, max_retries=0).chat.completions.create
    stranger: Any = openai.OpenAI(
        base_url=f"{stack.url}/v1", api_key="rk_nobody", max_retries=0
    ).chat.completions.create

    with pytest.raises(openai.AuthenticationError) as unknown_key:
        stranger(model="m", messages=HELLO)
    with pytest.raises(openai.PermissionDeniedError) as forbidden:
        limited(model="vision", messages=HELLO)
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="gpt-99", messages=HELLO)
    with pytest.raises(openai.BadRequestError) as bad:
        create(model="m", messages=[])
    with pytest.raises(openai.InternalServerError) as broken:
        create(model="failing", messages=HELLO)

    assert (unknown_key.value.code, unknown_key.value.type) == ("invalid_api_key", "authentication_error")
    assert (forbidden.value.code, forbidden.value.param) == ("model_not_allowed", "model")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert (bad.value.code, bad.value.param) == ("invalid_request", "messages")
    assert (broken.value.status_code, broken.value.code) == (502, "upstream_error")
    assert broken.value.request_id


def test_the_client_does_not_repeat_what_a_repetition_cannot_help(stack: Stack) -> None:
    eager = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=3)

    with pytest.raises(openai.InternalServerError):
        eager.models.retrieve("auto:private")

    until = time.monotonic() + 5  # a line is written after the answer
    while "/v1/models/auto:private" not in stack.log and time.monotonic() < until:
        time.sleep(0.05)
    assert stack.log.count('"path":"/v1/models/auto:private"') == 1
