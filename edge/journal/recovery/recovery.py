"""Finds the journals of processes that have died, settles what they left open, and hands them over to be shipped and closed.

Rule: an epoch whose lock is held belongs to a living process and is left alone.
Rule: nothing of an old epoch is shipped before all of it is durable, the settlements that recovery adds included.
Rule: an orphan is charged what its last progress mark says. Without a mark it is charged nothing: we have no evidence that the
provider did any work, and a caller pays for nothing that we cannot show.
Strategy: everything is added in a segment of its own and judged from the files alone, so dying at any point and starting over
gives the same result; an orphan settled by an attempt that died is no orphan for the next.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from edge.journal.entries import record_of, settlement_line
from edge.journal.files.disk import Disk
from edge.journal.files.folder import clear_closed, epochs, lock_epoch
from edge.journal.files.segment import read_lines, segment_name, segment_numbers
from edge.journal.recovery.old_epoch import OldEpoch, lost_record
from edge.journal.recovery.scan import Orphan, Scan, SegmentFacts, scan
from usage.pricing import cost_nano
from usage.record import Rates, Tokens, UsageRecord

log = logging.getLogger("tollway.journal")

RESCAN_S = 60.0
"""How often a running process looks for siblings that died."""
RETRY_S = 2.0
"""How soon it looks again after a failure, and where a lock is held: by one who dies, or who only looks (`journal status`)."""
PAUSE_S = 0.0002
QUARANTINE_LINES_MAX = 1000


class Recovery:
    """For one node's folder. `adopt` blocks and belongs in a thread; `run` puts it there."""

    def __init__(self, root: str, node: str, *, disk: Disk | None = None, pause: Callable[[], None] | None = None) -> None:
        self.orphans_total = 0
        self.orphans_charged_nano = self.orphans_lost_nano = 0
        """Of generations that a death interrupted: what their last marks prove, and the most that they may have cost beyond it,
        which is the house's loss."""
        self.quarantined_total = 0
        self.problem = ""
        """Why what dead processes left is not all being shipped; empty when it is."""
        self._root = root
        self._node = node
        self._disk = disk or Disk()
        self._pause = pause or (lambda: time.sleep(PAUSE_S))
        self._adopted: set[int] = set()

    async def run(self, own_epoch: int, hand_over: Callable[[OldEpoch], None], *, rescan_s: float = RESCAN_S) -> None:
        """Adopt what is there, then look again every `rescan_s`, for ever."""
        self._adopted.add(own_epoch)
        while True:
            is_whole = True
            try:
                found = await asyncio.to_thread(self.epochs)
            except OSError as error:
                log.error("the journal's folder cannot be read now: %s", error)
                found, is_whole = [], False
            for epoch in found:
                try:
                    old = await asyncio.to_thread(self.adopt, epoch)
                except OSError as error:
                    log.error("journal %s/%s cannot be recovered now: %s", self._node, epoch, error)
                    is_whole = False
                    continue
                if old is not None:
                    hand_over(old)
            self.problem = "" if is_whole else "the journals of processes that died cannot all be recovered"
            await asyncio.sleep(rescan_s if is_whole and self._adopted.issuperset(found) else min(rescan_s, RETRY_S))

    def epochs(self) -> list[int]:
        """The folders that are not ours already, oldest first."""
        clear_closed(self._disk, self._root, self._node)
        return [epoch for epoch in epochs(self._disk, self._root, self._node) if epoch not in self._adopted]

    def adopt(self, epoch: int) -> OldEpoch | None:
        """The epoch, complete and durable; None when a living process owns it. OSError: not now."""
        folder = f"{self._root}/{self._node}/{epoch}"
        lock_fd = lock_epoch(self._disk, folder)
        if lock_fd is None:
            return None
        try:
            old = self._recover(folder, epoch, lock_fd)
        except BaseException:
            self._disk.close(lock_fd)
            raise
        self._adopted.add(epoch)
        return old

    def _recover(self, folder: str, epoch: int, lock_fd: int) -> OldEpoch:
        damaged: list[bytes] = []
        found = scan(self._disk, folder, on_damage=lambda line: keep_some(damaged, line), pause=self._pause)
        if damaged:
            self._quarantine(epoch, damaged)
        for segment in found.segments:
            self._make_durable(segment.path)
        added = list(self._missing_records(epoch, found))
        if added:
            self._write(folder, found, added)
        self._disk.sync_folder(folder)
        self.orphans_total += len(found.orphans)
        for record in added:
            self.orphans_charged_nano += record.cost_nano
            self.orphans_lost_nano += max(record.hold_nano - record.cost_nano, 0)
        self.quarantined_total += found.damaged
        if added or damaged:
            log.warning("journal %s/%s: %d settled by recovery, %d damaged lines", self._node, epoch, len(added), found.damaged)
        return OldEpoch(self._disk, folder, lock_fd, self._node, epoch, found)

    def _missing_records(self, epoch: int, found: Scan) -> Iterator[UsageRecord]:
        """A settlement for each orphan: first in the place of missing numbers, then after the last; and what fills the rest."""
        missing = sorted(found.missing)
        orphans = sorted(found.orphans.values(), key=lambda orphan: (orphan.intent.started_ms, orphan.intent.gen_id))
        for index, orphan in enumerate(orphans):
            seq = missing[index] if index < len(missing) else found.seq_last + 1 + index - len(missing)
            yield orphan_record(self._node, epoch, seq, orphan)
        for seq in missing[len(orphans) :]:
            yield lost_record(self._node, epoch, seq)

    def _write(self, folder: str, found: Scan, added: list[UsageRecord]) -> None:
        """Append in a new segment: the last one may end in a torn line."""
        numbers = segment_numbers(self._disk, folder)
        path = f"{folder}/{segment_name(numbers[-1] + 1 if numbers else 1)}"
        data = b"".join(settlement_line(record) for record in added)
        fd = self._disk.create(path)
        try:
            if self._disk.write(fd, data) != len(data):
                raise OSError("short write of recovered settlements")
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        for record in added:
            if record.seq <= found.seq_last:
                found.late[record.seq] = record
        found.seq_last = max(found.seq_last, max(record.seq for record in added))
        found.segments.append(SegmentFacts(path, len(data), found.seq_last))

    def _make_durable(self, path: str) -> None:
        fd = self._disk.append_to(path)
        try:
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)

    def _quarantine(self, epoch: int, damaged: list[bytes]) -> None:
        """Keep the damaged lines for a person to look at; those that an earlier attempt has kept are not kept again."""
        folder = f"{self._root}/{self._node}/quarantine"
        self._disk.make_folder(folder)
        path = f"{folder}/{epoch}.log"
        kept = {line for _, line, _ in read_lines(self._disk, path)}
        fd = self._disk.append_to(path)
        try:
            self._disk.write(fd, b"".join(line for line in damaged if line not in kept))
        finally:
            self._disk.close(fd)


def keep_some(damaged: list[bytes], line: bytes) -> None:
    """A file of nothing but damage must not fill the memory: the rest is counted only."""
    if len(damaged) < QUARANTINE_LINES_MAX:
        damaged.append(line)


def orphan_record(node: str, epoch: int, seq: int, orphan: Orphan) -> UsageRecord:
    """The settlement of an intent whose process died."""
    intent, tokens = orphan.intent, orphan.tokens or Tokens()
    # What is charged nothing carries rates that make nothing: the collector computes each cost again.
    rates = Rates(version=intent.rates.version) if orphan.tokens is None else intent.rates
    return record_of(
        intent,
        node,
        epoch,
        seq,
        tokens=tokens,
        rates=rates,
        cost_nano=cost_nano(tokens, rates),
        usage_source="estimated",
        status=500,
        end_reason="orphaned",
        error="the process died before this generation ended",
    )
