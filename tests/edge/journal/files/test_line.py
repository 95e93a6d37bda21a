"""The framing: whatever happens to the bytes of a journal's file, no line is believed that was not written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.api.node import BODY_BYTES_MAX
from edge.collector_client.outbox import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from edge.journal.files.line import LINE_BYTES_MAX, Splitter, frame, parse
from usage.protocol import MESSAGE_BYTES_MAX, RECORDS_MAX
from usage.record import RECORD_BYTES_MAX

JSONS = st.lists(st.binary(min_size=1, max_size=60).filter(lambda data: b"\n" not in data), min_size=1, max_size=8)


def believed(data: bytes, *, piece_bytes: int = 1 << 20) -> list[bytes]:
    """What a reader takes from a file of these bytes."""
    splitter = Splitter()
    lines = [line for start in range(0, len(data), piece_bytes) for line in splitter.feed(data[start : start + piece_bytes])]
    return [json for line in lines if line.endswith(b"\n") and (json := parse(line)) is not None]


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


@given(JSONS, st.integers(1, 7))
def test_lines_whole_or_in_pieces(jsons: list[bytes], piece_bytes: int) -> None:
    """What was written is read, whatever the size of the pieces it is read in."""
    data = b"".join(map(frame, jsons))
    assert believed(data) == believed(data, piece_bytes=piece_bytes) == jsons


@settings(max_examples=300)
@given(JSONS, st.data())
def test_lines_with_a_damaged_byte(jsons: list[bytes], data: st.DataObject) -> None:
    """Any one byte changed: every line it touched is recognised, every other is read."""
    good = b"".join(map(frame, jsons))
    position = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != good[position]))
    found = believed(good[:position] + bytes([value]) + good[position + 1 :])
    assert is_subsequence(found, jsons)
    assert len(jsons) - 2 <= len(found) <= len(jsons) - 1


@settings(max_examples=300)
@given(JSONS, st.data())
def test_lines_with_any_damage(jsons: list[bytes], data: st.DataObject) -> None:
    """A stretch replaced, cut out or put in: nothing is believed that was not written, and lines outside the stretch are kept."""
    good = b"".join(map(frame, jsons))
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, len(good)))
    found = believed(good[:start] + data.draw(st.binary(max_size=40)) + good[stop:])
    assert is_subsequence(found, jsons)
    untouched = good[:start].count(b"\n") + max(good[stop:].count(b"\n") - 1, 0)
    assert len(found) >= untouched


@given(JSONS, st.data())
def test_lines_of_a_file_that_was_cut(jsons: list[bytes], data: st.DataObject) -> None:
    """Cut anywhere, a file gives the lines before the cut, and the torn rest is known as such."""
    good = b"".join(map(frame, jsons))
    cut = data.draw(st.integers(0, len(good)))
    splitter = Splitter()
    lines = list(splitter.feed(good[:cut]))
    assert [parse(line) for line in lines] == jsons[: len(lines)]
    assert splitter.offset + len(splitter.torn) == cut


def test_line_without_end() -> None:
    """A megabyte without a line's end does not fill the memory: it is handed out as damage, and reading goes on."""
    splitter = Splitter()
    [junk] = splitter.feed(b"x" * (LINE_BYTES_MAX + 1))
    assert parse(junk) is None
    assert [parse(line) for line in splitter.feed(b"\n" + frame(b"{}"))] == [None, b"{}"]


def test_line_with_upper_case_checksum() -> None:
    """There is one way to write a line: a checksum in upper case was not written by us."""
    json = next(json for json in (b'{"n":%d}' % n for n in range(99)) if frame(json)[:8].upper() != frame(json)[:8])
    line = frame(json)
    assert parse(line) == json
    assert parse(line[:8].upper() + line[8:]) is None


def test_line_whose_text_was_changed_is_not_believed() -> None:
    """Another cost under the checksum of the one before is no record, and the lines beside it are."""
    lines = [frame(b'{"cost":%d}' % cost) for cost in (1, 2, 3)]
    lines[1] = lines[1].replace(b":2}", b":9}")
    assert believed(b"".join(lines)) == [b'{"cost":1}', b'{"cost":3}']


def test_writer_refuses_what_its_reader_would_not_take() -> None:
    """The longest line that is written is read again; one byte more is no line."""
    json = b"1" * (LINE_BYTES_MAX - 10)
    line = frame(json)
    assert [parse(each) for each in Splitter().feed(line)] == [json]
    with pytest.raises(ValueError, match="longer than a journal's reader takes"):
        frame(json + b"1")


def test_limits_of_both_ends_fit_each_other() -> None:
    """A record that a journal keeps fits a line; a batch of an edge, with one record too many, a message of the collector."""
    assert RECORD_BYTES_MAX < LINE_BYTES_MAX
    assert BATCH_RECORDS_MAX <= RECORDS_MAX
    assert BATCH_BYTES_MAX + RECORD_BYTES_MAX < MESSAGE_BYTES_MAX == BODY_BYTES_MAX
