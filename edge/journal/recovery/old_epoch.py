"""The epoch of a process that has died, ready to be shipped: complete, read-only, and gone once the collector has closed it."""

import asyncio

from edge.journal.entries import Intent, record_of
from edge.journal.files.acknowledged import AckedFile
from edge.journal.files.disk import Disk
from edge.journal.files.folder import remove_epoch
from edge.journal.recovery.scan import Scan, SegmentFacts
from edge.journal.unshipped import Range, UnshippedCursor
from usage.record import Rates, Tokens, UsageRecord


class OldEpoch:
    """What the shipper needs of it. Segments go as they are acknowledged: every intent here has a durable settlement."""

    def __init__(self, disk: Disk, folder: str, lock_fd: int, node: str, epoch: int, found: Scan) -> None:
        self.node = node
        self.epoch = epoch
        self.settled_seq = found.seq_last
        self.acked_through = found.acked_through
        self.orphans = len(found.orphans)
        self.quarantined = found.damaged
        self._disk = disk
        self._folder = folder
        self._lock_fd = lock_fd
        self._late = dict(found.late)
        self._segments: list[SegmentFacts] = found.segments
        self._acked_file = AckedFile(disk, folder)
        self._cursor = UnshippedCursor(disk, self._ranges)

    def __repr__(self) -> str:
        return f"<OldEpoch {self.node}/{self.epoch} settled={self.settled_seq} acked={self.acked_through}>"

    @property
    def shippable_seq(self) -> int:
        return self.settled_seq

    @property
    def pending_bytes(self) -> int:
        return sum(segment.bytes for segment in self._segments)

    def read_records(self, seq: int, records_max: int, bytes_max: int) -> list[UsageRecord]:
        """Records from `seq` on, in order.

        One that the disk has lost for good is replaced by one that says so and costs nothing.
        """
        found: list[UsageRecord] = []
        while seq <= self.settled_seq and not found:
            late = self._late.get(seq)
            found = [late] if late is not None else self._cursor.read_records(seq, self.settled_seq, records_max, bytes_max)
            if not found:
                found = [lost_record(self.node, self.epoch, seq)]
        return found

    async def ack(self, acked_through: int) -> None:
        """Keep it durably, then delete the segments that it covers. OSError: not kept; the next call tries again."""
        await asyncio.to_thread(self.ack_now, acked_through)

    def ack_now(self, acked_through: int) -> None:
        self.acked_through = max(self.acked_through, acked_through)
        self._acked_file.advance(self.acked_through)
        while len(self._segments) > 1 and self._segments[0].seq_last <= self.acked_through:
            self._disk.remove(self._segments.pop(0).path)

    def close(self, *, remove: bool) -> None:
        """Let go of the lock; `remove` the folder first, once the collector has closed the epoch."""
        self._acked_file.close()
        if remove:
            remove_epoch(self._disk, self._folder)
        self._disk.close(self._lock_fd)

    def _ranges(self, seq: int) -> list[Range]:
        return [(segment.path, None) for segment in self._segments if segment.seq_last >= seq]


def lost_record(node: str, epoch: int, seq: int) -> UsageRecord:
    """Stands where a damaged disk has taken both a settlement and its intent, so that the numbers stay gap-free.

    It charges nobody.
    """
    nobody = Intent(
        gen_id=f"lost-{node}-{epoch}-{seq}",
        purse="",
        account="",
        key_id="",
        model="",
        provider="",
        upstream_model="",
        rates=Rates(),
        hold_nano=0,
        prompt_estimate=0,
        started_ms=0,
    )
    return record_of(
        nobody,
        node,
        epoch,
        seq,
        tokens=Tokens(),
        rates=nobody.rates,
        cost_nano=0,
        usage_source="estimated",
        status=500,
        end_reason="orphaned",
        error="the journal's lines of this record were damaged on disk",
    )
