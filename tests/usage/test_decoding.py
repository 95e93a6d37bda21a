"""The family of errors of the JSON library, found by asking it to decode what is none, and by walking its module."""

import json

import msgspec
import pytest

from usage.decoding import UNREADABLE, reason_of

HOSTILE = [
    b"",
    b"\xff",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b"1e" + b"9" * 400,
    b"9" * 20_000,
    b"-" + b"9" * 5_000,
    b"NaN",
    b"\xef\xbb\xbf{}",
    b'{"a":1}x',
    json.dumps("\0" * 10).encode()[:-1],
]


class Shape(msgspec.Struct):
    number: int
    text: str = ""


@pytest.mark.parametrize("data", HOSTILE)
@pytest.mark.parametrize("kind", [Shape, object, list[Shape], dict[str, int], dict[str, msgspec.Raw], int, str, bytes])
def test_decoding_raises_nothing_else(data: bytes, kind: type) -> None:
    """Whatever it is decoded into."""
    reasons = []
    for text, shape in ((data, kind), (b'{"number":' + data + b"}", Shape)):
        try:
            msgspec.json.decode(text, type=shape)
        except UNREADABLE as error:
            reasons.append(reason_of(error))
    assert all(reasons)


def test_family_is_complete() -> None:
    """Each exception that the library defines is one of it, or of what writes."""
    defined = [thing for thing in vars(msgspec).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert defined
    assert all(issubclass(error, UNREADABLE) for error in defined)
