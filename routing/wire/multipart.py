"""Forms (`multipart/form-data`): their parts as spans of the body, and the body written anew from them.

Rule: what was read is the only reading a provider can make: each part's head is written anew in the one plain form, and what two
readers could read in two ways (a name twice in a head, a charset of its own, something before the first part) is refused.
Strategy: contents are views of the body and are never copied. Source: RFC 7578, RFC 2046.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from routing.request.invalid import Invalid

PARTS_MAX: Final = 256
HEAD_BYTES_MAX: Final = 4_096
FIELD_BYTES_MAX: Final = 1_048_576
"""Of a part that is no file."""
_BOUNDARY: Final = re.compile(r'multipart/form-data\s*;\s*boundary=(?:"([^"]+)"|([^\s;,"]+))\s*\Z', re.IGNORECASE)
_BOUNDARY_CHARS: Final = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]\Z")
_FORM_DATA: Final = re.compile(rb"form-data\s*(?=;)", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    rb";\s*(?:(?P<key>name|filename)\s*=\s*(?:\"(?P<quoted>[^\"\r\n\\]*+(?:\\.[^\"\r\n\\]*+)*+)\"|(?P<token>[^\s\";,\\]+))"
    rb"|filename\*\s*=\s*(?P<charset>utf-8|iso-8859-1)'[A-Za-z0-9-]*'(?P<encoded>[^\s\";,\\']*))\s*",
    re.IGNORECASE,
)
"""Of a part's disposition: .NET's clients write names without quotes, others a file's name as RFC 8187 has it."""
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
        if _has_line(body, mark, head_end + 4, end):
            raise _wrong("a line of a part's content begins with the boundary")
        parts.append(_part(body[at + 2 : head_end], view[head_end + 4 : end]))
        at = end + 2 + len(mark)
    if body[at + 2 :].strip(b"\r\n"):
        raise _wrong("something follows its last boundary")
    return Form(boundary, tuple(parts))


def _has_line(body: bytes, mark: bytes, start: int, end: int) -> bool:
    """Whether a line begins with the mark for who takes a bare CR or LF for a line's end: he would see a part there."""
    at = body.find(mark, start, end)
    while at >= 0:
        if body[at - 1] in b"\r\n":
            return True
        at = body.find(mark, at + 1, end)
    return False


def _part(head: bytes, content: memoryview) -> FormPart:
    name, filename, kind = None, None, b""
    for line in head.split(b"\r\n"):
        key, colon, value = line.partition(b":")
        key, value = key.lower(), value.strip()
        if not colon or line[:1] in (b" ", b"\t") or b"\r" in line or b"\n" in line:
            raise _wrong("a line of a part's head is no header")
        if key == b"content-disposition":
            if name is not None:
                raise _wrong("a part's name is not to be told")
            name, filename = _disposition(value)
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


def _disposition(value: bytes) -> tuple[bytes | None, bytes | None]:
    """(name, filename) of a part's Content-Disposition. Invalid."""
    found: dict[str, bytes] = {}
    start = _FORM_DATA.match(value)
    at = len(value) + 1 if start is None else start.end()
    while at < len(value):
        one = _PARAMETER.match(value, at)
        key = "" if one is None else (one["key"] or b"filename*").decode().lower()
        if one is None or key in found:
            raise _wrong("a part's name is not to be told")
        at = one.end()
        if key == "filename*":
            found[key] = _decoded(one["encoded"], one["charset"].decode())
        else:
            found[key] = one["token"] if one["quoted"] is None else one["quoted"]
    if at > len(value) or b"\\" in found.get("name", b"\\"):
        raise _wrong("a part's name is not to be told")
    return found["name"], found.get("filename", found.get("filename*"))


def _decoded(text: bytes, charset: str) -> bytes:
    """A file's name that came percent-encoded, as browsers write one between quotes. Invalid."""
    try:
        name = unquote_to_bytes(text).decode(charset)
    except UnicodeDecodeError:
        raise _wrong("a file's name is not to be told") from None
    return name.replace('"', "%22").replace("\\", "%5C").replace("\r", "%0D").replace("\n", "%0A").encode()


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
