"""What an epoch's owner holds open: its lock, its segments, its acknowledgement, and the thread that waits for the medium."""

from collections.abc import Sequence

from edge.journal.files.acknowledged import AckedFile
from edge.journal.files.disk import Disk
from edge.journal.files.folder import create_epoch, remove_epoch
from edge.journal.files.log import Log
from edge.journal.files.segment import Segment
from edge.journal.worker import SyncWorker


class EpochFiles:
    """A new epoch's files."""

    def __init__(self, disk: Disk, root: str, node: str, epoch: int, segment_bytes: int, *, syncs: bool) -> None:
        self.disk = disk
        self.folder, self._lock_fd = create_epoch(disk, root, node, epoch)
        self.node_folder = f"{root}/{node}"
        self._acked = AckedFile(disk, self.folder)
        self.log = Log(disk, self.folder, segment_bytes, syncs=syncs)
        self.worker = SyncWorker("journal")

    @property
    def acked_through(self) -> int:
        """What is durable of it."""
        return self._acked.through

    def keep_ack(self, acked_through: int) -> None:
        self._acked.advance(acked_through)

    def remove(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self.disk.remove(segment.path)

    def close(self, *, remove: bool) -> None:
        self.worker.close()
        self.log.close()
        self._acked.close()
        if remove:
            remove_epoch(self.disk, self.folder)
        self.disk.close(self._lock_fd)
