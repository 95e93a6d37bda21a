"""A sound in JSON, as OpenRouter's clients send it, read as the form that every provider takes.

Rule: what the form has no place for is refused by its name, or is OpenRouter's own (`provider`, `session_id`, `trace`, `user`).
Rule: the boundary is a digest of the body: no content can have it. Source: OpenRouter's openapi.yaml (`STTRequest`).
"""

import base64
import hashlib
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.request.envelope import members_of
from routing.request.invalid import Invalid
from routing.wire.members import REFUSED, Members
from routing.wire.multipart import Form, FormPart

OWN: Final = ("provider", "models", "session_id", "trace", "user")
"""These end here."""
_TEXTS: Final = ("model", "language", "prompt", "response_format")
_OTHERS: Final = ("temperature", "diarize", "stream")
_LISTS: Final = ("timestamp_granularities", "keyterms")
_KNOWN: Final = frozenset((*OWN, *_TEXTS, *_OTHERS, *_LISTS, "input_audio"))
_decode: Final = msgspec.json.Decoder(Any).decode


class _Sound(msgspec.Struct, gc=False):
    data: str = ""
    format: str = ""
    url: str = ""


_decode_sound: Final = msgspec.json.Decoder(_Sound).decode


def is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def form_of(body: bytes) -> tuple[Form, Members]:
    """The form that says the same, and the members that are OpenRouter's own. Invalid."""
    members = members_of(body)
    if unknown := next((name for name in members if name not in _KNOWN), None):
        raise Invalid(f"'{unknown[:100]}' is no parameter of a transcription", unknown[:100], "unsupported_parameter")
    parts = [_file(members)]
    for name, raw in members.items():
        if name in OWN or name == "input_audio" or bytes(raw) == b"null":
            continue
        parts += _fields(name, bytes(raw))
    return Form(hashlib.sha256(body).hexdigest(), tuple(parts)), {name: members[name] for name in OWN if name in members}


def _file(members: Members) -> FormPart:
    try:
        sound = _decode_sound(members.get("input_audio", Raw(b"{}")))
        data = base64.b64decode(sound.data, validate=True)
    except (*REFUSED, ValueError):
        raise Invalid("'input_audio' must be an object with 'data' in base64 and 'format'", "input_audio") from None
    if sound.url:
        raise Invalid("'input_audio.url' is not fetched here: send 'input_audio.data' in base64", "input_audio.url")
    if not data:
        raise Invalid("'input_audio' is missing: send 'data' in base64 and 'format'", "input_audio", "missing_required_parameter")
    if not (sound.format.isascii() and sound.format.isalnum()) or len(sound.format) > 8:
        raise Invalid("'input_audio.format' must name how the sound is written, such as 'wav' or 'mp3'", "input_audio.format")
    return FormPart("file", memoryview(data), b"sound." + sound.format.encode(), b"application/octet-stream")


def _fields(name: str, raw: bytes) -> list[FormPart]:
    try:
        value = _decode(raw)
    except REFUSED:
        raise Invalid(f"'{name}' cannot be read", name) from None
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Invalid(f"'{name}' must be a list of texts", name)
        return [FormPart(name + "[]", memoryview(each.encode())) for each in value]
    if isinstance(value, str) is not (name in _TEXTS) or isinstance(value, list | dict):
        raise Invalid(f"'{name}' must be a text" if name in _TEXTS else f"'{name}' must not be a text, a list or an object", name)
    return [FormPart(name, memoryview(value.encode() if isinstance(value, str) else raw.strip()))]
