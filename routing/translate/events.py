"""Server-sent events → the JSON of each, as the specification dispatches them; and a chunk's view that nothing can upset.

Rule: an event is dispatched at its blank line, its data lines joined; the last one also at the end of the stream. Names, ids and
comments are not looked at: each format says in its data what an event is.
"""

import json
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Raw

from routing.wire.members import REFUSED
from routing.wire.sse import BLANK, Lines, TooLong, payload_of

DONE = b"[DONE]"
ABSENT = Raw(b"")
NOTHING = (b"", b'""', b"null")
_BOM = b"\xef\xbb\xbf"


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


def string_of(raw: Raw) -> bytes:
    """The string as it stands in the JSON; an empty one for anything else."""
    text = bytes(raw)
    return text if text[:1] == b'"' else b'""'


T = TypeVar("T", bound=msgspec.Struct)


def view(payload: bytes, kind: type[T], decode: Any) -> T | None:
    """The `kind` that a payload is, None when it is no JSON object. `decode` is the decoder of `kind`.

    What the strict decoder refuses (half of a surrogate pair, a member of another type than agreed, NaN) is read once more in a
    lenient way: a bad member voids itself, and a text keeps the escapes that it came with.
    """
    try:
        found: T = decode(payload)
    except REFUSED:
        value = loaded(payload)
        return cast(T, _built(value, kind)) if isinstance(value, dict) else None
    return found


def loaded(payload: bytes) -> Any:
    """A JSON document, read leniently; None when there is none."""
    try:
        return json.loads(payload.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def dumped(value: Any) -> bytes:
    """In ASCII: half of a surrogate pair stays an escape."""
    try:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        return b"null"


def _built(value: dict[str, Any], kind: Any) -> Any:
    found = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            read = _fitting(value[field.encode_name], field.type)
            if read is not ABSENT:
                found[field.name] = read
    try:
        return kind(**found)
    except TypeError:
        return None


def _fitting(value: Any, kind: Any) -> Any:
    """The value as a field of that type; ABSENT when it is none."""
    for each in get_args(kind) if get_origin(kind) not in (list, dict) and get_args(kind) else (kind,):
        if each is Any:
            return value
        if each is Raw:
            return Raw(dumped(value))
        if each is type(None):
            if value is None:
                return None
        elif get_origin(each) is dict:
            if isinstance(value, dict):
                return value
        elif get_origin(each) is list:
            if isinstance(value, list):
                items = [_fitting(item, get_args(each)[0]) for item in value]
                return [item for item in items if item is not ABSENT and item is not None]
        elif isinstance(each, type) and issubclass(each, msgspec.Struct):
            if isinstance(value, dict):
                return _built(value, each)
        elif isinstance(value, each) and not (each is int and isinstance(value, bool)):
            return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    return ABSENT
