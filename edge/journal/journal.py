"""The journal of one process: intents before dispatch, settlements after, on disk before anybody relies on them.

Rule: an intent is in the kernel before a byte leaves for the provider, or it is refused and nothing leaves.
Rule: a settlement is never refused and never shed. When the disk refuses it, it waits in memory until the disk is back; what waits is
bounded, because no new intent is admitted meanwhile.
Rule: only what is as durable as `durability` promises is shipped, so a `seq` that the centre has seen is never given out again.
Strategy: one write() per line on the hot path. Durability is a job in a worker thread, one at a time, that covers all that was appended
before it began; after a fault the same worker begins a new segment with every running intent and every unsynced settlement.
Limits: near `bytes_max` progress marks are shed first, then intents are refused; a settlement's room is reserved with its intent.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

import msgspec

from edge.journal.disk import Disk
from edge.journal.facts import Intent, intent_line, mark_line, settlement_line
from edge.journal.files import Files
from edge.journal.log import SyncJob
from edge.journal.running import Anew, Running
from edge.journal.segment import Segment
from edge.journal.window import Cursor, Window
from usage.record import Tokens, UsageRecord

log = logging.getLogger("tollway.journal")

Durability = Literal["os", "group", "strict"]

BYTES_MAX = 1 << 30
SEGMENT_BYTES = 16 << 20
WINDOW_BYTES = 4 << 20
SETTLEMENT_BYTES = 1024
"""Room kept for the settlement of each running intent."""
GROUP_DELAY_S = 0.003
PROBE_DELAYS_S = (0.05, 0.1, 0.25, 0.5, 1.0)
SEGMENTS_PINNED_MAX = 4
"""So many segments may be kept for the sake of long-running generations before their intents are written again."""


class JournalUnavailable(Exception):
    """An intent could not be journaled: nothing may be dispatched. The message says why."""


class Journal:
    """Made by `Journal.open`. All methods are for the one thread that opened it; none but the async ones waits for the medium."""

    def __init__(self, files: Files, node: str, epoch: int, durability: Durability, bytes_max: int, window_bytes: int) -> None:
        self.node = node
        self.epoch = epoch
        self.bytes_max = bytes_max
        self.bytes_elsewhere = 0
        """What adopted epochs occupy; it counts against `bytes_max`."""
        self.settled_seq = 0
        self.shippable_seq = 0
        """Records through this are as durable as they have to be before the centre may see them."""
        self.acked_through = 0
        self.failure = ""
        self.faults_total = 0
        self.marks_shed_total = 0
        self.on_shippable: Callable[[], None] | None = None
        """Called when more records may be shipped than before."""
        self._files = files
        self._log = files.log
        self._append = files.log.append
        self._is_strict = durability == "strict"
        self._syncs = durability != "os"
        self._window = Window(window_bytes)
        self._cursor = Cursor(files.disk, self._log.ranges)
        self._running: dict[str, Running] = {}
        self._fresh: list[bytes] = []
        self._in_flight: list[bytes] = []
        self._waiting: list[tuple[bytes, int]] = []
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._busy: asyncio.Future[None] | None = None
        self._seq_in_flight = 0
        self._probes = 0

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
        """A new journal in `<folder>/<node>/<epoch>`, locked. EpochInUse when that has a folder: boot again, for another epoch."""
        files = Files(disk or Disk(), folder, node, epoch, segment_bytes, syncs=durability != "os")
        journal = cls(files, node, epoch, durability, bytes_max, window_bytes)
        journal.sync_now()
        return journal

    def __repr__(self) -> str:
        return (
            f"<Journal {self.node}/{self.epoch} settled={self.settled_seq} acked={self.acked_through} "
            f"running={len(self._running)} bytes={self._log.bytes} {self.failure or 'ok'}>"
        )

    # What the relay calls, once or a few times per request.

    def intent(self, intent: Intent) -> None:
        """Into the kernel, or JournalUnavailable."""
        if self.failure:
            raise JournalUnavailable(self.failure)
        running = self._running
        if self._log.bytes + self.bytes_elsewhere + (len(running) + 2) * SETTLEMENT_BYTES > self.bytes_max:
            raise JournalUnavailable(f"the journal has reached its {self.bytes_max} bytes")
        line = intent_line(intent)
        home = self._log.head
        try:
            self._append(line)
        except OSError as error:
            self._fail(error)
            raise JournalUnavailable(self.failure) from error
        running[intent.gen_id] = Running(home, line)
        home.open_intents += 1
        if self._timer is None:
            self._schedule()

    def progress(self, gen_id: str, tokens: Tokens) -> None:
        """A mark for recovery. Shed when the disk refuses or the journal is nearly full."""
        running = self._running.get(gen_id)
        if running is None:
            return
        line = mark_line(gen_id, tokens)
        if self.failure or self._log.bytes + self.bytes_elsewhere > self.bytes_max // 10 * 9:
            self.marks_shed_total += 1
            return
        try:
            self._append(line)
        except OSError as error:
            self.marks_shed_total += 1
            self._fail(error)
            return
        running.mark = line
        if self._timer is None:
            self._schedule()

    def next_seq(self) -> int:
        """The `seq` of the record that will be settled next. Asking does not use it up."""
        return self.settled_seq + 1

    def settle(self, record: UsageRecord) -> None:
        """Keep the record, whatever the disk says. Its `seq` is `next_seq()`; a record built with another is given the right one."""
        seq = self.settled_seq + 1
        if record.seq != seq:
            record = msgspec.structs.replace(record, seq=seq)
        line = settlement_line(record)
        self.settled_seq = seq
        self._window.put(record, len(line))
        running = self._running.pop(record.gen_id, None)
        if running is not None:
            running.home.open_intents -= 1
            running.home.seq_needed = seq
        if self.failure:
            self._waiting.append((line, seq))
        else:
            self._write(line, seq)
        if self._timer is None:
            self._schedule()

    async def durable(self) -> None:
        """With durability "strict": return when everything appended so far is on disk, however long the disk takes. Else at once."""
        if self._is_strict and self._is_behind(self._log.position, self.settled_seq):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((self._log.position, self.settled_seq, waiter))
            if not self.failure:
                self._start()
            await waiter

    # What the shipper calls.

    def read(self, seq: int, records_max: int, bytes_max: int) -> list[UsageRecord]:
        """Shippable records from `seq` on, in order, within the bounds but at least one if there is one."""
        if seq >= self._window.first_seq:
            return self._window.read(seq, self.shippable_seq, records_max, bytes_max)
        return self._cursor.read(seq, min(self.shippable_seq, self._window.first_seq - 1), records_max, bytes_max)

    async def ack(self, acked_through: int) -> None:
        """The centre has everything through `acked_through`: keep that durably, then delete what nobody needs any more.

        OSError: not kept; the number holds in memory, nothing is deleted, and the next call tries again.
        """
        self._advance(acked_through)
        run = asyncio.get_running_loop().run_in_executor
        await run(self._files.executor, self._files.keep_ack, self.acked_through)
        await run(self._files.executor, self._files.remove, self._take_released())

    def ack_now(self, acked_through: int) -> None:
        """`ack` without an event loop."""
        self._advance(acked_through)
        self._files.keep_ack(self.acked_through)
        self._files.remove(self._take_released())

    # Facts for metrics.

    @property
    def pending_records(self) -> int:
        """Settled and not acknowledged."""
        return self.settled_seq - self.acked_through

    @property
    def pending_bytes(self) -> int:
        """What the segments occupy."""
        return self._log.bytes

    @property
    def running_intents(self) -> int:
        return len(self._running)

    # The end.

    async def aclose(self, *, remove: bool = False) -> None:
        """Make everything durable if the disk lets us, and let go. `remove`: the epoch is closed at the centre, nothing is needed."""
        while self._busy is not None:
            await asyncio.wait([self._busy])
        self.close(remove=remove)

    def close(self, *, remove: bool = False) -> None:
        """`aclose` without an event loop."""
        if not remove:
            self.sync_now()
        self._stop_timer()
        self.failure = "the journal is closed"
        for _, _, waiter in self._waiters:
            waiter.cancel()
        self._files.close(remove=remove)

    def sync_now(self) -> bool:
        """Make everything durable, waiting for the medium; after a fault, begin anew. True when it worked. Not beside a running job."""
        assert self._busy is None
        job = self._begin()
        error: OSError | None = None
        try:
            job.run()
        except OSError as caught:
            error = caught
        self._end(job, error)
        return error is None

    # Inside: writing.

    def _write(self, line: bytes, seq: int) -> None:
        """A settlement into the kernel, or among those that wait for the disk."""
        home = self._log.head
        try:
            self._append(line)
        except OSError as error:
            self._waiting.append((line, seq))
            self._fail(error)
            return
        home.seq_needed = seq
        if self._syncs:
            self._fresh.append(line)
        else:
            self.shippable_seq = seq

    def _fail(self, error: OSError) -> None:
        """From now on intents are refused and settlements wait, until a new segment was begun durably."""
        if not self.failure:
            self._probes = 0
            log.error("journal %s/%s: the disk refuses: %s", self.node, self.epoch, error)
        self.faults_total += 1
        self.failure = f"the journal's disk refuses: {error.strerror or error}"
        self._stop_timer()
        self._schedule()

    # Inside: the jobs that wait for the medium.

    def _schedule(self) -> None:
        """Start a job soon; without an event loop, whoever owns us calls `sync_now`."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        delay_s = PROBE_DELAYS_S[min(self._probes, len(PROBE_DELAYS_S) - 1)] if self.failure else GROUP_DELAY_S
        self._timer = loop.call_later(delay_s, self._start)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        """Run a job in the thread, unless one runs already: that one's end looks again."""
        self._stop_timer()
        if self._busy is not None:
            return
        if not self._syncs and not self.failure:
            self._tell()
            return
        job = self._begin()
        self._busy = asyncio.get_running_loop().run_in_executor(self._files.executor, job.run)
        self._busy.add_done_callback(lambda done: self._finished(job, done))

    def _finished(self, job: SyncJob | Anew, done: asyncio.Future[None]) -> None:
        self._busy = None
        error = done.exception()
        assert error is None or isinstance(error, OSError), error
        self._end(job, error)
        if self._waiters and not self.failure:
            self._start()
        elif self._timer is None and self._is_behind(self._log.position, self.settled_seq):
            self._schedule()

    def _begin(self) -> SyncJob | Anew:
        """Snapshot what the job will make durable."""
        self._in_flight += self._fresh
        self._fresh = []
        self._seq_in_flight = self.settled_seq
        if not self.failure:
            return SyncJob(self._log)
        self._in_flight += [line for line, _ in self._waiting]
        self._waiting = []
        return Anew(self._log, self._running, self._in_flight)

    def _end(self, job: SyncJob | Anew, error: OSError | None) -> None:
        if error is not None:
            self._probes += 1
            job.fail()
            self._fail(error)
            return
        self._in_flight = []
        job.finish()
        self.shippable_seq = self._seq_in_flight
        if isinstance(job, Anew):
            job.move(self._running, self.settled_seq)
            log.warning("journal %s/%s: the disk is back", self.node, self.epoch)
            self.failure = ""
            waiting, self._waiting = self._waiting, []
            for line, seq in waiting:
                if self.failure:
                    self._waiting.append((line, seq))
                else:
                    self._write(line, seq)
        self._tell()

    def _tell(self) -> None:
        """Wake who waits for durability, and the shipper."""
        if self._waiters:
            still = [waiter for waiter in self._waiters if self._is_behind(waiter[0], waiter[1])]
            for waiter in self._waiters:
                if waiter not in still and not waiter[2].done():
                    waiter[2].set_result(None)
            self._waiters = still
        if self.on_shippable is not None:
            self.on_shippable()

    def _is_behind(self, position: int, seq: int) -> bool:
        return self._syncs and (self._log.durable_position < position or self.shippable_seq < seq)

    # Inside: letting go of what was acknowledged.

    def _advance(self, acked_through: int) -> None:
        assert acked_through <= self.settled_seq, "the centre acknowledged what was never settled"
        self.acked_through = max(self.acked_through, acked_through)
        self._window.forget(self.acked_through)

    def _take_released(self) -> list[Segment]:
        released = self._log.take_released(self._files.acked_through)
        if len(self._log.segments) > SEGMENTS_PINNED_MAX and not self.failure:
            self._unpin(self._log.segments[0])
        return released

    def _unpin(self, segment: Segment) -> None:
        """Write the intents that alone keep the oldest segment once more, so that it may go when they are durable."""
        if segment.seq_needed > self._files.acked_through or not segment.open_intents:
            return
        for running in self._running.values():
            if running.home is segment:
                home = self._log.head
                try:
                    self._append(running.lines)
                except OSError as error:
                    self._fail(error)
                    return
                running.home = home
                home.open_intents += 1
                segment.open_intents -= 1
        segment.safe_position = self._log.position
        if self._timer is None:
            self._schedule()
