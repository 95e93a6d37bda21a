"""The journal of a living process: order, limits, acknowledgements, and a disk that refuses each kind of call."""

import asyncio
import errno
import inspect
import os
import random
from pathlib import Path
from typing import Any

import pytest

from edge.journal import EpochInUse, Intent, Journal, JournalUnavailable, record_of
from edge.journal.recovery.recovery import Recovery
from edge.journal.status import status
from edge.settings import Durability
from tests.disks import FaultyDisk, RememberingDisk
from tests.edge.generations import gen_id, intent, record
from tests.patience import PATIENCE_S, until
from usage.record import Tokens, UsageRecord

ALL = 1 << 20


def open_journal(
    disk: RememberingDisk,
    *,
    durability: Durability = "group",
    segment_bytes: int = 16 << 20,
    bytes_max: int = 1 << 30,
    window_bytes: int = 4 << 20,
) -> Journal:
    return Journal.open(
        "/j",
        "node",
        1,
        disk=disk,
        durability=durability,
        segment_bytes=segment_bytes,
        bytes_max=bytes_max,
        window_bytes=window_bytes,
    )


def run_generation(journal: Journal, number: int) -> None:
    journal.intent(intent(number))
    journal.settle(record(number, journal.next_seq()))


def admit(journal: Journal, number: int) -> bool:
    try:
        journal.intent(intent(number))
    except JournalUnavailable:
        return False
    return True


def recovered(disk: RememberingDisk) -> list[UsageRecord]:
    """What the next process finds of epoch 1."""
    old = Recovery("/j", "node", disk=disk, pause=lambda: None).adopt(1)
    assert old is not None
    found: list[UsageRecord] = []
    while batch := old.read_records(old.acked_through + 1 + len(found), ALL, ALL):
        found += batch
    return found


def test_journal_reads_what_was_settled() -> None:
    """Records come back in order once they are durable, and not before."""
    journal = open_journal(RememberingDisk())
    for number in range(1, 6):
        run_generation(journal, number)
    assert journal.read_records(1, ALL, ALL) == []
    journal.sync_now()
    assert [one.gen_id for one in journal.read_records(1, ALL, ALL)] == [gen_id(number) for number in range(1, 6)]
    assert [one.seq for one in journal.read_records(3, 2, ALL)] == [3, 4]
    assert len(journal.read_records(1, ALL, 1)) == 1
    journal.ack_now(4)
    assert (journal.pending_records, journal.read_records(5, ALL, ALL)[0].seq) == (1, 5)


def test_journal_reads_from_segments_what_memory_forgot() -> None:
    """With a small window, the oldest records are read from the files, in one walk, and none is missing between the two."""
    journal = open_journal(RememberingDisk(), segment_bytes=4_000, window_bytes=3_000)
    for number in range(1, 201):
        run_generation(journal, number)
    journal.sync_now()
    found: list[int] = []
    while batch := journal.read_records(len(found) + 1, 7, ALL):
        found += [one.seq for one in batch]
    assert found == list(range(1, 201))


def test_journal_gives_what_one_place_has() -> None:
    """However many are asked for, the first call ends where memory begins, and the second has all the rest."""
    journal = open_journal(RememberingDisk(), window_bytes=3_000)
    for number in range(1, 201):
        run_generation(journal, number)
    journal.sync_now()
    on_disk = [one.seq for one in journal.read_records(1, ALL, ALL)]
    assert 0 < len(on_disk) < 200
    in_memory = [one.seq for one in journal.read_records(on_disk[-1] + 1, ALL, ALL)]
    assert on_disk + in_memory == list(range(1, 201))


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_settle_with_another_seq_than_the_next_is_a_mistake(seq: int) -> None:
    """A gap in the numbers would hold up every later record for ever, and of two with one number one would be lost."""
    journal = open_journal(RememberingDisk())
    journal.settle(record(1, journal.next_seq()))
    with pytest.raises(AssertionError, match=f"numbered {seq} where 2 comes next"):
        journal.settle(record(2, seq))
    journal.settle(record(2, journal.next_seq()))
    journal.sync_now()
    assert [one.seq for one in journal.read_records(1, ALL, ALL)] == [1, 2]


