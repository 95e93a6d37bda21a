"""Crash images: a run of the journal is cut off between any two calls to the disk, by a kill or by a power cut, and recovered.

Strategy: the run notes in the disk's trace what it was promised and when; an image is judged by the notes before its cut only.
The wrong variants at the end show that the judge can say no.
"""

import random
from collections.abc import Callable

import msgspec
import pytest

from edge.journal import Journal
from edge.journal.entries import encode
from edge.journal.files import acknowledged as acked
from edge.journal.files.acknowledged import Acknowledged
from edge.journal.files.line import frame
from edge.journal.files.log import SyncJob
from edge.journal.files.segment import Segment
from edge.journal.recovery.recovery import Recovery
from edge.journal.recovery.scan import Scan
from tests.disks import RememberingDisk, replay
from tests.edge.generations import intent, record
from usage.record import Tokens, UsageRecord

ALL = 1 << 20
OPERATIONS = 200


class Promises(msgspec.Struct):
    """What was promised to the outside before the cut."""

    written: set[str] = msgspec.field(default_factory=set)
    """Intents in the kernel."""
    intents: set[str] = msgspec.field(default_factory=set)
    """Intents that were durable."""
    settled: dict[int, UsageRecord] = msgspec.field(default_factory=dict)
    durable_seq: int = 0
    acked_through: int = 0
    """What the journal said it has kept durably."""
    acked_max: int = 0
    """What the collector had said before."""


def run(seed: int, *, settle_first: bool = False) -> RememberingDisk:
    """A random life of one epoch, its promises noted in the trace."""
    dice = random.Random(seed)
    disk = RememberingDisk()
    journal = Journal.open("/j", "node", 1, disk=disk, segment_bytes=1_500)
    running: list[int] = []
    for number in range(OPERATIONS):
        kind = dice.choice(("intent", "intent", "settle", "settle", "mark", "sync", "ack"))
        if kind == "intent":
            if not settle_first:
                journal.intent(intent(number))
            running.append(number)
            disk.note("intent", intent(number).gen_id)
        elif kind == "settle" and running:
            chosen = running.pop(dice.randrange(len(running)))
            settlement = record(chosen, journal.next_seq(), completion=dice.randrange(100))
            journal.settle(settlement)
            if settle_first:
                journal.intent(intent(chosen))
            disk.note("settled", settlement)
        elif kind == "mark" and running:
            journal.progress(intent(dice.choice(running)).gen_id, Tokens(10, dice.randrange(50)))
        elif kind == "sync":
            journal.sync_now()
            disk.note("durable", journal.shippable_seq)
        elif kind == "ack":
            through = dice.randint(journal.acked_through, journal.shippable_seq)
            disk.note("acking", through)
            journal.ack_now(through)
            disk.note("acked", through)
    return disk


def promises(trace: list[tuple[str, tuple[object, ...]]]) -> Promises:
    made = Promises()
    for name, remark in trace:
        if name != "note":
            continue
        kind, value = remark
        if kind == "intent":
            assert isinstance(value, str)
            made.written.add(value)
        elif kind == "settled":
            assert isinstance(value, UsageRecord)
            made.settled[value.seq] = value
        elif kind == "durable":
            assert isinstance(value, int)
            made.durable_seq = max(made.durable_seq, value)
            made.intents |= made.written
        elif kind == "acking":
            assert isinstance(value, int)
            made.acked_max = max(made.acked_max, value)
        else:
            assert isinstance(value, int)
            made.acked_through = max(made.acked_through, value)
    return made


def recover(image: RememberingDisk) -> tuple[int, list[UsageRecord]] | None:
    """(acked through, what is to be shipped), or None when there was no epoch yet."""
    old = Recovery("/j", "node", disk=image, pause=lambda: None).adopt(1)
    if old is None:
        return None
    found: list[UsageRecord] = []
    while old.acked_through + len(found) < old.settled_seq:
        found += old.read_records(old.acked_through + 1 + len(found), ALL, ALL)
    return old.acked_through, found


def judge(made: Promises, outcome: tuple[int, list[UsageRecord]] | None, *, is_kill: bool) -> None:
    """Assert everything that recovery promises about an image."""
    if outcome is None:
        assert not made.written
        assert not made.settled
        return
    acked_through, found = outcome
    assert made.acked_through <= acked_through <= made.acked_max, "acknowledgements went back, or were invented"
    assert [one.seq for one in found] == list(range(acked_through + 1, acked_through + 1 + len(found))), "numbers have gaps"
    gens = [one.gen_id for one in found]
    assert len(set(gens)) == len(gens), "a generation is doubled"
    gone = {one.gen_id for seq, one in made.settled.items() if seq <= acked_through}
    assert not gone & set(gens), "a generation that was acknowledged is charged again"
    sure = max(made.settled, default=0) if is_kill else made.durable_seq
    by_seq = {one.seq: one for one in found}
    for seq, settled in made.settled.items():
        if acked_through < seq <= sure:
            assert by_seq.get(seq) == settled, "a durable settlement is lost or changed"
    for gen_id in made.written if is_kill else made.intents:
        assert gen_id in gone or gen_id in gens, "an intent has no settlement"
    if is_kill:
        assert all(one.gen_id.startswith("gen-") for one in found)


