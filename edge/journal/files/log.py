"""The segments of one epoch as an append-only log of lines: append, roll over, make durable, begin anew after a fault.

Rule: after a failed or short write, and after a failed sync, the segment is never appended to again: what it holds beyond its
last successful sync is believed lost (the kernel drops dirty pages whose write-back failed), and its owner writes that to a new
one.
Strategy: what may block (`run` of a job) touches only what it was given and may run in a thread; `finish` is for the owner's.
"""

from collections.abc import Sequence

from edge.journal.files.disk import Disk
from edge.journal.files.segment import Segment


class SyncJob:
    """Makes all that was appended before it was made durable."""

    def __init__(self, log: "Log") -> None:
        self._log = log
        self._segments = [segment for segment in log.segments if segment.fd is not None and segment.bytes > segment.synced_bytes]
        self._bytes = [segment.bytes for segment in self._segments]
        self._names_changed, log.names_changed = log.names_changed, False
        self.position = log.position

    def run(self) -> None:
        for segment in self._segments:
            assert segment.fd is not None
            self._log.disk.sync(segment.fd)
        if self._names_changed:
            self._log.disk.sync_folder(self._log.folder)

    def finish(self) -> None:
        for segment, size in zip(self._segments, self._bytes, strict=True):
            segment.synced_bytes = size
        self._log.durable_position = self.position
        self._log.close_full()

    def fail(self) -> None:
        """The caller begins anew: what was not synced before is in doubt."""
        self._log.names_changed |= self._names_changed


class RelocationJob:
    """A new segment that begins with `lines`, durable before anything else may follow them."""

    def __init__(self, log: "Log", lines: Sequence[bytes]) -> None:
        self._log = log
        self._lines = lines
        log.number_last += 1
        self.segment = Segment(log.folder, log.number_last, None)

    def run(self) -> None:
        disk, segment = self._log.disk, self.segment
        segment.fd = disk.create(segment.path)
        try:
            for start in range(0, len(self._lines), 1024):
                _write_all(disk, segment, b"".join(self._lines[start : start + 1024]))
            disk.sync(segment.fd)
            disk.sync_folder(self._log.folder)
        except OSError:
            _discard(disk, segment)
            raise

    def finish(self) -> None:
        self.segment.synced_bytes = self.segment.bytes
        self._log.succeed_with(self.segment)

    def fail(self) -> None:
        """The next attempt uses a number of its own."""


class Log:
    """`position` counts the bytes ever appended, `durable_position` those known to be on the medium."""

    def __init__(self, disk: Disk, folder: str, segment_bytes: int, *, syncs: bool = True) -> None:
        self.disk = disk
        self.folder = folder
        self.syncs = syncs
        """Whether anybody makes it durable; if not, being in the kernel is all that is asked."""
        self.segments: list[Segment] = []
        self.number_last = 1
        self.position = 0
        self.durable_position = 0
        self.bytes = 0
        self.names_changed = True
        self._segment_bytes = segment_bytes
        self._write = disk.write
        self.head = Segment(folder, 1, None)
        self._fd = disk.create(self.head.path)
        self.head.fd = self._fd
        self._roll_at = segment_bytes
        self.segments.append(self.head)

    def append(self, line: bytes) -> None:
        """Into the kernel, or OSError; then nothing may be appended until an AnewJob is finished."""
        size = len(line)
        written = self._write(self._fd, line)
        if written != size:
            raise OSError(f"short write: {written} of {size} bytes")
        self.position += size
        self.bytes += size
        head = self.head
        head.bytes += size
        if head.bytes >= self._roll_at:
            self._roll()

    def close_full(self) -> None:
        """Close the descriptors of segments that take no more lines and are durable as far as they will ever be."""
        for segment in self.segments:
            if segment.fd is not None and segment is not self.head and segment.synced_bytes >= segment.bytes:
                self.disk.close(segment.fd)
                segment.fd = None

    def succeed_with(self, segment: Segment) -> None:
        """Begin anew: `segment` is the head, and the older ones are believed only as far as they were synced."""
        for old in self.segments:
            if old.fd is not None:
                self.disk.close(old.fd)
                old.fd = None
                if self.syncs:
                    self.bytes -= old.bytes - old.synced_bytes
                    old.bytes = old.synced_bytes
        self.head = segment
        assert segment.fd is not None
        self._fd = segment.fd
        self._roll_at = self._segment_bytes
        self.segments.append(segment)
        self.bytes += segment.bytes
        self.position += segment.bytes
        self.durable_position = self.position
        self.names_changed = False

    def take_released(self, acked_through: int) -> list[Segment]:
        """The oldest segments that nobody needs any more; the caller removes their files."""
        count = 0
        durable = self.durable_position if self.syncs else self.position
        while self.segments[count] is not self.head and self.segments[count].is_released(acked_through, durable):
            count += 1
        released, self.segments = self.segments[:count], self.segments[count:]
        for segment in released:
            self.bytes -= segment.bytes
            if segment.fd is not None:
                self.disk.close(segment.fd)
                segment.fd = None
        return released

    def ranges(self, seq: int) -> list[tuple[str, int | None]]:
        """The files, and how far they are to be believed, in which the settlement `seq` and later ones are."""
        return [(segment.path, segment.bytes) for segment in self.segments if segment.seq_needed >= seq]

    def close(self) -> None:
        for segment in self.segments:
            if segment.fd is not None:
                self.disk.close(segment.fd)
                segment.fd = None

    def _roll(self) -> None:
        """A new head. When none can be made now, the old one grows on and the attempt is repeated a segment later."""
        segment = Segment(self.folder, self.number_last + 1, None)
        try:
            segment.fd = self.disk.create(segment.path)
        except OSError:
            self._roll_at += self._segment_bytes
            return
        if not self.syncs:
            self.disk.close(self._fd)
            self.head.fd = None
        self.number_last += 1
        self.names_changed = True
        self.head = segment
        self._fd = segment.fd
        self._roll_at = self._segment_bytes
        self.segments.append(segment)


def _write_all(disk: Disk, segment: Segment, data: bytes) -> None:
    assert segment.fd is not None
    if disk.write(segment.fd, data) != len(data):
        raise OSError("short write of a new segment")
    segment.bytes += len(data)


def _discard(disk: Disk, segment: Segment) -> None:
    """Best effort: what stays behind holds only lines that will be written again, which recovery knows to count once."""
    assert segment.fd is not None
    disk.close(segment.fd)
    segment.fd = None
    try:
        disk.remove(segment.path)
    except OSError:
        pass
