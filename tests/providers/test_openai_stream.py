"""The scanner of a stream that has begun: what is relayed unchanged, what is rewritten, what is counted."""

from typing import Any

import orjson
import pytest

from providers.dialects.openai_stream import BadEvent, StreamScanner
from providers.usage import Usage
from smartrouter.lib.sse import data_of, event_of

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 9.9}
SHOWN = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.015}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta if delta is not None else {"content": " word"}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **more}


def event(doc: Any) -> bytes:
    return event_of(orjson.dumps(doc))


def scanner() -> StreamScanner:
    """A scanner after the first event; a token costs a thousandth of a dollar."""
    made = StreamScanner(lambda usage: (usage.prompt_tokens + usage.completion_tokens) / 1000)
    made.begin(event(chunk()))
    return made


@pytest.mark.parametrize(
    "text",
    ["usage", '"usage"', '"usage": {"prompt_tokens": 1}', "error", '"error"', '{"error": {"message": "x"}}', "[DONE]",
     "data: [DONE]\n\n", '"finish_reason":"stop"', "line\u2028separator", "\\", '\\"usage\\":1', "}", "null"],
)  # fmt: skip
def test_the_models_words_are_relayed_unchanged_whatever_they_are(text: str) -> None:
    found = scanner()
    for delta in ({"content": text}, {"reasoning_content": text}, {"tool_calls": [{"function": {"arguments": text}}]}):
        sent = event(chunk(delta, usage=None))

        assert found.scan(sent) == sent
    assert (found.usage, found.error, found.is_done, found.finish_reason) == (None, None, False, "")
    assert found.events == 3


@pytest.mark.parametrize("name", ["usage", "error", "finish_reason", "[DONE]"])
def test_a_field_of_a_tools_arguments_may_have_any_name(name: str) -> None:
    found = scanner()
    sent = event(
        chunk({"tool_calls": [{"index": 0, "function": {"name": name, "arguments": orjson.dumps({name: 1}).decode()}}]})
    )

    assert found.scan(sent) == sent
    assert (found.usage, found.error, found.is_done) == (None, None, False)


def test_a_usage_chunk_is_kept_back_and_given_at_the_end_with_our_charge() -> None:
    found = scanner()

    assert found.scan(event(chunk()))
    assert found.scan(event(chunk() | {"choices": [], "usage": USAGE})) == b""
    assert found.scan(event_of(b"[DONE]")) == b""

    assert found.usage is not None and found.is_done
    last, done, rest = found.last_events(found.usage, wants_usage=True).split(b"\n\n")
    assert orjson.loads(last[6:]) == {
        "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [], "usage": SHOWN,
    }  # fmt: skip
    assert (done, rest) == (b"data: [DONE]", b"")
    assert found.last_events(found.usage, wants_usage=False) == b"data: [DONE]\n\n"


def test_usage_on_every_chunk_is_rewritten_and_the_last_one_counts() -> None:
    found = scanner()
    for completion in (1, 2, 5):
        sent = chunk(usage=USAGE | {"completion_tokens": completion}, x_groq={"id": "r", "usage": USAGE})
        relayed = orjson.loads(data_of(found.scan(event(sent))))

        assert relayed["usage"]["cost"] == (10 + completion) / 1000
        assert relayed["x_groq"] == {"id": "r"}
        assert relayed["choices"] == sent["choices"]
    assert found.usage is not None and found.usage.completion_tokens == 5
    assert found.used() == found.usage


def test_of_two_usage_chunks_the_last_one_counts_and_null_is_none() -> None:
    found = scanner()

    found.scan(event({"choices": [], "usage": USAGE | {"completion_tokens": 2}}))
    found.scan(event({"choices": [], "usage": USAGE}))
    relayed = found.scan(event({"choices": [], "usage": None}))

    assert relayed == event({"choices": [], "usage": None})
    assert found.usage is not None and found.usage.completion_tokens == 5


@pytest.mark.parametrize(
    "doc",
    [
        chunk({}, "stop", usage=USAGE),  # DeepSeek
        chunk({}, "stop", usage=None, x_groq={"id": "r", "usage": USAGE}),  # Groq
        {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]},  # Moonshot
    ],
)
def test_usage_in_the_last_chunk_of_content_is_read_and_shown_with_our_charge(doc: dict[str, Any]) -> None:
    found = scanner()

    relayed = orjson.loads(data_of(found.scan(event(doc))))

    assert relayed["usage"] == SHOWN
    assert b"9.9" not in orjson.dumps(relayed)
    assert found.usage is not None and found.usage.prompt_tokens == 10
    assert found.finish_reason == "stop"


