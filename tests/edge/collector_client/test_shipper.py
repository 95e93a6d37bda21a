"""The shipper between a real journal in memory and a collector that is scripted: bounds, order, refusals, and an end that is
complete.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec
import pytest

from edge.collector_client.backoff import MOST_S, Backoff, Pause
from edge.collector_client.outage import STALLED_S
from edge.collector_client.outbox import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from edge.collector_client.shipper import Shipper
from edge.journal import Journal
from edge.journal.files.line import parse
from edge.journal.recovery.dead_letters import DeadLetter
from edge.journal.recovery.recovery import Recovery
from edge.tasks import Tasks
from tests.disks import FaultyDisk, RememberingDisk
from tests.edge.generations import gen_id, intent, record
from tests.patience import PATIENCE_S, until
from usage.protocol import (
    Ack,
    Acquire,
    Acquired,
    Batch,
    Boot,
    Booted,
    Close,
    Closed,
    Poll,
    Polled,
    Refused,
    Rejected,
    Return,
    Returned,
    Unreachable,
)
from usage.record import UsageRecord

Reply = Callable[[Batch], Ack]


class ScriptedCollector:
    """Takes records by number; `script` holds what the next batches meet: an exception, or a function that answers."""

    def __init__(self, *script: Exception | Reply) -> None:
        self.script = list(script)
        self.batches: list[Batch] = []
        self.charged: dict[str, int] = {}
        self.acked: dict[int, int] = {}
        self.closed: list[Close] = []
        self.records_max = 10_000

    async def boot(self, message: Boot) -> Booted:
        raise NotImplementedError

    async def acquire(self, message: Acquire) -> Acquired:
        raise NotImplementedError

    async def give_back(self, message: Return) -> Returned:
        raise NotImplementedError

    async def poll(self, message: Poll) -> Polled:
        raise NotImplementedError

    async def ingest(self, message: Batch) -> Ack:
        await asyncio.sleep(0)
        self.batches.append(message)
        if len(message.records) > self.records_max:
            raise Refused("too_large", "too large")
        if self.script:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step(message)
        return self.take(message)

    def take(self, message: Batch) -> Ack:
        acked = self.acked.setdefault(message.epoch, 0)
        for one in message.records:
            self.charged.setdefault(one.gen_id, one.cost_nano)
            if one.seq == acked + 1:
                acked = one.seq
        self.acked[message.epoch] = acked
        return Ack(acked)

    async def close(self, message: Close) -> Closed:
        self.closed.append(message)
        acked = self.acked.get(message.epoch, 0)
        return Closed(acked >= message.final_seq, acked)


class Pauses:
    """A pause that takes no time: it moves the clock."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    async def pause(self, delay_s: float, event: asyncio.Event) -> None:
        self.now_s += delay_s
        await asyncio.sleep(0)


class Leases:
    """What holds the leases, as far as the shipper sees it."""

    def __init__(self, renewals: Callable[[], tuple[Acquire, ...]] = tuple) -> None:
        self.renewals = renewals
        self.is_answered = asyncio.Event()
        self.unsettled: list[str] = []

    def on_ack(self, ack: Ack) -> None:
        self.is_answered.set()

    def unsettle(self, records: Iterable[UsageRecord]) -> None:
        self.unsettled += [record.gen_id for record in records]


@asynccontextmanager
async def shipping(
    journal: Journal,
    collector: ScriptedCollector,
    leases: Leases | None = None,
    pause: Pause | None = None,
    clock: Callable[[], float] | None = None,
    tell_s: float = 1e9,
) -> AsyncIterator[Shipper]:
    tasks = Tasks()
    pauses = Pauses()
    backoff = Backoff(lambda: 1.0, pause or pauses.pause)
    shipper = Shipper(journal, collector, tasks, leases or Leases(), tell_s=tell_s, clock=clock or pauses.clock, backoff=backoff)
    shipper.start()
    try:
        yield shipper
    finally:
        await tasks.drain(0)


