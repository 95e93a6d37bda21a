"""The settlements that wait for the shipper: the newest in memory, the older ones read again from the segments.

Rule: records come in `seq` order without a gap. Strategy: memory keeps the newest `bytes_max`; when the collector is away for
long, the oldest fall out, and one cursor walks the segments once for all of them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from edge.journal.entries import read_record
from edge.journal.files.disk import Disk
from edge.journal.files.segment import read_lines
from usage.record import UsageRecord

Range = tuple[str, int | None]
"""A file and the offset up to which it is to be believed (None: its end)."""


class UnshippedCursor:
    """Walks settlement lines forward. `ranges(seq)` names the files in which the record `seq` and its successors are."""

    def __init__(self, disk: Disk, ranges: Callable[[int], list[Range]]) -> None:
        self._disk = disk
        self._ranges = ranges
        self._next_seq = 0
        self._walk: Iterator[tuple[UsageRecord, int]] = iter(())
        self._held: tuple[UsageRecord, int] | None = None
        """Read already, and for the next call."""

    def read_records(self, seq: int, through: int, records_max: int, bytes_max: int) -> list[UsageRecord]:
        """Records `seq`, `seq` + 1, … up to `through` and the bounds; at least one if it is there."""
        fresh = seq != self._next_seq
        if fresh:
            self._walk, self._held = self._records(seq), None
        found = self._take(seq, through, records_max, bytes_max)
        if not found and not fresh:
            self._walk, self._held = self._records(seq), None
            found = self._take(seq, through, records_max, bytes_max)
        self._next_seq = seq + len(found) if found else 0
        return found

    def _take(self, seq: int, through: int, records_max: int, bytes_max: int) -> list[UsageRecord]:
        found: list[UsageRecord] = []
        size_total = 0
        while seq <= through and len(found) < records_max:
            item = self._held or next(self._walk, None)
            if item is None:
                break
            record, size = self._held = item
            if record.seq > seq or (found and size_total + size > bytes_max):
                break
            self._held = None
            if record.seq == seq:
                found.append(record)
                size_total += size
                seq += 1
        return found

    def _records(self, seq: int) -> Iterator[tuple[UsageRecord, int]]:
        for path, end in self._ranges(seq):
            for _, line, json in read_lines(self._disk, path, 0, end):
                record = None if json is None else read_record(json)
                if record is not None:
                    yield record, len(line)


class UnshippedBuffer:
    """The newest settlements in memory. `first_seq` is the oldest still held."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._records: list[UsageRecord] = []
        self._ends: list[int] = []
        """Beside each record, how many bytes were ever put when it had been."""
        self._forgotten_bytes = 0
        self.first_seq = 1

    @property
    def bytes(self) -> int:
        return self._ends[-1] - self._forgotten_bytes if self._ends else 0

    @property
    def oldest_ms(self) -> int:
        """When the oldest record held was settled, in Unix milliseconds; 0: there is none."""
        return self._records[0].started_ms + self._records[0].latency_ms if self._records else 0

    def put(self, record: UsageRecord, size: int) -> None:
        ends = self._ends
        end = (ends[-1] if ends else self._forgotten_bytes) + size
        self._records.append(record)
        ends.append(end)
        if end - self._forgotten_bytes > self._bytes_max:
            # An eighth at once: what is cut off the front of a list moves all the rest.
            self._drop(bisect_left(ends, end - self._bytes_max // 8 * 7) + 1)

    def forget(self, acked_through: int) -> None:
        if acked_through >= self.first_seq:
            self._drop(min(acked_through - self.first_seq + 1, len(self._records)))

    def read_records(self, seq: int, through: int, records_max: int, bytes_max: int) -> list[UsageRecord]:
        """From `seq`, which must be held, up to `through` and the bounds."""
        start = seq - self.first_seq
        before = self._ends[start - 1] if start else self._forgotten_bytes
        fits = max(bisect_right(self._ends, before + bytes_max), start + 1)
        return self._records[start : min(fits, start + records_max, through - self.first_seq + 1)]

    def _drop(self, count: int) -> None:
        if count:
            self._forgotten_bytes = self._ends[count - 1]
            del self._records[:count], self._ends[:count]
            self.first_seq += count
