"""Lines keep every byte, wherever the stream was cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.wire.sse import Lines, TooLong, payload_of
from tests.routing.cuts import every_cut

STREAM = b'data: {"a":1}\n\n: comment\r\ndata: \xc3\xbc\r\n\r\ndata:x\rdata: [DONE]\n\nrest'
WHOLE = [b'data: {"a":1}\n', b"\n", b": comment\r\n", b"data: \xc3\xbc\r\n", b"\r\n", b"data:x\r", b"data: [DONE]\n", b"\n"]


def test_lines_of_every_cut_are_the_same() -> None:
    """No cut changes a line, splits a CRLF or loses a byte."""
    for parts in every_cut(STREAM):
        lines = Lines()
        found = [line for part in parts for line in lines.feed(part)]
        assert found == WHOLE
        assert lines.finish() == b"rest"
        assert not lines.pieces


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"data: ", b"\x00", b"\xff"]), max_size=30), st.data())
def test_lines_joined_are_the_input(tokens: list[bytes], data: st.DataObject) -> None:
    """Concatenating the output gives the input, and only whole lines come early."""
    text = b"".join(tokens)
    lines, found, at = Lines(), [], 0
    while at < len(text):
        size = data.draw(st.integers(1, len(text) - at))
        found += lines.feed(text[at : at + size])
        at += size
    assert all(line[-1:] in (b"\n", b"\r") for line in found)
    assert b"".join(found) + lines.finish() == text
    whole = Lines()
    assert b"".join(whole.feed(text)) + whole.finish() == text


def test_a_line_of_many_pieces_is_joined_once() -> None:
    """A line of megabytes arrives in pieces and comes out whole."""
    lines = Lines()
    assert all(lines.feed(b"x" * 65_536) == [] for _ in range(32))
    assert lines.pieces
    assert [len(line) for line in lines.feed(b"\n")] == [32 * 65_536 + 1]


def test_a_line_beyond_the_bound_is_refused() -> None:
    """Memory for one line is bounded."""
    lines = Lines(line_bytes_max=10)
    lines.feed(b"x" * 10)
    with pytest.raises(TooLong):
        lines.feed(b"x")


@pytest.mark.parametrize(
    ("line", "payload"),
    [
        (b"data: x\r\n", b"x"),
        (b"data:x\n", b"x"),
        (b"data:  x\n", b" x"),
        (b"data:\n", b""),
        (b": data: x\n", None),
        (b"event: x\n", None),
        (b"\n", None),
    ],
)
def test_payload_of_a_line(line: bytes, payload: bytes | None) -> None:
    """One space after the colon belongs to the framing."""
    assert payload_of(line) == payload
