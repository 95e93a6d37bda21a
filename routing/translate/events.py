"""Server-sent events → the JSON of each, as the specification dispatches them.

Rule: an event is dispatched at its blank line, its data lines joined; the last one also at the end of the stream. Names, ids and
comments are not looked at: each format says in its data what an event is.
"""

import json
from typing import Final

import msgspec
from msgspec import Raw

from routing.wire.lenient_view import ABSENT as ABSENT
from routing.wire.lenient_view import dumped as dumped
from routing.wire.lenient_view import loaded as loaded
from routing.wire.lenient_view import view as view
from routing.wire.sse import BLANK, Lines, TooLong, payload_of

DONE = b"[DONE]"
NOTHING = (b"", b'""', b"null")
_BOM = b"\xef\xbb\xbf"
_encode: Final = msgspec.json.Encoder().encode


class Payloads:
    """`feed` returns the data of the events that have come to their end."""

    __slots__ = ("_data", "_limit", "_lines", "_size")

    def __init__(self, line_bytes_max: int) -> None:
        self._lines = Lines(line_bytes_max)
        self._limit = line_bytes_max
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        out: list[bytes] = []
        for line in self._lines.feed(data):
            self._take(line, out)
        return out

    def finish(self) -> list[bytes]:
        out: list[bytes] = []
        rest = self._lines.finish()
        if rest:
            self._take(rest, out)
        self._take(b"\n", out)
        return out

    def _take(self, line: bytes, out: list[bytes]) -> None:
        if line in BLANK:
            if self._data:
                out.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
                self._size = 0
            return
        payload = payload_of(line.removeprefix(_BOM))
        if payload is not None:
            self._size += len(payload)
            if self._size > self._limit:
                raise TooLong(f"an event of more than {self._limit} bytes")
            if self._data and _is_complete(self._data[-1]):
                # Providers that leave out the blank line: no JSON goes on behind its end.
                out.append(self._data.pop())
                self._size = len(payload)
            self._data.append(payload)


def _is_complete(payload: bytes) -> bool:
    if payload == DONE:
        return True
    if payload[:1] != b"{" or payload[-1:] != b"}":
        return False
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return True


def arguments_text(raw: Raw) -> bytes:
    """The arguments of a call that comes whole, as the JSON text in a string that Chat has; `{}` where there are none."""
    text = bytes(raw)
    return _encode((b"{}" if text in NOTHING else text).decode("utf-8", "replace"))


def string_of(raw: Raw) -> bytes:
    """The string as it stands in the JSON; an empty one for anything else."""
    text = bytes(raw)
    return text if text[:1] == b'"' else b'""'
