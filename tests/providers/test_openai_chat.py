"""The OpenAI dialect: usage in every vendor's form, what commits a stream, what goes upstream, estimates."""

from decimal import Decimal
from typing import Any

import pytest

from providers.dialects.openai_chat import (
    build_payload,
    error_object,
    estimate_answer_tokens,
    estimate_prompt_tokens,
    has_content,
    output_limit,
    read_usage,
    show_usage,
    text_bytes,
    usage_in,
    with_charge,
)
from providers.usage import Usage

PLAIN = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
OPENAI = PLAIN | {
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 2, "cache_write_tokens": 3, "image_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 1, "accepted_prediction_tokens": 0},
}
DEEPSEEK = {
    "completion_tokens": 116, "completion_tokens_details": {"reasoning_tokens": 60}, "prompt_cache_hit_tokens": 512,
    "prompt_cache_miss_tokens": 51, "prompt_tokens": 563, "prompt_tokens_details": {"cached_tokens": 512},
    "total_tokens": 679,
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "usage"),
    [
        (PLAIN, Usage(10, 5)),
        (OPENAI, Usage(10, 5, 4, 3, 0, 3, 2, 1, 1)),
        (DEEPSEEK, Usage(563, 116, cached_tokens=512, reasoning_tokens=60)),
        (PLAIN | {"prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 3}, Usage(10, 5, cached_tokens=7)),
        (PLAIN | {"cached_tokens": 6}, Usage(10, 5, cached_tokens=6)),  # Moonshot
        (PLAIN | {"cost": 0.0000135, "is_byok": False}, Usage(10, 5, reported_cost_usd=Decimal("0.0000135"))),
        (PLAIN | {"cost": 0}, Usage(10, 5, reported_cost_usd=Decimal(0))),
        (PLAIN | {"cost": -1}, Usage(10, 5)),
        (PLAIN | {"cost": True}, Usage(10, 5)),
        (PLAIN | {"cost": "0.1"}, Usage(10, 5)),
        (PLAIN | {"queue_time": 0.02, "prompt_time": 0.1}, Usage(10, 5)),  # Groq
        ({"prompt_tokens": 10.0, "completion_tokens": 5.0}, Usage(10, 5)),
        ({"prompt_tokens": -3, "completion_tokens": None}, Usage()),
        ({"prompt_tokens": 10, "completion_tokens": "5", "prompt_tokens_details": None}, Usage(10)),
        ({"prompt_tokens": 1e30, "completion_tokens": float("nan")}, Usage()),
        (PLAIN | {"prompt_tokens_details": [1], "completion_tokens_details": "x"}, Usage(10, 5)),
    ],
)
def test_the_usage_of_each_vendor_is_read(found: dict[str, Any], usage: Usage) -> None:
    assert read_usage(found) == usage


@pytest.mark.parametrize(
    ("doc", "found"),
    [
        ({"usage": PLAIN}, PLAIN),
        ({"usage": None, "x_groq": {"id": "req_1", "usage": PLAIN}}, PLAIN),
        ({"x_groq": {"id": "req_1"}}, None),
        ({"choices": [{"index": 0, "delta": {}, "usage": PLAIN}]}, PLAIN),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": {"prompt_tokens": None, "completion_tokens": None}}, None),
        ({"usage": {"queue_time": 0.1}}, None),
        ({"usage": "none"}, None),
        ({"choices": None}, None),
        ({"choices": [None, 7, {"usage": None}]}, None),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, {"prompt_tokens": 0, "completion_tokens": 0}),
    ],
)
def test_usage_is_found_wherever_a_vendor_puts_it(doc: dict[str, Any], found: dict[str, Any] | None) -> None:
    assert usage_in(doc) == found


def test_callers_see_our_charge_and_never_what_the_upstream_takes_from_us() -> None:
    found = OPENAI | {
        "cost": 1.5, "cost_details": {"upstream_inference_cost": 1.2}, "is_byok": True, "estimated_cost": 0.1,
        "cost_in_usd_ticks": 12345, "new_field": [1],
    }  # fmt: skip

    shown = with_charge(found, 0.25)

    assert shown == OPENAI | {"new_field": [1], "cost": 0.25}
    assert with_charge(PLAIN, None)["cost"] is None


def test_the_shown_usage_stands_at_the_top_and_nowhere_else() -> None:
    doc = {"x_groq": {"id": "a", "usage": {"cost": 1}}, "choices": [{"index": 0, "usage": {"cost": 1}}, None]}

    show_usage(doc, PLAIN)

    assert doc == {"x_groq": {"id": "a"}, "choices": [{"index": 0}, None], "usage": PLAIN}