def test_segments_go_when_acknowledged() -> None:
    """A segment is deleted when what it holds is acknowledged; the one in use stays."""
    disk = RememberingDisk()
    journal = open_journal(disk, segment_bytes=2_000)
    for number in range(1, 41):
        run_generation(journal, number)
    journal.sync_now()
    before = [name for name in disk.names("/j/node/1") if name.endswith(".log")]
    journal.ack_now(40)
    assert len(before) > 5
    assert [name for name in disk.names("/j/node/1") if name.endswith(".log")] == before[-1:]


def test_segments_with_a_running_intent_stay() -> None:
    """A generation that runs on keeps its intent, until that has been written again and is durable there."""
    disk = RememberingDisk()
    journal = open_journal(disk, segment_bytes=2_000)
    journal.intent(intent(999))
    journal.progress(gen_id(999), Tokens(prompt=10, completion=5))
    for number in range(1, 41):
        run_generation(journal, number)
    journal.sync_now()
    journal.ack_now(40)
    assert disk.exists("/j/node/1/00000001.log")
    journal.sync_now()
    journal.ack_now(40)
    assert not disk.exists("/j/node/1/00000001.log")
    [orphan] = recovered(disk.after_kill())
    assert (orphan.gen_id, orphan.tokens.completion, orphan.seq) == (gen_id(999), 5, 41)


def test_cap_sheds_marks_then_intents_never_settlements() -> None:
    """Near its limit the journal stops marking, then admitting, and still takes every settlement of what it admitted."""
    journal = open_journal(RememberingDisk(), bytes_max=60_000)
    admitted = 0
    while admit(journal, admitted):
        admitted += 1
    with pytest.raises(JournalUnavailable, match="60000 bytes"):
        journal.intent(intent(admitted))
    for number in range(admitted):
        journal.settle(record(number, journal.next_seq()))
    assert journal.settled_seq == admitted
    assert journal.pending_bytes <= 60_000
    journal.bytes_elsewhere = 60_000
    journal.progress(gen_id(0), Tokens(1, 1))
    journal.sync_now()
    journal.ack_now(admitted)
    assert journal.marks_shed_total == 0, "a mark of a settled generation is nothing to shed"


def test_epoch_in_use_is_refused(tmp_path: Path) -> None:
    """The number of an epoch that has a folder is not used again, whoever gave it out."""
    journal = Journal.open(str(tmp_path), "node", 3)
    with pytest.raises(EpochInUse):
        Journal.open(str(tmp_path), "node", 3)
    journal.close()


