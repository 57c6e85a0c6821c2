"""What a chat request needs of a model."""

from typing import Any

import pytest

from providers.capabilities import bits_of
from routing.needs import needs_of

TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT, IMAGE = {"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}}
VOICE = {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,x"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


def said(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": content, **more}]}


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        (said("hi"), []),
        (said(None), []),
        (said([TEXT]), []),
        (said([{"type": "refusal", "refusal": "no"}]), []),
        (said("hi") | {"tools": [TOOL]}, ["function_calling"]),
        (said("hi") | {"functions": [{"name": "f"}]}, ["function_calling"]),
        (said("hi") | {"tools": [], "functions": None, "tool_choice": "none", "parallel_tool_calls": True}, []),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]}, ["function_calling"]),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": []}]}, []),
        ({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "42"}]}, ["function_calling"]),
        ({"messages": [{"role": "function", "name": "f", "content": "42"}]}, ["function_calling"]),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, ["function_calling"]),
        (said([TEXT, IMAGE]), ["vision"]),
        (said([PDF]), ["vision"]),
        ({"messages": [{"role": "tool", "content": [IMAGE]}]}, ["function_calling", "vision"]),
        (said([VOICE]), ["audio"]),
        (said("hi") | {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, ["audio"]),
        (said("hi") | {"modalities": ["text"]}, []),
        ({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, ["audio"]),
        (said("hi") | {"response_format": SCHEMA}, ["json_schema"]),
        (said("hi") | {"response_format": {"type": "json_object"}}, []),
        (said("hi") | {"response_format": {"type": "text"}}, []),
        (said("hi") | {"reasoning_effort": "high", "logprobs": True, "stream": True}, []),
        (said([IMAGE, VOICE]) | {"tools": [TOOL], "response_format": SCHEMA},
         ["function_calling", "vision", "json_schema", "audio"]),
    ],
)  # fmt: skip
def test_needs(body: dict[str, Any], needs: list[str]) -> None:
    assert needs_of(body) == bits_of(needs)


@pytest.mark.parametrize(
    "body",
    [
        said([None, 7, "x", [], {}, {"type": None}, {"type": ["image_url"]}, {"type": {"a": 1}}, {"image_url": 3}]),
        said("hi") | {"modalities": 7},
        said("hi") | {"modalities": "audio"},
        said("hi") | {"modalities": {"audio": 1}},
        said("hi") | {"response_format": "json_schema"},
        said("hi") | {"response_format": [SCHEMA]},
    ],
)
def test_what_is_malformed_needs_nothing(body: dict[str, Any]) -> None:
    assert needs_of(body) == 0
