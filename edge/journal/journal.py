"""The journal of one process: intents before dispatch, settlements after, on disk before anybody relies on them.

Rule: an intent is in the kernel before a byte leaves for the provider, or it is refused and nothing leaves: when exactly a line
is written, `edge.write_batch` decides.
Rule: a settlement is never refused and never shed. When the disk refuses it, it waits in memory until the disk is back; what
waits is bounded, because no new intent is admitted meanwhile.
Rule: only what is as durable as `durability` promises is shipped, so a `seq` that the collector has seen is never given out
again.
Strategy: one write() per turn of the event loop on the hot path; what waits for the medium is the Syncer's.
Limits: near `bytes_max` progress marks are shed first, then intents are refused; a settlement's room is reserved with its
intent.
"""

from collections.abc import Callable

from edge.journal.entries import Intent, intent_line, mark_line, settlement_line
from edge.journal.files.disk import Disk
from edge.journal.files.epoch_files import EpochFiles
from edge.journal.files.segment import Segment
from edge.journal.open_intents import OpenIntents
from edge.journal.syncer import Syncer
from edge.journal.unshipped import UnshippedBuffer, UnshippedCursor
from edge.settings import Durability
from edge.write_batch import LineOrder, WriteBatch
from usage.record import Tokens, UsageRecord, fitted

BYTES_MAX = 2 << 30
SEGMENT_BYTES = 16 << 20
WINDOW_BYTES = 2 << 20
SETTLEMENT_BYTES = 1024
"""Room kept for the settlement of each running intent."""
SEGMENTS_PINNED_MAX = 4
"""So many segments may be kept for the sake of long-running generations before their intents are written again."""


class JournalUnavailable(Exception):
    """An intent could not be journaled: nothing may be dispatched. The message says why."""


