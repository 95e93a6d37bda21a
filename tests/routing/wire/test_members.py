"""Replacing top-level members leaves every other byte as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from routing.wire.members import decode_members, replace, spans

VALUES = {"id": Raw(b'"gen-1"'), "model": Raw(b'"a/b"')}


def swap(text: bytes) -> bytes:
    return replace(text, decode_members(text), VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"id":"x","model":"m","n":1}', b'{"id":"gen-1","model":"a/b","n":1}'),
        (b'{ "id" : "x" ,\n "model":\t"m" }', b'{ "id" : "gen-1" ,\n "model":\t"a/b" }'),
        (b'\n\n{"n":1}\n', b'\n\n{"n":1,"id":"gen-1","model":"a/b"}\n'),
        (b"{}", b'{"id":"gen-1","model":"a/b"}'),
        (b'{"id":null,"model":{"model":"m"}}', b'{"id":"gen-1","model":"a/b"}'),
    ],
)
def test_replace_keeps_everything_else(text: bytes, expected: bytes) -> None:
    """White space, order and other members stay; what is missing is appended."""
    assert swap(text) == expected


def test_replace_spares_the_same_pair_in_a_nested_object() -> None:
    """Only the top-level member is replaced, whatever its value is elsewhere."""
    text = b'{"a":{"id":"x"},"id":"x","model":"m","b":[{"id":"x"}]}'
    assert swap(text) == b'{"a":{"id":"x"},"id":"gen-1","model":"a/b","b":[{"id":"x"}]}'


def test_replace_spares_text_that_looks_like_a_member() -> None:
    """A string that quotes our pair holds it escaped, and is not touched."""
    content = json.dumps('{"id":"x","model":"m"}').encode()
    text = b'{"content":%b,"id":"x","model":"m"}' % content
    assert swap(text) == b'{"content":%b,"id":"gen-1","model":"a/b"}' % content


def test_replace_after_a_first_replacement_falls_back_to_the_original() -> None:
    """An ambiguity found at the second member does not use what the first one changed."""
    text = b'{"id":"x","a":{"model":"m"},"model":"m"}'
    assert swap(text) == b'{"id":"gen-1","a":{"model":"m"},"model":"a/b"}'
    assert swap(b'{"a":{"id":"x"},"id": "x","model":"m"}') == b'{"a":{"id":"x"},"id": "gen-1","model":"a/b"}'


def test_replace_of_a_repeated_key_lets_the_last_one_win() -> None:
    """A repeated key leaves one member, as every reader in the field would see it."""
    assert json.loads(swap(b'{"id":"x","id":"y","model":"m","n":1}')) == {"id": "gen-1", "model": "a/b", "n": 1}


def test_spans_of_a_repeated_key_are_refused() -> None:
    """Places cannot be told for an object that repeats a key."""
    text = b'{"id":"x","n":1,"id":"x"}'
    assert spans(text, decode_members(text)) is None


KEYS = st.sampled_from(["id", "model", "usage", "x", 'q"uote', "back\\slash", "ünï"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON), st.booleans(), st.sampled_from([None, 1, 2]))
def test_replace_is_what_a_parser_would_do(value: dict[str, object], is_ascii: bool, indent: int | None) -> None:
    """For any object and any way of writing it, the result parses to the object with the members replaced."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
    replaced = swap(text)
    assert json.loads(replaced) == {**value, "id": "gen-1", "model": "a/b"}
    places = spans(text, decode_members(text))
    assert places is not None
    for name, (start, end) in places.items():
        assert json.loads(text[start:end]) == value[name]
