"""Worker side. How each mode behaves: one writer a mode, or one for a family of modes, and the list of them.

A writer returns when it has done what its mode says; whoever called it closes the journal's entry and the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

import orjson

from providers.simulator.answers import Choice, endless_words
from providers.simulator.errors import JSON, Refusal, served_error, stream_error
from providers.simulator.modes import MODES
from providers.simulator.performance import MAX_OPEN_S, SSE, Performance

Writer = Callable[[Performance], Awaitable[None]]
# Enough for minutes of trickling before the first event, or the plain body, is complete.
PADDING = "x" * 4096


async def answer_whole(play: Performance) -> None:
    """A whole answer, streamed or plain."""
    if not play.stream:
        await play.wait_as_if_written()
        await play.send_plain(play.plain_body(), tokens=play.answer.completion_tokens, text=play.plain_text())
        return
    await play.open_stream()
    await play.send_events(play.chunks.events())
    await play.end_stream(is_done=play.asked.mode.name != "no-done")


async def answer_in_crlf(play: Performance) -> None:
    count = 0

    def frame(data: bytes) -> bytes:
        nonlocal count
        count += 1
        if data != b"[DONE]" and count % 3 == 0:
            data = orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2)
        lines = b"".join(b"data: " + line + b"\r\n" for line in data.split(b"\n"))
        return b": keep-alive\r\n\r\n" + lines + b"\r\n"

    play.frame = frame
    await answer_whole(play)


async def answer_split(play: Performance) -> None:
    size = max(1, int(play.asked.number("bytes")))
    play.pieces = lambda data: (data[start : start + size] for start in range(0, len(data), size))
    await answer_whole(play)


async def answer_with_big_headers(play: Performance) -> None:
    play.headers.append(("x-padding", "x" * int(play.asked.number("kb") * 1024)))
    await answer_whole(play)


async def answer_gzipped(play: Performance) -> None:
    play.use_gzip()
    await answer_whole(play)


async def answer_giant(play: Performance) -> None:
    text = "x" * int(play.asked.number("mb") * 1024 * 1024)
    play.answer = replace(play.answer, choices=(Choice((), (text,), (), "stop"),))
    await answer_whole(play)


async def refuse(play: Performance) -> None:
    asked = play.asked
    await play.send_refusal(served_error(asked.mode.name, asked.model, play.key, asked.options.get("ra")))


async def send_nothing(play: Performance) -> None:
    """A body of no bytes with status 200."""
    await play.send_refusal(Refusal("empty", 200, b"", SSE if play.stream else JSON))


async def reset(play: Performance) -> None:
    play.connection.reset()


async def close(play: Performance) -> None:
    play.connection.close()


async def hang(play: Performance) -> None:
    await play.hang()
    play.connection.close()


async def hang_after_headers(play: Performance) -> None:
    await play.open_stream(SSE if play.stream else JSON)
    await hang(play)


async def trickle(play: Performance) -> None:
    """One byte at a time; the first event, or the plain body, is padded so that it takes minutes."""
    body = orjson.dumps({"obfuscation": PADDING, **orjson.loads(play.plain_body())})
    if play.stream:
        padded = [{"obfuscation": PADDING, **event.body} for event in play.chunks.events()]
        body = b"".join(play.frame(orjson.dumps(event)) for event in padded)
    await play.open_stream(SSE if play.stream else JSON)
    await _repeat(play, (bytes([byte]) for byte in body), play.asked.number("ms"))
    play.connection.close()


async def send_comments(play: Performance) -> None:
    """Signs of life without end and without content. DeepSeek sends blank lines before a plain answer."""

    def signs() -> Iterator[bytes]:
        while True:
            yield b": keep-alive\n\n" if play.stream else b"\n"

    await play.open_stream(SSE if play.stream else JSON)
    await _repeat(play, signs(), play.asked.number("ms"))
    play.connection.close()


async def break_first_event(play: Performance) -> None:
    """Truncated JSON or bytes that are not UTF-8, in the first event of a stream that then goes on, or in the body."""
    is_truncated = play.asked.mode.name == "broken-json"
    if not play.stream:
        body = play.plain_body()
        await play.send_plain(_broken(body, is_truncated), tokens=0, text="")
        return
    await play.open_stream()
    first, *rest = play.chunks.events()
    await play.send_raw(play.frame(_broken(orjson.dumps(first.body), is_truncated)))
    await play.send_events(rest)
    await play.end_stream()


def _broken(data: bytes, is_truncated: bool) -> bytes:
    return data[: len(data) // 2] if is_truncated else data.replace(b'"assistant"', b'"assistant\xff\xfe\xc3("', 1)


async def send_error_with_200(play: Performance) -> None:
    """An error object after `after` pieces of content; without the option, at once or after the role."""
    if not play.stream:
        await play.send_plain(orjson.dumps(stream_error()), tokens=0, text="")
        return
    chunks = play.chunks
    await play.open_stream()
    if play.asked.mode.name != "error-200":
        await play.send_events(chunks.roles())
        await play.send_events(islice(chunks.contents(), int(play.asked.number("after"))))
    await play.send_json_event(stream_error())
    await play.end_stream(is_done=False)
    play.connection.close()


async def stop_halfway(play: Performance) -> None:
    """Half an answer, then a reset, a FIN, or silence."""
    if play.stream:
        chunks = play.chunks
        await play.open_stream()
        await play.send_events(chunks.roles())
        await play.send_events(islice(chunks.contents(), int(play.asked.number("after"))))
    else:
        await play.wait_as_if_written()
        body = play.plain_body()
        play.entry.status = 200
        await play.connection.send_head(200, [("content-type", JSON), ("content-length", str(len(body)))])
        await play.connection.send(body[: len(body) // 2])
    match play.asked.mode.name:
        case "cut":
            play.connection.reset()
        case "cut-fin":
            play.connection.close()
        case _:
            await hang(play)


async def end_without_finish(play: Performance) -> None:
    if not play.stream:
        await answer_whole(play)
        return
    chunks = play.chunks
    await play.open_stream()
    await play.send_events(chunks.roles())
    await play.send_events(chunks.contents())
    await play.end_stream(is_done=False)


async def never_end(play: Performance) -> None:
    ends_at = time.monotonic() + MAX_OPEN_S
    await play.open_stream(SSE if play.stream else JSON)
    if not play.stream:
        opening, _, _ = play.plain_body().partition(b'"content":"')
        await play.send_raw(opening + b'"content":"')
        words = (word.encode() for word in endless_words())
        await _repeat(play, words, play.asked.number("pace_ms"))
    else:
        chunks = play.chunks
        await play.send_events(chunks.roles())
        for word in endless_words():
            await play.send_event(chunks.content({"content": word}))
            if time.monotonic() > ends_at:
                break
    play.connection.close()


async def _repeat(play: Performance, pieces: Iterator[bytes], every_ms: float) -> None:
    """Return when all pieces were written, one every `every_ms`, or after ten minutes."""
    ends_at = time.monotonic() + MAX_OPEN_S
    for piece in pieces:
        await play.send_raw(piece)
        await asyncio.sleep(every_ms / 1000)
        if time.monotonic() > ends_at:
            return


_OWN_WRITERS: Mapping[str, Writer] = {
    "crlf": answer_in_crlf,
    "split": answer_split,
    "big-headers": answer_with_big_headers,
    "gzip": answer_gzipped,
    "giant": answer_giant,
    "reset": reset,
    "close": close,
    "hang": hang,
    "slow-headers-then-hang": hang_after_headers,
    "trickle": trickle,
    "comments-then-hang": send_comments,
    "html": refuse,
    "empty": send_nothing,
    "broken-json": break_first_event,
    "bad-utf8": break_first_event,
    "error-200": send_error_with_200,
    "role-then-error": send_error_with_200,
    "error-midstream": send_error_with_200,
    "cut": stop_halfway,
    "cut-fin": stop_halfway,
    "content-then-hang": stop_halfway,
    "no-finish": end_without_finish,
    "endless": never_end,
}


def writer_of(mode: str) -> Writer:
    """The writer of a mode: its own, else the error that its status stands for, else a whole answer."""
    return _OWN_WRITERS.get(mode) or (answer_whole if MODES[mode].status == 200 else refuse)
