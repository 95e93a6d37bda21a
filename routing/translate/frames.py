"""The short way through a translator: an event that is like the one before it but for its one text.

Rule: a frame is learned from one event, read in full, that is nothing but a piece of text; it is forgotten at the first event
that is anything else, so what it says of the state of the answer stays true. Nothing is learned from a text that may be a word of
the format as well.
Strategy: what stands around the text is compared, the text must be one that needs no reading (no quote, no line break, no escape
but the simple ones), and what goes out is what went out then, with that text. Beside the text only what tells nothing may differ:
OpenAI's sequence numbers, and the padding that hides how long a text is (OpenAI's and Bedrock's).
"""

import re
from typing import Final, NamedTuple

from routing.wire.members import is_plain

_find_number: Final = re.compile(rb'"sequence_number":([0-9]+)').search
_find_padding: Final = re.compile(rb'"(?:obfuscation|p)":"([A-Za-z0-9]*)"').search
_is_like_a_name: Final = re.compile(rb'"[A-Za-z0-9_.:/@+-]*"').fullmatch
"""Whether a text could be taken for a member's name, a type, an id or a model."""


class Frame(NamedTuple):
    """What stands around a text. `head` begins the event and `tail` ends it; where a number stands before the text, `numbered` is
    what stands between the two, where padding stands behind it, `padded`. `new`: what goes out before, between and behind the
    texts."""

    head: bytes
    tail: bytes
    size: int
    new: tuple[bytes, ...]
    numbered: bytes = b""
    padded: bytes = b""


def is_one_event(data: bytes) -> bool:
    """Whether that is an event, whole, and nothing else: it begins with a field and has one blank line, at its end."""
    return data.startswith((b"data: {", b"event: ")) and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data


def learned(event: bytes, literal: bytes, sent: bytes) -> Frame | None:
    """The frame of an event, whole, around its text, a JSON string; None when the text does not tell where it stands."""
    at = event.find(literal)
    if len(literal) < 4 or literal[:1] != b'"' or at < 0 or event.find(literal, at + 1) >= 0:
        return None
    new = sent_around(literal, sent)
    if new is None:
        return None
    head, tail = event[: at + 1], event[at + len(literal) - 1 :]
    numbered = padded = b""
    if (number := _find_number(head)) is not None:
        head, numbered = head[: number.start(1)], head[number.end(1) :]
    if (padding := _find_padding(tail)) is not None:
        padded, tail = tail[: padding.start(1)], tail[padding.end(1) :]
    return Frame(head, tail, len(head) + len(numbered) + len(padded) + len(tail), new, numbered, padded)


def sent_around(literal: bytes, sent: bytes) -> tuple[bytes, ...] | None:
    """What goes out around a text, once or twice, with the quotes; None when that cannot be told: `"content":"content"`."""
    if _is_like_a_name(literal) is not None:
        return None
    new = sent.split(literal)
    if not 2 <= len(new) <= 3:
        return None
    return (new[0] + b'"', *[b'"%b"' % piece for piece in new[1:-1]], b'"' + new[-1])


def text_in(frame: Frame, data: bytes) -> bytes | None:
    """The inside of the text of one event in that frame; None for anything else."""
    head, tail, size, _, numbered, padded = frame
    if len(data) <= size or not data.startswith(head) or not data.endswith(tail):
        return None
    text = data[len(head) : len(data) - len(tail)]
    if numbered:
        number, _, text = text.partition(numbered)
        if not number.isdigit():
            return None
    if padded:
        text, found, padding = text.partition(padded)
        if not found or (padding and not padding.isalnum()):
            return None
    return text if text and is_plain(text) is not None else None


class Framed:
    """A translator with a short way; `frame` is None while it has none."""

    __slots__ = ("frame",)

    frame: Frame | None

    def text_in(self, data: bytes) -> bytes | None:
        """The text of one event in the frame; None, and nothing done, for anything else."""
        return None if self.frame is None else text_in(self.frame, data)

    def said(self, text: bytes) -> bytes:
        """What goes out for that text."""
        assert self.frame is not None
        return text.join(self.frame.new)
