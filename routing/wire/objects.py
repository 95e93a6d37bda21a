"""JSON objects read one level deep, with the certainty that no member stands in them twice.

Which of two members with one name counts is every reader's own opinion, so one that is read here is the only one there is.
Strategy: written anew from its members, a text without white space is the same bytes, unless something was repeated; one with
white space is when that is taken away. Where there are few members and many bytes, the text is walked from member to member.
"""

import json
import re
from typing import Any, Final

import msgspec

from routing.wire.members import Members

Objects = list[Members]

decode_objects = msgspec.json.Decoder(Objects).decode
"""JSON text of a list of objects → their members; msgspec.DecodeError or RecursionError otherwise."""
_encode = msgspec.json.Encoder().encode
_format = msgspec.json.format
_KEY: Final = re.compile(rb'[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_BETWEEN: Final = re.compile(rb"[ \t\r\n]*([,}])")
_BEGIN: Final = re.compile(rb"[ \t\r\n]*[\[,]?[ \t\r\n]*\{")
COMPACT_BYTES_MAX: Final = 1_048_576
FEW_PER_BYTES: Final = 4_096
"""A step of the walk costs as much as so many bytes of the other way."""


def compact(text: bytes) -> bytes:
    """The text without the white space between its values, if it seems to have any. It must be JSON."""
    return _format(text, indent=-1) if b'": ' in text[:128] and len(text) < COMPACT_BYTES_MAX else text


def is_dense(text: bytes | memoryview, objects: Objects) -> bool:
    """Whether the list that `text` is has no white space between its objects' members, and no member twice, as can be told at
    once; `objects` is `decode_objects(text)`."""
    return (len(text) <= FEW_PER_BYTES or not _is_sparse(text, objects)) and _encode(objects) == text


def repeats_in_list(text: bytes | memoryview, objects: Objects) -> bool:
    """Whether an object of the list that `text` is repeats a member; `objects` is `decode_objects(text)`."""
    if len(text) > FEW_PER_BYTES and _is_sparse(text, objects):
        return _repeats_by_walk(text, objects)
    if _encode(objects) == text:
        return False
    dense = _format(text, indent=-1)
    return _encode(decode_objects(dense)) != dense and _repeats_by_walk(text, objects)


def _is_sparse(text: bytes | memoryview, objects: Objects) -> bool:
    return sum(map(len, objects)) * FEW_PER_BYTES < len(text)


def repeats(text: bytes | memoryview, members: Members) -> bool:
    """The same of one object."""
    return _repeats_by_walk(text, [members])


def _repeats_by_walk(text: bytes | memoryview, objects: Objects) -> bool:
    """Exact, whatever the white space: each name that stands in the text must be the next of the members."""
    position = 0
    for members in objects:
        begin = _BEGIN.match(text, position)
        if begin is None:
            return True
        position = begin.end()
        end = b"{"
        for name, value in members.items():
            key = _KEY.match(text, position)
            if key is None or end == b"}" or json.loads(bytes(key[1])) != name:
                return True
            between = _BETWEEN.match(text, key.end() + len(value))
            if between is None:
                return True
            position, end = between.end(), between[1]
        if not members:
            between = _BETWEEN.match(text, position)
            position, end = (between.end(), between[1]) if between is not None else (position, b"")
        if end != b"}":
            return True
    return False


def repeats_within(text: bytes, value: Any) -> bool:
    """Whether any object, however deep, repeats a member; `value` is what `text` was decoded to. For short texts."""
    if b"\\" not in text:
        # Each member has a colon, and a string has as many in both forms.
        return text.count(b":") != _encode(value).count(b":")
    has_repeated = False

    def see(pairs: list[tuple[str, Any]]) -> None:
        nonlocal has_repeated
        has_repeated = has_repeated or len({name for name, _ in pairs}) < len(pairs)

    json.loads(text, object_pairs_hook=see)
    return has_repeated


LONG_BYTES: Final = 4_096
_QUOTE, _BACKSLASH = b'"\\'


def shorten(text: bytes) -> tuple[bytes, dict[bytes, int]]:
    """JSON with its longest strings (images, long texts) cut to their beginning, and how long each was that stands there now.

    So what is in a large body is found without going over all of its bytes again and again.
    Limits: only as many quotes are looked at as there would be if all strings were long; the rest stays as it is.
    """
    pieces: list[bytes] = []
    sizes: dict[bytes, int] = {}
    taken = 0
    begin = text.find(b'"')
    end = begin
    for _ in range(len(text) // LONG_BYTES):
        end = text.find(b'"', end + 1)
        if begin < 0 or end < 0:
            break
        if text[end - 1] == _BACKSLASH and _is_escaped(text, end):
            continue
        if end - begin > LONG_BYTES:
            head = text[begin + 1 : begin + 6]
            short = b"%b~%d" % (head if head.isascii() and b"\\" not in head else b"", len(sizes))
            pieces += (text[taken : begin + 1], short)
            sizes[b'"%b"' % short] = end - begin - 1
            taken = end
        begin = end = text.find(b'"', end + 1)
    pieces.append(text[taken:])
    return b"".join(pieces), sizes


def _is_escaped(text: bytes, quote: int) -> bool:
    """Whether an odd number of backslashes stands before it."""
    window = 64
    while True:
        before = text[max(quote - window, 0) : quote]
        count = len(before) - len(before.rstrip(b"\\"))
        if count < len(before) or window >= quote:
            return count % 2 == 1
        window *= 8
