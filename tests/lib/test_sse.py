"""The splitter against every way of writing and cutting a stream; the reference is a line-by-line reader."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrouter.lib.sse import EventSplitter, EventTooLarge, data_of, event_of

LIMIT = 4 * 1024 * 1024
TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["line\u2028separator", "next\u0085line", "\ufeff", "[DONE]", '{"a": "b\\n\\nc"}', ": no comment", " two  spaces "]
)
LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def written_events(draw: st.DrawFn, ends: st.SearchStrategy[bytes] = LINE_END) -> tuple[list[list[str]], bytes]:
    """Events as lists of data lines (none: a comment), and one way to write them down."""
    events = draw(st.lists(st.lists(TEXT, max_size=3), max_size=8))
    end = draw(ends)
    written = b""
    for lines in events:
        if draw(st.booleans()) or not lines:
            written += b": keep-alive" + end
        if draw(st.booleans()):
            written += b"event: x" + end + b"id: 7" + end
        for line in lines:
            # A value that begins with a blank needs the blank that a reader takes away.
            space = b" " if line.startswith(" ") or draw(st.booleans()) else b""
            written += b"data:" + space + line.encode() + end
        written += end
    return events, written


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The bytes in pieces of these sizes, over and over."""
    pieces, begin, turn = [], 0, 0
    while begin < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[begin : begin + size])
        begin, turn = begin + size, turn + 1
    return pieces


def read(pieces: list[bytes]) -> tuple[list[bytes], EventSplitter]:
    """The events of a stream that came in these pieces, with what only its end completes."""
    splitter = EventSplitter(LIMIT)
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.finish(), splitter


@given(written_events(), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_events_in_any_pieces_come_out_as_they_went_in(
    made: tuple[list[list[str]], bytes], sizes: list[int], has_bom: bool
) -> None:
    events, written = made

    found, splitter = read(cut((b"\xef\xbb\xbf" if has_bom else b"") + written, sizes))

    assert [data_of(event).decode() for event in found if b"data" in re.split(rb"[:\r\n]", event)] == [
        "\n".join(lines) for lines in events if lines
    ]
    assert b"".join(found) + splitter.rest == written


@given(written_events(), st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_where_the_pieces_are_cut_makes_no_difference(made: tuple[list[list[str]], bytes], size: int) -> None:
    _events, written = made

    whole, _splitter = read([written] if written else [])
    cut_up, _splitter = read(cut(written, [size]))

    assert [data_of(event) for event in cut_up] == [data_of(event) for event in whole]


@pytest.mark.parametrize(
    "between", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\r\n\r", b"\n\r", b"\r\r\n"]
)
def test_every_mixture_of_line_ends_ends_an_event(between: bytes) -> None:
    found, _splitter = read(cut(b"data: one" + between + b"data: two" + between, [1]))

    assert [data_of(event) for event in found] == [b"one", b"two"]


def test_unicode_line_separators_are_text() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"

    (event,) = EventSplitter(LIMIT).feed(event_of(text.encode()))

    assert data_of(event).decode() == text


def test_a_byte_order_mark_is_skipped_at_the_start_and_kept_anywhere_else() -> None:
    found, _splitter = read(cut(b"\xef\xbb\xbfdata: \xef\xbb\xbfx\n\n", [1]))

    assert found == [b"data: \xef\xbb\xbfx\n\n"]


def test_the_value_loses_one_blank_and_no_more() -> None:
    assert data_of(b"data:  x\n\n") == b" x"
    assert data_of(b"data:x\n\n") == b"x"
    assert data_of(b"data\n\n") == b""
    assert data_of(b"data: a\ndata:\ndata: b\n\n") == b"a\n\nb"
    assert data_of(b": data: x\n\n") == b""
    assert data_of(b"database: x\n\n") == b""


def test_a_line_of_a_megabyte_in_small_pieces_is_one_event_and_takes_no_quadratic_time() -> None:
    event = event_of(b"x" * (1024 * 1024))
    pieces = cut(event, [997])

    began = time.process_time()
    found, _splitter = read(pieces)

    assert found == [event]
    assert time.process_time() - began < 0.5  # copying what is there for each of the 1,051 pieces takes seconds


@pytest.mark.parametrize("size", [64, 1000, 10_000])
def test_an_event_over_the_limit_is_refused_before_it_is_complete(size: int) -> None:
    splitter = EventSplitter(20_000)
    splitter.feed(b"data: fits\n\n")

    with pytest.raises(EventTooLarge):
        for piece in cut(b"data: " + b"x" * 40_000, [size]):
            splitter.feed(piece)


def test_an_event_without_its_blank_line_is_not_complete_but_the_end_of_a_stream_completes_a_cr() -> None:
    unfinished, splitter = read([b"data: a\n\ndata: b\n"])
    by_cr, _splitter = read([b"data: a\r\rdata: b\r\r"])

    assert [data_of(event) for event in unfinished] == [b"a"] and splitter.rest == b"data: b\n"
    assert [data_of(event) for event in by_cr] == [b"a", b"b"]
