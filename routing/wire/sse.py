"""Server-sent events by line: splits what arrives into whole lines, whatever way TCP cut it, and keeps every byte.

Rule: nothing is decoded, joined or normalised: CR, LF and CRLF endings stay as they came. Concatenating the output gives the
input.
Strategy: only an unfinished last line waits; most reads end at a line's end and are split once, in C.
Limits: a line longer than `line_bytes_max` raises TooLong (16 MiB by default: an inline image or audio answer is one line).
"""

import msgspec
from msgspec import Raw

from routing.wire.members import REFUSED

BLANK = (b"\n", b"\r\n", b"\r")
_decode_list = msgspec.json.Decoder(list[Raw]).decode


class TooLong(Exception):
    """The provider sent more than is taken of one thing: a line, an event, what is no part of an answer."""


class Lines:
    """An incremental splitter. `feed` returns the whole lines that are now there, each with its ending."""

    __slots__ = ("_limit", "_size", "pieces")

    def __init__(self, line_bytes_max: int = 16_777_216) -> None:
        self._limit = line_bytes_max
        self.pieces: list[bytes] = []
        """The unfinished line; always the same list."""
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        if self.pieces:
            if b"\n" not in data and b"\r" not in data and self.pieces[-1][-1:] != b"\r":
                self._keep(data)
                return []
            data = b"".join((*self.pieces, data))
            self.pieces.clear()
            self._size = 0
        lines = data.splitlines(keepends=True)
        # A final CR may be half of a CRLF: the line waits for its next byte.
        if lines and lines[-1][-1:] != b"\n":
            self._keep(lines.pop())
        return lines

    def finish(self) -> bytes:
        """The unfinished line that is left at the end of the stream, if any."""
        rest = b"".join(self.pieces)
        self.pieces.clear()
        self._size = 0
        return rest

    def _keep(self, data: bytes) -> None:
        self.pieces.append(data)
        self._size += len(data)
        if self._size > self._limit:
            raise TooLong(f"a line of more than {self._limit} bytes")


def payload_of(line: bytes) -> bytes | None:
    """The payload of a `data:` line without its ending, None for any other line (comment, event, blank)."""
    if not line.startswith(b"data:"):
        return None
    return line[6 if line[5:6] == b" " else 5 :].rstrip(b"\r\n")


def events_of_whole(body: bytes) -> bytes:
    """The stream of a JSON object, or of each in a list of them, as an event; nothing of what is none. A line break in JSON is
    white space."""
    documents = [Raw(body)]
    if body.lstrip().startswith(b"["):
        try:
            documents = _decode_list(body)
        except REFUSED:
            pass
    lines = [bytes(each).strip().replace(b"\n", b" ").replace(b"\r", b" ") for each in documents]
    return b"".join([b"data: %b\n\n" % line for line in lines if line.startswith(b"{")])
