"""The framing of a journal: `crc32 SPACE json LF`, the checksum in eight lower-case hexadecimal digits over the JSON.

Rule: a line is whole and exact or it is nothing; any other byte sequence is damage, and what follows the next LF is judged anew.
Rule: JSON as msgspec writes it holds no LF, so a file that was cut anywhere ends in at most one torn line.
Limits: LINE_BYTES_MAX bounds what a reader buffers while it looks for an LF in damaged input; no longer line is written.
"""

from collections.abc import Iterator
from zlib import crc32

LINE_BYTES_MAX = 1 << 20
HEAD_BYTES = 9


def frame(json: bytes) -> bytes:
    """One line. `json` must not contain LF. ValueError: it would be too long to be read again."""
    if len(json) >= LINE_BYTES_MAX - HEAD_BYTES:
        raise ValueError(f"a line of {len(json)} bytes is longer than a journal's reader takes")
    return b"%08x %b\n" % (crc32(json), json)


def parse(line: bytes) -> bytes | None:
    """The JSON of one line, with or without its LF; None when the line is damaged."""
    json = line[HEAD_BYTES:-1] if line.endswith(b"\n") else line[HEAD_BYTES:]
    if len(line) <= HEAD_BYTES or line[8] != 0x20 or line[:8] != b"%08x" % crc32(json):
        return None
    return json


class Splitter:
    """Cuts a stream of bytes into lines, whatever the size of the pieces; remembers where each line began."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        """Where in the file the next line begins: all lines before it were yielded whole."""
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines, each with its LF, that are complete now.

        LINE_BYTES_MAX bytes without an LF are yielded as one damaged line.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self.offset += len(line) + 1
            yield line + b"\n"
        if len(self._rest) > LINE_BYTES_MAX:
            junk, self._rest = self._rest, b""
            self.offset += len(junk)
            yield junk

    @property
    def torn(self) -> bytes:
        """What is left when the file has ended: empty, or the tail of a line that was cut."""
        return self._rest
