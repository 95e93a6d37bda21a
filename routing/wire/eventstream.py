"""AWS' eventstream: binary frames, each with its own length, headers and two checksums.

Grammar: u32 length of all, u32 length of the headers, u32 crc32 of those eight bytes; headers, each {u8 length, name, u8 type,
value}; payload; u32 crc32 of all before. Numbers are big-endian.
Rule: both checksums are checked, and nothing is read of a frame that fails one. A broken frame is the end of what can be read:
where the next one begins, only the broken one said.
Strategy: a service begins its frames alike, all of one length in the same bytes: what was read and checked of a beginning is
remembered by its bytes, for all streams together.
Source: Smithy's `amazon-eventstream` specification; botocore's `eventstream`. Limits are botocore's: 24 MiB a frame, 128 KiB its
headers.
"""

from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple
from zlib import crc32

FRAME_BYTES_MAX: Final = 24 * 1024 * 1024
HEADER_BYTES_MAX: Final = 128 * 1024
STARTS_MAX: Final = 1_024
"""Beginnings that are remembered: a service has a dozen header blocks, and frames of a hundred lengths."""
START_BYTES_MAX: Final = 256
"""A longer beginning is read anew each time."""
_PRELUDE: Final = Struct(">III")
_U32: Final = Struct(">I")
_U16: Final = Struct(">H")
_PRELUDE_BYTES: Final = 12
_FRAME_BYTES_MIN: Final = 16
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header's value → its length, for those that do not say it: booleans, integers, a time, a UUID."""
_BYTES, _STRING = 6, 7

Headers = dict[str, str]
"""Those whose values are strings; the others say nothing that is read."""


class BrokenFrame(Exception):
    """What came is no eventstream, or not the one that was sent."""


class Start(NamedTuple):
    """How a frame begins: its size in all, its headers, their end, and the checksum up to there."""

    size: int
    headers: Headers
    end: int
    checksum: int


class Frame(NamedTuple):
    start: Start
    payload: bytes

    @property
    def headers(self) -> Headers:
        return self.start.headers


class FrameReader:
    """`feed` returns the frames that are now whole; after a broken one, what is wrong with it is `problem`, and none follows."""

    __slots__ = ("_buffer", "_size", "problem")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0
        """Of the frame that has begun, once its prelude is there and was checked."""
        self.problem = ""

    @property
    def is_clear(self) -> bool:
        """Whether no frame has begun."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self.problem:
            return frames
        self._buffer += data
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except BrokenFrame as problem:
            self.problem = str(problem)
            self._buffer.clear()
        return frames

    def one(self, data: bytes, start: Start) -> bytes | None:
        """The payload of the frame that `data` is, if it is one, whole and sound, with the headers of `start`, and nothing is
        unread before it; else None, and nothing done."""
        head_end = start.end
        if len(data) < head_end + 4 or head_end > START_BYTES_MAX or self._buffer or self.problem:
            return None
        try:
            size, headers, _, checksum = _known_start(data[:head_end])
        except BrokenFrame:
            return None
        payload = data[head_end:-4]
        if headers is not start.headers or size != len(data) or crc32(payload, checksum) != int.from_bytes(data[-4:], "big"):
            return None
        return payload

    def _next(self) -> Frame | None:
        """The next frame, taken out of the buffer; None when it is not whole. BrokenFrame."""
        buffer = self._buffer
        if not self._size:
            if len(buffer) < _PRELUDE_BYTES:
                return None
            self._size = _checked_size(buffer)
        if len(buffer) < self._size:
            return None
        data = bytes(memoryview(buffer)[: self._size])
        del buffer[: self._size]
        self._size = 0
        return self._frame(data)

    def _frame(self, data: bytes) -> Frame:
        end = len(data) - 4
        if crc32(memoryview(data)[:end]) != _U32.unpack_from(data, end)[0]:
            raise BrokenFrame("the checksum of a frame is wrong")
        start = _start_of(data[: _PRELUDE_BYTES + _U32.unpack_from(data, 4)[0]])
        return Frame(start, data[start.end : end])


def _checked_size(buffer: bytes | bytearray) -> int:
    size, head_size, checksum = _PRELUDE.unpack_from(buffer)
    if crc32(buffer[:8]) != checksum:
        raise BrokenFrame("the checksum of a frame's lengths is wrong")
    if size > FRAME_BYTES_MAX or head_size > HEADER_BYTES_MAX or size < head_size + _FRAME_BYTES_MIN:
        raise BrokenFrame(f"a frame of {size} bytes with {head_size} bytes of headers")
    return int(size)


def _start_of(start: bytes) -> Start:
    """What a prelude and its headers say, which must be whole. BrokenFrame."""
    return _known_start(start) if len(start) <= START_BYTES_MAX else _read_start(start)


def _read_start(start: bytes) -> Start:
    size, block = _checked_size(start), start[_PRELUDE_BYTES:]
    if len(block) != _U32.unpack_from(start, 4)[0]:
        raise BrokenFrame("the headers of a frame have another length")
    headers = _known_headers(block) if len(start) <= START_BYTES_MAX else _headers_of(block)
    return Start(size, headers, len(start), crc32(start))


def _headers_of(block: bytes) -> Headers:
    headers: Headers = {}
    at = 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            name = block[at + 1 : name_end].decode()
            kind = block[name_end]
            at = name_end + 1
            if kind in (_BYTES, _STRING):
                size = _U16.unpack_from(block, at)[0]
                at += 2
                if kind == _STRING:
                    headers[name] = block[at : at + size].decode()
            else:
                size = _FIXED[kind]
            at += size
    except (IndexError, KeyError, ValueError, StructError) as problem:
        raise BrokenFrame("the headers of a frame cannot be read") from problem
    if at != len(block):
        raise BrokenFrame("the headers of a frame are longer than they say")
    return headers


_known_start = lru_cache(STARTS_MAX)(_read_start)
_known_headers = lru_cache(STARTS_MAX)(_headers_of)
