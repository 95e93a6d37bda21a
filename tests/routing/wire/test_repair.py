"""JSON that a strict reader refuses is read all the same, in a text of the same length; no byte of what goes on is changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from routing.wire.members import REFUSED, decode_members
from routing.wire.repair import (
    LEADING_MAX,
    MARKS_MAX,
    MEMBERS_MAX,
    TEXT_BYTES_MAX,
    read_object,
    readable,
    replace_leading,
    sound,
    sound_form,
)

UNSOUND = [
    (b'{"a":NaN}', b'{"a":"?"}'),
    (b'{"a":Infinity}', b'{"a":"??????"}'),
    (b'{"a":-Infinity,"b":1}', b'{"a":"???????","b":1}'),
    (b'{"a":"x\ny"}', b'{"a":"x?y"}'),
    (b'{"a":"\x00\x1f"}', b'{"a":"??"}'),
    (b'{"a":"\\q"}', b'{"a":"??"}'),
    (b'{"a":"\\u12"}', b'{"a":"??12"}'),
    (b'{"a":"\\ud83d"}', b'{"a":"??????"}'),
    (b'{"a":"\\ude00"}', b'{"a":"??????"}'),
    (b'{"a":"\\ud83d\\u0041"}', b'{"a":"??????\\u0041"}'),
    (b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\ud83d\\ude00"}'),
    (b'{"a":"\\ude00\\ud83d"}', b'{"a":"????????????"}'),
    (b'{"a":"\xff\xc3"}', b'{"a":"??"}'),
    (b'{"a":"NaN","b":"-Infinity"}', b'{"a":"NaN","b":"-Infinity"}'),
    (b'{"a":"\\"NaN\\""}', b'{"a":"\\"NaN\\""}'),
    (b'{"NaN":NaN}', b'{"NaN":"?"}'),
    (b'{"a":"\\n\\t\\u00e4\\/"}', b'{"a":"\\n\\t\\u00e4\\/"}'),
]


@pytest.mark.parametrize(("text", "sound"), UNSOUND)
def test_sound_form_has_nothing_that_json_does_not_know(text: bytes, sound: bytes) -> None:
    """Of the same length, so that what is found in it stands at the same place in the text as it came; a second time is none."""
    assert sound_form(text) == sound
    assert len(sound) == len(text)
    assert sound_form(sound) == sound
    json.loads(sound)


@pytest.mark.parametrize(("text", "sound"), UNSOUND)
def test_object_is_read_whatever_is_in_it(text: bytes, sound: bytes) -> None:
    """Its members are as they came, byte by byte, and their places are said where a strict reader would not find them."""
    reading = read_object(text)
    assert reading is not None
    assert reading.members.keys() == json.loads(sound).keys()
    for name, raw in reading.members.items():
        assert bytes(raw) in text
        if reading.places is not None:
            start, end = reading.places[name]
            assert text[start:end] == bytes(raw)
    found, members = readable(text)
    assert found in (text, sound)
    assert {name: bytes(raw) for name, raw in members.items()} == {name: bytes(raw) for name, raw in reading.members.items()}


@pytest.mark.parametrize(
    "text",
    [b"", b"[1]", b'"a"', b"5", b"NaN", b'{"a":NaN', b'{"a":1}}', b'{"a":01}', b"{'a':NaN}", b'{"a":"\xff"', b"\xff", b"{}{}"],
)
def test_what_is_no_object_is_not_read(text: bytes) -> None:
    """Broken otherwise, it stays unread: nothing is made up."""
    assert read_object(text) is None
    with pytest.raises(REFUSED):
        readable(text)


def test_member_that_stands_twice_is_the_last_word() -> None:
    """As every reader in the field has it; where they stand is then not said."""
    reading = read_object(b'{"a":1,"a":NaN,"b":2}')
    assert reading is not None
    assert reading.is_repaired
    assert reading.places is None
    assert {name: bytes(raw) for name, raw in reading.members.items()} == {"a": b'"?"', "b": b"2"}
    text, members = readable(b'{"a":1,"a":NaN,"b":2}')
    assert (text, bytes(members["a"])) == (b'{"a":1,"a":"?","b":2}', b'"?"')


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"' + b"x" * TEXT_BYTES_MAX + b'","b":NaN}',
        b'{"b":NaN,"choices":[{"a":[' + b'"",' * (MARKS_MAX // 2) + b'""]}]}',
    ],
)
def test_second_reading_is_bounded(text: bytes) -> None:
    """What is too heavy for it stays unread, and says so; the first reading takes it where it is sound."""
    with pytest.raises(ValueError, match="too large to be read a second time"):
        sound(text)
    assert read_object(text) is None
    assert read_object(text.replace(b"NaN", b"123")) is not None


def test_object_of_too_many_members_is_not_read() -> None:
    """Counted by commas outside of `choices`, in which there may be as many log probabilities as there are."""
    many = b",".join(b'"%d":1' % number for number in range(MEMBERS_MAX + 2))
    assert read_object(b"{%b}" % many) is None
    logprobs = b",".join([b'{"token":"a","logprob":-0.1}'] * MEMBERS_MAX)
    heavy = b'{"id":"x","choices":[{"index":0,"logprobs":{"content":[%b]}}]}' % logprobs
    reading = read_object(heavy)
    assert reading is not None
    assert bytes(reading.members["id"]) == b'"x"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"id":"a","model":"m","x":[', b'{"id":"I","model":"M","x":['),
        (b' {"object":"o", "id" : "a" ,"model":"m","broken', b' {"object":"o", "id" : "I" ,"model":"M","broken'),
        (b'{"id":5,"model":null}', b'{"id":"I","model":"M"}'),
        (b'{"x":{"id":"a"},"id":"b"}', b'{"x":{"id":"a"},"id":"b"}'),
        (b'{"id":"a"}', b'{"id":"I"}'),
        (b'{"id":"a\\"b","model":"m"}', b'{"id":"a\\"b","model":"m"}'),
        (b'x{"id":"a"}', b'x{"id":"a"}'),
        (b"no object", b"no object"),
        (b"", b""),
        (b"{}", b"{}"),
        (b'{"\xff":1,"id":"a"}', b'{"\xff":1,"id":"I"}'),
        (
            b"{" + b'"a":1,' * LEADING_MAX + b'"id":"a"}',
            b"{" + b'"a":1,' * LEADING_MAX + b'"id":"a"}',
        ),
        (
            b"{" + b'"a":1,' * (LEADING_MAX - 1) + b'"id":"a"}',
            b"{" + b'"a":1,' * (LEADING_MAX - 1) + b'"id":"I"}',
        ),
    ],
)
def test_leading_members_of_what_cannot_be_read(text: bytes, expected: bytes) -> None:
    """Our id and model stand before anything nested, or nowhere; every other byte stays."""
    assert replace_leading(text, {"id": Raw(b'"I"'), "model": Raw(b'"M"')}) == expected


@pytest.mark.parametrize(
    ("chunk", "usage"),
    [
        (b'{"usage":{"prompt_tokens":1}}', b'{"prompt_tokens":1}'),
        (b'{"usage":null,"x_groq":{"usage":{"prompt_tokens":1}}}', b'{"prompt_tokens":1}'),
        ('{"usage":{"ä":1,"prompt_tokens":1}}'.encode(), '{"ä":1,"prompt_tokens":1}'.encode()),
        (b'{"usage":{"a":"\xff","prompt_tokens":1}}', b'{"a":"?","prompt_tokens":1}'),
        (b'{"id":"a"}', b""),
    ],
)
def test_usage_can_be_read_to_its_last_member(chunk: bytes, usage: bytes) -> None:
    """A byte that is no letter in one member is no reason to lose the counts in the next."""
    reading = read_object(chunk)
    assert reading is not None
    assert reading.usage == usage


_PIECES = st.sampled_from(
    [
        *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"NaN", b"-Infinity"),
        *(b"\\ud83d", b"\\ude00", b"\\u0", b"\n", b"\xff", b"a", b'"a":'),
    ]
)


@given(st.lists(_PIECES, max_size=24).map(b"".join))
def test_any_bytes_are_read_or_not(text: bytes) -> None:
    """Never raises; the sound form has the same length; and what is read is what a lenient reader of the same text sees."""
    assert len(sound_form(text)) == len(text)
    for candidate in (text, b"{%b}" % text, b'{"a":"%b"}' % text):
        reading = read_object(candidate)
        replace_leading(candidate, {"id": Raw(b"1")})
        if reading is not None and not reading.is_repaired:
            assert reading.members == decode_members(candidate)
