"""Worker side. The bytes of the benchmark: the requests that clients send and the answers that the mock upstream gives.

All of them are made once; the load and the mock only copy them. The sizes are those of an ordinary short conversation:
six messages in the request, an answer of about 700 bytes, streams of about 260 bytes an event.
"""

import json
from dataclasses import dataclass
from typing import Any

PATH = "/v1/chat/completions"
PLAIN, BURST, PACED = MODELS = ("bench-plain", "bench-burst", "bench-paced")
CHUNKS = 100  # events with content in one stream
EVENTS = CHUNKS + 4  # and the role, the finish reason, the usage and [DONE]
PACE_S = 0.02  # between two chunks of the paced model
KEY = "rk_bench_" + "b" * 40
USD_PER_MTOK = {"input": 1, "output": 2}

_CONVERSATION = [
    {"role": "system", "content": "You answer questions about a small library, kindly and in few words."},
    {"role": "user", "content": "Good morning, I borrowed a book three weeks ago."},
    {"role": "assistant", "content": "Good morning! Which book is it, please?"},
    {"role": "user", "content": "A history of lighthouses, number 7714. I like it a lot."},
    {"role": "assistant", "content": "Thank you, I see it on your card."},
    {"role": "user", "content": "Until when may I keep it, and is there another volume that I could take home?"},
]
_ANSWER = (
    "You may keep the book until the end of the month. The second volume is on the shelf right now, and I have put "
    "it aside for you until Friday evening."
)
_PLAIN_USAGE = {"prompt_tokens": 112, "completion_tokens": 26, "total_tokens": 138}
_STREAM_USAGE = {"prompt_tokens": 112, "completion_tokens": CHUNKS, "total_tokens": 112 + CHUNKS}
_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class StreamParts:
    """One stream as the mock writes it: the head with the first event, a write for each chunk, the end."""

    start: bytes
    chunks: tuple[bytes, ...]
    end: bytes
    payload: bytes  # all events, without HTTP's framing


def request_bytes(port: int, model: str) -> bytes:
    """A whole HTTP request for one model to a server on this port."""
    body: dict[str, Any] = {"model": model, "messages": _CONVERSATION, "temperature": 0.7, "max_tokens": 256}
    if model != PLAIN:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    content = json.dumps({**body, "user": "reader-7714"}, separators=(",", ":")).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def plain_body() -> bytes:
    """The mock's answer to a request that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": _ANSWER, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _dump(
        {**_base(PLAIN, "chat.completion"), "choices": [choice], "usage": _PLAIN_USAGE | _DETAILS,
         "system_fingerprint": "fp_bench_1"}
    )  # fmt: skip


def plain_answer() -> bytes:
    """The same with its HTTP head."""
    body = plain_body()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def stream_parts(model: str) -> StreamParts:
    """The mock's stream for one of the streamed models."""
    words = _ANSWER.split()
    first = _event(model, [_delta({"role": "assistant", "content": "", "refusal": None})])
    chunks = [_event(model, [_delta({"content": " " + words[i % len(words)]})]) for i in range(CHUNKS)]
    finish = _event(model, [_delta({}, "stop")])
    usage = _event(model, [], _STREAM_USAGE | _DETAILS)
    done = b"data: [DONE]\n\n"
    return StreamParts(
        start=_STREAM_HEAD + framed(first),
        chunks=tuple(framed(chunk) for chunk in chunks),
        end=framed(finish) + framed(usage) + framed(done) + b"0\r\n\r\n",
        payload=b"".join([first, *chunks, finish, usage, done]),
    )


def framed(data: bytes) -> bytes:
    """One chunk of HTTP's chunked encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def unframed(data: bytes) -> bytes:
    """The content of a whole body in chunked encoding. Raises ValueError where it is not one."""
    parts: list[bytes] = []
    position = 0
    while True:
        line = data.index(b"\r\n", position)
        size = int(data[position:line], 16)
        if not size:
            return b"".join(parts)
        position = line + 2 + size
        parts.append(data[line + 2 : position])
        if data[position : position + 2] != b"\r\n":
            raise ValueError("a chunk is longer than it says")
        position += 2


def charge_usd(model: str) -> float:
    """What one request for this model costs, by the prices that the benchmark configures."""
    usage = _PLAIN_USAGE if model == PLAIN else _STREAM_USAGE
    tokens = usage["prompt_tokens"] * USD_PER_MTOK["input"] + usage["completion_tokens"] * USD_PER_MTOK["output"]
    return tokens / 1_000_000


def _base(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-Bench7714aB3dE5fG7hJ9kL2m", "object": kind, "created": 1_760_000_000, "model": model}


def _delta(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(model: str, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
    base = {**_base(model, "chat.completion.chunk"), "system_fingerprint": "fp_bench_1"}
    return b"data: " + _dump({**base, "choices": choices, "usage": usage}) + b"\n\n"


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
