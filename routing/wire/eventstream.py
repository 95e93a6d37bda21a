"""AWS' eventstream: binary frames, each with its own length, headers and two checksums.

Grammar: u32 length of all, u32 length of the headers, u32 crc32 of those eight bytes; headers, each {u8 length, name, u8 type,
value}; payload; u32 crc32 of all before. Numbers are big-endian.
Rule: both checksums are checked, and nothing is read of a frame that fails one. A broken frame is the end of what can be read:
where the next one begins, only the broken one said.
Strategy: a service writes the same few header blocks over and over, so a parsed block is remembered by its bytes.
Source: Smithy's `amazon-eventstream` specification; botocore's `eventstream`. Limits are botocore's: 24 MiB a frame, 128 KiB its
headers.
"""

from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple
from zlib import crc32

FRAME_BYTES_MAX: Final = 24 * 1024 * 1024
HEADER_BYTES_MAX: Final = 128 * 1024
BLOCKS_MAX: Final = 64
"""Header blocks that are remembered: a service has a dozen."""
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


class Frame(NamedTuple):
    headers: Headers
    payload: bytes


class FrameReader:
    """`feed` returns the frames that are now whole; after a broken one, what is wrong with it is `problem`, and none follows."""

    __slots__ = ("_blocks", "_buffer", "_size", "problem")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0
        """Of the frame that has begun, once its prelude is there and was checked."""
        self._blocks: dict[bytes, Headers] = {}
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

    def one(self, data: bytes, headers: Headers) -> bytes | None:
        """The payload of the frame that `data` is, if it is one, whole and sound, with headers that were read before, and nothing
        is unread before it; else None, and nothing done."""
        if len(data) < _FRAME_BYTES_MIN or self._buffer or self.problem:
            return None
        size, head_size, checksum = _PRELUDE.unpack_from(data)
        if size != len(data) or crc32(data[:8]) != checksum or crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
            return None
        head_end = _PRELUDE_BYTES + head_size
        return data[head_end:-4] if self._blocks.get(data[_PRELUDE_BYTES:head_end]) is headers else None

    def _next(self) -> Frame | None:
        """The next frame, taken out of the buffer; None when it is not whole. BrokenFrame."""
        buffer = self._buffer
        if not self._size:
            if len(buffer) < _PRELUDE_BYTES:
                return None
            self._size = _checked_size(buffer, 0)
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
        head_end = _PRELUDE_BYTES + _U32.unpack_from(data, 4)[0]
        block = data[_PRELUDE_BYTES:head_end]
        headers = self._blocks.get(block)
        if headers is None:
            headers = _headers_of(block)
            if len(self._blocks) < BLOCKS_MAX:
                self._blocks[block] = headers
        return Frame(headers, data[head_end:end])


def _checked_size(buffer: bytearray, at: int) -> int:
    size, head_size, checksum = _PRELUDE.unpack_from(buffer, at)
    if crc32(memoryview(buffer)[at : at + 8]) != checksum:
        raise BrokenFrame("the checksum of a frame's lengths is wrong")
    if size > FRAME_BYTES_MAX or head_size > HEADER_BYTES_MAX or size < head_size + _FRAME_BYTES_MIN:
        raise BrokenFrame(f"a frame of {size} bytes with {head_size} bytes of headers")
    return int(size)


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
