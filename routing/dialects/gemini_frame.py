"""Gemini's events that are like the one before them but for their one text and the counts of their usage.

Rule: beside the text only digits within `usageMetadata` may differ; whatever else does is read in full.
Strategy: what stands before the text, between it and the usage, and behind that is compared byte by byte, the usage without its
digits.
"""

import re
from typing import Final, NamedTuple

from routing.wire.members import REFUSED, decode_members, is_plain
from routing.wire.sse import payload_of

_TEXT: Final = re.compile(rb'"text"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_DIGITS: Final = b"0123456789"


class GeminiFrame(NamedTuple):
    """An event: `head`, the text, `near`, the usage (`counts` is one without its digits), `tail`."""

    head: bytes
    near: bytes
    counts: bytes
    tail: bytes
    size: int

    def text_in(self, data: bytes) -> bytes | None:
        """The inside of the text of one event in that frame; None for anything else."""
        head, near, counts, tail, size = self
        if len(data) <= size or not data.startswith(head) or not data.endswith(tail):
            return None
        start = len(head)
        end = data.find(near, start)
        if end < 0 or data[end + len(near) : len(data) - len(tail)].translate(None, _DIGITS) != counts:
            return None
        text = data[start:end]
        return text if text and is_plain(text) is not None else None


def learned(event: bytes) -> GeminiFrame | None:
    """The frame of an event, whole, that is nothing but one piece of text; None when that is not told by its bytes."""
    end = b"\r\n\r\n" if event.endswith(b"\r\n\r\n") else b"\n\n"
    line = event[: -len(end)]
    payload = payload_of(line)
    if payload is None or not event.endswith(end) or b"\n" in line or b"\r" in line:
        return None
    try:
        usage = bytes(decode_members(payload)["usageMetadata"])
    except (KeyError, *REFUSED):
        return None
    at = event.find(usage)
    texts = [found.span(1) for found in _TEXT.finditer(event)]
    if len(texts) != 1 or texts[0][1] > at or event.find(usage, at + 1) >= 0:
        return None
    ((start, stop),) = texts
    head, near, tail = event[:start], event[stop:at], event[at + len(usage) :]
    return GeminiFrame(head, near, usage.translate(None, _DIGITS), tail, len(head) + len(near) + len(tail))
