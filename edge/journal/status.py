"""What `tollway journal status` shows: the folders of a node's journal as they are now, whether its processes run or not."""

import msgspec

from edge.journal.files import acknowledged as acked
from edge.journal.files.disk import Disk
from edge.journal.files.folder import epochs, lock_epoch
from edge.journal.recovery.scan import scan


class EpochStatus(msgspec.Struct, frozen=True):
    """One epoch. `orphans` of a live one are simply running; `quarantined` counts damaged lines, `torn` cut ends of files."""

    node: str
    epoch: int
    live: bool
    segments: int
    bytes: int
    records: int
    seq_last: int
    acked_through: int
    pending: int
    orphans: int
    quarantined: int
    torn: int


def status(root: str, *, disk: Disk | None = None) -> list[EpochStatus]:
    """Every epoch of every node under the journal's root folder. Reads only; may take seconds on a backlog of gigabytes."""
    disk = disk or Disk()
    nodes = [name for name in disk.names(root) if not name.startswith(".")]
    return [epoch_status(disk, root, node, epoch) for node in nodes for epoch in epochs(disk, root, node)]


def epoch_status(disk: Disk, root: str, node: str, epoch: int) -> EpochStatus:
    folder = f"{root}/{node}/{epoch}"
    lock_fd = lock_epoch(disk, folder)
    if lock_fd is not None:
        disk.close(lock_fd)
    found = scan(disk, folder, on_damage=lambda line: None, pause=lambda: None)
    acked_through = max(found.acked_through, acked.read_acknowledged(disk, folder).through)
    return EpochStatus(
        node=node,
        epoch=epoch,
        live=lock_fd is None,
        segments=len(found.segments),
        bytes=found.bytes_total,
        records=found.records,
        seq_last=found.seq_last,
        acked_through=acked_through,
        pending=max(found.seq_last - acked_through, 0),
        orphans=len(found.orphans),
        quarantined=found.damaged,
        torn=found.torn,
    )
