"""Recovery from real files: a child that is killed while it writes, damaged bytes, living siblings, the status of a folder."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge.journal import Journal
from edge.journal.files.disk import Disk
from edge.journal.files.folder import lock_epoch
from edge.journal.files.line import parse
from edge.journal.files.segment import read_lines
from edge.journal.recovery import recovery as recovery_module
from edge.journal.recovery.old_epoch import OldEpoch
from edge.journal.recovery.recovery import Recovery
from edge.journal.status import status
from tests.edge.generations import gen_id, intent, record
from tests.patience import PATIENCE_S, until
from usage.pricing import cost_nano
from usage.record import Tokens, UsageRecord

ROOT = Path(__file__).parents[4]

CHILD = """
import sys
from edge.journal import Journal
from tests.edge.generations import gen_id, intent, record
from usage.record import Tokens

journal = Journal.open(sys.argv[1], "node", 1, segment_bytes=20_000)
number = 0
while True:
    number += 1
    journal.intent(intent(number))
    print("i", number, flush=True)
    journal.progress(gen_id(number), Tokens(10, number % 50))
    if number % 3:
        settled = record(number, journal.next_seq())
        journal.settle(settled)
        print("s", number, flush=True)
    if number % 20 == 0:
        journal.sync_now()
        journal.ack_now(journal.settled_seq - 5)
"""


def recovery(root: Path) -> Recovery:
    return Recovery(str(root), "node", pause=lambda: None)


def adopted(root: Path, epoch: int = 1) -> OldEpoch:
    old = recovery(root).adopt(epoch)
    assert old is not None
    return old


def read_all(old: OldEpoch) -> list[UsageRecord]:
    found: list[UsageRecord] = []
    while old.acked_through + len(found) < old.settled_seq:
        found += old.read_records(old.acked_through + 1 + len(found), 100, 1 << 20)
    return found


def write_epoch(root: Path, *, settled: int, running: int = 0, epoch: int = 1) -> None:
    """An epoch as a process leaves it that died after everything had been written."""
    journal = Journal.open(str(root), "node", epoch, segment_bytes=3_000)
    for number in range(1, settled + 1):
        journal.intent(intent(number))
        journal.settle(record(number, journal.next_seq(), epoch=epoch))
    for number in range(settled + 1, settled + running + 1):
        journal.intent(intent(number))
    journal.close()


@pytest.mark.parametrize("lines", [3, 40, 200])
def test_killed_child_loses_and_doubles_nothing(tmp_path: Path, lines: int) -> None:
    """kill -9 between any two instructions: every intent and settlement that was announced is there, each generation once."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().split() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        said += [line.split() for line in child.stdout.read().splitlines() if len(line.split()) == 2]
    old = adopted(tmp_path)
    found = read_all(old)
    by_gen = {one.gen_id: one for one in found}
    assert len(by_gen) == len(found)
    assert [one.seq for one in found] == list(range(old.acked_through + 1, old.settled_seq + 1))
    settled = [gen_id(int(number)) for kind, number in said if kind == "s"]
    for seq, gen in enumerate(settled, start=1):
        assert seq <= old.acked_through or by_gen[gen].end_reason == "completed"
    for gen in {gen_id(int(number)) for kind, number in said if kind == "i"} - set(settled):
        assert by_gen[gen].end_reason == "orphaned" or by_gen[gen].seq > len(settled)
    old.close(remove=True)
    assert [name for name in os.listdir(tmp_path / "node") if name != "quarantine"] == []


def test_orphan_is_charged_its_last_mark(tmp_path: Path) -> None:
    """The last mark decides; without one, nothing is charged."""
    journal = Journal.open(str(tmp_path), "node", 1)
    for number in (1, 2):
        journal.intent(intent(number))
    journal.progress(gen_id(1), Tokens(10, 5))
    journal.progress(gen_id(1), Tokens(10, 9))
    journal.close()
    marked, unmarked = read_all(adopted(tmp_path))
    assert (marked.tokens, marked.cost_nano) == (Tokens(10, 9), cost_nano(Tokens(10, 9), marked.rates))
    assert (unmarked.tokens, unmarked.cost_nano) == (Tokens(), 0)
    assert {(one.end_reason, one.usage_source, one.purse) for one in (marked, unmarked)} == {("orphaned", "estimated", "acc")}


def test_orphan_is_of_the_surface_that_was_called(tmp_path: Path) -> None:
    """Its intent says so; one of before there were others is of Chat."""
    journal = Journal.open(str(tmp_path), "node", 1)
    journal.intent(intent(1))
    journal.intent(msgspec.structs.replace(intent(2), surface="messages"))
    journal.close()
    assert [one.surface for one in read_all(adopted(tmp_path))] == ["chat", "messages"]


def test_mark_stands_when_the_one_behind_a_repeated_intent_was_torn_off(tmp_path: Path) -> None:
    """An intent is written again when its segment is let go, with its mark behind it; a power cut that takes that mark alone
    leaves the one from before."""
    journal = Journal.open(str(tmp_path), "node", 1)
    journal.intent(intent(1))
    journal.progress(gen_id(1), Tokens(10, 9))
    journal.intent(intent(1))
    journal.close()
    (orphan,) = read_all(adopted(tmp_path))
    assert orphan.tokens == Tokens(10, 9)


def test_living_sibling_is_left_alone(tmp_path: Path) -> None:
    """An epoch whose process lives is not adopted; once it has died, it is."""
    sibling = Journal.open(str(tmp_path), "node", 1)
    sibling.intent(intent(1))
    assert recovery(tmp_path).adopt(1) is None
    [live] = status(str(tmp_path))
    assert (live.live, live.orphans) == (True, 1)
    sibling.close()
    assert adopted(tmp_path).orphans == 1


