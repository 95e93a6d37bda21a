"""One file of a journal as its owner knows it, and the reading of its lines in pieces of bounded size.

Rule: segments are deleted oldest first, and one only when its settlements are acknowledged, the intents that began in it are
settled in acknowledged ones, and no running intent has its only line there.
"""

from collections.abc import Iterator

from edge.journal.files.disk import Disk
from edge.journal.files.line import Splitter, parse

CHUNK_BYTES = 1 << 18


def segment_name(number: int) -> str:
    return f"{number:08d}.log"


def segment_numbers(disk: Disk, folder: str) -> list[int]:
    """The segments of an epoch's folder in the order they were written."""
    return sorted(int(name[:-4]) for name in disk.names(folder) if name.endswith(".log") and name[:-4].isdecimal())


class Segment:
    """Counters of one segment. `fd` is None once it is closed to writing."""

    __slots__ = ("bytes", "fd", "number", "open_intents", "path", "safe_position", "seq_needed", "synced_bytes")

    def __init__(self, folder: str, number: int, fd: int | None) -> None:
        self.number = number
        self.path = f"{folder}/{segment_name(number)}"
        self.fd = fd
        self.bytes = 0
        """Whole good lines: where the next line begins."""
        self.synced_bytes = 0
        self.seq_needed = 0
        """Everything through this must be acknowledged before the segment may go; no settlement in it is later."""
        self.open_intents = 0
        """Running generations whose intent is here and nowhere newer."""
        self.safe_position = 0
        """Intents moved out of here are durable elsewhere once the journal is durable up to this position."""

    def __repr__(self) -> str:
        return f"<Segment {self.number} bytes={self.bytes} seq_needed={self.seq_needed} open={self.open_intents}>"

    def is_released(self, acked_through: int, durable_position: int) -> bool:
        return self.seq_needed <= acked_through and not self.open_intents and self.safe_position <= durable_position


def read_lines(disk: Disk, path: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes, bytes | None]]:
    """(offset after the line, the line as it stands, its JSON or None when it is damaged) for each line from `start` up to `end`.

    The tail of a line that was cut comes last, as damage without an LF.
    """
    splitter = Splitter(start)
    position = start
    while end is None or position < end:
        data = disk.read(path, position, CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - position))
        if not data:
            break
        position += len(data)
        before = splitter.offset
        for line in splitter.feed(data):
            before += len(line)
            yield before, line, parse(line) if line.endswith(b"\n") else None
    if splitter.torn:
        yield position, splitter.torn, None
