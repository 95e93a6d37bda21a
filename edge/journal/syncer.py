"""Keeps what was appended: makes it durable in time, and after a fault of the disk begins a new segment, again and again until it
works.

Rule: after a fault nothing is appended until a new segment has durably begun with every running intent and every settlement
that may be lost; settlements that come meanwhile wait in memory.
Strategy: one job at a time in a worker thread; it covers all that was appended before it began. Without an event loop (tests,
the simulator) its owner calls `sync_now`.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from operator import itemgetter

from edge.journal.files.log import Log, SyncJob
from edge.journal.open_intents import OpenIntents, Relocation
from edge.journal.worker import SyncWorker
from edge.write_batch import LineOrder, UnbatchedLines

log = logging.getLogger("tollway.journal")

GROUP_DELAY_S = 0.02
_line_of = itemgetter(0)
PROBE_DELAYS_S = (0.05, 0.1, 0.25, 0.5, 1.0)


class Syncer:
    """`failure` is empty while the disk takes what it is given. `timer` is None when nobody has been told to come yet."""

    def __init__(self, name: str, files: Log, worker: SyncWorker) -> None:
        self.failure = ""
        self.timer: asyncio.TimerHandle | None = None
        self.running: dict[str, OpenIntents] = {}
        self.settled_seq = 0
        self.shippable_seq = 0
        self.faults_total = 0
        self.on_shippable: Callable[[], None] | None = None
        self._name = name
        self._log = files
        self._syncs = files.syncs
        self._worker = worker
        self.order: LineOrder = UnbatchedLines(self.commit)
        """Says when lines are committed."""
        self._lines: list[bytes] = []
        self._settled: list[tuple[bytes, int]] = []
        self._fresh: list[bytes] = []
        self._in_flight: list[bytes] = []
        self._waiting: list[tuple[bytes, int]] = []
        self._seq_in_flight = 0
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._busy: asyncio.Future[None] | None = None
        self._probes = 0

    def put(self, line: bytes) -> str:
        """A line for the next commit. Returns why it is known already that it will not be written, or nothing."""
        self._lines.append(line)
        return self.order.line()

    def keep(self, line: bytes, seq: int) -> None:
        """A settlement for the next commit: it goes into the kernel, or among those that wait for the disk."""
        self._settled.append((line, seq))
        self._lines.append(line)
        self.order.settlement()

    def commit(self) -> str:
        """Append what was put, in one write. Returns `failure`: while it is not empty, nothing may be dispatched."""
        if not self._lines:
            return self.failure
        data, settled = b"".join(self._lines), self._settled
        self._lines, self._settled = [], []
        if not self.failure:
            home = self._log.head
            try:
                self._log.append(data)
            except OSError as error:
                self.fail(error)
            else:
                if settled:
                    home.seq_needed = settled[-1][1]
                    if self._syncs:
                        self._fresh += map(_line_of, settled)
                    else:
                        self.shippable_seq = home.seq_needed
                return ""
        self._waiting += settled
        return self.failure

    def fail(self, error: OSError) -> None:
        """An append raised, or a job did: refuse from now on, and probe."""
        if not self.failure:
            self._probes = 0
            log.error("journal %s: the disk refuses: %s", self._name, error)
        self.faults_total += 1
        self.failure = f"the journal's disk refuses: {error.strerror or error}"
        self._stop_timer()
        self.schedule()

    def schedule(self) -> None:
        """See to it soon. To be called after an append that finds no timer."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        delay_s = PROBE_DELAYS_S[min(self._probes, len(PROBE_DELAYS_S) - 1)] if self.failure else GROUP_DELAY_S
        self.timer = loop.call_later(delay_s, self._start)

    async def wait(self) -> None:
        """Return when everything appended so far is durable, however long that takes."""
        self.commit()
        if not self._is_behind(self._log.position, self.settled_seq):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._log.position, self.settled_seq, waiter))
        if not self.failure:
            self._start()
        await waiter

    def sync_now(self) -> bool:
        """Make everything durable, waiting for the medium; after a fault, begin anew. True when it worked. Not beside a job."""
        assert self._busy is None
        job = self._begin()
        error: OSError | None = None
        try:
            job.run()
        except OSError as caught:
            error = caught
        self._end(job, error)
        return error is None

    async def settle_down(self) -> None:
        """Wait for the job that is running, if any."""
        while self._busy is not None:
            await asyncio.wait([self._busy])

    def close(self) -> None:
        self._stop_timer()
        self.failure = "the journal is closed"
        for _, _, waiter in self._waiters:
            waiter.cancel()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _start(self) -> None:
        """Run a job in the thread, unless one runs already: that one's end looks again."""
        self._stop_timer()
        if self._busy is not None:
            return
        if not self._syncs and not self.failure:
            self.commit()
            self._wake_waiters()
            return
        job = self._begin()
        self._busy = asyncio.get_running_loop().create_future()
        self._worker.post(job.run, lambda error: self._finished(job, error))

    def _finished(self, job: SyncJob | Relocation, error: Exception | None) -> None:
        busy, self._busy = self._busy, None
        if busy is not None:
            busy.set_result(None)
        if error is not None and not isinstance(error, OSError):
            log.error("journal %s: a job failed in an unforeseen way", self._name, exc_info=error)
            error = OSError(errno.EIO, f"{type(error).__name__}: {error}")
        self._end(job, error)
        if self._waiters and not self.failure:
            self._start()
        elif self.timer is None and self._is_behind(self._log.position, self.settled_seq):
            self.schedule()

    def _begin(self) -> SyncJob | Relocation:
        """Snapshot what the job will make durable."""
        self.commit()
        self._in_flight += self._fresh
        self._fresh = []
        self._seq_in_flight = self.settled_seq
        if not self.failure:
            return SyncJob(self._log)
        self._in_flight += [line for line, _ in self._waiting]
        self._waiting = []
        return Relocation(self._log, self.running, self._in_flight)

    def _end(self, job: SyncJob | Relocation, error: OSError | None) -> None:
        if error is not None:
            self._probes += 1
            job.fail()
            self.fail(error)
            return
        self._in_flight = []
        job.finish()
        self.shippable_seq = self._seq_in_flight
        if isinstance(job, Relocation):
            job.move(self.running, self.settled_seq)
            log.warning("journal %s: the disk is back", self._name)
            self.commit()  # what was put in this turn waits behind the older ones
            self.failure = ""
            waiting, self._waiting = self._waiting, []
            for line, seq in waiting:
                self.keep(line, seq)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
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
