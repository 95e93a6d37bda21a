"""Ships usage records from the journal to the collector: in batches, in order, one batch in flight, until each is acknowledged.

Rule: nothing is dropped. What the collector cannot take now is tried again without end; what it will never take is kept as a dead
letter before it counts as acknowledged, and the wallet that paid for it is told.
Rule: no record holds up those behind it. One that alone is too large goes again without the texts that make it so; one that the
journal cannot yield is sent as lost. An outbox that is refused all the same is none that waits: `outage` says so.
Rule: an acknowledgement is made durable here before anything it covers is deleted (the journal's part).
Strategy: a cursor for each outbox, the running epoch's and those of adopted dead ones, served in turn. Back-off is exponential
with full jitter and common to all cursors; clock, dice and pause are arguments. An idle shipper sends nothing unless there are
renewals, but for an empty batch every TELL_S, which says by when the collector has everything.
Limits: BATCH_RECORDS_MAX and BATCH_BYTES_MAX per batch, `ship_interval_s` of waiting; a batch that is too large for the collector
is halved.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from edge.collector_client.backoff import Backoff
from edge.collector_client.outage import Outage
from edge.collector_client.outbox import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LeaseHolder, OutboxCursor
from edge.journal.journal import Journal
from edge.journal.recovery.dead_letters import DeadLetter, DeadLetters
from edge.journal.recovery.old_epoch import OldEpoch
from edge.limits.limiter import RateLimiter
from edge.tasks import Tasks
from usage.protocol import Ack, Acquire, Batch, Close, CollectorClient, Refused, Unreachable
from usage.record import UsageRecord, fitted

log = logging.getLogger("tollway.shipper")
TELL_S = 15.0
"""How long an idle shipper lets the collector wait for the word that nothing is missing."""
REASON_CHARS_MAX = 300


class Shipper:
    """`start` once; `adopt` each old epoch; `drain` at the end."""

    def __init__(
        self,
        journal: Journal,
        collector: CollectorClient,
        tasks: Tasks,
        credit: LeaseHolder,
        *,
        limiter: RateLimiter | None = None,
        ship_interval_s: float = 1.0,
        tell_s: float = TELL_S,
        clock: Callable[[], float] = time.monotonic,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        backoff: Backoff | None = None,
    ) -> None:
        self.batches_total = 0
        self.records_total = 0
        self.failures_total = 0
        self.rejected_total = 0
        self.shortened_total = 0
        self.dead_letters = DeadLetters(journal.disk, f"{journal.node_folder}/dead.log")
        self._journal = journal
        self._collector = collector
        self._tasks = tasks
        self._credit = credit
        self._limiter = limiter or RateLimiter()
        self._interval_s = ship_interval_s
        self._clock = clock
        self._unix_ms = unix_ms
        self._backoff = backoff or Backoff()
        self._own = OutboxCursor(journal, clock())
        self._told_s = clock()
        self._tell_s = tell_s
        self._old: deque[OutboxCursor] = deque()
        self._is_old_turn = False
        self.left = ""
        """What `drain` left for the next start."""
        self.outage = Outage(clock)
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._is_stopped = False
        self._is_fenced = False
        self._task: asyncio.Task[None] | None = None
        journal.on_shippable = self._on_shippable

    def __repr__(self) -> str:
        return f"<Shipper {self._journal!r} old={len(self._old)} failures={self._backoff.failures}>"

    @property
    def lost_total(self) -> int:
        """Records that the journal could not yield again."""
        return sum(cursor.lost_total for cursor in (self._own, *self._old))

    def start(self) -> None:
        self._task = self._tasks.supervise("shipper", self.run)

    def wake(self) -> None:
        """There is something to send now, such as a renewal that cannot wait."""
        self._own.shipped_s = float("-inf")
        self._wake.set()

    def resume(self) -> None:
        """The collector can be reached again: what waits because it could not goes now."""
        if self._backoff.failures:
            self._backoff.recover()
            self._wake.set()
            self._urgent.set()

    def adopt(self, old: OldEpoch) -> None:
        """Ship, close and remove this epoch too."""
        self._old.append(OutboxCursor(old, self._clock()))
        self._count_elsewhere()
        self._wake.set()

    async def run(self) -> None:
        """Until `drain`."""
        while not self._is_stopped:
            try:
                delay_s = await self._step()
            except OSError as error:
                log.error("the journal cannot be read or tidied now: %s", error)
                self.outage.begin(f"the journal cannot be read: {error}")
                delay_s = self._wait_s(None)
            if delay_s:
                await self._backoff.pause(delay_s, self._urgent)
                self._urgent.clear()

    async def flush(self, timeout_s: float) -> bool:
        """Ship now, and wait until everything settled so far is acknowledged; False when the time was not enough."""
        target = self._journal.settled_seq
        if self._journal.acked_through >= target:
            return True
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (target, done)
        self._flushes.append(entry)
        self._wake.set()
        self._urgent.set()
        try:
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError:
            return False
        finally:
            if entry in self._flushes:
                self._flushes.remove(entry)
        return True

    async def drain(self, timeout_s: float) -> bool:
        """At shutdown: flush, stop, close the epoch at the collector, close the journal. True: the next start finds nothing."""
        journal = self._journal
        is_closed = False
        reason = ""
        try:
            async with asyncio.timeout(timeout_s):
                is_flushed = await self.flush(timeout_s)
                await self._stop()
                if is_flushed and not journal.running_intents and journal.acked_through == journal.settled_seq:
                    is_closed = await self._close(self._own)
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s"
        except (Unreachable, Refused) as error:
            reason = str(error)
        if not is_closed:
            self.left = self._what_is_left(reason)
            log.warning("epoch %s is left for the next start to close: %s", journal.epoch, self.left)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for cursor in self._old:
            assert isinstance(cursor.outbox, OldEpoch)
            cursor.outbox.close(remove=False)
        self._old.clear()
        await journal.aclose(remove=is_closed)
        return is_closed

    # Inside.

    def _what_is_left(self, reason: str) -> str:
        journal = self._journal
        facts = [f"{journal.pending_records} records wait in the journal" if journal.pending_records else "the epoch is open"]
        if journal.running_intents:
            facts.append(f"{journal.running_intents} requests are not settled")
        if self._old:
            facts.append(f"{len(self._old)} older epochs are not shipped")
        return f"{', '.join(facts)} ({reason or self.outage.problem or 'the collector does not have all of it yet'})"

    async def _stop(self) -> None:
        self._is_stopped = True
        self._wake.set()
        self._urgent.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _on_shippable(self) -> None:
        """More may be shipped than before: is it enough to go now?"""
        if self._flushes or self._own.waiting >= BATCH_RECORDS_MAX or self._journal.window_bytes >= BATCH_BYTES_MAX:
            self._wake.set()

    async def _step(self) -> float:
        """Send one batch if one is due, or wait until one may be; returns how long to back off."""
        self._wake.clear()
        if self._old and (self._is_old_turn or not self._is_own_due()):
            self._is_old_turn = False
            return await self._step_old(self._old[0])
        self._is_old_turn = True
        if self._is_own_due():
            records = self._own.read_batch() if self._own.waiting > 0 else []
            self._own.shipped_s = self._clock()
            renew = () if self._is_fenced else self._credit.renewals()
            if records or renew or self._clock() - self._told_s >= self._tell_s:
                return await self._ship(self._own, records, renew)
        if self._old:
            return 0.0
        if self._own.waiting <= 0:
            self.outage.end()
        due_s = self._own.shipped_s + self._interval_s - self._clock()
        await self._backoff.pause(max(due_s, 0.001), self._wake)
        return 0.0

    def _claim(self, cursor: OutboxCursor, records: list[UsageRecord]) -> int:
        """By when, in Unix milliseconds, the collector has all that was settled here, once it has this batch; 0: cannot say."""
        if cursor is not self._own:
            return 0
        self._told_s = self._clock()
        through = records[-1].seq if records else cursor.next_seq - 1
        return self._unix_ms() if through >= self._journal.settled_seq else 0

    def _is_own_due(self) -> bool:
        own = self._own
        if self._clock() - own.shipped_s >= self._interval_s:
            return True
        return own.waiting > 0 and (
            bool(self._flushes) or own.waiting >= BATCH_RECORDS_MAX or self._journal.window_bytes >= BATCH_BYTES_MAX
        )

    async def _step_old(self, cursor: OutboxCursor) -> float:
        old = cursor.outbox
        assert isinstance(old, OldEpoch)
        if cursor.waiting > 0:
            return await self._ship(cursor, cursor.read_batch(), ())
        try:
            is_closed = await self._close(cursor)
        except (Unreachable, Refused) as error:
            self._old.rotate(-1)
            return self._failed(error)
        if not is_closed:
            return self._failed(Unreachable(f"epoch {old.epoch} is not complete at the collector"))
        self._old.popleft()
        await asyncio.to_thread(old.close, remove=True)
        self._count_elsewhere()
        return 0.0

    async def _close(self, cursor: OutboxCursor) -> bool:
        outbox = cursor.outbox
        closed = await self._collector.close(Close(outbox.node, outbox.epoch, outbox.settled_seq))
        if not closed.closed:
            cursor.next_seq = min(cursor.next_seq, closed.acked_through + 1)
        return closed.closed

    async def _ship(self, cursor: OutboxCursor, records: list[UsageRecord], renew: tuple[Acquire, ...]) -> float:
        outbox = cursor.outbox
        reports = self._limiter.reports.collect() if cursor is self._own else ()
        try:
            ack = await self._collector.ingest(
                Batch(outbox.node, outbox.epoch, tuple(records), renew, self._claim(cursor, records), reports)
            )
        except Unreachable as error:
            self._limiter.reports.mark_lost(reports)
            return self._failed(error)
        except Refused as error:
            self._limiter.reports.mark_lost(reports)
            if error.code == "too_large" and cursor.records_max > 1 and len(records) > 1:
                cursor.records_max = len(records) // 2
                cursor.shipped_s = float("-inf")
                return 0.0
            if error.code == "fenced" and renew:
                self._is_fenced = True
                cursor.shipped_s = float("-inf")
                return 0.0
            if error.code == "too_large" and len(records) == 1 and (shorter := fitted(records[0])) is not records[0]:
                self.shortened_total += 1
                log.error("record %s is too large for the collector and goes without its texts", shorter.gen_id)
                return await self._ship(cursor, [shorter], renew)
            return self._failed(error)
        self._limiter.reports.apply(reports, ack.limits)
        self._backoff.recover()
        self.batches_total += 1
        self.records_total += len(records)
        self._credit.on_ack(ack)
        await self._keep_dead_letters(cursor, ack, records)
        return await self._apply_ack(cursor, ack, records)

    async def _apply_ack(self, cursor: OutboxCursor, ack: Ack, records: list[UsageRecord]) -> float:
        """Apply an acknowledgement: never more than was sent, and never backwards for what we keep."""
        outbox = cursor.outbox
        sent_through = records[-1].seq if records else cursor.next_seq - 1
        has_progress = ack.acked_through >= cursor.next_seq
        cursor.next_seq = min(ack.acked_through, sent_through) + 1
        if has_progress or not records:
            self.outage.end()
        cursor.records_max = min(BATCH_RECORDS_MAX, cursor.records_max * 2)
        through = min(ack.acked_through, max(sent_through, outbox.acked_through))
        if through > outbox.acked_through:
            try:
                await outbox.ack(through)
            except OSError as error:
                log.error("the acknowledgement of %s through %d cannot be kept: %s", outbox, through, error)
        self._count_elsewhere()
        for target, done in self._flushes:
            if self._journal.acked_through >= target and not done.done():
                done.set_result(None)
        if records and not has_progress:
            return self._failed(
                Unreachable(f"the collector acknowledged {ack.acked_through} only, of {sent_through} that were sent")
            )
        return 0.0

    async def _keep_dead_letters(self, cursor: OutboxCursor, ack: Ack, records: list[UsageRecord]) -> None:
        """Rejected records become dead letters, however long the disk takes, before they count as acknowledged.

        One that is rejected above a gap comes again with the rest, and counts then.
        """
        if not ack.rejected:
            return
        by_seq = {record.seq: record for record in records if cursor.next_seq <= record.seq <= ack.acked_through}
        letters = [
            DeadLetter(one.reason[:REASON_CHARS_MAX], fitted(by_seq[one.seq])) for one in ack.rejected if one.seq in by_seq
        ]
        self.rejected_total += len(letters)
        if cursor is self._own:
            self._credit.unsettle([letter.record for letter in letters])
        backoff = self._backoff.another()
        while letters:
            try:
                await asyncio.to_thread(self.dead_letters.keep, letters)
                log.error("%d records were rejected by the collector, the first because: %s", len(letters), letters[0].reason)
                return
            except OSError as error:
                log.error("dead letters cannot be kept: %s", error)
                await backoff.pause(backoff.fail(), self._urgent)

    def _failed(self, error: Unreachable | Refused) -> float:
        """How long to wait. What is refused stays, since what is wrong may be put right at the collector."""
        self.outage.report(error, is_first=not self._backoff.failures)
        return self._wait_s(error.retry_after_s if isinstance(error, Unreachable) else None)

    def _wait_s(self, retry_after_s: float | None) -> float:
        self.failures_total += 1
        return self._backoff.fail(retry_after_s)

    def _count_elsewhere(self) -> None:
        self._journal.bytes_elsewhere = sum(
            cursor.outbox.pending_bytes for cursor in self._old if isinstance(cursor.outbox, OldEpoch)
        )