def judge_images(disk: RememberingDisk, seed: int, *, cuts_each: int = 1) -> int:
    """Every boundary of the trace: killed there, and cut off from power there; how many images that were."""
    count = 0
    for end in range(len(disk.trace)):
        if end and disk.trace[end - 1][0] == "note":
            continue
        made = promises(disk.trace[:end])
        before = replay(disk.trace[:end])
        judge(made, recover(before.after_kill()), is_kill=True)
        for cut in range(cuts_each):
            dice = random.Random(f"{seed}/{end}/{cut}")
            judge(made, recover(before.after_power_cut(dice)), is_kill=False)
        count += 1 + cuts_each
    return count


@pytest.mark.parametrize("seed", range(4))
def test_images_of_a_run(seed: int) -> None:
    """Whatever the moment and whatever the medium kept: nothing durable is lost, nothing is doubled, no gap, no step back."""
    assert judge_images(run(seed), seed, cuts_each=3) > 500


@pytest.mark.deep
def test_images_of_many_runs() -> None:
    """The long form: 40 runs, three power cuts at each boundary."""
    assert sum(judge_images(run(seed), seed, cuts_each=3) for seed in range(40)) > 10_000


@pytest.mark.parametrize("seed", range(6))
def test_images_of_a_recovery(seed: int) -> None:
    """Recovery itself is cut off between any two calls, and the next one comes to the same end."""
    dice = random.Random(seed)
    disk = run(100 + seed)
    cut = dice.randrange(len(disk.trace) // 2, len(disk.trace))
    made = promises(disk.trace[:cut])
    for is_kill in (True, False):
        before = replay(disk.trace[:cut])
        image = before.after_kill() if is_kill else before.after_power_cut(dice)
        first = recover(image)
        judge(made, first, is_kill=is_kill)
        for again in (image.after_kill(), image.after_power_cut(dice)):
            assert recover(again) == first
        start = before.after_kill() if is_kill else before.after_power_cut(random.Random(seed))
        base = len(start.trace)
        recover(start)
        for end in range(base, len(start.trace)):
            half = start_again(before, is_kill, seed, start.trace[base:end])
            judge(made, recover(half.after_power_cut(dice) if end % 2 else half.after_kill()), is_kill=is_kill)


def start_again(
    before: RememberingDisk, is_kill: bool, seed: int, calls: list[tuple[str, tuple[object, ...]]]
) -> RememberingDisk:
    image = before.after_kill() if is_kill else before.after_power_cut(random.Random(seed))
    for name, arguments in calls:
        getattr(image, name)(*arguments)
    return image


# Wrong variants, each of which the judge must catch.


def is_caught(run_it: Callable[[int], RememberingDisk], *, seeds: int = 12) -> bool:
    for seed in range(seeds):
        try:
            judge_images(run_it(seed), seed)
        except AssertionError:
            return True
    return False


def test_wrong_ack_not_durable_before_deletion_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments go as soon as the collector has acknowledged, before that is on disk."""

    def keep_without_sync(self: acked.AckedFile, through: int) -> None:
        value = Acknowledged(self._last.version + 1, through)
        slot = frame(encode(value)).rjust(acked.SLOT_BYTES, b" ")
        self._disk.write_at(self._fd, slot, value.version % 2 * acked.SLOT_BYTES)
        self._last = value

    monkeypatch.setattr(acked.AckedFile, "advance", keep_without_sync)
    assert is_caught(run)


def test_wrong_deletion_before_ack_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments go first, the acknowledgement is kept after."""

    def ack_late(self: Journal, acked_through: int) -> None:
        self._advance(acked_through)
        self._files.remove(self._log.take_released(acked_through))
        self._files.keep_ack(acked_through)

    monkeypatch.setattr(Journal, "ack_now", ack_late)
    assert is_caught(run)


def test_wrong_durable_without_sync_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that calls durable what is only written."""
    monkeypatch.setattr(SyncJob, "run", lambda self: None)
    assert is_caught(run)


def test_wrong_settlement_before_intent_is_caught() -> None:
    """An intent that is written after its settlement looks like an orphan, and is charged twice."""
    assert is_caught(lambda seed: run(seed, settle_first=True))


def test_wrong_orphan_charged_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that does not see that an intent was settled."""
    right = Scan.take

    def forgetful(self: Scan, json: bytes) -> bool:
        kept = dict(self.orphans)
        known = right(self, json)
        self.orphans = {**kept, **self.orphans}
        return known

    monkeypatch.setattr(Scan, "take", forgetful)
    assert is_caught(run)


def test_wrong_last_acknowledgement_in_one_slot_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One slot that is overwritten loses the old number when the new one is torn."""

    def put_in_place(self: acked.AckedFile, value: Acknowledged) -> None:
        value = Acknowledged(2, value.through)
        slot = frame(encode(value)).rjust(acked.SLOT_BYTES, b" ")
        self._disk.write_at(self._fd, slot, 0)
        self._disk.sync(self._fd)
        self._last = value

    monkeypatch.setattr(acked.AckedFile, "_put", put_in_place)
    assert is_caught(run)


def test_wrong_segment_deleted_under_a_running_intent_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that goes when its settlements are acknowledged, though a generation that began in it still runs."""
    monkeypatch.setattr(Segment, "is_released", lambda self, through, position: self.seq_needed <= through)
    assert is_caught(run)


def test_notes_are_read() -> None:
    """The judge is given something to judge: every kind of promise occurs in a run."""
    made = promises(run(1).trace)
    assert made.intents
    assert made.durable_seq
    assert made.acked_through
