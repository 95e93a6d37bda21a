"""How far the collector has acknowledged an epoch, on disk: one file of two slots that are overwritten in turn.

Rule: a number here never goes back, because the slot that holds the last good one is never the one being written.
Strategy: overwriting in place needs no room, so an acknowledgement can be kept, and its segments freed, on a disk that is full;
a rename of a new file could not promise that.
"""

import msgspec

from edge.journal.entries import encode
from edge.journal.files.disk import Disk
from edge.journal.files.line import frame, parse

SLOT_BYTES = 512
NAME = "acked"


class Acknowledged(msgspec.Struct, frozen=True, rename={"version": "turn"}):
    """One slot. `version` grows by one with each write, and its parity is the slot; on the disk it is called `turn`."""

    version: int
    through: int


class AckedFile:
    """Opened once per epoch by the one who holds its lock. Not safe for two threads at once."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._path = f"{folder}/{NAME}"
        self._last = read_acknowledged(disk, folder)
        self._fd = disk.open_in_place(self._path)
        if self._last.version == 0:
            self._put(self._last)
            self._put(self._last)

    @property
    def through(self) -> int:
        return self._last.through

    def advance(self, through: int) -> None:
        """Make `through` durable. OSError: it is not, and the old number stands."""
        if through > self._last.through:
            self._put(Acknowledged(self._last.version, through))

    def close(self) -> None:
        self._disk.close(self._fd)

    def _put(self, value: Acknowledged) -> None:
        value = Acknowledged(value.version + 1, value.through)
        slot = frame(encode(value)).rjust(SLOT_BYTES, b" ")
        written = self._disk.write_at(self._fd, slot, value.version % 2 * SLOT_BYTES)
        if written != SLOT_BYTES:
            raise OSError("short write of an acknowledgement")
        self._disk.sync(self._fd)
        self._last = value


def read_acknowledged(disk: Disk, folder: str) -> Acknowledged:
    """The newest whole slot; zero when there is none."""
    data = disk.read(f"{folder}/{NAME}", 0, 2 * SLOT_BYTES)
    slots = [parse(data[start : start + SLOT_BYTES].lstrip(b" ")) for start in (0, SLOT_BYTES)]
    known = [msgspec.json.decode(slot, type=Acknowledged) for slot in slots if slot is not None]
    return max(known, key=lambda value: (value.version, value.through), default=Acknowledged(0, 0))
