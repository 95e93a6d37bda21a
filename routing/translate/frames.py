"""The short way through a translator: an event that is like the one before it but for its one text.

Rule: a frame is learned from one event, read in full, that is nothing but a piece of text; it is forgotten at the first event
that is anything else, so what it says of the state of the answer stays true.
Strategy: the head and the tail around the text are compared, the text must be one that needs no reading (no quote, no line break,
no escape but the simple ones), and what goes out is what went out then, with that text.
"""

import re
from typing import Final, NamedTuple

_is_plain: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*)*').fullmatch


class Frame(NamedTuple):
    """`new`: what goes out before, between and behind the texts."""

    head: bytes
    tail: bytes
    size: int
    new: tuple[bytes, ...]


def is_one_event(data: bytes) -> bool:
    """Whether that is an event, whole, and nothing else: it begins with a field and has one blank line, at its end."""
    return data.startswith((b"data: {", b"event: ")) and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data


def learned(event: bytes, literal: bytes, sent: bytes) -> Frame | None:
    """The frame of an event, whole, around its text, a JSON string; None when the text does not tell where it stands."""
    at = event.find(literal)
    if len(literal) < 4 or at < 0 or event.find(literal, at + 1) >= 0:
        return None
    head, tail = event[: at + 1], event[at + len(literal) - 1 :]
    new = sent.split(literal)
    if not 2 <= len(new) <= 3:
        return None
    return Frame(head, tail, len(head) + len(tail), (new[0] + b'"', *[b'"%b"' % piece for piece in new[1:-1]], b'"' + new[-1]))


def text_in(frame: Frame, data: bytes) -> bytes | None:
    """The inside of the text of one event in that frame; None for anything else."""
    head, tail, size, _ = frame
    if len(data) > size and data.startswith(head) and data.endswith(tail):
        text = data[len(head) : len(data) - len(tail)]
        if _is_plain(text) is not None:
            return text
    return None


def framed(frame: Frame, data: bytes) -> bytes | None:
    """What goes out for one event in that frame; None for anything else."""
    text = text_in(frame, data)
    return None if text is None else text.join(frame.new)
