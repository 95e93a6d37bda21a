"""OpenAI's chunks and answers, as far as they are read, in the many accents of those who speak its dialect.

Source: the providers' pages and recorded streams. Usage is looked for at the top level, then in `x_groq.usage`, then in
the `usage` of a choice; what it says is `routing.dialects.claim`'s matter.
Rule: a foreign text is cut here, where it enters, to what a record can keep.
Rule: a member of another type than agreed is read as if it were not there; its neighbours are read all the same.
"""

from typing import Any

import msgspec
from msgspec import Raw

from routing.dialects.lenient import Inner, salvage
from routing.wire.members import REFUSED
from usage.record import FOREIGN_CHARS_MAX, SHORT_CHARS_MAX

_ABSENT = Raw(b"")
_NO_USAGE = (b"", b"null")
_NO_ERROR = (b"null", b'""', b"{}", b"false")


class Groq(msgspec.Struct, gc=False):
    usage: Raw = _ABSENT


class Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    index: Any = 0

    @property
    def place(self) -> int:
        """Which of the choices asked for it is."""
        return self.index if isinstance(self.index, int) else 0


class Chunk(msgspec.Struct, gc=False):
    """What is read of a chunk or a whole answer; everything else passes unread."""

    id: Raw = _ABSENT
    created: Any = None
    choices: list[Choice] | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    x_groq: Groq | None = None
    service_tier: Raw = _ABSENT

    @property
    def any_usage(self) -> bytes:
        """The usage object wherever this provider puts it; empty when there is none."""
        text = bytes(self.usage)
        if text not in _NO_USAGE:
            return text
        if self.x_groq is not None:
            text = bytes(self.x_groq.usage)
        for choice in self.choices or ():
            if text not in _NO_USAGE:
                break
            text = bytes(choice.usage)
        return b"" if text in _NO_USAGE else text

    @property
    def has_error(self) -> bool:
        return self.error is not _ABSENT and bytes(self.error) not in _NO_ERROR

    @property
    def choices_error(self) -> bytes:
        """The first choice's error, where each of the choices has one; empty when one has none."""
        choices = self.choices or ()
        for choice in choices:
            if choice.error is _ABSENT or bytes(choice.error) in _NO_ERROR:
                return b""
        return bytes(choices[0].error) if choices else b""

    @property
    def upstream_id(self) -> str:
        """The provider's own id, cut to a length that can be kept; empty when there is none."""
        return _text_of(self.id)[:FOREIGN_CHARS_MAX]

    @property
    def tier(self) -> str:
        """The service tier that the provider says it served; empty when it does not."""
        return _text_of(self.service_tier)[:SHORT_CHARS_MAX]

    @property
    def finish_reason(self) -> str:
        """The first finish reason among the choices, cut to a length that can be kept; empty when the answer goes on."""
        for choice in self.choices or ():
            if choice.finish_reason:
                return choice.finish_reason[:SHORT_CHARS_MAX]
        return ""


_decode_str = msgspec.json.Decoder(str).decode
_decode_chunk = msgspec.json.Decoder(Chunk).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode


def _text_of(raw: Raw) -> str:
    """A string's text; empty for anything else."""
    if raw is _ABSENT:
        return ""
    try:
        text: str = _decode_str(raw)
    except REFUSED:
        return ""
    return text


def decode_chunk(payload: bytes) -> Chunk:
    """A chunk or an answer; one of `splice.REFUSED` when it is no JSON object."""
    try:
        chunk: Chunk = _decode_chunk(payload)
    except msgspec.ValidationError:
        chunk = salvage(payload, Chunk, _INNER)
    return chunk


def _choices_of(raw: Raw) -> list[Choice]:
    """Of a list with a choice in it that is not as agreed: each as far as it can be read."""
    return [salvage(item, Choice, {}) if bytes(memoryview(item)[:1]) == b"{" else Choice() for item in _decode_list(raw)]


_INNER: Inner = {"choices": _choices_of, "x_groq": lambda raw: salvage(raw, Groq, {})}
