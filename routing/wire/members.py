"""Replaces top-level members of a JSON object and leaves every other byte as it was.

Strategy: msgspec validates the text once and gives each member's raw value. White space, an escape in a key, a character of
several bytes and a repeated key only ever make a text longer; so one that is as long as its members need has none of them, and
written anew from its members it is the same bytes. Anything less plain is walked member by member.
Limits: an object that repeats a key is rebuilt from its members, the last one winning, as every JSON reader in the field does.
"""

import re

import msgspec

Members = dict[str, msgspec.Raw]
Places = dict[str, tuple[int, int]]
"""Member → where its value begins and ends."""

decode_members = msgspec.json.Decoder(Members).decode
"""JSON text of an object → its members with raw values, in order; one of REFUSED otherwise."""
REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading foreign JSON raises: ValueError for a key or a text that is no UTF-8, RecursionError for one nested too deep."""

_KEY = re.compile(rb'[ \t\r\n]*"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_COMMA = re.compile(rb"[ \t\r\n]*,")
_OPEN = re.compile(rb"[ \t\r\n]*\{")
is_plain = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+').fullmatch
"""A text inside of its quotes that needs no reading: without a quote, a line break, or an escape but the simple ones."""

_encode = msgspec.json.Encoder().encode


def key_of(name: str) -> bytes:
    """The name of a member and its colon, as JSON."""
    return _encode(name) + b":"


def replace(text: bytes, members: Members, values: Members, places: Places | None = None) -> bytes:
    """`text` with the top-level members named in `values` replaced; those that are missing are appended in order.

    `members` is `decode_members(text)`; `places` is where they stand, for a text that a strict reader refuses.
    """
    if places is not None:
        return _spliced(text, places, values)
    size = 1 + 4 * len(members) + sum(map(len, members)) + sum(map(len, members.values()))
    if size == len(text):
        return _encode(members | values)
    if size == len(text.rstrip()):
        return _encode(members | values) + text[size:]
    places = spans(text, members)
    return _encode(members | values) if places is None else _spliced(text, places, values)


def spans(text: bytes, members: Members) -> Places | None:
    """Where each member's value stands, as (start, end); None when the object repeats a key."""
    opened = _OPEN.match(text)
    assert opened is not None, "decode_members accepted it"
    position = opened.end()
    places = {}
    for name, raw in members.items():
        key = _KEY.match(text, position)
        value = bytes(raw)
        if key is None or not text.startswith(value, key.end()):
            return None
        places[name] = (key.end(), key.end() + len(value))
        comma = _COMMA.match(text, places[name][1])
        position = comma.end() if comma else places[name][1]
    return None if members and _COMMA.match(text, places[name][1]) else places


def _spliced(text: bytes, places: Places, values: Members) -> bytes:
    pieces: list[bytes] = []
    taken = 0
    for name, (start, end) in places.items():
        if name in values:
            pieces += (text[taken:start], values[name])
            taken = end
    end = text.rindex(b"}")
    added = [b",%b%b" % (key_of(name), value) for name, value in values.items() if name not in places]
    pieces += (text[taken:end], b"".join(added)[0 if places else 1 :], text[end:])
    return b"".join(pieces)
