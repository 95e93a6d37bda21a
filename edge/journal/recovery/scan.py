"""Reads an epoch's folder from end to end and says what it holds: what was settled, what was not, and what is damaged.

Rule: a line that is not exactly as it was written is not believed; what it cost is then a missing `seq` or an intent without
settlement.
Strategy: one pass in bounded memory: only generations without a settlement, and missing numbers, are kept.
Limits: a line that vanished whole leaves no damage behind, but its number is missing.
"""

from collections.abc import Callable

import msgspec

from edge.journal.entries import Intent, read_line, read_record
from edge.journal.files import acknowledged as acked
from edge.journal.files.disk import Disk
from edge.journal.files.segment import read_lines, segment_name, segment_numbers
from usage.record import Tokens, UsageRecord

PAUSE_LINES = 256


class Orphan(msgspec.Struct):
    """An intent without a settlement, and its last progress mark."""

    intent: Intent
    tokens: Tokens | None = None


class SegmentFacts(msgspec.Struct):
    path: str
    bytes: int
    seq_last: int


class Scan:
    """The findings. `seq_last` is the greatest number seen or acknowledged; `missing` are the unacknowledged ones below it."""

    def __init__(self, acked_through: int, *, is_acked_known: bool) -> None:
        self.acked_through = acked_through
        self.seq_last = acked_through
        self.segments: list[SegmentFacts] = []
        self.orphans: dict[str, Orphan] = {}
        self.missing: set[int] = set()
        self.late: dict[int, UsageRecord] = {}
        """Records that stand after greater numbers: written by an earlier recovery in place of missing ones."""
        self.records = 0
        self.intents = 0
        self.marks = 0
        self.damaged = 0
        self.torn = 0
        self._is_acked_known = is_acked_known

    @property
    def bytes_total(self) -> int:
        return sum(segment.bytes for segment in self.segments)

    def take(self, json: bytes) -> bool:
        """One line; False when it says nothing we know."""
        line = read_line(json)
        if line is None:
            return False
        if line.s is not None:
            self.records += 1
            self.orphans.pop(line.s.gen_id, None)
            self._number(line.s.seq, json)
        elif line.i is not None:
            self.intents += 1
            known = self.orphans.get(line.i.gen_id)
            if known is None:
                self.orphans[line.i.gen_id] = Orphan(line.i)
            # An intent is written again when its segment is let go, with its mark behind it. A power cut may tear that mark off:
            # the one that was read before stands.
        elif line.p is not None:
            self.marks += 1
            orphan = self.orphans.get(line.p.gen_id)
            if orphan is not None:
                orphan.tokens = line.p.tokens
        return True

    def _number(self, seq: int, json: bytes) -> None:
        if not self._is_acked_known:
            self._is_acked_known = True
            self.acked_through = self.seq_last = seq - 1
        if seq > self.seq_last:
            self.missing.update(range(self.seq_last + 1, seq))
            self.seq_last = seq
        elif seq in self.missing:
            record = read_record(json)
            if record is not None:
                self.missing.discard(seq)
                self.late[seq] = record
        self.segments[-1].seq_last = max(self.segments[-1].seq_last, seq)


def scan(disk: Disk, folder: str, *, on_damage: Callable[[bytes], None], pause: Callable[[], None]) -> Scan:
    """Read everything. `on_damage` is given each damaged line; `pause` is called now and then, so that others may run."""
    known = acked.read_acknowledged(disk, folder)
    found = Scan(known.through, is_acked_known=known.version > 0)
    count = 0
    for number in segment_numbers(disk, folder):
        path = f"{folder}/{segment_name(number)}"
        found.segments.append(SegmentFacts(path, 0, 0))
        for end, line, json in read_lines(disk, path):
            found.segments[-1].bytes = end
            count += 1
            if count % PAUSE_LINES == 0:
                pause()
            if json is not None and found.take(json):
                continue
            if line.endswith(b"\n"):
                found.damaged += 1
                on_damage(line)
            else:
                found.torn += 1
    return found
