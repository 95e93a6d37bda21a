"""AWS' frames: whole, in pieces, and broken in each of their checksums."""

import json
import struct
from zlib import crc32

import pytest

from routing.wire.eventstream import FRAME_BYTES_MAX, START_BYTES_MAX, STARTS_MAX, FrameReader, _known_start
from tests.routing.cuts import every_cut
from tests.routing.wire.frames import encoded, frame

FRAMES = [frame("messageStart", {"role": "assistant"}), frame("contentBlockDelta", {"delta": {"text": "hi"}}), frame("x", {})]


def read(parts: list[bytes]) -> list[tuple[str, object]]:
    reader = FrameReader()
    return [(each.headers[":event-type"], json.loads(each.payload)) for part in parts for each in reader.feed(part)]


def test_frames_in_every_cut() -> None:
    """However TCP cut them."""
    wire = b"".join(FRAMES)
    known = [("messageStart", {"role": "assistant"}), ("contentBlockDelta", {"delta": {"text": "hi"}}), ("x", {})]
    for parts in every_cut(wire):
        assert read(parts) == known


@pytest.mark.parametrize("at", range(len(FRAMES[1])))
def test_frame_with_a_flipped_bit(at: int) -> None:
    """In its lengths, their checksum, headers, payload or last checksum: it is not read, and what came before it is."""
    wire = bytearray(FRAMES[0] + FRAMES[1])
    wire[len(FRAMES[0]) + at] ^= 1
    reader = FrameReader()
    assert len(reader.feed(bytes(wire[: len(FRAMES[0])]))) == 1
    assert reader.feed(bytes(wire[len(FRAMES[0]) :])) == []
    # One more frame: where a length was made larger, more is waited for than came.
    assert reader.feed(FRAMES[2] * 2) == []
    assert reader.problem


def with_prelude(size: int, head: int) -> bytes:
    prelude = struct.pack(">II", size, head)
    return prelude + struct.pack(">I", crc32(prelude))


@pytest.mark.parametrize(("size", "head"), [(15, 0), (20, 5), (FRAME_BYTES_MAX + 1, 0), (1 << 20, 200_000), (0, 0)])
def test_frame_beyond_its_bounds(size: int, head: int) -> None:
    """Refused as soon as its lengths are there, however right their checksum is."""
    reader = FrameReader()
    assert reader.feed(with_prelude(size, head)) == []
    assert reader.problem
    assert reader.feed(FRAMES[0]) == []


def headed(block: bytes) -> bytes:
    body = with_prelude(16 + len(block), len(block)) + block
    return body + struct.pack(">I", crc32(body))


@pytest.mark.parametrize("block", [b"\x05ab", b"\x01a\x07\x00\x05ab", b"\x01a\x63", b"\x01\xff\x00", b"\x01a", b"\x01a\x07\x00"])
def test_frame_with_unreadable_headers(block: bytes) -> None:
    """A right checksum does not make sense of them."""
    reader = FrameReader()
    assert len(reader.feed(FRAMES[0] + headed(block) + FRAMES[1])) == 1
    assert reader.problem


def test_frame_with_headers_of_every_type() -> None:
    """Those that are no strings are passed over."""
    kinds = {
        0: b"",
        1: b"",
        2: b"\x01",
        3: b"\x00\x01",
        4: b"\x00" * 4,
        5: b"\x00" * 8,
        6: b"\x00\x02ab",
        8: b"\x00" * 8,
        9: b"\x00" * 16,
    }
    block = b"".join([b"\x01" + bytes([97 + kind]) + bytes([kind]) + value for kind, value in kinds.items()])
    (found,) = FrameReader().feed(headed(block + b"\x01z\x07\x00\x02hi"))
    assert found.headers == {"z": "hi"}


def test_beginnings_are_remembered_within_bounds() -> None:
    """Many different ones cost no memory, and a long one none at all."""
    reader = FrameReader()
    for number in range(STARTS_MAX + 100):
        reader.feed(encoded({":event-type": f"e{number}"}, b"{}"))
    assert _known_start.cache_info().currsize <= STARTS_MAX
    misses = _known_start.cache_info().misses
    assert len(reader.feed(encoded({":event-type": "e" * START_BYTES_MAX}, b"{}"))) == 1
    assert _known_start.cache_info().misses == misses
    assert reader.is_clear


@pytest.mark.parametrize("text", ["hi", "", "a longer one"])
def test_one_frame_is_read_the_short_way_if_it_is_like_the_last(text: str) -> None:
    """Whatever its length; none with other headers, a wrong checksum or a piece missing."""
    reader = FrameReader()
    (start, payload), *_ = reader.feed(FRAMES[1])
    assert reader.one(FRAMES[1], start) == payload
    like = frame("contentBlockDelta", {"delta": {"text": text}})
    assert reader.one(like, start) == json.dumps({"delta": {"text": text}}, separators=(",", ":")).encode()
    for other in (FRAMES[0], FRAMES[2], like[:-1], like[:20], like[:3], b"", like + b"x", like + like):
        assert reader.one(other, start) is None
    for at in range(len(like)):
        wrong = bytearray(like)
        wrong[at] ^= 1
        assert reader.one(bytes(wrong), start) is None
    reader.feed(like[:5])
    assert reader.one(like, start) is None
