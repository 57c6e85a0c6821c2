"""What a chat request can come to at most."""

import base64
from typing import Any

import orjson
import pytest

from providers.dialects.openai_bounds import AUDIO_CHARS_PER_TOKEN, IMAGE_TOKENS, keep_short, output_asked, prompt_bound


def bound_of(content: Any, model: str = "m", context: int | None = None, **more: Any) -> int:
    payload = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    return prompt_bound(payload, len(orjson.dumps(payload)), context)


@pytest.mark.parametrize("text", ["hello", "你好，世界", "🙂" * 50, "\x00\x01" * 20, " " * 1000])
def test_text_counts_by_its_utf8_bytes(text: str) -> None:
    assert bound_of(text) >= len(text.encode())
    assert bound_of([{"type": "text", "text": text}]) >= len(text.encode())


def test_schemas_and_tools_count() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 500}}]
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"description": "x" * 300}}}

    assert bound_of("hi", tools=tools, response_format=form) >= 800


def test_an_image_counts_as_the_most_that_one_can_be_and_not_by_its_bytes() -> None:
    data = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()

    bound = bound_of([{"type": "image_url", "image_url": {"url": data}}])

    assert IMAGE_TOKENS <= bound < IMAGE_TOKENS + 200
    assert bound_of([{"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]) >= IMAGE_TOKENS
    assert bound_of([{"type": "image_url", "image_url": {"url": data}}], model="gpt-4o-mini-2024-07-18") >= 48_169


def test_sound_counts_by_its_length_and_what_nobody_can_count_by_the_context() -> None:
    sound = base64.b64encode(bytes(240_000)).decode()

    bound = bound_of([{"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}}])

    assert len(sound) // AUDIO_CHARS_PER_TOKEN <= bound < len(sound) // AUDIO_CHARS_PER_TOKEN + 300
    assert bound_of([{"type": "audio_url", "audio_url": {"url": "https://a.b/c.mp3"}}], context=9000) == 9000


def test_a_prompt_is_never_longer_than_the_context() -> None:
    assert bound_of("a" * 5000, context=4096) == 4096


@pytest.mark.parametrize(
    ("payload", "host", "field"),
    [
        ({"model": "gpt-4o-mini"}, "api.openai.com", "max_tokens"),
        ({"model": "openai/o3-mini"}, "openrouter.ai", "max_completion_tokens"),
        ({"model": "gpt-5-nano"}, None, "max_completion_tokens"),
        ({"model": "chat-next", "max_completion_tokens": 900}, "api.openai.com", "max_completion_tokens"),
        ({"model": "qwen", "max_completion_tokens": 900}, "api.siliconflow.cn", "max_tokens"),
        ({"model": "qwen", "max_completion_tokens": None}, None, "max_tokens"),
        ({"model": "o3", "max_tokens": 900}, None, "max_completion_tokens"),
        ({"model": "qwen", "max_tokens": 900, "max_completion_tokens": 16}, None, "max_tokens"),
    ],
)
def test_an_answer_is_kept_short_in_the_one_field_that_the_upstream_knows(
    payload: dict[str, Any], host: str | None, field: str
) -> None:
    keep_short(payload, 100, host=host)

    assert payload[field] == 100
    assert sum(name in payload for name in ("max_tokens", "max_completion_tokens")) == 1


def test_of_two_limits_the_larger_one_counts() -> None:
    assert output_asked({"max_completion_tokens": 16, "max_tokens": 400, "n": 2}) == 800
    assert output_asked({"max_completion_tokens": None, "max_tokens": 7}) == 7
    assert output_asked({"max_completion_tokens": None}) is None


def test_a_text_beside_it_makes_no_image_cheaper() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}, "text": ""}

    assert bound_of([part]) >= IMAGE_TOKENS


def test_several_answers_share_what_they_may_have_together() -> None:
    payload: dict[str, Any] = {"model": "m", "n": 3, "max_tokens": 900}

    keep_short(payload, 100)

    assert payload["max_tokens"] == 33