def open_journal(disk: RememberingDisk | None = None, epoch: int = 1, window_bytes: int = 2 << 20) -> Journal:
    disk = disk or RememberingDisk()
    return Journal.open("/j", "node", epoch, disk=disk, segment_bytes=100_000, window_bytes=window_bytes)


def settle(journal: Journal, first: int, last: int) -> None:
    for number in range(first, last + 1):
        journal.intent(intent(number))
        journal.settle(record(number, journal.next_seq(), epoch=journal.epoch))
    journal.sync_now()


@pytest.mark.anyio
async def test_idle_shipper_tells_by_when_the_collector_has_everything() -> None:
    """Never while something that was settled is not in the batch; an empty batch says it when nothing happens."""
    journal, collector = open_journal(), ScriptedCollector()
    settle(journal, 1, 2600)
    async with shipping(journal, collector, tell_s=15.0):
        await until(lambda: sum(not batch.records for batch in collector.batches) >= 2)
    claims = [(batch.records[-1].seq if batch.records else 2600, batch.complete_ms) for batch in collector.batches]
    assert [seq for seq, claim in claims if claim] == [2600] * (len(claims) - claims.index(next(one for one in claims if one[1])))
    assert all(not claim for seq, claim in claims if seq < 2600)


@pytest.mark.anyio
async def test_batches_are_bounded_and_in_order() -> None:
    """2,600 records go in batches within their bounds, each number once, and are acknowledged."""
    journal, collector = open_journal(), ScriptedCollector()
    settle(journal, 1, 2600)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
    assert [one.seq for batch in collector.batches for one in batch.records] == list(range(1, 2601))
    assert max(len(batch.records) for batch in collector.batches) <= BATCH_RECORDS_MAX
    assert max(len(msgspec.json.encode(batch)) for batch in collector.batches) <= BATCH_BYTES_MAX
    assert (journal.acked_through, journal.pending_records) == (2600, 0)


@pytest.mark.anyio
async def test_idle_shipper_sends_nothing_but_renewals() -> None:
    """Without records and renewals there is no call; with a renewal there is one, and its answer is handed on."""
    journal, collector = open_journal(), ScriptedCollector()
    asked: list[int] = []
    wanted: list[tuple[Acquire, ...]] = []

    def renewals() -> tuple[Acquire, ...]:
        asked.append(1)
        return wanted.pop() if wanted else ()

    async with shipping(journal, collector, leases := Leases(renewals)):
        await until(lambda: len(asked) >= 5)
        assert collector.batches == []
        wanted.append((Acquire("node", 1, "grant", "digest", 100),))
        await leases.is_answered.wait()
    assert [(batch.records, len(batch.renew)) for batch in collector.batches] == [((), 1)]


@pytest.mark.anyio
async def test_unreachable_collector_is_tried_without_end() -> None:
    """Lost requests and lost answers: all is sent until all is acknowledged, and each generation is charged once."""
    collector = ScriptedCollector()

    def lose_answer(batch: Batch) -> Ack:
        collector.take(batch)
        raise Unreachable("answer lost")

    collector.script += [Unreachable("down")] * 20
    collector.script += [lose_answer, lose_answer]
    journal = open_journal()
    settle(journal, 1, 10)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
        assert shipper.failures_total == 22
    assert len(collector.charged) == 10
    assert sum(collector.charged.values()) == sum(record(n, n).cost_nano for n in range(1, 11))


def test_backoff_has_full_jitter_and_obeys() -> None:
    """Half a second at first, a minute at most, never sooner than the collector asked for."""
    backoff = Backoff(lambda: 1.0)
    waits_s = [backoff.fail() for _ in range(10_000)]
    assert [waits_s[failures - 1] for failures in (1, 2, 3, 7, 8, 10_000)] == [0.5, 1, 2, 32, 60, MOST_S]
    backoff.recover()
    assert backoff.fail() == 0.5
    assert Backoff(lambda: 0.0).fail() == 0
    assert Backoff(lambda: 0.5).another().fail(7.0) == 7.25


