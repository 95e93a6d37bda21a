"""Records that the collector will never take, kept for a person in `<root>/<node>/dead.log`: a framed line each, with the
reason."""

from collections.abc import Sequence

import msgspec

from edge.journal.entries import encode
from edge.journal.files.disk import Disk
from edge.journal.files.line import frame
from usage.record import UsageRecord


class DeadLetter(msgspec.Struct, frozen=True):
    reason: str
    record: UsageRecord


class DeadLetters:
    """Append-only. A letter may stand there twice when a process died between keeping it and acknowledging it."""

    def __init__(self, disk: Disk, path: str) -> None:
        self.total = 0
        self._disk = disk
        self._path = path

    def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Durable when it returns; OSError when it is not. The leading LF ends whatever a crash may have torn."""
        fd = self._disk.append_to(self._path)
        try:
            data = b"\n" + b"".join(frame(encode(letter)) for letter in letters)
            if self._disk.write(fd, data) != len(data):
                raise OSError("short write of a dead letter")
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        self.total += len(letters)
