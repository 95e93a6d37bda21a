"""A sound in JSON: the form that says the same, and what a form has no place for."""

import base64
import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.request.sound_request import form_of, is_json
from routing.wire.multipart import read_form, written

SOUND = {"data": base64.b64encode(b"RIFF\r\n--x").decode(), "format": "wav"}
ASKED: dict[str, Any] = {"model": "a/b", "input_audio": SOUND}


def test_sound_in_json_is_the_form_that_says_the_same() -> None:
    """Each member is a field, a list one field for each of its texts, and the form reads as it was written."""
    more = {"language": "en", "temperature": 0.5, "diarize": True, "timestamp_granularities": ["word", "segment"], "prompt": None}
    form, own = form_of(json.dumps(ASKED | more | {"user": "u", "provider": {"zdr": True}}).encode())
    assert own.keys() == {"user", "provider"}
    read = read_form(b"".join(bytes(piece) for piece in written(form, form.parts)), form.content_type)
    assert [(part.name, bytes(part.content), part.filename) for part in read.parts] == [
        ("file", b"RIFF\r\n--x", b"sound.wav"),
        ("model", b"a/b", None),
        ("language", b"en", None),
        ("temperature", b"0.5", None),
        ("diarize", b"true", None),
        ("timestamp_granularities[]", b"word", None),
        ("timestamp_granularities[]", b"segment", None),
    ]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input_audio": None}, "input_audio"),
        ({"input_audio": {"data": "no base64!", "format": "wav"}}, "input_audio"),
        ({"input_audio": {"data": "", "format": "wav"}}, "input_audio"),
        ({"input_audio": {"url": "https://sound.example/a.wav"}}, "input_audio.url"),
        ({"input_audio": SOUND | {"format": 'wav"; x="'}}, "input_audio.format"),
        ({"input_audio": SOUND | {"format": ""}}, "input_audio.format"),
        ({"language": 5}, "language"),
        ({"temperature": "0.5"}, "temperature"),
        ({"diarize": {}}, "diarize"),
        ({"keyterms": "toll"}, "keyterms"),
        ({"keyterms": [1]}, "keyterms"),
        ({"speed": 2}, "speed"),
    ],
)
def test_sound_in_json_that_is_wrong(more: dict[str, Any], param: str) -> None:
    """It is refused by the path of what is wrong."""
    with pytest.raises(Invalid) as refused:
        form_of(json.dumps(ASKED | more).encode())
    assert refused.value.param == param


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5_000])
@pytest.mark.parametrize("name", ["language", "temperature", "diarize", "keyterms"])
def test_number_that_no_machine_has_is_refused_by_its_name(name: str, number: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        form_of(json.dumps(ASKED | {name: "@"}).encode().replace(b'"@"', number))
    assert refused.value.param == name


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"multipart/form-data; boundary=x", False),
        (b"", False),
    ],
)
def test_content_type_of_json(kind: bytes, found: bool) -> None:
    assert is_json(kind) is found
