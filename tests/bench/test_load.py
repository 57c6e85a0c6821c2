"""The mock's answers are what the load expects, and the load sees everything that is not."""

import asyncio
import json
from collections.abc import Callable

import pytest
import uvloop

from tests.bench.children import BenchError, bound_socket, port_of
from tests.bench.load import Tally, Target, plain_error, run_load, stream_error
from tests.bench.messages import (
    BURST,
    EVENTS,
    MODELS,
    PACED,
    PLAIN,
    framed,
    plain_answer,
    plain_body,
    request_bytes,
    stream_parts,
    unframed,
)
from tests.bench.mock import Mock
from tests.bench.probe import gateway_targets, plain_targets
from tests.bench.relay import Client

Server = Callable[[], asyncio.BaseProtocol]


class Wrong(asyncio.Protocol):
    """Answers every request with the same bytes; hangs up afterwards if so told."""

    def __init__(self, answer: bytes, *, is_last: bool = False) -> None:
        self._answer = answer
        self._is_last = is_last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)  # type: ignore[attr-defined]  # a stream's transport
        if self._is_last:
            self._transport.close()


def load_on(server: Server, model: str, *, seconds: float = 0.1) -> Tally:
    """The tally of a short load with the mock's answers as what is expected."""

    async def run() -> Tally:
        listener = bound_socket()
        await asyncio.get_running_loop().create_server(server, sock=listener)
        return await run_load(plain_targets(port_of(listener))[model], connections=3, seconds=seconds)

    return uvloop.run(run())


def test_the_mock_answers_a_plain_request_with_a_valid_completion() -> None:
    head, _, body = plain_answer().partition(b"\r\n\r\n")

    document = json.loads(body)

    assert f"Content-Length: {len(body)}".encode() in head
    assert document["choices"][0]["message"]["content"]
    assert document["usage"]["total_tokens"] == 138


@pytest.mark.parametrize("model", [BURST, PACED])
def test_the_mock_streams_valid_events_with_usage_at_the_end(model: str) -> None:
    parts = stream_parts(model)
    whole = b"".join([parts.start, *parts.chunks, parts.end])

    payload = unframed(whole.partition(b"\r\n\r\n")[2])
    events = payload.decode().split("\n\n")[:-1]

    assert payload == parts.payload
    assert len(events) == EVENTS and events[-1] == "data: [DONE]"
    documents = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert [bool(document["usage"]) for document in documents] == [False] * (EVENTS - 2) + [True]
    assert {document["model"] for document in documents} == {model}


@pytest.mark.parametrize("model", [PLAIN, BURST])
def test_a_load_on_the_mock_counts_whole_answers_and_no_errors(model: str) -> None:
    tally = load_on(Mock, model)

    assert tally.errors == 0, tally.sample
    assert tally.done >= 3 and len(tally.latencies_ms) == tally.done


@pytest.mark.parametrize("model", MODELS)
def test_the_relay_hands_answers_on_unchanged(model: str) -> None:
    async def run() -> Tally:
        loop = asyncio.get_running_loop()
        upstream, listener = bound_socket(), bound_socket()
        opening: set[asyncio.Task[None]] = set()
        await loop.create_server(Mock, sock=upstream)
        await loop.create_server(lambda: Client(port_of(upstream), opening), sock=listener)
        return await run_load(plain_targets(port_of(listener))[model], connections=3, seconds=0.1)

    tally = uvloop.run(run())

    assert tally.errors == 0, tally.sample
    assert tally.done >= 3


@pytest.mark.parametrize(
    ("answer", "model", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", PLAIN, "not 200"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", BURST, "not 200"),
        (plain_answer().replace(b"Friday", b"Monday"), PLAIN, "another answer"),
        (plain_answer(), BURST, "not a stream"),
        (stream_parts(BURST).start + stream_parts(BURST).end, BURST, "another stream"),
        (stream_parts(BURST).start + b"5\r\ntoo long\r\n0\r\n\r\n", BURST, "broken framing"),
    ],
)
def test_a_wrong_answer_is_an_error_on_each_connection(answer: bytes, model: str, reason: str) -> None:
    tally = load_on(lambda: Wrong(answer), model)

    assert (tally.done, tally.errors) == (0, 3)
    assert reason in tally.sample


@pytest.mark.parametrize("answer", [plain_answer()[:-10], stream_parts(BURST).start])
def test_an_answer_that_is_cut_off_is_an_error(answer: bytes) -> None:
    tally = load_on(lambda: Wrong(answer, is_last=True), BURST if b"chunked" in answer else PLAIN)

    assert (tally.done, tally.errors) == (0, 3)
    assert "lost in the middle" in tally.sample


def test_answers_may_come_in_any_pieces() -> None:
    plain, parts = plain_answer(), stream_parts(BURST)
    stream = b"".join([parts.start, *parts.chunks, parts.end])

    assert all(plain_error(plain[:cut], plain_body()) is None for cut in range(len(plain)))
    assert plain_error(plain, plain_body()) == ""
    assert all(stream_error(stream[:cut], parts.payload) is None for cut in range(len(stream)))
    assert stream_error(stream, parts.payload) == ""


def test_a_request_in_pieces_is_answered_once() -> None:
    async def run() -> bytes:
        listener = bound_socket()
        await asyncio.get_running_loop().create_server(Mock, sock=listener)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        request = request_bytes(port_of(listener), PLAIN)
        for piece in (request[:30], request[30:-100], request[-100:]):
            writer.write(piece)
            await asyncio.sleep(0.01)
        answer = await reader.readexactly(len(plain_answer()))
        writer.close()
        return answer

    assert uvloop.run(run()) == plain_answer()


def test_nobody_listening_is_an_error() -> None:
    with bound_socket() as sock:
        target = Target(port_of(sock), b"", b"", is_streamed=False)

        tally = uvloop.run(run_load(target, connections=2, seconds=0.1))

    assert (tally.done, tally.errors) == (0, 2)


def test_an_answer_without_the_charge_does_not_pass_for_the_gateways() -> None:
    async def run() -> None:
        listener = bound_socket()
        await asyncio.get_running_loop().create_server(Mock, sock=listener)
        await asyncio.to_thread(gateway_targets, port_of(listener))

    with pytest.raises(BenchError, match="The charges for bench-plain are"):
        uvloop.run(run())


def test_chunks_are_framed_and_unframed() -> None:
    assert unframed(framed(b"one") + framed(b"x" * 300) + b"0\r\n\r\n") == b"one" + b"x" * 300