class Journal:
    """Made by `Journal.open`. All methods are for the one thread that opened it; none but the async ones waits for the medium."""

    def __init__(
        self, files: EpochFiles, node: str, epoch: int, durability: Durability, bytes_max: int, window_bytes: int
    ) -> None:
        self.node = node
        self.epoch = epoch
        self.bytes_max = bytes_max
        self.bytes_elsewhere = 0
        """What adopted epochs occupy; it counts against `bytes_max`."""
        self.acked_through = 0
        self.marks_shed_total = 0
        self._files = files
        self._log = files.log
        self._append = files.log.append
        self.is_strict = durability == "strict"
        """Whether the end of an answer awaits `durable`."""
        self._syncer = Syncer(f"{node}/{epoch}", files.log, files.worker)
        self._running = self._syncer.running
        self.disk = files.disk
        self.node_folder = files.node_folder
        self._window = UnshippedBuffer(window_bytes)
        self._cursor = UnshippedCursor(files.disk, self._log.ranges)

    @classmethod
    def open(
        cls,
        folder: str,
        node: str,
        epoch: int,
        *,
        durability: Durability = "group",
        bytes_max: int = BYTES_MAX,
        segment_bytes: int = SEGMENT_BYTES,
        window_bytes: int = WINDOW_BYTES,
        disk: Disk | None = None,
    ) -> "Journal":
        """A new journal in `<folder>/<node>/<epoch>`, locked. EpochInUse when there is one: boot again, for another epoch."""
        files = EpochFiles(disk or Disk(), folder, node, epoch, segment_bytes, syncs=durability != "os")
        journal = cls(files, node, epoch, durability, bytes_max, window_bytes)
        journal.sync_now()
        return journal

    def __repr__(self) -> str:
        return (
            f"<Journal {self.node}/{self.epoch} settled={self.settled_seq} acked={self.acked_through} "
            f"running={len(self._running)} bytes={self._log.bytes} {self.failure or 'ok'}>"
        )

    def join(self, write_batch: WriteBatch) -> None:
        """From now on the batch says when lines are written, and commits them with its turn."""
        self._syncer.order = write_batch
        write_batch.commit = self._syncer.commit

    @property
    def order(self) -> LineOrder:
        """Says when lines are written, and whether a request may go."""
        return self._syncer.order

    def commit(self) -> str:
        """Put what was journaled in this turn into the kernel; returns why nothing may be dispatched, or nothing."""
        return self._syncer.commit()

    # What the relay calls, once or a few times per request.

    def intent(self, intent: Intent) -> None:
        """Into the kernel by the end of the turn (without one: now), or JournalUnavailable."""
        syncer, running = self._syncer, self._running
        if syncer.failure:
            raise JournalUnavailable(syncer.failure)
        if self.is_full:
            raise JournalUnavailable(f"the journal has reached its {self.bytes_max} bytes")
        line = intent_line(intent)
        home = self._log.head
        if problem := syncer.put(line):
            raise JournalUnavailable(problem)
        running[intent.gen_id] = OpenIntents(home, line)
        home.open_intents += 1
        if syncer.timer is None:
            syncer.schedule()

    def progress(self, gen_id: str, tokens: Tokens) -> None:
        """A mark for recovery, in the one write of this turn: the marks of all streams cost little more than one. Shed when the
        disk refuses or the journal is nearly full."""
        running, syncer = self._running.get(gen_id), self._syncer
        if running is None:
            return
        if syncer.failure or self._log.bytes + self.bytes_elsewhere > self.bytes_max // 10 * 9:
            self.marks_shed_total += 1
            return
        line = mark_line(gen_id, tokens)
        if syncer.put(line):
            self.marks_shed_total += 1
            return
        running.mark = line
        if syncer.timer is None:
            syncer.schedule()

    def next_seq(self) -> int:
        """The `seq` that the record settled next has to have. Asking does not use it up."""
        return self._syncer.settled_seq + 1

    def settle(self, record: UsageRecord) -> None:
        """Keep the record, whatever the disk says. Its `seq` is `next_seq()`: behind a gap the collector would acknowledge
        nothing, and of two with one number it would keep one."""
        syncer = self._syncer
        seq = syncer.settled_seq + 1
        assert record.seq == seq, f"a record numbered {record.seq} where {seq} comes next"
        try:
            line = settlement_line(record)
        except ValueError:
            # A settlement is never refused: it loses the texts that make it too long.
            record = fitted(record)
            line = settlement_line(record)
        syncer.settled_seq = seq
        self._window.put(record, len(line))
        running = self._running.pop(record.gen_id, None)
        if running is not None:
            running.home.open_intents -= 1
            running.home.seq_needed = seq
        syncer.keep(line, seq)
        if syncer.timer is None:
            syncer.schedule()

    async def durable(self) -> None:
        """With durability "strict", return when everything appended so far is on disk, however long that takes; else at once."""
        if self.is_strict:
            await self._syncer.wait()

    # What the shipper calls.

    def read_records(self, seq: int, records_max: int, bytes_max: int) -> list[UsageRecord]:
        """Shippable records from `seq` on, in order, within the bounds but at least one if there is one.

        A call gives what one place has, the segments or the memory: behind the last of what fell out of memory it ends, and
        the next call goes on from there.
        """
        if seq >= self._window.first_seq:
            return self._window.read_records(seq, self._syncer.shippable_seq, records_max, bytes_max)
        return self._cursor.read_records(seq, min(self._syncer.shippable_seq, self._window.first_seq - 1), records_max, bytes_max)

    async def ack(self, acked_through: int) -> None:
        """The collector has everything through `acked_through`: keep that durably, then delete what nobody needs any more.

        OSError: not kept; the number holds in memory, nothing is deleted, and the next call tries again.
        """
        self._advance(acked_through)
        run = self._files.worker.run
        await run(self._files.keep_ack, self.acked_through)
        await run(self._files.remove, self._take_released())

    def ack_now(self, acked_through: int) -> None:
        """`ack` without an event loop."""
        self._advance(acked_through)
        self._files.keep_ack(self.acked_through)
        self._files.remove(self._take_released())

    @property
    def on_shippable(self) -> Callable[[], None] | None:
        """Called when more records may be shipped than before."""
        return self._syncer.on_shippable

    @on_shippable.setter
    def on_shippable(self, call: Callable[[], None] | None) -> None:
        self._syncer.on_shippable = call

    # Facts for metrics.

    @property
    def settled_seq(self) -> int:
        """The last `seq` given out."""
        return self._syncer.settled_seq

    @property
    def shippable_seq(self) -> int:
        """Records through this are as durable as they have to be before the collector may see them."""
        return self._syncer.shippable_seq

    @property
    def failure(self) -> str:
        """Why intents are refused at the moment; empty when they are not (the byte limit is apart)."""
        return self._syncer.failure

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more intent and its settlement."""
        return self._log.bytes + self.bytes_elsewhere + (len(self._running) + 2) * SETTLEMENT_BYTES > self.bytes_max

    @property
    def faults_total(self) -> int:
        return self._syncer.faults_total

    @property
    def pending_records(self) -> int:
        """Settled and not acknowledged."""
        return self._syncer.settled_seq - self.acked_through

    @property
    def pending_bytes(self) -> int:
        """What the segments occupy."""
        return self._log.bytes

    @property
    def oldest_unshipped_ms(self) -> int:
        """When the oldest unacknowledged record in memory was settled, in Unix milliseconds; 0: there is none."""
        return self._window.oldest_ms

    @property
    def window_bytes(self) -> int:
        """What the newest unacknowledged records in memory amount to, as lines."""
        return self._window.bytes

    @property
    def running_intents(self) -> int:
        return len(self._running)

    # The end.

    async def aclose(self, *, remove: bool = False) -> None:
        """Make everything durable if the disk lets us, and let go.

        `remove`: the epoch is closed at the collector, nothing is needed.
        """
        await self._syncer.settle_down()
        self.close(remove=remove)

    def close(self, *, remove: bool = False) -> None:
        """`aclose` without an event loop."""
        if not remove:
            self.sync_now()
        self._syncer.close()
        self._files.close(remove=remove)

    def sync_now(self) -> bool:
        """Make everything durable, waiting for the medium; True when it worked. Not beside a running loop."""
        return self._syncer.sync_now()

    # Inside: letting go of what was acknowledged.

    def _advance(self, acked_through: int) -> None:
        assert acked_through <= self._syncer.settled_seq, "the collector acknowledged what was never settled"
        self.acked_through = max(self.acked_through, acked_through)
        self._window.forget(self.acked_through)

    def _take_released(self) -> list[Segment]:
        released = self._log.take_released(self._files.acked_through)
        if len(self._log.segments) > SEGMENTS_PINNED_MAX and not self._syncer.failure:
            self._unpin(self._log.segments[0])
        return released

    def _unpin(self, segment: Segment) -> None:
        """Write the intents that alone keep the oldest segment once more, so that it may go when they are durable."""
        if segment.seq_needed > self._files.acked_through or not segment.open_intents:
            return
        if self._syncer.commit():
            return
        for running in self._running.values():
            if running.home is segment:
                home = self._log.head
                try:
                    self._append(running.lines)
                except OSError as error:
                    self._syncer.fail(error)
                    return
                running.home = home
                home.open_intents += 1
                segment.open_intents -= 1
        segment.safe_position = self._log.position
        if self._syncer.timer is None:
            self._syncer.schedule()
