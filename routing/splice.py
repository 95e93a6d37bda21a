"""Replaces top-level members of a JSON object and leaves every other byte as it was.

Strategy: msgspec validates the text once and gives each member's raw value. White space, an escape in a key, a character of
several bytes and a repeated key only ever make a text longer; so one that is as long as its members need has none of them, and
their places follow from their lengths, without a scan. Anything less plain is walked member by member.
Limits: an object that repeats a key is rebuilt from its members, the last one winning, as every JSON reader in the field does.
"""

import re
from collections.abc import Mapping

import msgspec

Members = dict[str, msgspec.Raw]

decode_members = msgspec.json.Decoder(Members).decode
"""JSON text of an object → its members with raw values, in order; msgspec.DecodeError or RecursionError otherwise."""

_KEY = re.compile(rb'[ \t\r\n]*"(?:[^"\\]|\\.)*"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_COMMA = re.compile(rb"[ \t\r\n]*,")
_OPEN = re.compile(rb"[ \t\r\n]*\{")


_OFTEN = (
    "audio choices completion_tokens_details cost created error finish_reason frequency_penalty function_call functions id"
    " logit_bias logprobs max_completion_tokens max_tokens messages metadata modalities model n object parallel_tool_calls"
    " presence_penalty prompt_tokens_details provider reasoning reasoning_effort response_format seed service_tier stop store"
    " stream stream_options system_fingerprint temperature tool_choice tools top_k top_logprobs top_p usage usage_source user"
)
_KEYS = {name: b'"%b":' % name.encode() for name in _OFTEN.split()}


def key_of(name: str) -> bytes:
    """The name of a member and its colon, as JSON."""
    return _KEYS.get(name) or msgspec.json.encode(name) + b":"


def replace(text: bytes, members: Members, values: Mapping[str, bytes]) -> bytes:
    """`text` with the top-level members named in `values` replaced; those that are missing are appended in order.

    `members` is `decode_members(text)`. The values are JSON texts.
    """
    pieces: list[bytes] = []
    taken = end = 0
    for name, raw in members.items():
        start = end + len(name) + 4
        end = start + len(raw)
        if name in values:
            pieces += (text[taken:start], values[name])
            taken = end
    if end + 1 != len(text) and end + 1 != len(text.rstrip()):
        return _walk(text, members, values)
    pieces.append(text[taken:])
    return _append(b"".join(pieces), members, values)


def _append(text: bytes, members: Members, values: Mapping[str, bytes]) -> bytes:
    if members.keys() >= values.keys():
        return text
    added = [b",%b%b" % (key_of(name), value) for name, value in values.items() if name not in members]
    end = text.rindex(b"}")
    return text[:end] + b"".join(added)[0 if members else 1 :] + text[end:]


def spans(text: bytes, members: Members) -> dict[str, tuple[int, int]] | None:
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


def _walk(text: bytes, members: Members, values: Mapping[str, bytes]) -> bytes:
    places = spans(text, members)
    if places is None:
        merged: dict[str, bytes] = {**members, **values}
        return b"{" + b",".join([key_of(name) + value for name, value in merged.items()]) + b"}"
    pieces: list[bytes] = []
    taken = 0
    for name, (start, end) in places.items():
        if name in values:
            pieces += (text[taken:start], values[name])
            taken = end
    pieces.append(text[taken:])
    return _append(b"".join(pieces), members, values)