def test_usage_that_says_nothing_leaves_the_estimate_in_place() -> None:
    found = scanner()
    found.scan(event(chunk()))
    found.scan(event({"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": None}}))

    assert found.usage is None and found.estimated_tokens() == 1
    used = Usage(3, found.estimated_tokens(), is_estimated=True)
    last, _done, _rest = found.last_events(used, wants_usage=True).split(b"\n\n")
    assert orjson.loads(last[6:])["usage"] == {
        "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "cost": 0.004,
    }  # fmt: skip


def test_what_came_after_the_last_reported_usage_is_added_when_a_stream_breaks() -> None:
    found = scanner()
    found.scan(event(chunk({"role": "assistant", "content": ""}, usage=USAGE | {"completion_tokens": 1})))
    for _turn in range(7):
        found.scan(event(chunk()))

    used = found.used()

    assert used is not None
    assert (used.prompt_tokens, used.completion_tokens, used.is_estimated) == (10, 8, True)


@pytest.mark.parametrize(
    "doc",
    [
        {"error": {"message": "x", "code": 502}, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]},
        {"error": "overloaded"},
        {"choices": [{"index": 0, "delta": {}, "error": {"message": "x"}, "finish_reason": "error"}]},
    ],
)
def test_an_error_event_is_kept_and_not_relayed(doc: dict[str, Any]) -> None:
    found = scanner()

    assert found.scan(event(doc)) == b""
    assert found.error == doc


def test_an_error_that_is_null_is_none() -> None:
    found, sent = scanner(), event(chunk(error=None))

    assert found.scan(sent) == sent
    assert found.error is None


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "sensitive"])
def test_finish_reasons_are_noted_of_whichever_choice(reason: str) -> None:
    found = scanner()
    two = [{"index": 1, "delta": {}, "finish_reason": None}, {"index": 0, "delta": {}, "finish_reason": reason}]
    sent = event({**chunk(), "choices": two})

    assert found.scan(sent) == sent
    assert found.finish_reason == reason
    assert found.events == 0


def test_content_that_comes_with_the_finish_reason_is_counted() -> None:
    found = scanner()

    found.scan(event(chunk({"content": " end"}, "stop")))

    assert found.events == 1 and found.finish_reason == "stop"


@pytest.mark.parametrize(
    "bad",
    [b"data: {\"choices\": [{\"delta\": {\"content\": \"x\n\n", b"data: <html>\n\n", b"data: [1, 2]\n\n", b"data: \"x\"\n\n",
     b"data: {\"choices\": \"\xff\xfe\"}\n\n", b"data: null\n\n", b"data: {\"usage\": }\n\n", b"event: x\ndata: y\n\n"],
)  # fmt: skip
def test_an_event_that_is_not_a_chunk_is_never_relayed(bad: bytes) -> None:
    with pytest.raises(BadEvent):
        scanner().scan(bad)


@pytest.mark.parametrize(
    "sent",
    [b": keep-alive\n\n", b": OPENROUTER PROCESSING\r\n\r\n", b"\n\n", b"event: ping\n\n", b"data:\n\n",
     b"data:{\"choices\":[]}\n\n", b"data: {\"choices\": []} \n\n", b"data: {\r\ndata:  \"choices\": []\r\ndata: }\r\n\r\n",
     b"event: message\ndata: {\"choices\": []}\n\n", b"id: 1\r\ndata: {}\r\n\r\n"],
)  # fmt: skip
def test_comments_and_other_ways_to_write_a_chunk_are_relayed_as_they_are(sent: bytes) -> None:
    assert scanner().scan(sent) == sent


@pytest.mark.parametrize(
    "sent", [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b": x\ndata: [DONE]\n\n", b"data: [DONE] \n\n"]
)
def test_the_end_is_known_in_every_spelling(sent: bytes) -> None:
    found = scanner()

    assert found.scan(sent) == b""
    assert found.is_done


def test_tokens_are_estimated_by_events_or_by_size() -> None:
    by_token, by_block = scanner(), scanner()
    for _turn in range(20):
        by_token.scan(event(chunk({"content": " word"})))
        by_block.scan(event(chunk({"content": "x" * 400})))

    assert by_token.estimated_tokens() == 20
    assert by_block.estimated_tokens() == pytest.approx(2000, rel=0.02)