@pytest.mark.parametrize("node", ["", ".", "../x", "a/b", ".x"])
def test_node_name_that_is_no_folder_is_refused(tmp_path: Path, node: str) -> None:
    """A node's name cannot lead out of the journal's folder."""
    with pytest.raises(ValueError, match="node name"):
        Journal.open(str(tmp_path), node, 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("durability", ["os", "group", "strict"])
def test_refused_write_refuses_intents_and_keeps_settlements(number: int, durability: Durability) -> None:
    """While the disk refuses, nothing is admitted and nothing is lost; when it is back, all is written, in order, once."""
    disk = FaultyDisk()
    journal = open_journal(disk, durability=durability)
    journal.intent(intent(1))
    journal.intent(intent(2))
    disk.refuse["write"] = number
    with pytest.raises(JournalUnavailable, match="refuses"):
        journal.intent(intent(3))
    journal.settle(record(1, journal.next_seq()))
    assert not journal.sync_now()
    assert journal.read_records(1, ALL, ALL) == []
    del disk.refuse["write"]
    with pytest.raises(JournalUnavailable):
        journal.intent(intent(3))
    assert journal.sync_now()
    journal.intent(intent(3))
    journal.settle(record(2, journal.next_seq()))
    journal.sync_now()
    assert [one.gen_id for one in journal.read_records(1, ALL, ALL)] == [gen_id(1), gen_id(2)]
    assert [(one.gen_id, one.end_reason) for one in recovered(disk.after_kill())] == [
        (gen_id(1), "completed"),
        (gen_id(2), "completed"),
        (gen_id(3), "orphaned"),
    ]


@pytest.mark.parametrize("short_bytes", [0, 1, 8, 9, 50, 200])
def test_short_write_is_never_followed_on_its_line(short_bytes: int) -> None:
    """A line that the disk took in part stays the last of its file: torn, not damage; its settlement is written elsewhere."""
    disk = FaultyDisk()
    journal = open_journal(disk)
    journal.intent(intent(1))
    disk.short_bytes = short_bytes
    journal.settle(record(1, journal.next_seq()))
    assert journal.failure
    assert journal.sync_now()
    run_generation(journal, 2)
    journal.sync_now()
    image = disk.after_kill()
    [facts] = status("/j", disk=image)
    assert (facts.quarantined, facts.torn, facts.orphans) == (0, int(short_bytes > 0), 0)
    assert [one.gen_id for one in recovered(image)] == [gen_id(1), gen_id(2)]


def test_failed_sync_is_not_believed_the_second_time() -> None:
    """After a failed sync the kernel forgets the pages: all that was unsynced goes to a new segment, durably, first."""
    disk = FaultyDisk()
    journal = open_journal(disk, durability="strict")
    journal.intent(intent(1))
    journal.intent(intent(2))
    journal.settle(record(1, journal.next_seq()))
    disk.refuse["sync"] = errno.EIO
    assert not journal.sync_now()
    with pytest.raises(JournalUnavailable):
        journal.intent(intent(3))
    del disk.refuse["sync"]
    assert journal.shippable_seq == 0
    assert journal.sync_now()
    assert journal.shippable_seq == 1
    for seed in range(20):
        found = recovered(disk.after_power_cut(random.Random(seed)))
        assert [(one.gen_id, one.end_reason) for one in found] == [(gen_id(1), "completed"), (gen_id(2), "orphaned")]


def test_failed_sync_that_is_simply_repeated_is_caught() -> None:
    """The wrong variant: syncing the same file again says "durable", and the power cut shows that nothing was."""
    disk = FaultyDisk()
    journal = open_journal(disk, durability="strict")
    journal.intent(intent(1))
    journal.settle(record(1, journal.next_seq()))
    disk.refuse["sync"] = errno.EIO
    journal.sync_now()
    del disk.refuse["sync"]
    keeper = journal._syncer
    keeper.failure = ""
    assert journal.sync_now()
    assert journal.shippable_seq == 1
    assert recovered(disk.after_power_cut(random.Random(1))) == []


@pytest.mark.parametrize("call", ["create", "sync_folder", "write", "sync"])
def test_beginning_anew_fails_until_it_works(call: str) -> None:
    """Whatever call of the new segment fails, the old state holds and the next attempt starts over."""
    disk = FaultyDisk()
    journal = open_journal(disk)
    journal.intent(intent(1))
    disk.refuse["write"] = errno.ENOSPC
    journal.settle(record(1, journal.next_seq()))
    disk.refuse = {call: errno.EIO}
    for _ in range(3):
        assert not journal.sync_now()
    disk.refuse = {}
    assert journal.sync_now()
    run_generation(journal, 2)
    journal.sync_now()
    assert [one.seq for one in journal.read_records(1, ALL, ALL)] == [1, 2]
    assert [one.gen_id for one in recovered(disk.after_kill())] == [gen_id(1), gen_id(2)]


def test_segment_that_cannot_be_made_leaves_the_old_one_in_use() -> None:
    """Rolling over is not worth a refusal: the old segment grows on."""
    disk = FaultyDisk()
    journal = open_journal(disk, segment_bytes=1_000)
    disk.refuse["create"] = errno.EMFILE
    for number in range(1, 11):
        run_generation(journal, number)
    disk.refuse = {}
    for number in range(11, 21):
        run_generation(journal, number)
    assert journal.sync_now()
    assert len(recovered(disk.after_kill())) == 20


@pytest.mark.parametrize("call", ["write_at", "sync"])
def test_acknowledgement_that_cannot_be_kept_deletes_nothing(call: str) -> None:
    """The number counts in memory; the segments stay until it is durable, which the next acknowledgement tries again."""
    disk = FaultyDisk()
    journal = open_journal(disk, segment_bytes=1_000)
    for number in range(1, 11):
        run_generation(journal, number)
    journal.sync_now()
    before = disk.names("/j/node/1")
    disk.refuse[call] = errno.EIO
    with pytest.raises(OSError, match="EIO"):
        journal.ack_now(10)
    assert (journal.acked_through, disk.names("/j/node/1")) == (10, before)
    disk.refuse = {}
    journal.ack_now(10)
    assert len(disk.names("/j/node/1")) < len(before)


@pytest.mark.anyio
async def test_durable_waits_for_the_disk_only_when_strict(tmp_path: Path) -> None:
    """With "strict" the records are shippable when `durable` returns; with the others it returns at once."""
    for durability in ("os", "group", "strict"):
        journal = Journal.open(str(tmp_path), "node", {"os": 1, "group": 2, "strict": 3}[durability], durability=durability)
        run_generation(journal, 1)
        waiters = [asyncio.ensure_future(journal.durable()) for _ in range(3)]
        await asyncio.gather(*waiters)
        assert journal.shippable_seq == (0 if durability == "group" else 1)
        await journal.aclose()


@pytest.mark.anyio
async def test_group_becomes_shippable_by_itself(tmp_path: Path) -> None:
    """Nobody has to ask: a few milliseconds after an append, it is on disk, and the shipper is told."""
    journal = Journal.open(str(tmp_path), "node", 1)
    told = asyncio.Event()
    journal.on_shippable = told.set
    run_generation(journal, 1)
    async with asyncio.timeout(PATIENCE_S):
        await told.wait()
    assert journal.shippable_seq == 1
    await journal.ack(1)
    await journal.aclose(remove=True)
    assert os.listdir(tmp_path / "node") == []


@pytest.mark.anyio
async def test_disk_that_returns_is_noticed_by_itself() -> None:
    """The journal probes: who waits for durability goes on when the disk is back, and intents are admitted again."""
    disk = FaultyDisk()
    journal = open_journal(disk, durability="strict")
    journal.intent(intent(1))
    disk.refuse["write"] = errno.ENOSPC
    journal.settle(record(1, journal.next_seq()))
    waiting = asyncio.ensure_future(journal.durable())
    await until(lambda: disk.refused_total >= 3)
    assert not waiting.done()
    disk.refuse = {}
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    journal.intent(intent(2))
    assert (journal.shippable_seq, journal.failure) == (1, "")
    await journal.aclose()


def test_settlement_with_a_foreign_text_of_megabytes_is_kept_and_read_again() -> None:
    """A provider's finish_reason of 4 MB loses itself, not the charge: in memory, in the file, and for the next process."""
    disk = RememberingDisk()
    journal = open_journal(disk)
    journal.intent(intent(1))
    poison = record(1, 1, finish_reason="x" * 4_000_000, upstream_id="y" * 2_000_000, user_agent="z" * 300)
    journal.settle(poison)
    run_generation(journal, 2)
    assert journal.sync_now()
    [in_memory, _] = journal.read_records(1, 10, ALL)
    [in_file, behind] = recovered(disk.after_kill())
    assert in_memory == in_file
    assert (in_file.cost_nano, in_file.tokens, in_file.finish_reason) == (poison.cost_nano, poison.tokens, "x" * 128)
    assert behind.gen_id == gen_id(2)


def test_record_has_each_value_under_its_own_name() -> None:
    """They are given by position: what a settlement says of its intent, and of what came of it, stands where it is looked for."""
    promised: Any = Intent(*Intent.__struct_fields__)  # type: ignore[arg-type]
    outcome: dict[str, Any] = {name: name for name in inspect.signature(record_of).parameters if name != "intent"}
    made = record_of(promised, **outcome)
    assert {name: getattr(made, name) for name in UsageRecord.__struct_fields__} == {
        name: name for name in UsageRecord.__struct_fields__
    }
