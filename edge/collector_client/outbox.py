"""One outbox on its way to the collector: where it goes on, and how much is taken at once."""

import logging
from collections.abc import Iterable
from typing import Protocol

from edge.journal.recovery.old_epoch import lost_record
from usage.protocol import Ack, Acquire
from usage.record import UsageRecord

log = logging.getLogger("tollway.shipper")
BATCH_RECORDS_MAX = 1_000
BATCH_BYTES_MAX = 512 << 10


class Outbox(Protocol):
    """What a cursor ships from: a Journal, or an OldEpoch."""

    node: str
    epoch: int

    @property
    def acked_through(self) -> int: ...
    @property
    def settled_seq(self) -> int: ...
    @property
    def shippable_seq(self) -> int: ...
    def read_records(self, seq: int, records_max: int, bytes_max: int) -> list[UsageRecord]: ...
    async def ack(self, acked_through: int) -> None: ...


class LeaseHolder(Protocol):
    """Whose leases pay for what is shipped, and which what is shipped renews (`edge.credit.credit.Credit`)."""

    def renewals(self) -> tuple[Acquire, ...]:
        """The asks that ride on the batch which is made now."""

    def on_ack(self, ack: Ack) -> None:
        """What the batch brought."""

    def unsettle(self, records: Iterable[UsageRecord]) -> None:
        """The collector will never charge these."""


class OutboxCursor:
    """One outbox on its way: where to go on, and how much the collector takes at once."""

    __slots__ = ("lost_total", "next_seq", "outbox", "records_max", "shipped_s")

    def __init__(self, outbox: Outbox, now_s: float) -> None:
        self.outbox = outbox
        self.next_seq = outbox.acked_through + 1
        self.records_max = BATCH_RECORDS_MAX
        self.shipped_s = now_s
        self.lost_total = 0
        """Records that could not be read again, and never were acknowledged."""

    @property
    def waiting(self) -> int:
        return self.outbox.shippable_seq - self.next_seq + 1

    def read_batch(self) -> list[UsageRecord]:
        """The next batch, of at least one record when any waits.

        What the collector asks for again (it was restored from a backup) and we no longer have is sent as lost; so is the one
        record that the journal cannot be made to yield, so that nothing waits behind it for ever.
        """
        outbox = self.outbox
        records = outbox.read_records(self.next_seq, self.records_max, BATCH_BYTES_MAX)
        if not records and self.waiting > 0:
            through = max(min(outbox.acked_through, self.next_seq + self.records_max - 1), self.next_seq)
            lost = max(through - max(outbox.acked_through, self.next_seq - 1), 0)
            if lost:
                self.lost_total += lost
                log.error("record %d of %r cannot be read again: it is sent as lost and charged to nobody", self.next_seq, outbox)
            records = [lost_record(outbox.node, outbox.epoch, seq) for seq in range(self.next_seq, through + 1)]
        return records
