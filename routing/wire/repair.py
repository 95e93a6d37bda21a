"""Reads the JSON of an answer even where a strict reader refuses it, and changes no byte of it.

Strategy: a text that is refused is read in a form of the same length, in which only what is not JSON is replaced: NaN and
Infinity, raw control characters, escapes that do not exist, half of a surrogate pair (a pair that a provider splits over two
deltas), bytes that are no UTF-8. What was found there stands at the same place in the text as it came, so our id and model can be
put into that one.
Limits: TEXT_BYTES_MAX and MARKS_MAX for the second reading, MEMBERS_MAX top-level members for any: a dictionary of a million
takes half a second. What is broken otherwise, or nested deeper than the reader goes, stays unread; `replace_leading` still finds
the id and the model where they stand before anything nested.
"""

import re

import msgspec
from msgspec import Raw

from routing.dialects.openai import Chunk, decode_chunk
from routing.wire.members import REFUSED, Members, Places, decode_members, spans

MEMBERS_MAX = 10_000
TEXT_BYTES_MAX = 4 << 20
MARKS_MAX = 400_000
_MARKS = (b'"', b"NaN", b"Infinity")
LEADING_MAX = 32
BOM = b"\xef\xbb\xbf"

# A string that nothing ends is one token, too: looked for anew at each of its escaped quotes, a megabyte would take minutes.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|-?Infinity|NaN', re.DOTALL)
_UNSOUND = re.compile(
    rb"((?:\\(?:[\"\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^\"\\\x00-\x1f]*+)++"  # sound, in one go
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a whole pair is sound
    rb"|(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))++|(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})++"
    rb"|(?:\\(?![\"\\/bfnrtu]|\Z).)++|(?:\\u(?![0-9a-fA-F]{4}))++|[\x00-\x1f]++",
    re.DOTALL,
)
_LEADING = re.compile(rb'[ \t\r\n]*("(?:id|model)"|"[^"\\]{1,64}")[ \t\r\n]*:[ \t\r\n]*("[^"\\]*"|[-+.\w]+)[ \t\r\n]*(,?)')


class Reading(msgspec.Struct, frozen=True, gc=False):
    """`members` as they came. `places`: where they stand, when it was the sound form that was read (`is_repaired`)."""

    chunk: Chunk
    members: Members
    places: Places | None = None
    is_repaired: bool = False

    @property
    def usage(self) -> bytes:
        """The usage object, wherever this provider puts it, as it can be read to its last member; empty when there is none."""
        usage = self.chunk.any_usage
        return usage if usage.isascii() else sound_form(usage)


class _Heavy(msgspec.Struct, gc=False):
    choices: Raw = Raw(b"")


_decode_heavy = msgspec.json.Decoder(_Heavy).decode


def read_object(payload: bytes) -> Reading | None:
    """The view and the members of a JSON object; None when it cannot be read. Never raises."""
    try:
        return _read(payload)
    except REFUSED:
        pass
    try:
        text = sound(payload)
        reading = _read(text)
        places = spans(text, reading.members)
    except REFUSED:
        return None
    if places is None:
        return msgspec.structs.replace(reading, is_repaired=True)
    members = {name: Raw(payload[start:end]) for name, (start, end) in places.items()}
    return Reading(reading.chunk, members, places, is_repaired=True)


def sound(payload: bytes) -> bytes:
    """The sound form of a text that a strict reader refused; ValueError (of `REFUSED`) for one that is too heavy for that."""
    if len(payload) > TEXT_BYTES_MAX or sum(map(payload.count, _MARKS)) > MARKS_MAX:
        raise ValueError("too large to be read a second time")
    return sound_form(payload)


def readable(payload: bytes) -> tuple[bytes, Members]:
    """(a text of the same length that a strict reader takes, the members of the object as they came). One of `REFUSED`."""
    try:
        return payload, decode_members(payload)
    except REFUSED:
        text = sound(payload)
    members = decode_members(text)
    places = spans(text, members)
    if places is None:
        return text, members
    return text, {name: Raw(payload[start:end]) for name, (start, end) in places.items()}


def _read(text: bytes) -> Reading:
    if len(text) > 4 * MEMBERS_MAX and text.count(b",") > MEMBERS_MAX:
        # Those in `choices` (log probabilities, say) are only skipped over.
        outside = text.count(b",") - bytes(_decode_heavy(text).choices).count(b",")
        if outside > MEMBERS_MAX:
            raise ValueError("too many members")
    return Reading(decode_chunk(text), decode_members(text))


def sound_form(text: bytes) -> bytes:
    """A text of the same length that has in it no value, escape or byte that JSON does not know."""
    return _TOKEN.sub(_sound_token, text.decode("utf-8", "surrogateescape").encode("utf-8", "replace"))


def _sound_token(token: re.Match[bytes]) -> bytes:
    text = token[0]
    # Not a number in a number's place: a count that is none must not become one.
    return _UNSOUND.sub(_sound_part, text) if text[:1] == b'"' else b'"%b"' % (b"?" * (len(text) - 2))


def _sound_part(part: re.Match[bytes]) -> bytes:
    return part[0] if part[1] else b"?" * len(part[0])


def replace_leading(text: bytes, values: Members) -> bytes:
    """An unread object with the members in `values` replaced that stand before anything nested; anything else as it is."""
    at = text.find(b"{") + 1
    if not at or text[: at - 1].strip():
        return text
    pieces: list[bytes] = []
    taken = 0
    for _ in range(LEADING_MAX):
        member = _LEADING.match(text, at)
        if member is None:
            break
        value = values.get(member[1][1:-1].decode("utf-8", "replace"))
        if value is not None:
            pieces += (text[taken : member.start(2)], bytes(value))
            taken = member.end(2)
        at = member.end()
        if not member[3]:
            break
    return b"".join((*pieces, text[taken:]))