def test_adopted_epoch_is_adopted_once(tmp_path: Path) -> None:
    """Two processes that find the same dead sibling do not both ship it; when one of them dies too, the other can."""
    write_epoch(tmp_path, settled=1, running=1)
    first = adopted(tmp_path)
    assert recovery(tmp_path).adopt(1) is None
    first.close(remove=False)
    second = adopted(tmp_path)
    assert (second.settled_seq, second.orphans) == (2, 0)


@pytest.mark.parametrize("seed", range(30))
def test_damage_is_quarantined_and_numbers_stay_whole(tmp_path: Path, seed: int) -> None:
    """Bytes changed anywhere: no wrong record is believed, each damaged line is kept, and the numbers have no gap."""
    write_epoch(tmp_path, settled=30, running=3)
    dice = random.Random(seed)
    files = [path for path in sorted((tmp_path / "node" / "1").glob("*.log")) if path.stat().st_size]
    for _ in range(dice.randint(1, 3)):
        file = dice.choice(files)
        data = bytearray(file.read_bytes())
        start = dice.randrange(len(data))
        for position in range(start, min(start + dice.randint(1, 700), len(data))):
            data[position] ^= dice.randint(1, 255)
        file.write_bytes(data)
    old = adopted(tmp_path)
    found = read_all(old)
    assert [one.seq for one in found] == list(range(1, old.settled_seq + 1))
    assert len({one.gen_id for one in found}) == len(found)
    for one in found:
        if one.end_reason == "completed":
            assert one == record(int(one.gen_id[4:]), one.seq)
    torn = sum(item.torn for item in status(str(tmp_path)))
    assert old.quarantined + torn > 0
    kept = (tmp_path / "node" / "quarantine" / "1.log").read_bytes() if old.quarantined else b""
    assert kept.count(b"\n") == old.quarantined
    old.close(remove=False)
    assert read_all(adopted(tmp_path)) == found, "a second recovery must come to the same end"


def test_settlement_that_was_damaged_is_settled_again_in_its_place(tmp_path: Path) -> None:
    """The intent of a damaged settlement is an orphan; it takes the number that is missing."""
    write_epoch(tmp_path, settled=3)
    [path] = (tmp_path / "node" / "1").glob("*.log")
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"seq":2,', b'"seq":7,'))
    found = read_all(adopted(tmp_path))
    assert [(one.seq, one.gen_id, one.end_reason) for one in found] == [
        (1, gen_id(1), "completed"),
        (2, gen_id(2), "orphaned"),
        (3, gen_id(3), "completed"),
    ]


def test_number_without_anything_left_is_filled(tmp_path: Path) -> None:
    """Intent and settlement both gone: a record that charges nobody keeps the numbers whole."""
    write_epoch(tmp_path, settled=3)
    [path] = (tmp_path / "node" / "1").glob("*.log")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if gen_id(2).encode() not in line))
    lost = read_all(adopted(tmp_path))[1]
    assert (lost.seq, lost.gen_id, lost.cost_nano, lost.account) == (2, "lost-node-1-2", 0, "")


def test_status_counts_what_is_there(tmp_path: Path) -> None:
    """The figures of `tollway journal status`, of a dead epoch and of none."""
    assert status(str(tmp_path / "none")) == []
    write_epoch(tmp_path, settled=20, running=2)
    [facts] = status(str(tmp_path))
    assert (facts.records, facts.seq_last, facts.pending, facts.orphans, facts.live) == (20, 20, 20, 2, False)
    assert facts.segments > 2
    assert facts.bytes == sum(path.stat().st_size for path in (tmp_path / "node" / "1").glob("*.log"))


def test_removal_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    """A folder that lost its name but not its files is nobody's epoch, and goes with the next recovery."""
    write_epoch(tmp_path, settled=1)
    (tmp_path / "node" / "1").rename(tmp_path / "node" / ".closed-1")
    assert recovery(tmp_path).epochs() == []
    assert list((tmp_path / "node").iterdir()) == []


def test_every_line_of_a_segment_is_read_in_pieces(tmp_path: Path) -> None:
    """Offsets of lines are where they end, also across the pieces in which a large file is read."""
    write_epoch(tmp_path, settled=30)
    path = next((tmp_path / "node" / "1").glob("*.log"))
    ends = [end for end, line, json in read_lines(Disk(), str(path)) if parse(line) == json]
    data = path.read_bytes()
    assert ends == [index + 1 for index, byte in enumerate(data) if byte == 10]


class CountingDisk(Disk):
    """Counts who wants a lock."""

    tries = 0

    def lock(self, path: str) -> int | None:
        self.tries += 1
        return super().lock(path)


def test_epoch_that_somebody_held_for_a_moment_is_adopted_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`journal status` holds the lock while it looks, and a process until it is dead: that costs no whole round."""
    monkeypatch.setattr(recovery_module, "RETRY_S", 0.01)
    write_epoch(tmp_path, settled=3)
    disk = CountingDisk()
    found: list[OldEpoch] = []
    held = lock_epoch(disk, f"{tmp_path}/node/1")
    assert held is not None

    async def look() -> None:
        looking = asyncio.create_task(Recovery(str(tmp_path), "node", disk=disk).run(2, found.append, rescan_s=PATIENCE_S * 2))
        await until(lambda: disk.tries > 1)
        assert not found
        disk.close(held)
        await until(lambda: found)
        looking.cancel()

    asyncio.run(look())
    assert [old.epoch for old in found] == [1]
