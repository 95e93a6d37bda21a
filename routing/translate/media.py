"""The parts of a Chat message that are no text: images, sounds, documents, videos, here or elsewhere.

Rule: a reference to something kept at a provider is refused; nothing is fetched. Base64 is copied, not decoded.
"""

import base64
import binascii
import re
from typing import Final, Literal, NamedTuple

from msgspec import Raw

from routing.translate.reader import Object, Reader, encode

_DATA: Final = re.compile(rb'"data:([\w.+-]{1,127}/[\w.+-]{1,127})?((?:;[\w.+-]{1,127}=[^;,"]{0,255}){0,16})(;base64)?,')
_PART: Final = {
    "image_url": frozenset(("type", "image_url", "cache_control")),
    "input_audio": frozenset(("type", "input_audio", "cache_control")),
    "file": frozenset(("type", "file", "cache_control")),
    "video_url": frozenset(("type", "video_url", "cache_control")),
}
_AUDIO: Final = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
}
_BY_ENDING: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    **_AUDIO,
}


class Media(NamedTuple):
    """`url` and `data` (base64), of which one is there, `name` and `detail` are JSON strings. `mime` is empty when it is not
    known."""

    kind: Literal["image", "audio", "file", "video"]
    mime: str = ""
    url: bytes = b""
    data: bytes = b""
    name: bytes = b""
    detail: bytes = b""

    def plain(self, path: str, reader: Reader, *, is_named: bool = False) -> "Media":
        """As a format takes it that has no word for how closely to look, nor, unless `is_named`, for a document's name."""
        if self.detail not in (b"", b'"auto"'):
            reader.decline(f"{path}.image_url.detail")
        if not is_named and self.name not in (b"", b'"document"', b'"document.pdf"'):
            reader.decline(f"{path}.file.filename")
        return self

    def text(self, path: str, reader: Reader) -> bytes:
        """The text that the data is, as a JSON string. Invalid."""
        try:
            return encode(base64.b64decode(self.data[1:-1], validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            raise reader.wrong(path, "base64 of a text in UTF-8") from None


def media_of(part: Object, kind: str, path: str, reader: Reader) -> Media:
    """Invalid: no such part, or a part that refers to what is kept at a provider."""
    known = _PART.get(kind)
    if known is None:
        raise reader.unsupported(path, f"a part of type '{kind[:40]}' is none that it knows")
    reader.rest(part, known, path)
    path = f"{path}.{kind}"
    inner = reader.object(part.get(kind, part[next(iter(part))]), path)
    match kind:
        case "image_url":
            reader.rest(inner, frozenset(("url", "detail")), path)
            media = Media("image", detail=reader.literal(inner.get("detail"), f"{path}.detail"))
            return _located(media, reader.literal(inner.get("url"), f"{path}.url"), f"{path}.url", reader)
        case "video_url":
            reader.rest(inner, frozenset(("url",)), path)
            return _located(Media("video"), reader.literal(inner.get("url"), f"{path}.url"), f"{path}.url", reader)
        case "input_audio":
            reader.rest(inner, frozenset(("data", "format")), path)
            form = reader.text(inner.get("format"), f"{path}.format")
            data = reader.needed_literal(inner, "data", path)
            return Media("audio", _AUDIO.get(form, f"audio/{form}" if form.isalnum() else ""), data=data)
        case _:
            return _file(inner, path, reader)


def _file(inner: Object, path: str, reader: Reader) -> Media:
    reader.rest(inner, frozenset(("file_data", "filename", "file_id")), path)
    if reader.literal(inner.get("file_id"), f"{path}.file_id"):
        raise reader.unsupported(f"{path}.file_id", "a file kept at a provider is kept under this proxy's key; send 'file_data'")
    name = reader.literal(inner.get("filename"), f"{path}.filename")
    data = reader.literal(inner.get("file_data"), f"{path}.file_data")
    if not data:
        raise reader.wrong(f"{path}.file_data", "the document as 'data:application/pdf;base64,…'")
    if not data.startswith((b'"data:', b'"http:', b'"https:')):
        # OpenAI takes bare base64 too: what it is, only the name says.
        return Media("file", _mime_of(name.decode("utf-8", "replace").strip('"')), data=data, name=name)
    return _located(Media("file", name=name), data, f"{path}.file_data", reader)


def _located(media: Media, literal: bytes, path: str, reader: Reader) -> Media:
    """With what a `data:` address holds, or the address."""
    if b"\\" in literal:
        literal = encode(reader.text(Raw(literal), path))
    found = _DATA.match(literal)
    if found is None:
        if not literal.startswith((b'"https://', b'"http://')):
            raise reader.wrong(path, "an address (https://…) or the data itself (data:…;base64,…)")
        return media._replace(url=literal, mime=media.mime or _mime_of(literal[1:-1].decode("utf-8", "replace")))
    if not found[3]:
        raise reader.wrong(path, "base64 if it is data (data:…;base64,…)")
    return media._replace(
        mime=(found[1] or b"").decode().lower().replace("image/jpg", "image/jpeg"), data=b'"' + literal[found.end() :]
    )


def _mime_of(address: str) -> str:
    ending = address.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    return _BY_ENDING.get(ending, "")