@pytest.mark.parametrize(
    ("choice", "commits"),
    [
        ({"delta": {"role": "assistant", "content": "", "refusal": None}}, False),
        ({"delta": {"role": "assistant", "content": None}}, False),
        ({"delta": {}}, False),
        ({"delta": None}, False),
        ({}, False),
        ({"delta": {"content": "x"}}, True),
        ({"delta": {"content": " "}}, True),
        ({"delta": {"reasoning_content": "x"}}, True),
        ({"delta": {"reasoning": "x"}}, True),
        ({"delta": {"reasoning_details": [{"text": "x"}]}}, True),
        ({"delta": {"tool_calls": [{"index": 0}]}}, True),
        ({"delta": {"tool_calls": []}}, False),
        ({"delta": {"refusal": "no"}}, True),
        ({"delta": {"audio": {"id": "a"}}}, True),
        ({"delta": {"content": [{"type": "thinking"}]}}, True),  # Mistral
        ({"delta": {}, "finish_reason": "stop"}, True),
        ({"delta": {"content": ""}, "finish_reason": None}, False),
    ],
)
def test_a_stream_commits_with_the_first_thing_that_a_caller_can_use(choice: dict[str, Any], commits: bool) -> None:
    assert has_content({"choices": [choice]}) is commits
    assert has_content({"choices": [{"delta": {}}, choice]}) is commits


@pytest.mark.parametrize("chunk", [{}, {"choices": []}, {"choices": None}, {"choices": [None, "x"]}, {"usage": PLAIN}])
def test_a_chunk_without_choices_never_commits(chunk: dict[str, Any]) -> None:
    assert has_content(chunk) is False


def test_an_error_is_found_at_the_top_and_in_a_choice() -> None:
    error = {"message": "x", "code": 502}

    assert error_object({"error": error}) == error
    assert error_object({"error": "text"}) == "text"
    assert error_object({"choices": [{"index": 0, "error": error, "finish_reason": "error"}]}) == error
    assert not error_object({"error": None, "choices": [{"error": None}, 3]})


def test_the_payload_keeps_what_it_does_not_know_and_asks_for_usage() -> None:
    body = {"model": "auto:fast", "messages": [], "stream": True, "enable_thinking": True, "temperature": 0.2,
            "seed": 1, "stream_options": {"include_usage": False, "include_obfuscation": False}}  # fmt: skip

    payload = build_payload(body, "gpt-4o", {"temperature": 0.9, "seed": None, "top_k": 5}, asks_for_usage=True)

    assert payload == {
        "model": "gpt-4o", "messages": [], "stream": True, "enable_thinking": True, "temperature": 0.9, "top_k": 5,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }  # fmt: skip
    assert body["model"] == "auto:fast" and body["temperature"] == 0.2


def test_a_plain_request_is_not_given_stream_options_and_some_upstreams_never_are() -> None:
    plain = build_payload({"messages": []}, "m", {}, asks_for_usage=True)
    refused = build_payload({"stream": True, "stream_options": {"a": 1}}, "m", {}, asks_for_usage=False)

    assert plain == {"messages": [], "model": "m"}
    assert refused == {"stream": True, "model": "m"}


@pytest.mark.parametrize(
    ("body", "limit"),
    [({}, None), ({"max_tokens": 5}, 5), ({"max_tokens": 5, "max_completion_tokens": 7, "n": 2}, 14), ({"n": 3}, None)],
)
def test_the_output_limit_counts_all_choices(body: dict[str, Any], limit: int | None) -> None:
    assert output_limit(body) == limit


def test_the_prompt_estimate_counts_text_images_and_tools() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    words = "word " * 40

    def estimate(content: Any, **more: Any) -> int:
        return estimate_prompt_tokens({"messages": [{"role": "user", "content": content}], **more})

    assert estimate("") == 4
    assert estimate(words) == 4 + 50
    assert estimate([{"type": "text", "text": words}]) == 4 + 50
    assert estimate([{"type": "text", "text": words}, image]) == 4 + 50 + 765
    assert estimate("你好世界") == 4 + 3
    assert estimate("", tools=[{"type": "function", "function": {"name": "f", "description": words}}]) > 50
    assert estimate(None, tools=None) == 4
    assert estimate([None, 3, {"text": 7}]) == 4


def test_text_is_counted_in_utf8_bytes_and_ids_and_binary_are_not() -> None:
    assert text_bytes({"role": "assistant", "content": "né", "id": "x" * 9, "audio": {"data": "A" * 99}}) == 3
    assert text_bytes([{"text": "ab"}, {"nested": [{"deep": "c"}]}, None, 5, True]) == 3
    assert text_bytes("\ud800") == 3
    deep: Any = "x"
    for _level in range(20_000):
        deep = [deep]
    assert text_bytes(deep) == 1


def test_the_answer_estimate_counts_every_choice() -> None:
    doc = {"choices": [{"message": {"content": "a" * 40}}, {"message": {"reasoning_content": "b" * 8}}, None, {}]}

    assert estimate_answer_tokens(doc) == 12
    assert estimate_answer_tokens({"choices": None}) == 0
