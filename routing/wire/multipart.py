"""Forms (`multipart/form-data`): their parts as spans of the body, and the body written anew from them.

Rule: what was read is the only reading a provider can make: each part's head is written anew in the one plain form, and what two
readers could read in two ways (a name twice in a head, a charset of its own, something before the first part) is refused.
Strategy: contents are views of the body and are never copied. Source: RFC 7578, RFC 2046.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from routing.request.invalid import Invalid

PARTS_MAX: Final = 256
HEAD_BYTES_MAX: Final = 4_096
FIELD_BYTES_MAX: Final = 1_048_576
"""Of a part that is no file."""
_BOUNDARY: Final = re.compile(r'multipart/form-data\s*;\s*boundary=(?:"([^"]+)"|([^\s;,"]+))\s*\Z', re.IGNORECASE)
_BOUNDARY_CHARS: Final = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]\Z")
_DISPOSITION: Final = re.compile(
    rb'form-data\s*;\s*name="([^"\r\n\\]*)"(?:\s*;\s*filename="((?:[^"\r\n\\]|\\.)*)")?'
    rb"(?:\s*;\s*filename\*=[^;\r\n]*)?\s*\Z",
    re.IGNORECASE,
)
_TYPE: Final = re.compile(rb"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;[\x20-\x7e]*)?\Z")


class FormPart(NamedTuple):
    """`filename`: None for a field that is no file; as it came. `kind`: its content-type, empty when none is told."""

    name: str
    content: memoryview
    filename: bytes | None = None
    kind: bytes = b""

    @property
    def text(self) -> str:
        """Of a field. Invalid."""
        try:
            return bytes(self.content).decode()
        except UnicodeDecodeError:
            raise Invalid(f"'{self.name}' is no text in UTF-8", self.name) from None


class Form(NamedTuple):
    boundary: str
    parts: tuple[FormPart, ...]

    def one(self, name: str) -> FormPart | None:
        """The part of that name. Invalid: there are several."""
        found = [part for part in self.parts if part.name == name]
        if len(found) > 1:
            raise Invalid(f"'{name}' is there twice: send it once", name, "ambiguous_member")
        return found[0] if found else None

    def text(self, name: str) -> str | None:
        """The text of a field; None when it is not there. Invalid."""
        part = self.one(name)
        return None if part is None else part.text

    @property
    def content_type(self) -> str:
        return f'multipart/form-data; boundary="{self.boundary}"'


def _wrong(what: str) -> Invalid:
    return Invalid(f"the form cannot be read: {what}", None, "invalid_form")


def read_form(body: bytes, content_type: str) -> Form:
    """The parts of a body. Invalid."""
    found = _BOUNDARY.match(content_type.strip())
    boundary = (found[1] or found[2]) if found is not None else ""
    if not _BOUNDARY_CHARS.match(boundary):
        raise Invalid("send the request as multipart/form-data with one boundary", None, "invalid_form")
    mark = b"--" + boundary.encode()
    if not body.startswith(mark):
        raise _wrong("it does not begin with its boundary")
    view = memoryview(body)
    parts: list[FormPart] = []
    at = len(mark)
    while not body.startswith(b"--", at):
        if len(parts) >= PARTS_MAX:
            raise _wrong(f"it has more than {PARTS_MAX} parts")
        if not body.startswith(b"\r\n", at):
            raise _wrong("a boundary is followed by something else than a line's end")
        end = body.find(b"\r\n" + mark, at)
        if end < 0:
            raise _wrong("its last boundary is missing")
        head_end = body.find(b"\r\n\r\n", at, end + 2)
        if head_end < 0 or head_end - at > HEAD_BYTES_MAX:
            raise _wrong("a part has no head, or too long a one")
        parts.append(_part(body[at + 2 : head_end], view[head_end + 4 : end]))
        at = end + 2 + len(mark)
    if body[at + 2 :].strip(b"\r\n"):
        raise _wrong("something follows its last boundary")
    return Form(boundary, tuple(parts))


def _part(head: bytes, content: memoryview) -> FormPart:
    name, filename, kind = None, None, b""
    for line in head.split(b"\r\n"):
        key, colon, value = line.partition(b":")
        key, value = key.lower(), value.strip()
        if not colon or line[:1] in (b" ", b"\t") or b"\r" in line or b"\n" in line:
            raise _wrong("a line of a part's head is no header")
        if key == b"content-disposition":
            found = _DISPOSITION.match(value)
            if found is None or name is not None:
                raise _wrong("a part's name is not to be told")
            name, filename = found[1], found[2]
        elif key == b"content-type":
            if kind or not _TYPE.match(value):
                raise _wrong("a part's content-type is not to be told")
            kind = value
        elif key == b"content-transfer-encoding" and value.lower() not in (b"binary", b"8bit", b"7bit"):
            raise _wrong("a part is encoded; send it as it is")
    if name is None or not name.isascii():
        raise _wrong("a part has no name, or one that is not ASCII")
    if filename is None and len(content) > FIELD_BYTES_MAX:
        raise _wrong(f"'{name.decode()}' has more than {FIELD_BYTES_MAX} bytes and is no file")
    return FormPart(name.decode(), content, filename, kind)


def written(form: Form, parts: Iterable[FormPart]) -> list[bytes | memoryview]:
    """The body of these parts, in pieces to be sent one after another."""
    pieces: list[bytes | memoryview] = []
    mark = b"--" + form.boundary.encode()
    between = b""
    for part in parts:
        head = b'%b%b\r\nContent-Disposition: form-data; name="%b"' % (between, mark, part.name.encode())
        if part.filename is not None:
            head += b'; filename="%b"' % part.filename
        if part.kind:
            head += b"\r\nContent-Type: " + part.kind
        pieces += (head + b"\r\n\r\n", part.content)
        between = b"\r\n"
    pieces.append(between + mark + b"--\r\n")
    return pieces