@pytest.mark.anyio
async def test_batch_too_large_is_halved_until_it_passes() -> None:
    """413: the same records in smaller batches, and larger ones again when those pass."""
    journal, collector = open_journal(), ScriptedCollector()
    collector.records_max = 60
    settle(journal, 1, 300)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
    sizes = [len(batch.records) for batch in collector.batches]
    assert sizes[:4] == [300, 150, 75, 37]
    assert collector.acked == {1: 300}


@pytest.mark.anyio
async def test_rejected_record_is_a_dead_letter_and_the_others_pass() -> None:
    """One of 500 is poisoned: it is kept with the reason, durably, before its acknowledgement; 499 are charged."""
    disk = FaultyDisk()
    journal, collector = open_journal(disk), ScriptedCollector()
    settle(journal, 1, 400)

    def reject(batch: Batch) -> Ack:
        disk.refuse["sync"] = errno.ENOSPC
        return Ack(batch.records[-1].seq, rejected=(Rejected(7, gen_id(7), "no such account"),))

    collector.script = [reject]
    async with shipping(journal, collector) as shipper:
        await until(lambda: disk.refused_total >= 3)
        assert journal.acked_through == 0
        disk.refuse = {}
        assert await shipper.flush(PATIENCE_S)
        assert shipper.dead_letters.total == 1
    lines = disk.read("/j/node/dead.log", 0, 1 << 20).splitlines()
    letters = [msgspec.json.decode(json, type=DeadLetter) for line in lines if line and (json := parse(line))]
    assert {(letter.reason, letter.record.gen_id) for letter in letters} == {("no such account", gen_id(7))}


@pytest.mark.anyio
async def test_acknowledgement_beyond_what_was_sent_is_not_believed() -> None:
    """A collector that is mistaken about an epoch cannot make the edge forget what it never sent."""
    collector = ScriptedCollector()
    collector.script = [lambda batch: Ack(collector.take(batch).acked_through + 1_000_000)]
    journal = open_journal()
    settle(journal, 1, 900)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
    assert [one.seq for batch in collector.batches for one in batch.records] == list(range(1, 901))


@pytest.mark.anyio
async def test_collector_restored_from_a_backup_gets_the_numbers_again() -> None:
    """A collector that went back is sent what is still here, and for the rest records that charge nobody, so that it can go
    on."""
    journal, collector = open_journal(), ScriptedCollector()
    async with shipping(journal, collector) as shipper:
        settle(journal, 1, 600)
        assert await shipper.flush(PATIENCE_S)
        collector.acked[1] = 20
        settle(journal, 601, 610)
        assert await shipper.flush(PATIENCE_S)
        await until(lambda: collector.acked[1] >= 610)
    assert len({gen for gen in collector.charged if gen.startswith("gen-")}) == 610


