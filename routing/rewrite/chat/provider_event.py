"""What an event of a provider's stream is when it is no chunk: an error in one of its many forms, or two events in one line.

Forms of an error, besides a chunk with a true `error`: a field of its own (`error: {...}`, llama.cpp), the event's name
(`event: error`), a JSON line without a field's name, and a document that explains itself and has no choices:
`{"object":"error","message":...}` (vLLM), `{"type":"error",...}`, `{"detail":...}` (FastAPI), `{"code":...,"msg":...}`,
`{"base_resp":{"status_msg":...}}` (MiniMax, whose good answers carry one too); and choices of which each has an `error` and no
text (OpenRouter).
Rule: what has a choice or a usage in it is an answer.
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from routing.metering.meter import TEXT
from routing.wire.members import REFUSED, Members
from routing.wire.repair import Reading, read_object

_ERROR_FIELD = b"error:"
_NAME = re.compile(rb"event:\s*error\s*\Z")
_SEAM = re.compile(rb"(?<=\})[ \t]*(?:data:[ \t]*)?(?=\{)")
PARTS_MAX = 16
PARTED_BYTES_MAX = 65_536
_WORDS = ("message", "detail", "msg", "error_msg", "errorMessage", "error_message", "errors")
_NOTHING = (b"null", b'""', b"[]", b"{}")
_decode_resp = msgspec.json.Decoder(dict[str, Raw]).decode


def is_error_name(line: bytes) -> bool:
    """Whether the line says that its event is an error."""
    return line.startswith(b"event:") and _NAME.match(line) is not None


def error_line(line: bytes) -> bytes:
    """The error that a line without `data:` reports; empty when it reports none."""
    if line.startswith(_ERROR_FIELD):
        text = line[len(_ERROR_FIELD) :].strip()
        reading = read_object(text)
        return error_of(text, reading, ()) or text if reading is not None else text or b'""'
    if line.startswith(b"{"):
        reading = read_object(line.strip())
        return error_of(line.strip(), reading, ()) if reading is not None else b""
    return b""


def error_of(payload: bytes, reading: Reading, pending: Sequence[bytes]) -> bytes:
    """The error that an event reports, as JSON or in the provider's own bytes; empty when it reports none.

    `pending` are the lines of the event before its data.
    """
    chunk = reading.chunk
    if chunk.has_error:
        # What was not readable as it came may be words in another alphabet: they are for others to decode.
        return payload if reading.is_repaired else bytes(chunk.error)
    if error := chunk.choices_error:
        # With a text beside it, it is the end of an answer, and passes.
        return b"" if any(TEXT.findall(payload)) else error
    if chunk.choices or chunk.any_usage:
        return b""
    if any(map(is_error_name, pending)) or explains_itself(reading.members):
        return payload
    return b""


def explains_itself(members: Members) -> bool:
    """Whether a document without choices is an error."""
    says = [name for name in _WORDS if bytes(members.get(name, Raw(b"null"))) not in _NOTHING]
    if bytes(members.get("object", b"")) == b'"error"' or bytes(members.get("type", b"")) == b'"error"':
        return True
    return bool(says) or _is_bad_status(members.get("base_resp"))


def _is_bad_status(base_resp: Raw | None) -> bool:
    try:
        status = _decode_resp(base_resp)["status_code"] if base_resp is not None else b"0"
    except (*REFUSED, KeyError):
        return False
    return bytes(status) not in (b"0", b'"0"', b"null")


def parted(payload: bytes) -> list[bytes]:
    """The objects of a line in which several stand one behind the other; empty when it is not that."""
    if len(payload) > PARTED_BYTES_MAX:
        return []
    # A seam inside of a text leaves pieces that are no objects: they are put together until they are.
    parts, part = [], b""
    pieces = _SEAM.split(payload, PARTS_MAX)
    for piece in pieces:
        part = part + piece if part else piece
        if read_object(part) is not None:
            parts.append(part)
            part = b""
    return parts if len(parts) > 1 and not part else []