@pytest.mark.anyio
@pytest.mark.parametrize("code", ["bad_node_token", "invalid", "fenced"])
async def test_refusal_is_reported_once_and_keeps_the_data(code: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the collector refuses, it is said once, tried on, and delivered when it is put right."""
    journal, collector = open_journal(), ScriptedCollector(*[Refused(code, "no")] * 5)
    settle(journal, 1, 3)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
    assert [line for line in caplog.messages if "refuses" in line] == [f"the collector refuses usage records: no ({code})"]
    assert len(collector.charged) == 3


@pytest.mark.anyio
async def test_fenced_epoch_ships_facts_without_renewals() -> None:
    """When a newer process has taken over, facts still pass; what is refused is asking for credit."""

    def fence(batch: Batch) -> Ack:
        if batch.renew:
            raise Refused("fenced", "a newer epoch")
        return collector.take(batch)

    collector = ScriptedCollector(*[fence] * 3)
    journal = open_journal()
    settle(journal, 1, 3)
    leases = Leases(lambda: (Acquire("node", 1, "g", "d", 1),))
    async with shipping(journal, collector, leases) as shipper:
        assert await shipper.flush(PATIENCE_S)
    assert [len(batch.renew) for batch in collector.batches] == [1, 0]


@pytest.mark.anyio
async def test_flush_gives_up_in_time() -> None:
    """A flush does not outlast its time when the collector is away."""
    journal, collector = open_journal(), ScriptedCollector(*[Unreachable("down")] * 100_000)
    settle(journal, 1, 3)
    async with shipping(journal, collector) as shipper:
        assert not await shipper.flush(0.02)
    assert journal.pending_records == 3


@pytest.mark.anyio
async def test_adopted_epoch_is_shipped_closed_and_removed() -> None:
    """What a dead process left, its orphan included, goes the same way beside the running epoch, and then nothing is left."""
    disk = RememberingDisk()
    dead = open_journal(disk, epoch=1)
    settle(dead, 1, 700)
    dead.intent(intent(701))
    image = disk.after_kill()
    journal, collector = open_journal(image, epoch=2), ScriptedCollector()
    settle(journal, 1001, 1010)
    old = Recovery("/j", "node", disk=image, pause=lambda: None).adopt(1)
    assert old is not None
    async with shipping(journal, collector) as shipper:
        shipper.adopt(old)
        assert journal.bytes_elsewhere > 0
        assert await shipper.flush(PATIENCE_S)
        await until(lambda: not image.exists("/j/node/1") and not journal.bytes_elsewhere)
    assert collector.closed == [Close("node", 1, 701)]
    assert collector.acked == {1: 701, 2: 10}
    assert len(collector.charged) == 711


@pytest.mark.anyio
async def test_adopted_backlog_is_shipped_without_a_pause() -> None:
    """While an old epoch has records, no batch of it waits for the interval of the running one."""
    disk = RememberingDisk()
    settle(open_journal(disk, epoch=1), 1, 3000)
    image = disk.after_kill()
    journal, collector, pauses = open_journal(image, epoch=2), ScriptedCollector(), Pauses()
    old = Recovery("/j", "node", disk=image, pause=lambda: None).adopt(1)
    assert old is not None
    paused: list[float] = []

    async def pause(delay_s: float, event: asyncio.Event) -> None:
        paused.append(old.acked_through)
        await pauses.pause(delay_s, event)

    def ticking() -> float:
        pauses.now_s += 0.3
        return pauses.now_s

    async with shipping(journal, collector, pause=pause, clock=ticking) as shipper:
        shipper.adopt(old)
        await until(lambda: not journal.bytes_elsewhere)
    assert {through for through in paused if 0 < through < 3000} == set()


@pytest.mark.anyio
async def test_drain_leaves_nothing_behind() -> None:
    """A shutdown in peace: flushed, closed at the collector, folder gone.

    With the collector away, all stays for the next start.
    """
    disk = RememberingDisk()
    journal, collector = open_journal(disk), ScriptedCollector()
    settle(journal, 1, 5)
    async with shipping(journal, collector) as shipper:
        assert await shipper.drain(5)
    assert collector.closed == [Close("node", 1, 5)]
    assert disk.names("/j/node") == []

    journal, away = open_journal(disk, epoch=2), ScriptedCollector(*[Unreachable("down")] * 100_000)
    settle(journal, 1, 5)
    async with shipping(journal, away) as shipper:
        assert not await shipper.drain(0.02)
    assert disk.names("/j/node") == ["2"]
    old = Recovery("/j", "node", disk=disk, pause=lambda: None).adopt(2)
    assert old is not None
    assert [one.seq for one in old.read_records(1, 100, 1 << 20)] == [1, 2, 3, 4, 5]


@pytest.mark.anyio
async def test_drain_with_a_running_generation_leaves_the_epoch_open() -> None:
    """An epoch with an unsettled intent must not be closed: the next start settles it first."""
    disk = RememberingDisk()
    journal, collector = open_journal(disk), ScriptedCollector()
    settle(journal, 1, 2)
    journal.intent(intent(3))
    async with shipping(journal, collector) as shipper:
        assert not await shipper.drain(5)
    assert (collector.closed, disk.names("/j/node")) == ([], ["1"])


@pytest.mark.anyio
async def test_rejected_record_is_told_to_its_wallet_once() -> None:
    """The edge takes back what it paid for a record that is charged to nobody; one above a gap counts when it comes again."""

    def reject_above_a_gap(batch: Batch) -> Ack:
        return Ack(4, rejected=(Rejected(3, gen_id(3), "no"), Rejected(7, gen_id(7), "no")))

    def reject_again(batch: Batch) -> Ack:
        return Ack(10, rejected=(Rejected(7, gen_id(7), "no"),))

    journal, collector = open_journal(), ScriptedCollector(reject_above_a_gap, reject_again)
    settle(journal, 1, 10)
    async with shipping(journal, collector, leases := Leases()) as shipper:
        assert await shipper.flush(PATIENCE_S)
        assert shipper.rejected_total == 2
    assert leases.unsettled == [gen_id(3), gen_id(7)]


@pytest.mark.anyio
async def test_record_that_alone_is_too_large_goes_without_its_texts() -> None:
    """A record that no collector takes holds up nobody: its charge arrives, and so do those behind it."""

    def refuse_large(batch: Batch) -> Ack:
        if len(msgspec.json.encode(batch)) > 20_000:
            raise Refused("too_large", "a message has at most 20000 bytes")
        return collector.take(batch)

    collector = ScriptedCollector(*[refuse_large] * 40)
    journal = open_journal()
    journal.settle(record(1, 1))
    journal.settle(record(2, 2, finish_reason="x" * 30_000, error="y" * 500))
    journal.settle(record(3, 3))
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
        assert shipper.shortened_total == 1
    assert set(collector.charged) == {gen_id(1), gen_id(2), gen_id(3)}
    [shortened] = [one for batch in collector.batches for one in batch.records if one.seq == 2 and len(one.finish_reason) < 200]
    assert (shortened.cost_nano, shortened.finish_reason, shortened.error) == (record(2, 2).cost_nano, "x" * 128, "y" * 128)


@pytest.mark.anyio
async def test_record_that_the_journal_cannot_yield_is_sent_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    """A line that was damaged on the disk of a running process costs itself, not all that was settled after it."""
    disk = RememberingDisk()
    journal, collector = open_journal(disk, window_bytes=600), ScriptedCollector()
    settle(journal, 1, 9)
    assert journal.sync_now()
    path = "/j/node/1/00000001.log"
    settlement = disk.read(path, 0, 1 << 20).index(b'{"s":{"gen_id":"' + gen_id(4).encode())
    fd = disk.open_in_place(path)
    disk.write_at(fd, b"???", settlement + 40)
    disk.close(fd)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
        assert shipper.lost_total == 1
    assert [record.getMessage()[:34] for record in caplog.records if "cannot be read" in record.getMessage()] == [
        "record 4 of <Journal node/1 settle"
    ]
    assert collector.acked == {1: 9}
    assert {gen for gen in collector.charged if gen.startswith("gen-")} == {gen_id(number) for number in range(1, 10)} - {
        gen_id(4)
    }


@pytest.mark.anyio
async def test_lane_that_is_refused_for_a_minute_says_so() -> None:
    """A collector that answers and takes nothing does not mend by waiting: no more work is taken, until it takes records
    again."""
    journal, collector = open_journal(), ScriptedCollector(*[Refused("invalid", "no")] * 12)
    settle(journal, 1, 3)
    seen: list[tuple[bool, float]] = []

    def look(batch: Batch) -> Ack:
        seen.append((shipper.outage.is_lasting, shipper.outage.age_s))
        return collector.take(batch)

    collector.script.append(look)
    async with shipping(journal, collector) as shipper:
        assert await shipper.flush(PATIENCE_S)
        assert (shipper.outage.is_lasting, shipper.outage.age_s) == (False, 0.0)
    [(was_lasting, failing_s)] = seen
    assert was_lasting
    assert failing_s >= STALLED_S
